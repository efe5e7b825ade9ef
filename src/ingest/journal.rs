//! The journal: what wall time has decided, and no one could find out again from the records.
//!
//! Which partition the watermark went on without, where a new one began, what was too far ahead to
//! be believed, when a definition came into force: a run that goes on after a crash has to decide
//! the same, or it would contradict what was given out before. So each decision is written down
//! first and takes effect once that is durable; whoever needs one asks for it, does something else
//! meanwhile, and comes back ([`Journal::is_durable`]). A run that keeps no state decides at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use dataflows::catalog::TimedEdit;
use dataflows::model::EventTime;
use dataflows::rule::Definition;
use serde::{Deserialize, Serialize};

use super::lock;

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The watermark may go on to `until` without a partition, whose next record stands at `offset`
    /// or later.
    Idle {
        /// The index of the partition.
        partition: u32,
        /// Where it is idle.
        offset: u64,
        /// How far the watermark may go.
        until: EventTime,
    },
    /// A partition is waited for again, or for the first time: from `offset` on, what is older than
    /// `watermark` is late.
    Joined {
        /// The index of the partition.
        partition: u32,
        /// From where on it is read.
        offset: u64,
        /// Where the watermark stood.
        watermark: EventTime,
    },
    /// Records of a partition were too far ahead of the wall to be believed.
    Ahead {
        /// The index of the partition.
        partition: u32,
        /// Where they stand.
        offsets: Vec<u64>,
    },
    /// A definition was in force from the start.
    Defined(Arc<Definition>),
    /// A definition came into force.
    Edited(TimedEdit),
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What is to be written down before it takes effect (see the module): decisions, or what took
/// effect at which instants.
#[derive(Debug)]
pub struct Journal<T> {
    is_kept: bool,
    asked: Mutex<Asked<T>>,
    more: Condvar,
    durable: AtomicU64,
}

#[derive(Debug)]
struct Asked<T> {
    count: u64,
    waiting: Vec<T>,
    is_closed: bool,
}

impl<T> Journal<T> {
    /// One that is kept, by whoever calls [`take`](Self::take), or one that is not: then everything
    /// is decided as soon as it is asked for.
    pub fn new(is_kept: bool) -> Self {
        let asked = Mutex::new(Asked { count: 0, waiting: Vec::new(), is_closed: false });
        Journal { is_kept, asked, more: Condvar::new(), durable: AtomicU64::new(0) }
    }

    /// Whether it is kept.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Asks for these to be written down.
    pub fn ask(&self, these: impl IntoIterator<Item = T>) -> Ticket {
        let mut asked = lock(&self.asked);
        if self.is_kept {
            asked.count += 1;
            asked.waiting.extend(these);
            self.more.notify_one();
        }
        Ticket(asked.count)
    }

    /// Whether what was asked for then may take effect.
    pub fn is_durable(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.durable.load(Ordering::Acquire)
    }

    /// Waits for what is asked for; `None` once the journal is closed.
    pub fn take(&self) -> Option<(Vec<T>, Ticket)> {
        let mut asked = lock(&self.asked);
        while asked.waiting.is_empty() {
            if asked.is_closed {
                return None;
            }
            asked = self.more.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        Some((std::mem::take(&mut asked.waiting), Ticket(asked.count)))
    }

    /// Everything up to here is durable.
    pub fn made_durable(&self, ticket: Ticket) {
        self.durable.store(ticket.0, Ordering::Release);
    }

    /// Nothing more will be asked for.
    pub fn close(&self) {
        lock(&self.asked).is_closed = true;
        self.more.notify_one();
    }
}

/// What earlier runs have decided about partitions and no checkpoint has passed, by their indexes.
#[derive(Debug, Clone, Default)]
pub struct Recalled(BTreeMap<u32, Recall>);

/// The same of one partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Recall {
    /// From which offsets on what is older than these times is late.
    pub(super) floors: BTreeMap<u64, EventTime>,
    /// The offsets of records that are too far ahead.
    pub(super) ahead: Vec<u64>,
}

