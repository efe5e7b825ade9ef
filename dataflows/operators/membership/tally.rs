//! What is counted along the way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::EventTime;

/// What was counted. Tallies of different workers and times add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Updates that took effect.
    pub applied: u64,
    /// Second copies.
    pub duplicate: u64,
    /// Records below their partition's clock.
    pub late: u64,
    /// Records that could not be understood.
    pub rejected: u64,
    /// Values of the wrong type a segment's conditions met, by segment.
    pub mismatches: Vec<(Arc<str>, u64)>,
    /// The greatest time of an applied update.
    pub last: Option<EventTime>,
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Tally::default()
    }

    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        self.applied += other.applied;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.rejected += other.rejected;
        self.last = self.last.max(other.last);
        for (segment, count) in &other.mismatches {
            self.mismatch(segment, *count);
        }
    }

    pub(super) fn mismatch(&mut self, segment: &Arc<str>, count: u64) {
        match self.mismatches.binary_search_by(|(other, _)| other.cmp(segment)) {
            Ok(place) => self.mismatches[place].1 += count,
            Err(place) => self.mismatches.insert(place, (segment.clone(), count)),
        }
    }
}
