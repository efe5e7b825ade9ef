//! When a window is to be looked at again, though no event comes.

use super::many::Many;
use super::{Aggregate, Log, Quantity, Sums, Window};
use crate::model::time::leave_time;
use crate::model::{Duration, EventTime};
use crate::operators::matching::Cuts;
use crate::rule::Measure;

/// How many entries [`Window::next_change`] looks ahead before it settles for looking again later.
const LOOK_AHEAD: usize = 64;

impl Window {
    /// Whether events that come last can only put off what [`Window::next_change`] said, unless
    /// they cross a cut: true of sums in which nothing is below zero.
    pub fn only_falls_later(&self) -> bool {
        match &self.0 {
            Sums::Sum { .. } => true,
            Sums::Many { many, .. } => matches!(**many, Many::Sum { negative: 0, .. }),
            Sums::Count { .. } => false,
        }
    }

    /// An instant before which no comparison with `cuts` can change by events leaving, and at
    /// which it is worth looking again: the next crossing of a cut where that is known, else the
    /// next leave, else the time at which everything has left.
    pub fn next_change(
        &self,
        aggregate: &Aggregate,
        granularity: Duration,
        log: &Log,
        cuts: Option<&Cuts>,
    ) -> Option<EventTime> {
        let window = aggregate.window?;
        let last = log.len().checked_sub(1).filter(|_| !self.is_empty())?;
        let is_mean = matches!(aggregate.measure, Measure::Avg(_));
        let place = match cuts {
            Some(cuts) if matches!(self.0, Sums::Count { .. }) => {
                let count = self.len() as u64;
                match cuts.at_or_below(Quantity::whole(count)) {
                    Some(bound) => {
                        // Above the bound it takes as many leaves as it is above; on it, one.
                        let bound = u64::try_from(bound / 1_000_000).unwrap_or(0);
                        let below = (count - bound.min(count)).max(1);
                        self.first(log) + usize::try_from(below).unwrap_or(usize::MAX) - 1
                    }
                    None => last,
                }
            }
            Some(cuts) if self.only_falls_later() && !is_mean => {
                match cuts.at_or_below(Quantity { sum: self.sum(), count: 1 }) {
                    Some(bound) => self.until_at_most(log, bound, last),
                    None => last,
                }
            }
            _ => match self.extreme() {
                Some((time, _)) => return Some(leave_time(time, window, granularity)),
                None => self.first(log),
            },
        };
        let time = log.time(place.min(last))?;
        Some(leave_time(time, window, granularity))
    }

    /// The entry by whose leaving the sum of amounts, none of them below zero, comes down to the
    /// bound; or the last one looked at.
    fn until_at_most(&self, log: &Log, bound: i128, last: usize) -> usize {
        let mut left = self.sum();
        let first = self.first(log);
        let limit = last.min(first + LOOK_AHEAD);
        for place in first..limit {
            let amount = log.amount(place).unwrap_or_default().micros();
            left -= amount;
            if left <= bound && amount != 0 {
                return place;
            }
        }
        limit
    }
}
