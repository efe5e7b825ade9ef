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
    pub(super) fn new(wall: Wall, settings: ClockSettings) -> Self {
        Live { wall, settings, state: Mutex::new(State { gone_to: EventTime::MIN, last: None }) }
    }

    /// The least clock over the partitions that are not idle; wall time less the disorder where all
    /// are, which is told. It never goes back. `None` where no partition has more to come.
    pub(super) fn watermark(&self, partitions: &[Arc<Partition>]) -> Option<(EventTime, bool)> {
        let mut state = lock(&self.state);
        if let Some(last) = state.last {
            return Some((last, false));
        }
        let (timeout, now) = (self.settings.idle_timeout.ms(), self.wall.elapsed_ms());
        let open = || partitions.iter().filter(|it| it.is_open());
        open().next()?;
        let waited_for = open().filter(|it| !it.is_quiet_for(timeout, now));
        let least = waited_for.map(|it| it.clock.load(Ordering::Acquire)).min();
        let wall = || {
            let time = self.wall.now().saturating_sub(self.settings.max_out_of_orderness.ms());
            time - time.rem_euclid(STEP_MS)
        };
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
            let is_read = !only_read || it.settled.load(Ordering::Acquire) > 0;
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
        turn.clock.leave_behind(lock(&self.state).gone_to);
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
