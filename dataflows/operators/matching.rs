//! Which comparisons can change when a fact goes from one value to another.
//!
//! The comparisons on one fact cut its values into intervals. A change that stays within an
//! interval touches nothing; otherwise only the comparisons at the cuts between the old value and
//! the new one are looked at. [`Cuts`] holds those of numeric aggregates, [`ValueIndex`] those of
//! values of any type.
//!
//! Cost: a binary search and a hash look-up, and what is found; text patterns and comparisons on
//! lists are tried one by one.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::plan::ConditionId;
use super::window::Quantity;
use crate::model::{Amount, Decimal, EventTime, Value};
use crate::rule::{Comparison, Test, Truth};

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
        let below =
            |value: Quantity| self.cuts.partition_point(|(bound, _)| value.compare(*bound).is_gt());
        let up_to =
            |value: Quantity| self.cuts.partition_point(|(bound, _)| value.compare(*bound).is_ge());
        let (from, until) = (below(old).min(below(new)), up_to(old).max(up_to(new)));
        let found = self.cuts.get(from..until).unwrap_or_default();
        into.extend(found.iter().map(|(_, condition)| *condition));
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

/// The comparisons on a value of any type.
#[derive(Debug, Default)]
pub struct ValueIndex {
    /// By constant, those that ask for exactly this scalar or exclude it.
    exact: HashMap<Value, Vec<ConditionId>>,
    /// Those that exclude scalars: true of all others.
    excluding: Vec<ConditionId>,
    /// Lower numeric bounds: true from there up.
    above: Vec<(Decimal, ConditionId)>,
    /// Upper numeric bounds: true from there down.
    below: Vec<(Decimal, ConditionId)>,
    /// Whether there is a value.
    presence: Vec<ConditionId>,
    /// What is tried one by one.
    others: Vec<(ConditionId, Test)>,
    /// Those that time changes.
    timed: Vec<ConditionId>,
}

impl ValueIndex {
    /// Adds a comparison; `timed` if time alone can change it.
    pub fn add(&mut self, condition: ConditionId, test: &Test, timed: bool) {
        if timed {
            self.timed.push(condition);
            return;
        }
        match &test.comparison {
            Comparison::Eq(value) if !test.ignore_case => self.add_exact(condition, [value]),
            Comparison::In(values) if !test.ignore_case => self.add_exact(condition, values),
            Comparison::Neq(value) if !test.ignore_case => {
                self.add_exact(condition, [value]);
                self.excluding.push(condition);
            }
            Comparison::NotIn(values) if !test.ignore_case => {
                self.add_exact(condition, values);
                self.excluding.push(condition);
            }
            Comparison::Gt(Value::Number(bound)) | Comparison::Gte(Value::Number(bound)) => {
                insert_bound(&mut self.above, bound, condition);
            }
            Comparison::Lt(Value::Number(bound)) | Comparison::Lte(Value::Number(bound)) => {
                insert_bound(&mut self.below, bound, condition);
            }
            Comparison::Between(Value::Number(low), Value::Number(high)) => {
                insert_bound(&mut self.above, low, condition);
                insert_bound(&mut self.below, high, condition);
            }
            Comparison::IsNull | Comparison::IsNotNull => self.presence.push(condition),
            _ => self.others.push((condition, test.clone())),
        }
    }

