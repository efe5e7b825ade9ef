//! The expiry wheel: things to be handed out when event time reaches them.
//!
//! Ordered buckets of 64 milliseconds; a bucket is sorted when it is opened. Keeping
//! what lies in the future here, in front of every arrangement, is what makes windows cheap: an
//! arrangement would merge all of it again each time the frontier moves.
//!
//! Cost: O(log buckets) to insert, O(log bucket) to take out; memory is what is held.
//! Source of the idea: Varghese and Lauck, *Hashed and Hierarchical Timing Wheels* (1987), here
//! over an ordered map, since event time jumps.

use std::collections::{BTreeMap, VecDeque};

use crate::model::EventTime;

/// The width of a bucket as a power of two, in milliseconds: 64 ms.
const BUCKET_BITS: u32 = 6;

/// Things that fall due at an instant.
#[derive(Debug)]
pub struct Wheel<T> {
    buckets: BTreeMap<EventTime, Vec<(EventTime, T)>>,
    /// The opened bucket, by due time, latest first; `None` where an item has been taken.
    opened: VecDeque<(EventTime, u32)>,
    items: Vec<Option<T>>,
    /// The number of the opened bucket; earlier ones are empty.
    opened_bucket: EventTime,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Wheel {
            buckets: BTreeMap::new(),
            opened: VecDeque::new(),
            items: Vec::new(),
            opened_bucket: EventTime::MIN,
        }
    }
}

impl<T> Wheel<T> {
    /// Holds `item` until `due`.
    pub fn insert(&mut self, due: EventTime, item: T) {
        let bucket = due >> BUCKET_BITS;
        if bucket > self.opened_bucket || self.opened.is_empty() {
            self.buckets.entry(bucket).or_default().push((due, item));
            return;
        }
        let index = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.items.push(Some(item));
        let place = self.opened.partition_point(|(other, _)| *other > due);
        self.opened.insert(place, (due, index));
    }

    /// The earliest instant at which something falls due.
    pub fn next_due(&mut self) -> Option<EventTime> {
        if self.opened.is_empty() {
            self.open_next()?;
        }
        self.opened.back().map(|(due, _)| *due)
    }

    fn open_next(&mut self) -> Option<()> {
        let (bucket, items) = self.buckets.pop_first()?;
        self.opened_bucket = bucket;
        self.items.clear();
        let numbered = (0_u32..).zip(&items).map(|(index, (due, _))| (*due, index));
        self.opened.extend(numbered);
        self.opened.make_contiguous().sort_unstable_by(|left, right| right.cmp(left));
        self.items.extend(items.into_iter().map(|(_, item)| Some(item)));
        Some(())
    }

    /// Takes out what falls due at exactly the earliest instant, if that is `at`, in the order it
    /// was put in.
    pub fn take_due(&mut self, at: EventTime, into: &mut Vec<T>) {
        if self.next_due() != Some(at) {
            return;
        }
        while let Some((due, index)) = self.opened.back().copied() {
            if due != at {
                break;
            }
            self.opened.pop_back();
            let place = usize::try_from(index).ok().and_then(|index| self.items.get_mut(index));
            into.extend(place.and_then(Option::take));
        }
    }

    /// How many things are held.
    pub fn len(&self) -> usize {
        self.opened.len() + self.buckets.values().map(Vec::len).sum::<usize>()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel<u32>) -> Vec<(EventTime, u32)> {
        let mut out = Vec::new();
        while let Some(due) = wheel.next_due() {
            let mut taken = Vec::new();
            wheel.take_due(due, &mut taken);
            out.extend(taken.into_iter().map(|item| (due, item)));
        }
        out
    }

    #[test]
    fn hands_out_in_order_of_time_then_of_insertion() {
        let mut wheel = Wheel::default();
        for (due, item) in [(500, 1), (-3, 2), (500, 3), (70, 4), (-3, 5)] {
            wheel.insert(due, item);
        }
        assert_eq!(wheel.len(), 5);
        assert_eq!(drain(&mut wheel), [(-3, 2), (-3, 5), (70, 4), (500, 1), (500, 3)]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn takes_insertions_into_the_opened_bucket() {
        let mut wheel = Wheel::default();
        wheel.insert(10, 1);
        wheel.insert(30, 2);
        assert_eq!(wheel.next_due(), Some(10));
        wheel.insert(20, 3);
        wheel.insert(10, 4);
        wheel.insert(5, 5); // behind what is opened: handed out next
        assert_eq!(drain(&mut wheel), [(5, 5), (10, 1), (10, 4), (20, 3), (30, 2)]);
    }

    #[test]
    fn only_what_is_due_is_taken() {
        let mut wheel = Wheel::default();
        wheel.insert(10, 1);
        let mut taken = Vec::new();
        wheel.take_due(9, &mut taken);
        assert!(taken.is_empty());
        wheel.take_due(10, &mut taken);
        assert_eq!(taken, [1]);
    }
}
