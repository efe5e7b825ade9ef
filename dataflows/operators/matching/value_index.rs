//! The comparisons on one attribute, by the values at which each changes its truth.
//!
//! Cost of a change: a look-up for the old value and one for the new, the bounds between them, and
//! two words of pattern truths; then what is found. A number of more than 14 digits finds every
//! comparison of the attribute.

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};

use super::bounds::Bounds;
use super::code::{Code, Column, Leaf, Op, is_scalar};
use super::patterns::Patterns;
use crate::model::Value;
use crate::operators::cell::{Cell, Short};
use crate::operators::plan::{ConditionId, NodeId};
use crate::operators::pool::{Pool, ValueId};
use crate::rule::{Comparison, Test};

/// A rule in which a comparison stands, and what else must be so there for it to matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The rule.
    pub node: NodeId,
    /// The guards; all must let pass.
    pub guards: [Leaf; 2],
}

impl Place {
    /// A place where the comparison always matters.
    pub fn bare(node: NodeId) -> Self {
        Place { node, guards: [Leaf::ALWAYS; 2] }
    }
}

/// The texts a condition compares with, in the pool for as long as the condition lives.
pub type Constants = Box<[ValueId]>;

/// What exactly a value is, where that can be looked up.
type Exact = (u8, u64);

/// The comparisons on one attribute (see the module).
#[derive(Debug, Default)]
pub struct ValueIndex {
    /// By constant, those that ask for exactly this scalar or exclude it.
    exact: HashMap<Exact, Vec<Place>>,
    /// Those that exclude scalars: true of all others.
    excluding: Vec<Place>,
    /// Whether there is a value.
    presence: Vec<Place>,
    /// Lower bounds: true from there up.
    above: Bounds,
    /// Upper bounds: true from there down.
    below: Bounds,
    /// By the number of a pattern.
    patterns: Vec<Vec<Place>>,
}

/// A comparison as it is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// What it is.
    pub test: &'a Test,
    /// The texts it compares with.
    pub constants: &'a [ValueId],
    /// The leaves that all hold iff it does.
    pub leaves: &'a [Leaf],
}

/// How a test is looked up.
enum Kind {
    Exact { keys: Vec<Exact>, excluding: bool },
    Presence,
    Bounds { low: Option<f64>, high: Option<f64> },
    Pattern,
}