    fn add_exact<'a>(
        &mut self,
        condition: ConditionId,
        values: impl IntoIterator<Item = &'a Value>,
    ) {
        for value in values {
            self.exact.entry(value.clone()).or_default().push(condition);
        }
    }

    /// Takes a comparison away.
    pub fn remove(&mut self, condition: ConditionId) {
        let others = |other: &ConditionId| *other != condition;
        self.exact.retain(|_, conditions| {
            conditions.retain(others);
            !conditions.is_empty()
        });
        self.above.retain(|(_, other)| others(other));
        self.below.retain(|(_, other)| others(other));
        self.others.retain(|(other, _)| others(other));
        for list in [&mut self.excluding, &mut self.presence, &mut self.timed] {
            list.retain(others);
        }
    }

    /// Those that time changes.
    pub fn timed(&self) -> &[ConditionId] {
        &self.timed
    }

    /// The comparisons that may differ between the two; timed ones are left to the caller.
    pub fn between(&self, old: Option<&Value>, new: Option<&Value>, into: &mut Vec<ConditionId>) {
        if old == new {
            return;
        }
        for value in [old, new].into_iter().flatten() {
            if let Some(conditions) = self.exact.get(value) {
                into.extend_from_slice(conditions);
            }
        }
        if old.is_some_and(is_scalar) != new.is_some_and(is_scalar) {
            into.extend_from_slice(&self.excluding);
        }
        if old.is_some() != new.is_some() {
            into.extend_from_slice(&self.presence);
        }
        self.bounds_between(number(old), number(new), into);
        for (condition, test) in &self.others {
            if (test.holds(old) == Truth::True) != (test.holds(new) == Truth::True) {
                into.push(*condition);
            }
        }
    }

    fn bounds_between(
        &self,
        old: Option<&Decimal>,
        new: Option<&Decimal>,
        into: &mut Vec<ConditionId>,
    ) {
        let (Some(least), Some(most)) = (old.min(new).or(old).or(new), old.max(new)) else {
            return;
        };
        let both = old.is_some() && new.is_some();
        let least = if both { least } else { most };
        let found_above = {
            let from =
                if both { self.above.partition_point(|(bound, _)| bound < least) } else { 0 };
            let until = self.above.partition_point(|(bound, _)| bound <= most);
            self.above.get(from..until)
        };
        let found_below = {
            let from = self.below.partition_point(|(bound, _)| bound < least);
            let until = self.below.partition_point(|(bound, _)| bound <= most);
            self.below.get(from..if both { until } else { self.below.len() })
        };
        let found = found_above.into_iter().chain(found_below).flatten();
        into.extend(found.map(|(_, condition)| *condition));
    }
}

fn insert_bound(bounds: &mut Vec<(Decimal, ConditionId)>, bound: &Decimal, condition: ConditionId) {
    let place = bounds.partition_point(|(other, id)| (other, id) < (bound, &condition));
    bounds.insert(place, (bound.clone(), condition));
}

fn number(value: Option<&Value>) -> Option<&Decimal> {
    match value {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Object(_))
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

    fn value(json: &str) -> Value {
        Value::from_json(&serde_json::from_str(json).unwrap()).unwrap()
    }

    /// Whatever flips must be found: compared with trying every comparison.
    #[test]
    fn every_flip_is_found() {
        use Comparison::*;
        let values: Vec<Value> =
            ["1", "2", "2.5", "3", "\"a\"", "\"b\"", "true", "[1]", "{}"].map(value).to_vec();
        let mut tests =
            vec![Test::new(IsNull), Test::new(IsNotNull), Test::new(Contains(value("\"a\"")))];
        for constant in &values[..7] {
            let make: [fn(Value) -> Comparison; 6] = [Eq, Neq, Gt, Gte, Lt, Lte];
            tests.extend(make.map(|make| Test::new(make(constant.clone()))));
            tests.push(Test::new(In(vec![constant.clone(), value("3")])));
            tests.push(Test::new(NotIn(vec![constant.clone(), value("3")])));
        }
        tests.push(Test::new(Between(value("2"), value("2.5"))));
        let mut index = ValueIndex::default();
        for (number, test) in (0..).zip(&tests) {
            index.add(ConditionId(number), test, false);
        }
        let states: Vec<Option<&Value>> = values.iter().map(Some).chain([None]).collect();
        for old in &states {
            for new in &states {
                let mut found = Vec::new();
                index.between(*old, *new, &mut found);
                for (number, test) in (0..).zip(&tests) {
                    let flips = test.holds(*old).holds() != test.holds(*new).holds();
                    assert!(
                        !flips || found.contains(&ConditionId(number)),
                        "{test:?} {old:?} {new:?}"
                    );
                }
            }
        }
        let mut found = Vec::new();
        index.between(Some(&value("1")), Some(&value("1")), &mut found);
        assert!(found.is_empty());
    }

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
