//! The comparisons on one attribute, by the values at which each changes its truth.
//!
//! Cost of a change: a look-up for the old value and one for the new, the bounds between them, and
//! two words of pattern truths; then what is found. A number of more than 14 digits finds every
//! comparison of the attribute.

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};

use super::bounds::Bounds;
use super::code::{Code, Column, Leaf, key};
use super::patterns::Patterns;
use super::places::{Place, Places, Stretch};
use crate::model::Value;
use crate::operators::cell::{Cell, Short};
use crate::operators::plan::{ConditionId, NodeId};
use crate::operators::pool::{Pool, ValueId};
use crate::rule::{Comparison, Test};

/// The texts a condition compares with, in the pool for as long as the condition lives.
pub type Constants = Box<[ValueId]>;

/// The comparisons on one attribute (see the module).
#[derive(Debug, Default)]
pub struct ValueIndex {
    /// By the key of a constant, those that ask for exactly this scalar or exclude it.
    exact: HashMap<u64, Places>,
    /// Those that exclude scalars: true of all others.
    excluding: Places,
    /// Whether there is a value.
    presence: Places,
    /// Lower bounds: true from there up.
    above: Bounds,
    /// Upper bounds: true from there down.
    below: Bounds,
    /// By the number of a pattern.
    patterns: Vec<Places>,
}

/// A comparison as it is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// What it is.
    pub test: &'a Test,
    /// The texts it compares with.
    pub constants: &'a [ValueId],
    /// The number of its pattern.
    pub pattern: usize,
}

/// How a test is looked up.
enum Kind {
    Exact { keys: Vec<u64>, excluding: bool },
    Presence,
    Bounds { low: Option<f64>, high: Option<f64> },
    Pattern,
}

impl Kind {
    fn of(compared: Compared<'_>) -> (Kind, usize) {
        (kind(compared.test, compared.constants), compared.pattern)
    }
}

fn short(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Short::new(number).map(Short::to_f64),
        _ => None,
    }
}

/// The constants of a test that belong into the pool, in order.
fn texts(test: &Test) -> Vec<&Value> {
    use Comparison::{Eq, In, Neq, NotIn};
    let values = match &test.comparison {
        Eq(value) | Neq(value) => std::slice::from_ref(value),
        In(values) | NotIn(values) => values.as_slice(),
        _ => &[],
    };
    let texts = values.iter().filter(|value| matches!(value, Value::Text(_)));
    if test.ignore_case { Vec::new() } else { texts.collect() }
}

/// Puts the texts a test compares with into the pool.
pub(crate) fn constants(test: &Test, pool: &mut Pool) -> Constants {
    texts(test).into_iter().map(|text| pool.take(text)).collect()
}

/// The keys of constants, unless one of them is too long a number.
fn keys(values: &[Value], constants: &[ValueId]) -> Option<Vec<u64>> {
    let mut texts = constants.iter();
    let key = |value: &Value| match value {
        Value::Text(_) => texts.next().map(|id| key::text(*id)),
        Value::Number(_) => short(value).map(key::number),
        Value::Bool(flag) => Some(key::flag(*flag)),
        _ => None,
    };
    values.iter().map(key).collect()
}

fn number(code: Code) -> Option<f64> {
    match code.cell {
        Cell::Number(short) => Some(short.to_f64()),
        _ => None,
    }
}

/// Whether it is a value that is neither a list nor an object.
fn is_scalar(cell: Cell) -> bool {
    !matches!(cell, Cell::Missing | Cell::Compound(_))
}

fn kind(test: &Test, constants: &[ValueId]) -> Kind {
    use Comparison::*;
    let exact = |values: &[Value], excluding| match keys(values, constants) {
        Some(keys) if !test.ignore_case => Kind::Exact { keys, excluding },
        _ => Kind::Pattern,
    };
    let bounds = |low: Option<&Value>, high: Option<&Value>| {
        let (of_low, of_high) = (low.and_then(short), high.and_then(short));
        let whole = of_low.is_some() == low.is_some() && of_high.is_some() == high.is_some();
        if whole { Kind::Bounds { low: of_low, high: of_high } } else { Kind::Pattern }
    };
    match &test.comparison {
        Eq(value) => exact(std::slice::from_ref(value), false),
        Neq(value) => exact(std::slice::from_ref(value), true),
        In(values) => exact(values, false),
        NotIn(values) => exact(values, true),
        Gt(bound) | Gte(bound) => bounds(Some(bound), None),
        Lt(bound) | Lte(bound) => bounds(None, Some(bound)),
        Between(low, high) => bounds(Some(low), Some(high)),
        IsNull | IsNotNull => Kind::Presence,
        _ => Kind::Pattern,
    }
}

