//! How likely comparisons are to hold: a guess that decides what is asked first, never what the
//! answer is.
//!
//! Nothing is known of users when rules are compiled. But a catalogue tells what values there are:
//! thresholds are set where people have values, and rules name the values that occur. So an
//! attribute is taken to be spread as the constants are that all rules together compare it with: a
//! lower bound that is among the highest is seldom reached, and one of a hundred values is met less
//! often than one of three. Databases do the same with a histogram of a column's values (Selinger
//! et al., *Access path selection in a relational database management system*, 1979); here the
//! histogram is of what is asked.
//!
//! Cost: a search a comparison noted. State: at most [`BOUNDS`] and [`SCALARS`] values an attribute.

use std::collections::{HashMap, HashSet};

use super::Check;

use crate::model::{Decimal, Path, Value};
use crate::operators::matching::NumberTest;
use crate::rule::{AttributeCondition, Comparison, Rule, Test};

/// How many bounds of an attribute are remembered: beyond, every second of them, and so on.
const BOUNDS: usize = 512;
/// How many scalars of an attribute are told apart.
const SCALARS: usize = 512;
/// How likely an attribute is to be there at all.
const PRESENT: f32 = 0.92;

/// What rules have compared attributes with, as far as that has been noted.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<Path, Constants>);

/// What one attribute has been compared with.
#[derive(Debug)]
struct Constants {
    /// Bounds, in order.
    bounds: Vec<Decimal>,
    /// Every how many-th bound is remembered, and how many have come since the last that was.
    every: usize,
    since: usize,
    /// Scalars asked for by name.
    scalars: HashSet<Value>,
}

impl Asked {
    /// Takes note of what a rule asks of attributes. The more is noted before rules are compiled, the
    /// better.
    pub(super) fn note(&mut self, rule: &Rule) {
        rule.walk(&mut |rule| {
            let Rule::Attribute(AttributeCondition { path, test, .. }) = rule else { return };
            match self.0.get_mut(path) {
                Some(constants) => constants.note(test),
                None => {
                    let mut constants = Constants::none();
                    constants.note(test);
                    self.0.insert(path.clone(), constants);
                }
            }
        });
    }

    /// How likely a comparison is to hold, of this attribute if it is of one.
    pub(super) fn likely(&self, path: Option<&Path>, check: &Check) -> f32 {
        match check {
            Check::Holds => 0.1,
            Check::Value(test) => {
                let known = path.and_then(|path| self.0.get(path));
                known.map_or_else(|| Constants::none().likely(test), |known| known.likely(test))
            }
            Check::Number(NumberTest::Within { ranges, inverted }) => {
                let inside = (0.15 * ranges.len() as f32).min(0.6);
                if *inverted { 1.0 - inside } else { inside }
            }
            Check::Number(NumberTest::Missing | NumberTest::Never) => 0.05,
            Check::Number(NumberTest::Present) => 0.9,
            Check::Number(_) => 0.3,
        }
    }
}

impl Constants {
    fn none() -> Self {
        Constants { bounds: Vec::new(), every: 1, since: 0, scalars: HashSet::new() }
    }

    fn note(&mut self, test: &Test) {
        use Comparison::*;
        match &test.comparison {
            Eq(value) | Neq(value) => self.scalar(value),
            In(values) | NotIn(values) => values.iter().for_each(|value| self.scalar(value)),
            Gt(Value::Number(bound))
            | Gte(Value::Number(bound))
            | Lt(Value::Number(bound))
            | Lte(Value::Number(bound)) => self.bound(bound.clone()),
            Between(low, high) => {
                for bound in [low, high] {
                    if let Value::Number(bound) = bound {
                        self.bound(bound.clone());
                    }
                }
            }
            Before(time) | After(time) => self.bound((*time).into()),
            _ => {}
        }
    }

    fn scalar(&mut self, value: &Value) {
        if self.scalars.len() < SCALARS && !self.scalars.contains(value) {
            self.scalars.insert(value.clone());
        }
    }

