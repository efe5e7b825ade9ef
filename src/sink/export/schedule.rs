//! At which instants of event time a picture is taken, and of which segments.
//!
//! Instants are multiples of an interval, so they are the same however the job is started and
//! stopped. At one since which nothing has changed, no picture is taken: the one before holds.

use dataflows::model::{Duration, EventTime};

/// How often it is looked where only a share is said.
const LOOK: Duration = Duration::from_ms(60_000);
/// How often a picture is taken where nothing is said.
const USUAL: Duration = Duration::from_ms(3_600_000);

/// When pictures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    every: Duration,
    when_changed: Option<Share>,
}

/// A share of a segment, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

impl Schedule {
    /// At these intervals, of all segments; or of those only of which more than this share has
    /// entered or left since their last picture.
    pub fn new(every: Option<Duration>, when_changed: Option<Share>) -> Self {
        let usual = if when_changed.is_some() { LOOK } else { USUAL };
        Schedule { every: every.unwrap_or(usual), when_changed }
    }

    pub(super) fn when_changed(self) -> Option<Share> {
        self.when_changed
    }

    /// The first instant that has a change at this time in it.
    pub(super) fn after_change(self, time: EventTime) -> EventTime {
        let every = self.every.ms().max(1);
        let past = time.rem_euclid(every);
        if past == 0 { time } else { time.saturating_add(every - past) }
    }
}

impl Share {
    /// So many millionths.
    pub fn of_millionths(millionths: u64) -> Self {
        Share(millionths)
    }

    /// Whether so many changes are more than this share of a segment of this size.
    pub(super) fn is_less_than(self, changes: u64, size: u64) -> bool {
        u128::from(changes) * 1_000_000 > u128::from(size) * u128::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_multiples_that_include_the_change() {
        let hourly = Schedule::new(Some(Duration::from_ms(1_000)), None);
        assert_eq!(hourly.after_change(0), 0);
        assert_eq!(hourly.after_change(1), 1_000);
        assert_eq!(hourly.after_change(1_000), 1_000);
        assert_eq!(hourly.after_change(-1), 0);
        assert_eq!(hourly.after_change(EventTime::MAX), EventTime::MAX);
    }

    #[test]
    fn shares_are_compared_exactly() {
        let share = Share::of_millionths(50_000);
        assert!(!share.is_less_than(5, 100));
        assert!(share.is_less_than(6, 100));
        assert!(share.is_less_than(1, 0));
        assert!(!share.is_less_than(0, 0));
    }
}
