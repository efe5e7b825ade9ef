//! The course of a partition: which of its records took effect at which instants (`on_event`).
//!
//! An instant is where the clock stood when a record had its turn, so it depends on the order in
//! which records of several partitions came, and on wall time. Once a sink has made final what came
//! of it, it has to be the same again after a crash: so each process writes down the courses of its
//! partitions before time passes an instant, and a run that goes on follows them to their end.

use std::collections::{BTreeMap, VecDeque};

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};

/// What had its turn of a partition at once, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Took {
    /// The index of the partition.
    pub partition: u32,
    /// From this offset on.
    pub from: u64,
    /// The offset after its last record.
    pub next: u64,
    /// From which offset on its records took effect at which instant, in order. What no step comes
    /// before had no effect.
    pub steps: Vec<(u64, EventTime)>,
}

impl Took {
    /// The last instant at which something of it took effect.
    pub fn last(&self) -> Option<EventTime> {
        self.steps.last().map(|(_, at)| *at)
    }
}

/// The same of all that had its turn, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Course {
    from: u64,
    next: u64,
    steps: VecDeque<(u64, EventTime)>,
}

impl Course {
    /// Goes on with what was taken next. Where a later run has gone on from before its end, that is
    /// what counts; what stands apart from it is not needed any more.
    fn go_on(&mut self, took: &Took) {
        if took.from > self.next || took.from < self.from {
            (self.from, self.steps) = (took.from, VecDeque::new());
        }
        while self.steps.back().is_some_and(|(offset, _)| *offset >= took.from) {
            self.steps.pop_back();
        }
        self.steps.extend(&took.steps);
        self.next = took.next;
    }

    /// The instant at which the record at this offset took effect, and those after it did not take
    /// effect before; `None` after the end. What is before the offset is forgotten.
    pub(super) fn at(&mut self, offset: u64) -> Option<EventTime> {
        while self.steps.get(1).is_some_and(|(next, _)| *next <= offset) {
            self.steps.pop_front();
        }
        self.steps.front().filter(|_| offset < self.next).map(|(_, at)| *at)
    }

    /// The offset after its end.
    pub(super) fn next(&self) -> u64 {
        self.next
    }
}

/// The courses of partitions, by their indexes.
#[derive(Debug, Clone, Default)]
pub struct Courses {
    of: BTreeMap<u32, Course>,
    last: Option<EventTime>,
}

impl Courses {
    /// Adds what was taken: all of one run before any of a later one, and each in its order.
    pub fn add(&mut self, took: &Took) {
        let Took { partition, from, next, .. } = *took;
        let new = || Course { from, next, steps: VecDeque::new() };
        self.of.entry(partition).or_insert_with(new).go_on(took);
        self.last = self.last.max(took.last());
    }

    /// By its index, from which offset of each partition on, and up to and not with which one, they
    /// go.
    pub fn extents(&self) -> impl Iterator<Item = (u32, std::ops::Range<u64>)> {
        self.of.iter().map(|(partition, course)| (*partition, course.from..course.next))
    }

    /// The first instant after all of them; `None` if there are none.
    pub fn end(&self) -> Option<EventTime> {
        self.last.map(|last| last.saturating_add(1))
    }

    /// The course of a partition that is read from this offset on; `None` where it goes no further.
    pub(super) fn from(&self, partition: u32, offset: u64) -> Option<Course> {
        let mut course = self.of.get(&partition)?.clone();
        course.at(offset).map(|_| course)
    }

    /// A partition that is read on from one of these offsets while what came then is not known, but
    /// what came after is: its index, and from where on that is.
    pub fn gap(&self, offsets: impl IntoIterator<Item = (u32, u64)>) -> Option<(u32, u64)> {
        let gap = |(partition, offset)| {
            let course = self.of.get(&partition)?;
            (offset < course.from).then_some((partition, course.from))
        };
        offsets.into_iter().find_map(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(from: u64, next: u64, steps: &[(u64, EventTime)]) -> Took {
        Took { partition: 3, from, next, steps: steps.to_vec() }
    }

    /// At which instants the records of these offsets took effect.
    fn instants(courses: &Courses, offsets: std::ops::Range<u64>) -> Vec<Option<EventTime>> {
        let mut course = courses.from(3, offsets.start).unwrap_or_default();
        offsets.map(|offset| course.at(offset)).collect()
    }

    #[test]
    fn each_record_takes_effect_at_the_instant_it_did() {
        let mut courses = Courses::default();
        assert_eq!((courses.end(), courses.from(3, 0)), (None, None));
        courses.add(&took(5, 8, &[(5, 100), (7, 101)]));
        courses.add(&took(8, 9, &[]));
        courses.add(&took(9, 12, &[(9, 101), (10, 104)]));
        let some = |times: [EventTime; 7]| times.map(Some).to_vec();
        assert_eq!(instants(&courses, 5..12), some([100, 100, 101, 101, 101, 104, 104]));
        assert_eq!(instants(&courses, 8..11), [Some(101), Some(101), Some(104)]);
        assert_eq!(instants(&courses, 12..13), [None]);
        assert_eq!(courses.end(), Some(105));
        assert_eq!(courses.from(4, 5), None, "of another partition nothing is known");
    }

    #[test]
    fn offsets_that_are_left_out_take_part_in_nothing() {
        let mut courses = Courses::default();
        courses.add(&took(0, 40, &[(10, 7), (30, 9)]));
        assert_eq!(courses.from(3, 3).unwrap().at(3), Some(7), "nothing comes before that");
        assert_eq!(courses.from(3, 35).unwrap().at(39), Some(9));
    }

    #[test]
    fn a_later_run_has_the_last_word() {
        let mut courses = Courses::default();
        courses.add(&took(0, 4, &[(0, 10), (2, 20)]));
        courses.add(&took(4, 8, &[(4, 30)]));
        // It did not see the last of these.
        courses.add(&took(3, 5, &[(3, 50), (4, 60)]));
        let expected = [Some(10), Some(10), Some(20), Some(50), Some(60), None];
        assert_eq!(instants(&courses, 0..6), expected);
    }

    #[test]
    fn what_is_missing_is_told_if_it_is_needed() {
        let mut courses = Courses::default();
        courses.add(&took(0, 4, &[(0, 10)]));
        courses.add(&took(6, 8, &[(6, 30)]));
        assert_eq!(courses.gap([(3, 6), (9, 0)]), None);
        assert_eq!(courses.gap([(9, 0), (3, 5)]), Some((3, 6)));
    }
}
