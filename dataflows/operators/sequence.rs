//! Sequences: A, then B, then C, at strictly increasing times, within a bound.
//!
//! Since only the distance from first to last is bounded, it is enough to know, for every step,
//! the latest possible start of a chain that has come as far (a dynamic program over the steps).
//! More events only make more chains, so the latest completion never moves back.
//!
//! Cost per event: O(steps it matches). State per user: two times a step; where events may come
//! out of order, also the steps hit within the bound.

use serde::{Deserialize, Serialize};

use crate::model::{Duration, EventTime};

/// How long a chain may take, and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// How many steps there are.
    pub steps: usize,
    /// The longest from the first event to the last.
    pub within: Duration,
    /// How long it counts after its last event.
    pub window: Duration,
}

/// No chain has come so far.
const NEVER: EventTime = EventTime::MIN;

/// One user's progress along one sequence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// The latest time applied.
    time: EventTime,
    /// The latest start of a chain through each step, by events before `time`.
    before: Box<[EventTime]>,
    /// The same, with the events at `time`.
    reached: Box<[EventTime]>,
    /// The latest end of a whole chain.
    completed: EventTime,
    /// Hits by time, kept only where events may come out of order.
    hits: Vec<(EventTime, usize)>,
}

impl Progress {
    /// Nothing happened yet.
    pub fn new(bounds: &Bounds) -> Self {
        let none = vec![NEVER; bounds.steps].into_boxed_slice();
        Progress {
            time: NEVER,
            before: none.clone(),
            reached: none,
            completed: NEVER,
            hits: Vec::new(),
        }
    }

    /// The bytes it takes.
    pub fn bytes(&self) -> usize {
        let times = self.before.len() + self.reached.len();
        size_of::<Progress>()
            + times * size_of::<EventTime>()
            + self.hits.capacity() * size_of::<(EventTime, usize)>()
    }

    /// What has come of these hits, in the order of time.
    pub fn of(bounds: &Bounds, hits: impl IntoIterator<Item = (EventTime, usize)>) -> Self {
        let mut progress = Progress::new(bounds);
        hits.into_iter().for_each(|(time, step)| progress.advance(bounds, step, time));
        progress
    }

    /// An event at `time` matches `step`. `settled` is given iff events may come out of order: no
    /// later call will be for a time before it.
    pub fn hit(
        &mut self,
        bounds: &Bounds,
        step: usize,
        time: EventTime,
        settled: Option<EventTime>,
    ) {
        let Some(settled) = settled else { return self.advance(bounds, step, time) };
        let place = self.hits.partition_point(|(other, _)| *other <= time);
        self.hits.insert(place, (time, step));
        let forgotten = settled.saturating_sub(bounds.within.ms());
        let past = self.hits.partition_point(|(other, _)| *other < forgotten);
        self.hits.drain(..past);
        if time >= self.time {
            return self.advance(bounds, step, time);
        }
        let hits = std::mem::take(&mut self.hits);
        let completed = self.completed;
        *self = Progress { completed, ..Progress::new(bounds) };
        for (time, step) in &hits {
            self.advance(bounds, *step, *time);
        }
        self.hits = hits;
    }

    fn advance(&mut self, bounds: &Bounds, step: usize, time: EventTime) {
        if time > self.time {
            self.before.copy_from_slice(&self.reached);
            self.time = time;
        }
        let start = match step.checked_sub(1) {
            None => time,
            Some(previous) => self.before.get(previous).copied().unwrap_or(NEVER),
        };
        if start == NEVER || time - start > bounds.within.ms() {
            return;
        }
        if let Some(reached) = self.reached.get_mut(step) {
            *reached = start.max(*reached);
        }
        if step + 1 == bounds.steps {
            self.completed = self.completed.max(time);
        }
    }

    /// Whether a chain ended within the window before `now`.
    pub fn holds(&self, bounds: &Bounds, now: EventTime) -> bool {
        self.completed != NEVER && now < self.completed + bounds.window.ms()
    }

    /// When it ceases to hold by itself.
    pub fn next_change(&self, bounds: &Bounds, now: EventTime) -> Option<EventTime> {
        self.holds(bounds, now).then(|| self.completed + bounds.window.ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { steps: 3, within: Duration::from_ms(10), window: Duration::from_ms(5) };

    fn ends_after(hits: &[(EventTime, usize)], settled: Option<EventTime>) -> Option<EventTime> {
        let mut progress = Progress::new(&BOUNDS);
        for (time, step) in hits {
            progress.hit(&BOUNDS, *step, *time, settled);
        }
        progress.next_change(&BOUNDS, EventTime::MIN)
    }

    #[test]
    fn times_must_increase_strictly_and_stay_within() {
        assert_eq!(ends_after(&[(0, 0), (1, 1), (10, 2)], None), Some(15));
        assert_eq!(ends_after(&[(0, 0), (1, 1), (11, 2)], None), None);
        assert_eq!(ends_after(&[(0, 0), (1, 1), (1, 2)], None), None);
        assert_eq!(ends_after(&[(0, 0), (0, 1), (1, 2)], None), None);
        // The later start counts: 5 to 12 is within, 0 to 12 would not be.
        assert_eq!(ends_after(&[(0, 0), (5, 0), (6, 1), (12, 2)], None), Some(17));
        // A later start that has not come as far does not spoil an earlier chain.
        assert_eq!(ends_after(&[(0, 0), (1, 1), (2, 0), (9, 2)], None), Some(14));
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let hits = [(0, 0), (2, 1), (2, 0), (4, 1), (9, 2), (12, 2)];
        let expected = ends_after(&hits, None);
        let mut shuffled = hits;
        for turn in 0..hits.len() {
            shuffled.rotate_left(turn);
            shuffled.swap(0, 3);
            assert_eq!(ends_after(&shuffled, Some(-5)), expected, "{shuffled:?}");
        }
    }
}