/// The leaves that all hold iff a condition does, but for the last where it
/// [only may](Leaf::is_maybe); and the pattern's number if there is one.
pub(crate) fn leaves(
    condition: ConditionId,
    test: &Test,
    constants: &[ValueId],
    column: Column,
    pattern: impl FnOnce() -> (usize, Option<Column>),
) -> (SmallVec<[Leaf; 1]>, usize) {
    use Comparison::*;
    let within = |low, high| Leaf::within(low, high, column, condition);
    let scalar = within(key::SCALAR, u64::MAX);
    let leaves = match (kind(test, constants), &test.comparison) {
        (Kind::Presence, IsNull) => smallvec![Leaf::at(key::MISSING, column, condition)],
        (Kind::Presence, _) => smallvec![within(key::PRESENT, u64::MAX)],
        (Kind::Bounds { low, high }, comparison) => {
            let beyond = u64::from(matches!(comparison, Gt(_) | Lt(_)));
            let low = low.map_or(key::LEAST, |low| key::number(low) + beyond);
            let high = high.map_or(key::GREATEST, |high| key::number(high) - beyond);
            // Nothing lies between bounds that have changed places.
            smallvec![if low <= high { within(low, high) } else { Leaf::ALWAYS.inverted() }]
        }
        (Kind::Exact { keys, excluding }, _) => match (keys.as_slice(), excluding) {
            ([key], false) => smallvec![within(*key, *key)],
            ([key], true) => smallvec![scalar, within(*key, *key).inverted()],
            (keys, excluding) if keys.len() == constants.len() => {
                let bits = constants.iter().fold(0, |bits, id| bits | id.bit());
                let maybe = Leaf::maybe(bits, column, condition);
                if excluding { smallvec![scalar, maybe.inverted()] } else { smallvec![maybe] }
            }
            _ => smallvec![Leaf::ask(condition)],
        },
        (Kind::Pattern, _) => {
            let (number, own) = pattern();
            let leaf = own.map_or(Leaf::ask(condition), |own| Leaf::at(1, own, condition));
            return (smallvec![leaf], number);
        }
    };
    (leaves, 0)
}

impl ValueIndex {
    /// Adds a place of a comparison.
    pub fn add(&mut self, compared: Compared<'_>, place: Place) {
        match Kind::of(compared) {
            (Kind::Presence, _) => self.presence.push(place),
            (Kind::Bounds { low, high }, _) => {
                low.into_iter().for_each(|low| self.above.insert(low, place));
                high.into_iter().for_each(|high| self.below.insert(high, place));
            }
            (Kind::Exact { keys, excluding }, _) => {
                for key in keys {
                    self.exact.entry(key).or_default().push(place);
                }
                if excluding {
                    self.excluding.push(place);
                }
            }
            (Kind::Pattern, number) => {
                if self.patterns.len() <= number {
                    self.patterns.resize_with(number + 1, Places::default);
                }
                self.patterns[number].push(place);
            }
        }
    }

    /// Takes the places of a node away from a comparison.
    pub fn remove(&mut self, compared: Compared<'_>, node: NodeId) {
        match Kind::of(compared) {
            (Kind::Presence, _) => self.presence.forget(node),
            (Kind::Bounds { low, high }, _) => {
                low.into_iter().for_each(|low| self.above.remove(low, node));
                high.into_iter().for_each(|high| self.below.remove(high, node));
            }
            (Kind::Exact { keys, excluding }, _) => {
                for key in keys {
                    if let Some(places) = self.exact.get_mut(&key) {
                        places.forget(node);
                        if places.is_empty() {
                            self.exact.remove(&key);
                        }
                    }
                }
                if excluding {
                    self.excluding.forget(node);
                }
            }
            (Kind::Pattern, number) => {
                self.patterns.get_mut(number).into_iter().for_each(|it| it.forget(node));
            }
        }
    }

    /// The places of comparisons that may differ between the two.
    pub fn between(
        &self,
        (old, new): (Code, Code),
        patterns: &Patterns,
        pool: &Pool,
        mut each: impl FnMut(Stretch<'_>),
    ) {
        if old.cell == new.cell {
            return;
        }
        if matches!(old.cell, Cell::Wide(_)) || matches!(new.cell, Cell::Wide(_)) {
            return self.all(each);
        }
        if !self.exact.is_empty() {
            for code in [old, new] {
                self.exact
                    .get(&key::of(code.cell))
                    .into_iter()
                    .for_each(|places| each(places.all()));
            }
        }
        if is_scalar(old.cell) != is_scalar(new.cell) {
            each(self.excluding.all());
        }
        if (old.cell == Cell::Missing) != (new.cell == Cell::Missing) {
            each(self.presence.all());
        }
        match (number(old), number(new)) {
            (None, None) => {}
            (Some(old), Some(new)) => {
                let (least, most) = (Some(old.min(new)), Some(old.max(new)));
                self.above.between(least, most, &mut each);
                self.below.between(least, most, &mut each);
            }
            (one, other) => {
                let only = one.or(other);
                self.above.between(None, only, &mut each);
                self.below.between(only, None, &mut each);
            }
        }
        patterns.that_differ(old, new, pool, |number| {
            self.patterns.get(number).into_iter().for_each(|places| each(places.all()));
        });
    }

    fn all(&self, mut each: impl FnMut(Stretch<'_>)) {
        self.exact.values().for_each(|places| each(places.all()));
        each(self.excluding.all());
        each(self.presence.all());
        self.above.between(None, None, &mut each);
        self.below.between(None, None, &mut each);
        self.patterns.iter().for_each(|places| each(places.all()));
    }
}
