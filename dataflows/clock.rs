//! Clocks and lateness: how far event time has come, decided by the records alone.
//!
//! Each partition has its own clock, the greatest event time seen in it minus the disorder it may
//! have. A record below its partition's clock is late. The watermark is the least clock over the
//! partitions, and becomes the frontier of the dataflow.

use serde::{Deserialize, Serialize};

use crate::model::time::MIN_TIME;
use crate::model::{Duration, EventTime};

/// When a difference is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// When the watermark passes its time; it is then final.
    #[default]
    OnWatermark,
    /// At once: the clock follows the greatest event time seen, with no hold-back.
    OnEvent,
}

/// The settings of time, the same for every partition of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSettings {
    /// When differences are released.
    pub emit: Emit,
    /// How far a record may be behind the greatest time of its partition and still count.
    pub max_out_of_orderness: Duration,
    /// After how much wall time without records a partition stops holding the watermark back.
    /// Replays know no idleness.
    pub idle_timeout: Duration,
    /// How far ahead of wall time a record of a running job may be. Replays know no such bound.
    pub max_ahead: Duration,
    /// How far apart, in event time, two records with one `messageId` are one record.
    pub dedup_horizon: Duration,
    /// Windows longer than a day leave at the next multiple of this.
    pub granularity: Duration,
}

impl Default for ClockSettings {
    fn default() -> Self {
        let disorder = Duration::from_ms(5_000);
        ClockSettings {
            emit: Emit::OnWatermark,
            max_out_of_orderness: disorder,
            idle_timeout: Duration::from_ms(10_000),
            max_ahead: Duration::from_ms(3_600_000),
            dedup_horizon: disorder,
            granularity: Duration::from_ms(60_000),
        }
    }
}

/// The clock of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionClock {
    max_out_of_orderness: Duration,
    now: EventTime,
    /// Where it stood when the watermark had gone on without it, and to where; else twice the start.
    left_behind: (EventTime, EventTime),
}

/// Why a record is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is below the clock of its partition.
    Late,
    /// Its partition had been idle, and it is below the watermark that went on without it.
    Idle,
}

/// What a partition's clock says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Punctuality {
    /// It counts, at this time.
    OnTime(EventTime),
    /// It is below the clock, which stood at `clock`.
    Late {
        /// Its own time.
        time: EventTime,
        /// The clock it missed.
        clock: EventTime,
        /// Why it missed it.
        reason: Reason,
    },
}

impl PartitionClock {
    /// A clock that stands at the start of time.
    pub fn new(max_out_of_orderness: Duration) -> Self {
        PartitionClock { max_out_of_orderness, now: MIN_TIME, left_behind: (MIN_TIME, MIN_TIME) }
    }

    /// The same clock, standing at `now`.
    pub fn standing_at(self, now: EventTime) -> Self {
        PartitionClock { now, left_behind: (now, now), ..self }
    }

    /// The greatest event time seen minus the disorder allowed: no record that comes later and
    /// counts is below this.
    pub fn now(&self) -> EventTime {
        self.now
    }

    /// Reads the next record of the partition. One without a time takes the clock's.
    ///
    /// ```
    /// use dataflows::clock::{PartitionClock, Punctuality::*, Reason};
    /// use dataflows::model::Duration;
    /// let mut clock = PartitionClock::new(Duration::from_ms(5));
    /// assert_eq!(clock.observe(Some(100)), OnTime(100));
    /// assert_eq!(clock.observe(Some(95)), OnTime(95)); // exactly at the clock: not late
    /// assert_eq!(clock.observe(Some(94)), Late { time: 94, clock: 95, reason: Reason::Late });
    /// assert_eq!(clock.observe(None), OnTime(95));
    /// ```
    pub fn observe(&mut self, time: Option<EventTime>) -> Punctuality {
        let time = time.unwrap_or(self.now);
        if time < self.now {
            return self.late(time);
        }
        self.now = self.now.max(time.saturating_sub(self.max_out_of_orderness.ms()));
        Punctuality::OnTime(time)
    }

    #[cold]
    fn late(&self, time: EventTime) -> Punctuality {
        let (stood, gone_to) = self.left_behind;
        let is_idle = self.now == gone_to && time >= stood;
        let reason = if is_idle { Reason::Idle } else { Reason::Late };
        Punctuality::Late { time, clock: self.now, reason }
    }

    /// Says that the partition was idle, and that the watermark has gone on to `watermark` without
    /// it: what is older does not count any more.
    ///
    /// ```
    /// use dataflows::clock::{PartitionClock, Punctuality::*, Reason};
    /// use dataflows::model::Duration;
    /// let mut clock = PartitionClock::new(Duration::from_ms(5));
    /// clock.observe(Some(100));
    /// clock.leave_behind(300);
    /// assert_eq!(clock.observe(Some(299)), Late { time: 299, clock: 300, reason: Reason::Idle });
    /// assert_eq!(clock.observe(Some(94)), Late { time: 94, clock: 300, reason: Reason::Late });
    /// assert_eq!(clock.observe(Some(300)), OnTime(300));
    /// ```
    pub fn leave_behind(&mut self, watermark: EventTime) {
        if watermark > self.now {
            self.left_behind = (self.now, watermark);
            self.now = watermark;
        }
    }
}
