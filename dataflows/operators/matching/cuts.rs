//! The comparisons on a numeric aggregate, by their bounds: which can change when it goes from one
//! number to another; and when time alone changes a comparison of a value.
//!
//! Cost: a binary search, and what is found.

use std::cmp::Ordering;

use crate::model::{Amount, EventTime, Value};
use crate::operators::plan::ConditionId;
use crate::operators::window::Quantity;
use crate::rule::{Comparison, Test};

/// The bounds that comparisons set to a number, in order.
#[derive(Debug, Default)]
pub struct Cuts {
    cuts: Vec<(i128, ConditionId)>,
    /// All comparisons: any may change when the number appears or disappears.
    all: Vec<ConditionId>,
}

impl Cuts {
    /// Adds a comparison.
    pub fn add(&mut self, condition: ConditionId, test: &NumberTest) {
        self.all.push(condition);
        for bound in test.bounds() {
            let place = self.cuts.partition_point(|cut| *cut < (bound, condition));
            self.cuts.insert(place, (bound, condition));
        }
    }

    /// Takes a comparison away.
    pub fn remove(&mut self, condition: ConditionId) {
        self.cuts.retain(|(_, other)| *other != condition);
        self.all.retain(|other| *other != condition);
    }

    /// The greatest bound that is not above the value.
    pub fn at_or_below(&self, value: Quantity) -> Option<i128> {
        let place = self.cuts.partition_point(|(bound, _)| value.compare(*bound).is_ge());
        self.cuts.get(place.checked_sub(1)?).map(|(bound, _)| *bound)
    }

    /// The comparisons that may differ between the two.
    pub fn between(
        &self,
        old: Option<Quantity>,
        new: Option<Quantity>,
        into: &mut Vec<ConditionId>,
    ) {
        let (Some(old), Some(new)) = (old, new) else {
            if old != new {
                into.extend_from_slice(&self.all);
            }
            return;
        };
        if self.cuts.is_empty() || old == new {
            return;
        }
        // What is found is given out: it may be gone through one by one.
        let is_below = |bound: i128| old.compare(bound).is_gt() && new.compare(bound).is_gt();
        let is_above = |bound: i128| old.compare(bound).is_lt() && new.compare(bound).is_lt();
        let from = self.cuts.partition_point(|(bound, _)| is_below(*bound));
        let found = self.cuts.iter().skip(from).take_while(|(bound, _)| !is_above(*bound));
        into.extend(found.map(|(_, condition)| *condition));
    }
}

/// A comparison of a number that may be a mean, with bounds in millionths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NumberTest {
    /// One of these ranges, both ends included, or if `inverted` none of them.
    Within {
        /// From and to.
        ranges: Vec<(i128, i128)>,
        /// Whether outside is meant.
        inverted: bool,
    },
    /// Above (or at) the bound.
    Above(i128, bool),
    /// Below (or at) the bound.
    Below(i128, bool),
    /// There is no value.
    Missing,
    /// There is a value.
    Present,
    /// Never: the comparison is not one of numbers.
    Never,
}