impl Kind {
    fn of(compared: Compared<'_>) -> (Kind, usize) {
        let number = compared.leaves.first().map_or(0, |leaf| leaf.operand() as usize);
        (kind(compared.test, compared.constants), number)
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
fn keys(values: &[Value], constants: &[ValueId]) -> Option<Vec<Exact>> {
    let mut texts = constants.iter();
    let key = |value: &Value| match value {
        Value::Text(_) => texts.next().map(|id| (0, id.number())),
        Value::Number(_) => short(value).map(|number| (1, number.to_bits())),
        Value::Bool(flag) => Some((2, u64::from(*flag))),
        _ => None,
    };
    values.iter().map(key).collect()
}

fn exact_key(code: Code) -> Option<Exact> {
    match code.cell {
        Cell::Text(id) => Some((0, id.number())),
        Cell::Number(_) => Some((1, code.word)),
        Cell::Flag(flag) => Some((2, u64::from(flag))),
        Cell::Missing | Cell::Wide(_) | Cell::Compound(_) => None,
    }
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

/// The leaves that all hold iff a condition does.
pub(crate) fn leaves(
    condition: ConditionId,
    test: &Test,
    constants: &[ValueId],
    column: Column,
    patterns: &mut Patterns,
) -> SmallVec<[Leaf; 1]> {
    use Comparison::*;
    let leaf = |op, operand| Leaf::new(op, operand, condition, column);
    match (kind(test, constants), &test.comparison) {
        (Kind::Presence, IsNull) => smallvec![leaf(Op::Missing, 0)],
        (Kind::Presence, _) => smallvec![leaf(Op::Present, 0)],
        (Kind::Bounds { low, high }, comparison) => {
            let (above, below) = match comparison {
                Gt(_) | Lt(_) => (Op::Above, Op::Below),
                _ => (Op::AtLeast, Op::AtMost),
            };
            let low = low.map(|low| leaf(above, low.to_bits()));
            low.into_iter().chain(high.map(|high| leaf(below, high.to_bits()))).collect()
        }
        (Kind::Exact { keys, excluding }, _) => smallvec![match (keys.as_slice(), excluding) {
            ([(0, id)], false) => leaf(Op::SameText, *id),
            ([(0, id)], true) => leaf(Op::OtherText, *id),
            ([(1, bits)], false) => leaf(Op::SameNumber, *bits),
            ([(1, bits)], true) => leaf(Op::OtherNumber, *bits),
            ([(2, flag)], false) => leaf(Op::SameFlag, *flag),
            ([(2, flag)], true) => leaf(Op::OtherFlag, *flag),
            (keys, excluding) if keys.len() == constants.len() => {
                let bits = constants.iter().fold(0, |bits, id| bits | id.bit());
                leaf(if excluding { Op::NoText } else { Op::AnyText }, bits)
            }
            _ => leaf(Op::Ask, 0),
        }],
        (Kind::Pattern, _) => {
            let number = patterns.enter(condition, test);
            smallvec![leaf(Op::Pattern, number as u64)]
        }
    }
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
                    self.patterns.resize_with(number + 1, Vec::new);
                }
                self.patterns[number].push(place);
            }
        }
    }

    /// Takes the places of a node away from a comparison.
    pub fn remove(&mut self, compared: Compared<'_>, node: NodeId) {
        let others = |place: &Place| place.node != node;
        match Kind::of(compared) {
            (Kind::Presence, _) => self.presence.retain(others),
            (Kind::Bounds { low, high }, _) => {
                low.into_iter().for_each(|low| self.above.remove(low, node));
                high.into_iter().for_each(|high| self.below.remove(high, node));
            }
            (Kind::Exact { keys, excluding }, _) => {
                for key in keys {
                    if let Some(places) = self.exact.get_mut(&key) {
                        places.retain(others);
                        if places.is_empty() {
                            self.exact.remove(&key);
                        }
                    }
                }
                if excluding {
                    self.excluding.retain(others);
                }
            }
            (Kind::Pattern, number) => {
                self.patterns.get_mut(number).into_iter().for_each(|it| it.retain(others));
            }
        }
    }

    /// The places of comparisons that may differ between the two.
    pub fn between(
        &self,
        (old, new): (Code, Code),
        patterns: &Patterns,
        pool: &Pool,
        mut each: impl FnMut(&[Place]),
    ) {
        if old.cell == new.cell {
            return;
        }
        if matches!(old.cell, Cell::Wide(_)) || matches!(new.cell, Cell::Wide(_)) {
            return self.all(each);
        }
        if !self.exact.is_empty() {
            for key in [exact_key(old), exact_key(new)].into_iter().flatten() {
                self.exact.get(&key).into_iter().for_each(|places| each(places));
            }
        }
        if is_scalar(old.cell) != is_scalar(new.cell) {
            each(&self.excluding);
        }
        if (old.cell == Cell::Missing) != (new.cell == Cell::Missing) {
            each(&self.presence);
        }
        match (old.number(), new.number()) {
            (None, None) => {}
            (Some(old), Some(new)) => {
                let (least, most) = (Some(old.min(new)), Some(old.max(new)));
                self.above.between(least, most, &mut each);
                self.below.between(least, most, &mut each);
            }
            (number, other) => {
                let number = number.or(other);
                self.above.between(None, number, &mut each);
                self.below.between(number, None, &mut each);
            }
        }
        patterns.that_differ(old, new, pool, |number| {
            self.patterns.get(number).into_iter().for_each(|places| each(places));
        });
    }

    fn all(&self, mut each: impl FnMut(&[Place])) {
        self.exact.values().for_each(|places| each(places));
        each(&self.excluding);
        each(&self.presence);
        self.above.between(None, None, &mut each);
        self.below.between(None, None, &mut each);
        self.patterns.iter().for_each(|places| each(places));
    }
}
