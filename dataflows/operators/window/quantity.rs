//! Aggregates, and what they come to.

use crate::model::{Amount, Duration, StreamId, Value};
use crate::rule::Measure;

/// An aggregate a rule asks about, whatever it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// Over which events.
    pub stream: StreamId,
    /// What is computed.
    pub measure: Measure,
    /// For how long an event counts; `None` for ever.
    pub window: Option<Duration>,
}

/// A numeric value of an aggregate: `sum / count`, kept apart so that means compare exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// In millionths.
    pub sum: i128,
    /// 1 for everything but means.
    pub count: i64,
}

impl Quantity {
    pub(super) fn of(amount: Amount) -> Self {
        Quantity { sum: amount.micros(), count: 1 }
    }

    pub(super) fn whole(count: u64) -> Self {
        Quantity { sum: i128::from(count) * 1_000_000, count: 1 }
    }

    /// How it compares with a bound in millionths.
    pub fn compare(self, bound: i128) -> std::cmp::Ordering {
        self.sum.cmp(&(bound * i128::from(self.count)))
    }
}

/// The value of an aggregate over a user's events.
#[derive(Debug, Clone, PartialEq)]
pub enum Aggregated {
    /// Over no events, where that has no value.
    Missing,
    /// A number.
    Quantity(Quantity),
    /// A value of any type.
    Value(Value),
}

/// What an aggregate is over no events.
pub fn blank(measure: &Measure) -> Aggregated {
    match measure {
        Measure::Count | Measure::Sum(_) | Measure::Distinct(_) => {
            Aggregated::Quantity(Quantity::whole(0))
        }
        _ => Aggregated::Missing,
    }
}

pub(super) fn value_of(value: Option<&Value>) -> Aggregated {
    value.map_or(Aggregated::Missing, |value| Aggregated::Value(value.clone()))
}