impl NumberTest {
    /// The numeric meaning of a comparison.
    pub fn new(test: &Test) -> Self {
        let micros = |value: &Value| match value {
            Value::Number(number) => number.to_amount().map(Amount::micros),
            _ => None,
        };
        let points = |values: &[Value]| {
            values.iter().filter_map(micros).map(|bound| (bound, bound)).collect::<Vec<_>>()
        };
        let bound =
            |value, build: fn(i128) -> NumberTest| micros(value).map_or(NumberTest::Never, build);
        match &test.comparison {
            Comparison::Eq(value) => {
                NumberTest::Within { ranges: points(std::slice::from_ref(value)), inverted: false }
            }
            Comparison::Neq(value) => {
                NumberTest::Within { ranges: points(std::slice::from_ref(value)), inverted: true }
            }
            Comparison::In(values) => {
                NumberTest::Within { ranges: points(values), inverted: false }
            }
            Comparison::NotIn(values) => {
                NumberTest::Within { ranges: points(values), inverted: true }
            }
            Comparison::Between(low, high) => match (micros(low), micros(high)) {
                (Some(low), Some(high)) => {
                    NumberTest::Within { ranges: vec![(low, high)], inverted: false }
                }
                _ => NumberTest::Never,
            },
            Comparison::Gt(value) => bound(value, |bound| NumberTest::Above(bound, false)),
            Comparison::Gte(value) => bound(value, |bound| NumberTest::Above(bound, true)),
            Comparison::Lt(value) => bound(value, |bound| NumberTest::Below(bound, false)),
            Comparison::Lte(value) => bound(value, |bound| NumberTest::Below(bound, true)),
            Comparison::IsNull => NumberTest::Missing,
            Comparison::IsNotNull => NumberTest::Present,
            _ => NumberTest::Never,
        }
    }

    fn bounds(&self) -> Vec<i128> {
        match self {
            NumberTest::Within { ranges, .. } => {
                ranges.iter().flat_map(|(low, high)| [*low, *high]).collect()
            }
            NumberTest::Above(bound, _) | NumberTest::Below(bound, _) => vec![*bound],
            NumberTest::Missing | NumberTest::Present | NumberTest::Never => Vec::new(),
        }
    }

    /// Whether it holds.
    pub fn holds(&self, value: Option<Quantity>) -> bool {
        let Some(value) = value else { return *self == NumberTest::Missing };
        match self {
            NumberTest::Within { ranges, inverted } => {
                let inside = ranges
                    .iter()
                    .any(|(low, high)| value.compare(*low).is_ge() && value.compare(*high).is_le());
                inside != *inverted
            }
            NumberTest::Above(bound, or_at) => holds_beyond(value.compare(*bound), *or_at),
            NumberTest::Below(bound, or_at) => {
                holds_beyond(value.compare(*bound).reverse(), *or_at)
            }
            NumberTest::Missing | NumberTest::Never => false,
            NumberTest::Present => true,
        }
    }
}

fn holds_beyond(ordering: Ordering, or_at: bool) -> bool {
    ordering.is_gt() || (or_at && ordering.is_eq())
}

/// A condition on an attribute as time sees it: when, after `now`, its truth may change while the
/// value stays.
pub fn next_change(
    test: &Test,
    value: Option<&Value>,
    held_from: Option<EventTime>,
    now: EventTime,
) -> Option<EventTime> {
    let span = value.and_then(|value| test.span(value));
    let instants = [span.map(|(from, _)| from), span.map(|(_, until)| until), held_from];
    instants.into_iter().flatten().filter(|instant| *instant > now).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_two_numbers_are_found() {
        let mut cuts = Cuts::default();
        let tests: Vec<_> = (0..10)
            .map(|bound| NumberTest::Above(bound * 1_000_000, bound % 2 == 0))
            .chain([NumberTest::Within { ranges: vec![(3_000_000, 3_000_000)], inverted: true }])
            .collect();
        for (number, test) in (0..).zip(&tests) {
            cuts.add(ConditionId(number), test);
        }
        for old in 0..24_i128 {
            for new in 0..24_i128 {
                let quantity = |half: i128| Quantity { sum: half * 500_000 * 3, count: 3 };
                let mut found = Vec::new();
                cuts.between(Some(quantity(old)), Some(quantity(new)), &mut found);
                for (number, test) in (0..).zip(&tests) {
                    let flips = test.holds(Some(quantity(old))) != test.holds(Some(quantity(new)));
                    assert!(!flips || found.contains(&ConditionId(number)));
                }
            }
        }
        assert_eq!(cuts.at_or_below(Quantity { sum: 2_500_000, count: 1 }), Some(2_000_000));
        assert_eq!(cuts.at_or_below(Quantity { sum: -1, count: 1 }), None);
    }
}