    fn bound(&mut self, bound: Decimal) {
        self.since += 1;
        if self.since < self.every {
            return;
        }
        self.since = 0;
        let place = self.bounds.partition_point(|other| *other < bound);
        self.bounds.insert(place, bound);
        if self.bounds.len() >= BOUNDS {
            let mut place = 0;
            self.bounds.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.every *= 2;
        }
    }

    /// The share of values that are expected below this one: half where nothing is known.
    fn below(&self, bound: &Decimal) -> f32 {
        let less = self.bounds.partition_point(|other| other < bound);
        let not_more = self.bounds.partition_point(|other| other <= bound);
        ((less + not_more) as f32 / 2.0 + 1.0) / (self.bounds.len() as f32 + 2.0)
    }

    fn likely(&self, test: &Test) -> f32 {
        use Comparison::*;
        // At least one value that nobody asks for.
        let others = (self.scalars.len() + 1) as f32;
        let some_of = |values: usize| PRESENT * (values as f32 / others).min(0.9);
        let below = |bound: &Value| match bound {
            Value::Number(bound) => self.below(bound),
            _ => 0.5,
        };
        match &test.comparison {
            Eq(_) => some_of(1),
            Neq(_) => PRESENT - some_of(1),
            In(values) => some_of(values.len()),
            NotIn(values) => PRESENT - some_of(values.len()),
            IsNull => 1.0 - PRESENT,
            IsNotNull => PRESENT,
            Contains(_) | Matches(_) | StartsWith(_) | EndsWith(_) => 0.2,
            AnyOf(_) | AllOf(_) | WithinLast(_) | WithinNext(_) => 0.3,
            NoneOf(_) => 0.7,
            Gt(bound) | Gte(bound) => PRESENT * (1.0 - below(bound)),
            Lt(bound) | Lte(bound) => PRESENT * below(bound),
            After(time) => PRESENT * (1.0 - self.below(&(*time).into())),
            Before(time) => PRESENT * self.below(&(*time).into()),
            Between(low @ Value::Number(_), high) => {
                PRESENT * (below(high) - below(low)).clamp(0.0, 1.0)
            }
            Between(..) => 0.3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(comparison: Comparison) -> Test {
        Test::new(comparison)
    }

    fn bound(number: i64) -> Value {
        Value::Number(number.into())
    }

    #[test]
    fn a_bound_few_set_higher_is_seldom_reached() {
        let mut known = Constants::none();
        let even = known.likely(&test(Comparison::Gt(bound(7))));
        assert!((even - PRESENT / 2.0).abs() < 1e-6, "nothing is known: {even}");
        for number in 0..10_000 {
            // Not in order, and each once.
            known.note(&test(Comparison::Lt(bound(number * 7_919 % 10_000))));
        }
        assert!(known.bounds.len() < BOUNDS && known.bounds.is_sorted());
        let reached = |number| known.likely(&test(Comparison::Gte(bound(number)))) / PRESENT;
        for (number, share) in [(-1, 1.0), (1_000, 0.9), (5_000, 0.5), (9_900, 0.01)] {
            assert!((reached(number) - share).abs() < 0.03, "{number}: {}", reached(number));
        }
        let within = known.likely(&test(Comparison::Between(bound(2_000), bound(3_000))));
        assert!((within / PRESENT - 0.1).abs() < 0.03, "{within}");
        let turned = known.likely(&test(Comparison::Between(bound(3_000), bound(2_000))));
        assert!(turned.abs() < 1e-6, "{turned}");
    }

    #[test]
    fn one_of_many_values_is_met_less_often_than_one_of_few() {
        let named = |count: i64| {
            let mut known = Constants::none();
            (0..count).for_each(|number| known.note(&test(Comparison::Neq(bound(number)))));
            known.likely(&test(Comparison::Eq(bound(0))))
        };
        assert!(named(0) > named(3) && named(3) > 10.0 * named(100));
        assert!((named(SCALARS as i64) - named(100_000)).abs() < 1e-6);
    }
}
