//! What wall time decides in a running job: which partitions the watermark waits for, and which
//! records are too far ahead to be believed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use dataflows::clock::ClockSettings;
use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::partition::{Partition, Turn};
use super::{Wall, lock};

/// In what steps the watermark follows wall time: each makes all workers turn once.
const STEP_MS: i64 = 50;

/// The watermark of a running job.
pub(super) struct Live {
    wall: Wall,
    settings: ClockSettings,
    state: Mutex<State>,
}

struct State {
    /// The greatest watermark that any worker was told.
    gone_to: EventTime,
    /// Where it stays, once nothing more is read.
    last: Option<EventTime>,
}

impl Live {
    /// All time before `gone_to` is over.
    pub(super) fn new(wall: Wall, settings: ClockSettings, gone_to: EventTime) -> Self {
        Live { wall, settings, state: Mutex::new(State { gone_to, last: None }) }
    }

    /// The least clock over the partitions that are not idle; wall time less the disorder where all
    /// are, which is told. It never goes back. `None` where no partition has more to come. A process
    /// that has none, in a run that goes on all the same, holds no other back.
    pub(super) fn watermark(
        &self,
        partitions: &[Arc<Partition>],
        goes_on: bool,
    ) -> Option<(EventTime, bool)> {
        let mut state = lock(&self.state);
        if let Some(last) = state.last {
            return Some((last, false));
        }
        let (timeout, now) = (self.settings.idle_timeout.ms(), self.wall.elapsed_ms());
        let open = || partitions.iter().filter(|it| it.is_open());
        let wall = || {
            let time = self.wall.now().saturating_sub(self.settings.max_out_of_orderness.ms());
            time - time.rem_euclid(STEP_MS)
        };
        if open().next().is_none() {
            return goes_on.then(|| (wall().max(state.gone_to), false));
        }
        let waited_for = open().filter(|it| !it.is_quiet_for(timeout, now));
        let least = waited_for.map(|it| it.clock.load(Ordering::Acquire)).min();
        state.gone_to = state.gone_to.max(least.unwrap_or_else(wall));
        Some((state.gone_to, least.is_none()))
    }

    /// Where the watermark stays, now that all that was taken has had its turn. A partition that
    /// was read to its end and had no record has no say, if `only_read`.
    pub(super) fn last_watermark(
        &self,
        partitions: &[Arc<Partition>],
        only_read: bool,
    ) -> EventTime {
        let mut state = lock(&self.state);
        if let Some(last) = state.last {
            return last;
        }
        let has_say = |it: &&Arc<Partition>| {
            let has_clock = it.clock.load(Ordering::Acquire) > EventTime::MIN;
            let is_read = !only_read || has_clock;
            it.is_open() && is_read && !it.is_idle.load(Ordering::Acquire)
        };
        let clocks = partitions.iter().filter(has_say).map(|it| it.clock.load(Ordering::Acquire));
        let last = state.gone_to.max(clocks.min().unwrap_or(state.gone_to));
        (state.gone_to, state.last) = (last, Some(last));
        last
    }

    /// Whoever has the turn of a partition takes note of where the watermark has gone without it.
    /// From its being taken to the end of its turn a chunk keeps its partition from being idle.
    pub(super) fn resume(&self, turn: &mut Turn) {
        if turn.again.is_none() {
            turn.clock.leave_behind(lock(&self.state).gone_to);
        }
    }

    /// The greatest time that is believed at present.
    pub(super) fn believed(&self) -> EventTime {
        self.wall.now().saturating_add(self.settings.max_ahead.ms())
    }

    /// Why a record at this time is rejected.
    pub(super) fn too_far_ahead(&self, time: EventTime) -> String {
        let (time, bound) = (format_time(time), self.settings.max_ahead);
        format!("timestamp: {time} is more than {bound} ahead of wall time (max_ahead)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;
    use std::sync::mpsc::sync_channel;

    use dataflows::clock::{Punctuality, Reason};
    use dataflows::model::Duration;

    use super::super::partition::Input;
    use super::*;
    use crate::format::Mapping;

    const DISORDER: Duration = Duration::from_ms(5);

    fn settings() -> ClockSettings {
        ClockSettings {
            max_out_of_orderness: DISORDER,
            idle_timeout: Duration::from_ms(1_000),
            ..ClockSettings::default()
        }
    }

    /// A record at this time comes and has its turn.
    fn comes(live: &Live, partition: &Partition, time: EventTime) -> Punctuality {
        let mut turn = lock(&partition.turn);
        live.resume(&mut turn);
        partition.stir();
        let said = turn.clock.observe(Some(time));
        partition.clock.store(turn.clock.now(), Ordering::Release);
        said
    }

    #[test]
    fn the_watermark_goes_on_without_the_idle_and_then_with_the_wall() {
        let hands = Arc::new(AtomicI64::new(1_000_000));
        let live = Live::new(Wall::held(Arc::clone(&hands)), settings(), EventTime::MIN);
        // Pipes that stay open: what gives to them is kept.
        let (gives, list): (Vec<_>, Vec<_>) = (0..2)
            .map(|index| {
                let (give, take) = sync_channel(1);
                let input = Input::Pipe(take);
                let partition =
                    Partition::new(index, input, Mapping::default(), DISORDER, (None, false));
                (give, Arc::new(partition))
            })
            .unzip();
        comes(&live, &list[0], 500_005);
        comes(&live, &list[1], 400_005);
        assert_eq!(live.watermark(&list, true), Some((400_000, false)));
        hands.store(1_000_900, Ordering::Release);
        comes(&live, &list[0], 600_005);
        assert_eq!(live.watermark(&list, true), Some((400_000, false)), "not idle for long enough");
        hands.store(1_001_000, Ordering::Release);
        assert_eq!(live.watermark(&list, true), Some((600_000, false)), "without the second");
        hands.store(1_002_017, Ordering::Release);
        assert_eq!(live.watermark(&list, true), Some((1_002_000, true)), "with the wall, in steps");
        let late = Punctuality::Late { time: 450_000, clock: 1_002_000, reason: Reason::Idle };
        assert_eq!(comes(&live, &list[1], 450_000), late);
        assert_eq!(comes(&live, &list[1], 1_002_001), Punctuality::OnTime(1_002_001));
        assert_eq!(live.watermark(&list, true), Some((1_002_000, false)), "it never goes back");
        assert_eq!(live.last_watermark(&list, false), 1_002_000);
        hands.store(9_000_000, Ordering::Release);
        assert_eq!(
            live.watermark(&list, true),
            Some((1_002_000, false)),
            "it stays, once it has ended"
        );
        drop(gives);
    }
}
