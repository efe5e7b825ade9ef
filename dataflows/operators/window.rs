//! Trailing windows over one user's events.
//!
//! Every user keeps one [`Log`] a stream, in order of time, however many conditions read it. A
//! [`Window`] is the end of the log: how many of its events still count, and what they come to; it
//! moves when it is looked at, and at the alarm it asks for. It asks for one only at the instant at
//! which a comparison can change by events leaving ([`Window::next_change`]), so a user far above a
//! threshold costs nothing until they come near.
//!
//! Cost per event and window: amortised O(1) (`distinct`: one look-up). State: 16 bytes a window
//! that counts or sums, and its share of the log, which is released when the longest window of the
//! stream has moved past.

mod log;
mod many;
mod narrow;
mod next_change;
mod quantity;
#[cfg(test)]
mod tests;
mod total;

use std::collections::{HashMap, VecDeque};

pub use log::{Entry, Log};
use many::Many;
use quantity::value_of;
pub use quantity::{Aggregate, Aggregated, Quantity, blank};
pub use total::Total;

use crate::model::time::leave_time;
use crate::model::{Amount, Duration, EventTime};
use crate::rule::Measure;

/// One window of one user: how many events at the end of the log count, and what they come to.
#[derive(Debug)]
pub struct Window(Sums);

/// Flat, so that it takes two words: nearly every window is one of the first two.
#[derive(Debug)]
enum Sums {
    /// Counts and the ends of the log need nothing else.
    Count { count: u32 },
    /// The sum of short amounts, none of them below zero.
    Sum { count: u32, sum: i64 },
    /// All else.
    Many { count: u32, many: Box<Many> },
}

impl Window {
    /// A window that holds nothing yet.
    pub fn new(aggregate: &Aggregate) -> Self {
        let many = |many| Sums::Many { count: 0, many: Box::new(many) };
        Window(match aggregate.measure {
            Measure::Count | Measure::First(_) | Measure::Last(_) => Sums::Count { count: 0 },
            Measure::Sum(_) | Measure::Avg(_) => Sums::Sum { count: 0, sum: 0 },
            Measure::Min(_) | Measure::Max(_) => many(Many::Extreme(VecDeque::new())),
            Measure::Distinct(_) => many(Many::Distinct(HashMap::new())),
        })
    }

    /// How many events count.
    pub fn len(&self) -> usize {
        match self.0 {
            Sums::Count { count } | Sums::Sum { count, .. } | Sums::Many { count, .. } => {
                count as usize
            }
        }
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One that holds every entry of a log that is later than `after` and has not left by `now`.
    pub fn over(
        aggregate: &Aggregate,
        granularity: Duration,
        log: &Log,
        (after, now): (EventTime, EventTime),
    ) -> Self {
        let mut window = Window::new(aggregate);
        let has_left = |time| {
            aggregate.window.is_some_and(|window| leave_time(time, window, granularity) <= now)
        };
        for place in 0..log.len() {
            if let Some((time, entry)) = log.entry(place) {
                window.insert(aggregate, time, &entry, time > after && !has_left(time));
            }
        }
        window
    }

    fn count(&mut self) -> &mut u32 {
        match &mut self.0 {
            Sums::Count { count } | Sums::Sum { count, .. } | Sums::Many { count, .. } => count,
        }
    }

    /// The place of its first event in the log.
    fn first(&self, log: &Log) -> usize {
        log.len().saturating_sub(self.len())
    }

    /// Takes note of an entry just put into the log; `counts` says whether it is in the window: if
    /// not, it stands before all that are. The window must have been expired up to now before.
    pub fn insert(&mut self, aggregate: &Aggregate, time: EventTime, entry: &Entry, counts: bool) {
        if !counts {
            return;
        }
        *self.count() += 1;
        match (&mut self.0, entry) {
            (Sums::Sum { count, sum }, Entry::Amount(amount)) => {
                let short = i64::try_from(amount.micros()).ok().filter(|micros| *micros >= 0);
                match short.and_then(|micros| sum.checked_add(micros)) {
                    Some(more) => *sum = more,
                    None => {
                        let sum = Amount::from_micros((*sum).into());
                        let mut many = Many::Sum { sum, negative: 0 };
                        many.insert(aggregate, time, entry);
                        self.0 = Sums::Many { count: *count, many: Box::new(many) };
                    }
                }
            }
            (Sums::Many { many, .. }, _) => many.insert(aggregate, time, entry),
            _ => {}
        }
    }

    /// Moves past everything that has left by `now`.
    pub fn expire(
        &mut self,
        aggregate: &Aggregate,
        granularity: Duration,
        log: &Log,
        now: EventTime,
    ) {
        let Some(window) = aggregate.window else { return };
        let mut first = self.first(log);
        while let Some(time) = log.time(first) {
            if leave_time(time, window, granularity) > now {
                return;
            }
            match &mut self.0 {
                Sums::Count { .. } => {}
                Sums::Sum { sum, .. } => *sum -= short(log, first),
                Sums::Many { many, .. } => many.forget(log, first, time),
            }
            *self.count() -= 1;
            first += 1;
        }
        if let Sums::Many { many, .. } = &self.0
            && matches!(**many, Many::Sum { .. })
        {
            self.0 = Sums::Sum { count: 0, sum: 0 };
        }
    }

    /// What the aggregate is, as of the last expiry.
    pub fn value(&self, aggregate: &Aggregate, log: &Log) -> Aggregated {
        let count = self.len();
        let quantity = match &aggregate.measure {
            Measure::Count => Quantity::whole(count as u64),
            Measure::Sum(_) => Quantity { sum: self.sum(), count: 1 },
            Measure::Distinct(_) => Quantity::whole(self.distinct()),
            _ if count == 0 => return Aggregated::Missing,
            Measure::Avg(_) => {
                Quantity { sum: self.sum(), count: i64::try_from(count).unwrap_or(i64::MAX) }
            }
            Measure::First(_) => return value_of(log.value(self.first(log))),
            Measure::Last(_) => return value_of(log.value(log.len() - 1)),
            Measure::Min(_) | Measure::Max(_) => match self.extreme() {
                Some((_, amount)) => Quantity::of(amount),
                None => return Aggregated::Missing,
            },
        };
        Aggregated::Quantity(quantity)
    }

    /// In millionths.
    fn sum(&self) -> i128 {
        match &self.0 {
            Sums::Sum { sum, .. } => (*sum).into(),
            Sums::Many { many, .. } => match &**many {
                Many::Sum { sum, .. } => sum.micros(),
                _ => 0,
            },
            Sums::Count { .. } => 0,
        }
    }

    fn extreme(&self) -> Option<(EventTime, Amount)> {
        match &self.0 {
            Sums::Many { many, .. } => match &**many {
                Many::Extreme(queue) => queue.front().copied(),
                _ => None,
            },
            _ => None,
        }
    }

    fn distinct(&self) -> u64 {
        match &self.0 {
            Sums::Many { many, .. } => match &**many {
                Many::Distinct(values) => values.len() as u64,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The bytes it has asked for, beside its own place.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Sums::Many { many, .. } => many.bytes(),
            _ => 0,
        }
    }
}

/// An amount that is known to be short, in millionths.
fn short(log: &Log, place: usize) -> i64 {
    let micros = log.amount(place).unwrap_or_default().micros();
    i64::try_from(micros).expect("a sum of short amounts has only short ones")
}