impl Recalled {
    /// Of these decisions, in any order.
    ///
    /// Nothing of a partition had an effect from where it was idle on, until it joined again: so
    /// where it never did, it is late from there by whatever the watermark may have gone to.
    pub fn of<'a>(decisions: impl IntoIterator<Item = &'a Decision> + Clone) -> Self {
        let mut recalled = Recalled::default();
        let raise = |floors: &mut BTreeMap<u64, EventTime>, offset: u64, time: EventTime| {
            let floor = floors.entry(offset).or_insert(time);
            *floor = time.max(*floor);
        };
        for decision in decisions.clone() {
            match decision {
                Decision::Joined { partition, offset, watermark } => {
                    let recall = recalled.0.entry(*partition).or_default();
                    raise(&mut recall.floors, *offset, *watermark);
                }
                Decision::Ahead { partition, offsets } => {
                    let recall = recalled.0.entry(*partition).or_default();
                    recall.ahead.extend(offsets);
                }
                Decision::Idle { .. } | Decision::Defined(_) | Decision::Edited(_) => {}
            }
        }
        let mut open = BTreeMap::new();
        for decision in decisions {
            if let Decision::Idle { partition, offset, until } = decision
                && !recalled.floors(*partition).is_some_and(|floors| floors.contains_key(offset))
            {
                raise(open.entry(*partition).or_default(), *offset, *until);
            }
        }
        for (partition, floors) in open {
            recalled.0.entry(partition).or_default().floors.extend(floors);
        }
        recalled.0.values_mut().for_each(|recall| recall.ahead.sort_unstable());
        recalled
    }

    fn floors(&self, partition: u32) -> Option<&BTreeMap<u64, EventTime>> {
        self.0.get(&partition).map(|recall| &recall.floors)
    }

    /// Where partitions began to be read.
    pub fn begins(&self) -> impl Iterator<Item = (u32, u64)> {
        let first = |recall: &Recall| recall.floors.keys().next().copied();
        self.0.iter().filter_map(move |(index, recall)| Some((*index, first(recall)?)))
    }

    pub(super) fn about(&self, partition: u32) -> Recall {
        self.0.get(&partition).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_takes_effect_before_it_is_durable() {
        let journal = Journal::new(true);
        let first = journal.ask([Decision::Ahead { partition: 0, offsets: vec![7] }]);
        let second = journal.ask([Decision::Idle { partition: 1, offset: 3, until: 9 }]);
        assert!(!journal.is_durable(first));
        let (taken, ticket) = journal.take().unwrap();
        assert_eq!(taken.len(), 2);
        assert!(!journal.is_durable(first), "taken is not written");
        let third = journal.ask([]);
        journal.made_durable(ticket);
        assert!(journal.is_durable(first) && journal.is_durable(second));
        assert!(!journal.is_durable(third));
        journal.close();
        assert!(journal.take().is_none());
        let none = Journal::new(false);
        assert!(
            !none.is_kept()
                && none.is_durable(none.ask([Decision::Ahead { partition: 0, offsets: vec![] }]))
        );
    }

    #[test]
    fn who_never_joined_again_is_late_by_all_the_watermark_was_allowed() {
        let idle = |offset, until| Decision::Idle { partition: 5, offset, until };
        let joined = |offset, watermark| Decision::Joined { partition: 5, offset, watermark };
        let decisions =
            [joined(2, 0), idle(10, 100), idle(10, 900), joined(10, 333), idle(20, 1_000)];
        let recalled = Recalled::of(&decisions);
        let floors = BTreeMap::from([(2, 0), (10, 333), (20, 1_000)]);
        assert_eq!(recalled.about(5), Recall { floors, ahead: Vec::new() });
        assert_eq!(recalled.begins().collect::<Vec<_>>(), [(5, 2)]);
        assert_eq!(recalled.about(4), Recall::default());
    }
}
