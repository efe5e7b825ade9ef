//! An aggregate over all events there ever were.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Aggregate, Aggregated, Entry, Quantity, value_of};
use crate::model::{Amount, EventTime, Position, Value};
use crate::rule::Measure;

/// An aggregate since the beginning, of one user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Total {
    count: u64,
    sum: Amount,
    extreme: Option<Amount>,
    values: HashSet<Value>,
    end: Option<(EventTime, Position, Value)>,
}

impl Total {
    /// Takes note of an event.
    pub fn insert(&mut self, aggregate: &Aggregate, time: EventTime, entry: &Entry) {
        self.count += 1;
        match (&aggregate.measure, entry) {
            (Measure::Sum(_) | Measure::Avg(_), Entry::Amount(amount)) => {
                self.sum = self.sum.plus(*amount);
            }
            (Measure::Min(_), Entry::Amount(amount)) => {
                self.extreme = Some(self.extreme.map_or(*amount, |least| least.min(*amount)));
            }
            (Measure::Max(_), Entry::Amount(amount)) => {
                self.extreme = Some(self.extreme.map_or(*amount, |most| most.max(*amount)));
            }
            (Measure::Distinct(_), Entry::Value(_, value)) if !self.values.contains(value) => {
                self.values.insert(value.clone());
            }
            (Measure::First(_) | Measure::Last(_), Entry::Value(position, value)) => {
                let first = matches!(aggregate.measure, Measure::First(_));
                let replaces = self.end.as_ref().is_none_or(|(standing, at, _)| {
                    ((time, *position) < (*standing, *at)) == first
                });
                if replaces {
                    self.end = Some((time, *position, value.clone()));
                }
            }
            _ => {}
        }
    }

    /// What the aggregate is.
    pub fn value(&self, aggregate: &Aggregate) -> Aggregated {
        let quantity = match &aggregate.measure {
            Measure::Count => Quantity::whole(self.count),
            Measure::Sum(_) => Quantity::of(self.sum),
            Measure::Distinct(_) => Quantity::whole(self.values.len() as u64),
            Measure::Avg(_) if self.count > 0 => {
                let count = i64::try_from(self.count).unwrap_or(i64::MAX);
                Quantity { sum: self.sum.micros(), count }
            }
            Measure::Avg(_) => return Aggregated::Missing,
            Measure::Min(_) | Measure::Max(_) => match self.extreme {
                Some(amount) => Quantity::of(amount),
                None => return Aggregated::Missing,
            },
            Measure::First(_) | Measure::Last(_) => {
                return value_of(self.end.as_ref().map(|(_, _, value)| value));
            }
        };
        Aggregated::Quantity(quantity)
    }

    /// The bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Total>() + self.values.capacity() * size_of::<Value>()
    }
}
