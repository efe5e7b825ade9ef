//! The instant records take effect at (`on_event`), and how long it may stay open.
//!
//! What happens at an instant is given out when the instant is over: when a greater event time is
//! seen, or when this process says so. It may say so of pipes only, and only as fast as wall time
//! goes: the clock never gets more than a millisecond ahead of the line that event time would be
//! on, had it gone on with the wall clock from where it was furthest ahead. So an instant lasts a
//! millisecond or two however disordered the records are, and windows leave neither early nor late.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dataflows::model::EventTime;

/// How far the clock may be ahead of its line. An instant that has just begun may so be over at
/// once, if nothing follows.
const AHEAD_MAX: Duration = Duration::from_millis(1);
const US_PER_MS: i64 = 1_000;

/// The open instant, shared by the workers of a process.
pub(super) struct OpenInstant {
    began: Instant,
    /// Where the clock stands.
    clock: AtomicI64,
    /// The greatest time at which a record took effect.
    latest: AtomicI64,
    /// The greatest event time seen less the wall time it was seen at, in microseconds.
    line: AtomicI64,
}

impl OpenInstant {
    /// All before this instant is over, and nothing has taken effect at it.
    pub(super) fn since(clock: EventTime) -> Self {
        let line = match clock {
            EventTime::MIN => i64::MIN, // nothing has been seen
            _ => clock.saturating_mul(US_PER_MS),
        };
        OpenInstant {
            began: Instant::now(),
            clock: AtomicI64::new(clock),
            latest: AtomicI64::new(EventTime::MIN),
            line: AtomicI64::new(line),
        }
    }

    /// Where the clock stands.
    pub(super) fn clock(&self) -> EventTime {
        self.clock.load(Ordering::Acquire)
    }

    /// Takes note of an event time; gives back where the clock stands then, and whether that moved
    /// it.
    pub(super) fn see(&self, time: EventTime) -> (EventTime, bool) {
        let before = self.clock.fetch_max(time, Ordering::AcqRel);
        if before < time {
            let line = time.saturating_mul(US_PER_MS).saturating_sub(self.wall_us());
            self.line.fetch_max(line, Ordering::AcqRel);
        }
        (before.max(time), before < time)
    }

    /// Records have taken effect at times up to this.
    pub(super) fn took_effect(&self, latest: EventTime) {
        self.latest.fetch_max(latest, Ordering::AcqRel);
    }

    /// Whether records have taken effect at the instant where the clock stands.
    pub(super) fn is_open(&self) -> bool {
        let clock = self.clock();
        clock != EventTime::MIN && self.latest.load(Ordering::Acquire) == clock
    }

    /// For how long the instant must still stay open: if more records are coming, until the clock
    /// would be on its line; if none are, until it would not be too far ahead.
    pub(super) fn stays_open(&self, more_are_coming: bool) -> Duration {
        let next = self.clock().saturating_add(1).saturating_mul(US_PER_MS);
        let line = self.line.load(Ordering::Acquire).saturating_add(self.wall_us());
        let ahead = u64::try_from(next.saturating_sub(line)).unwrap_or(0);
        let ahead = Duration::from_micros(ahead);
        if more_are_coming { ahead } else { ahead.saturating_sub(AHEAD_MAX) }
    }

    /// The instant is over. What comes later, even from the same millisecond, takes effect after
    /// it.
    pub(super) fn close(&self) {
        let latest = self.latest.load(Ordering::Acquire);
        self.clock.fetch_max(latest.saturating_add(1), Ordering::AcqRel);
    }

    fn wall_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_never_far_ahead_of_its_line() {
        let (began, instant) = (Instant::now(), OpenInstant::since(EventTime::MIN));
        assert!(!instant.is_open(), "nothing has been seen");
        assert_eq!(instant.see(1_000_000), (1_000_000, true));
        assert!(!instant.is_open(), "nothing has taken effect");
        instant.took_effect(1_000_000);
        assert!(instant.is_open());
        assert_eq!(instant.stays_open(false), Duration::ZERO, "at once, if nothing follows");
        instant.close();
        assert!(!instant.is_open(), "nothing has taken effect after it");
        assert_eq!(instant.see(999_990), (1_000_001, false));
        let mut closed = 0;
        while began.elapsed() < Duration::from_millis(20) {
            instant.took_effect(instant.clock());
            if instant.stays_open(false).is_zero() {
                instant.close();
                closed += 1;
            }
        }
        assert!((1..=22).contains(&closed), "{closed} instants in 20 ms");
        assert!(instant.stays_open(true) <= 2 * AHEAD_MAX);
    }
}
