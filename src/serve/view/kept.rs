//! What of the view outlives its run: what sketches have counted, how large segments have been, and
//! the last differences.
//!
//! A checkpoint is of all that took effect before a time. So where one is being taken, the view comes
//! to the instant before that first, and gives out what has changed since the checkpoint before; all
//! that is computed again after a crash is of later times, and counts once. The bytes are made by
//! whoever writes them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use dataflows::operators::checkpoint::{Count, Counts};
use dataflows::sketch::Unreadable;

use super::{View, lock, retained};
use crate::say::warn;

/// What the view adds to a checkpoint.
pub struct Kept {
    /// The number of the checkpoint.
    pub number: u64,
    /// All that took effect before this is in it.
    pub before: EventTime,
    /// What has changed since the one before.
    pub counts: Vec<Count>,
}

/// Checkpoints that are being taken.
#[derive(Default)]
pub(super) struct Cuts {
    /// Their numbers, by the time they are of.
    due: Mutex<BTreeMap<EventTime, u64>>,
    /// What waits to be written.
    kept: Mutex<Vec<Kept>>,
}

impl Cuts {
    /// The next one that is of all before a frontier, or of less.
    pub(super) fn next(&self, frontier: EventTime) -> Option<(EventTime, u64)> {
        let mut due = lock(&self.due);
        due.first_entry().filter(|it| *it.key() <= frontier).map(|it| it.remove_entry())
    }

    pub(super) fn keep(&self, kept: Kept) {
        lock(&self.kept).push(kept);
    }
}

impl View {
    /// A checkpoint is being taken of all before a time, which the frontier has not passed.
    pub fn cut_at(&self, number: u64, before: EventTime) {
        lock(&self.cuts.due).insert(before, number);
    }

    /// What checkpoints are to have, each once.
    pub fn kept(&self) -> Vec<Kept> {
        std::mem::take(&mut *lock(&self.cuts.kept))
    }

    /// Goes on from what an earlier run has kept, as of the instant before a time, with the
    /// definitions there are by now. Tells what is counted anew, in words.
    ///
    /// # Errors
    /// It is not what an earlier run has written.
    pub fn restore(&self, counts: &Counts, before: EventTime) -> Result<Vec<String>, Unreadable> {
        self.segments.restore(counts);
        if !retained::restore(&self.ring, &self.segments, counts, before) {
            let from = format_time(before);
            warn(format_args!(
                "the last differences are not kept as they were: known from {from} on"
            ));
        }
        match &self.sketches {
            Some(sketches) => sketches.restore(counts, before),
            None => Ok(Vec::new()),
        }
    }

    /// What has changed since this was last asked, as of the instant before a time.
    pub(super) fn counts(&self, before: EventTime) -> Vec<Count> {
        let mut counts = self.segments.counts(before);
        counts.extend(retained::counts(&self.ring, &self.segments, before));
        counts.extend(self.sketches.iter().flat_map(|sketches| sketches.counts(before)));
        counts
    }
}
