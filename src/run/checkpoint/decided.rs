//! What was decided and no checkpoint has passed: the list that a process keeps of it.

use std::collections::{BTreeMap, VecDeque};

use dataflows::model::EventTime;

use crate::ingest::{Decision, GoOn};

/// How far a checkpoint is: what came before it need not be decided again.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed {
    pub(super) before: EventTime,
    /// What is older than this is late anyway, wherever it stands.
    pub(super) floor: EventTime,
    /// By index, from which offset on each partition is read again.
    pub(super) offsets: BTreeMap<u32, u64>,
}

impl Passed {
    pub(super) fn new((before, floor): (EventTime, EventTime), go_on: &[(u32, GoOn)]) -> Self {
        Passed {
            before,
            floor,
            offsets: go_on.iter().map(|(index, it)| (*index, it.offset)).collect(),
        }
    }

    /// Whether a run that goes on from there has to know of it.
    pub(super) fn leaves_open(&self, decision: &Decision) -> bool {
        let is_read_again =
            |index: &u32, offset: u64| self.offsets.get(index).is_none_or(|from| *from <= offset);
        match decision {
            Decision::Defined(_) => false,
            Decision::Edited(edit) => edit.time >= self.before,
            Decision::Idle { partition, offset, until: floor }
            | Decision::Joined { partition, offset, watermark: floor } => {
                let is_known = self.offsets.contains_key(partition);
                is_read_again(partition, *offset) && !(is_known && *floor <= self.floor)
            }
            Decision::Ahead { partition, offsets } => {
                offsets.iter().any(|offset| is_read_again(partition, *offset))
            }
        }
    }
}

/// The list of one process.
#[derive(Debug, Default)]
pub(super) struct Decided {
    list: Vec<Decision>,
    /// The checkpoints that may still be gone on from, oldest first.
    passed: VecDeque<Passed>,
}

impl Decided {
    pub(super) fn list(&self) -> &[Decision] {
        &self.list
    }

    /// Adds to it. How far the watermark may go without a partition is replaced by what is decided
    /// of it later.
    pub(super) fn add(&mut self, decisions: Vec<Decision>) {
        for new in decisions {
            if let Decision::Idle { partition, offset, .. } = &new {
                let place = (*partition, *offset);
                self.list.retain(|old| {
                    !matches!(old, Decision::Idle { partition, offset, .. }
                        if (*partition, *offset) == place)
                });
            }
            self.list.push(new);
        }
    }

    /// A checkpoint is committed, of which the last `keep` are kept: forgets what none of them
    /// leaves open.
    pub(super) fn pass(&mut self, passed: Passed, keep: usize) {
        self.passed.push_back(passed);
        while self.passed.len() > keep {
            self.passed.pop_front();
        }
        if let (Some(oldest), true) = (self.passed.front(), self.passed.len() == keep) {
            self.list.retain(|decision| oldest.leaves_open(decision));
        }
    }

    /// Whether some run may yet have to know of one of these.
    pub(super) fn is_open(&self, decisions: &[Decision], keep: usize) -> bool {
        let oldest = self.passed.front().filter(|_| self.passed.len() == keep);
        oldest.is_none_or(|oldest| decisions.iter().any(|it| oldest.leaves_open(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_checkpoint_leaves_open_is_forgotten() {
        let idle = |offset, until| Decision::Idle { partition: 0, offset, until };
        let joined = |offset, watermark| Decision::Joined { partition: 0, offset, watermark };
        let mut decided = Decided::default();
        decided.add(vec![joined(0, 0), idle(5, 100), idle(5, 200)]);
        assert_eq!(decided.list(), [joined(0, 0), idle(5, 200)]);
        decided.add(vec![joined(5, 150), Decision::Ahead { partition: 1, offsets: vec![3, 9] }]);
        let at = |before, offsets: &[(u32, u64)]| Passed {
            before,
            floor: before,
            offsets: offsets.iter().copied().collect(),
        };
        decided.pass(at(90, &[(0, 5), (1, 4)]), 2);
        assert_eq!(decided.list().len(), 4, "one that is kept may be damaged");
        decided.pass(at(170, &[(0, 5), (1, 10)]), 2);
        let ahead = Decision::Ahead { partition: 1, offsets: vec![3, 9] };
        assert_eq!(decided.list(), [idle(5, 200), joined(5, 150), ahead], "by the older one");
        decided.pass(at(180, &[(0, 5), (1, 10)]), 2);
        assert_eq!(decided.list(), [idle(5, 200)]);
        assert!(decided.is_open(&[idle(5, 200)], 2));
        decided.pass(at(200, &[(0, 6), (1, 10)]), 2);
        decided.pass(at(201, &[(0, 6), (1, 10)]), 2);
        assert!(decided.list().is_empty());
    }
}
