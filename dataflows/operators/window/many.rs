//! What is added up over a window where a sum of short amounts is not enough.

use std::collections::{HashMap, VecDeque};

use super::{Aggregate, Entry, Log};
use crate::model::{Amount, EventTime, Value};
use crate::rule::Measure;

/// What is added up (see the module).
#[derive(Debug)]
pub(super) enum Many {
    /// A sum of amounts that are long, or below zero; and how many of them are below zero.
    Sum { sum: Amount, negative: u64 },
    /// Candidates for the extreme, by time: each is more extreme than all after it. Of equal ones
    /// the latest stays. (Sliding-window extremes by a monotonic queue.)
    Extreme(VecDeque<(EventTime, Amount)>),
    /// How often each value occurs.
    Distinct(HashMap<Value, u64>),
}

impl Many {
    /// Takes in an event.
    pub(super) fn insert(&mut self, aggregate: &Aggregate, time: EventTime, entry: &Entry) {
        match (self, entry) {
            (Many::Sum { sum, negative }, Entry::Amount(amount)) => {
                *sum = sum.plus(*amount);
                *negative += u64::from(*amount < Amount::ZERO);
            }
            (Many::Extreme(queue), Entry::Amount(amount)) => {
                let max = matches!(aggregate.measure, Measure::Max(_));
                insert_extreme(queue, time, *amount, max);
            }
            (Many::Distinct(values), Entry::Value(_, value)) => {
                *values.entry(value.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Lets go an entry of the log, of this time.
    pub(super) fn forget(&mut self, log: &Log, place: usize, time: EventTime) {
        match self {
            Many::Sum { sum, negative } => {
                let amount = log.amount(place).unwrap_or_default();
                *sum = sum.minus(amount);
                *negative -= u64::from(amount < Amount::ZERO);
            }
            Many::Extreme(queue) => {
                while queue.front().is_some_and(|(front, _)| *front <= time) {
                    queue.pop_front();
                }
            }
            Many::Distinct(values) => {
                let Some(value) = log.value(place) else { return };
                if let Some(count) = values.get_mut(value) {
                    *count -= 1;
                    if *count == 0 {
                        values.remove(value);
                    }
                }
            }
        }
    }

    /// The bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Many>()
            + match self {
                Many::Sum { .. } => 0,
                Many::Extreme(queue) => queue.capacity() * size_of::<(EventTime, Amount)>(),
                Many::Distinct(values) => values.capacity() * size_of::<(Value, u64)>(),
            }
    }
}

fn insert_extreme(
    queue: &mut VecDeque<(EventTime, Amount)>,
    time: EventTime,
    amount: Amount,
    max: bool,
) {
    let as_extreme = |a: Amount, b: Amount| if max { a >= b } else { a <= b };
    let place = queue.partition_point(|(other, _)| *other <= time);
    if queue.get(place).is_some_and(|(_, later)| as_extreme(*later, amount)) {
        return; // a later one outlasts it
    }
    let outlasted =
        queue.iter().take(place).rev().take_while(|(_, own)| as_extreme(amount, *own)).count();
    queue.drain(place - outlasted..place);
    queue.insert(place - outlasted, (time, amount));
}
