//! The few values that records carry and rules ask for.

use super::{Dice, Scene};
use crate::model::time::{MAX_TIME, MIN_TIME, format_time};
use crate::model::{Decimal, Value};

/// What kind of value a name usually has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    List,
    Time,
    Flag,
}

const KINDS: [Kind; 5] = [Kind::Number, Kind::Text, Kind::List, Kind::Time, Kind::Flag];

/// Numbers that thresholds of aggregates may be: exact to six places.
const EXACT: [&str; 12] =
    ["1", "2", "1.0", "3", "0", "2.5", "-1", "10", "0.3", "0.000001", "100", "-2.5"];
/// Numbers that round, overflow an amount, or need more than 64 bits.
const HARD: [&str; 12] = [
    "0.0000005",
    "0.0000015",
    "-0.0000025",
    "1e-300",
    "0.3333333333333333333333333333333333",
    "123456789.123456789",
    "999999999999999999999",
    "-999999999999999999999",
    "1e21",
    "1e30",
    "18446744073709551616",
    "18446744073709551615",
];
const TEXTS: [&str; 9] = ["a", "b", "A", "ab", "", "é", "É", "pro", "1"];
/// Patterns, each of which finds some of the texts.
pub(super) const PATTERNS: [&str; 4] = ["^a", "b$", "[aé]", "^.?$"];

impl Kind {
    pub(super) fn any(dice: &mut Dice) -> Kind {
        dice.pick(&KINDS)
    }
}

/// A number.
pub(super) fn number(text: &str) -> Value {
    Decimal::parse(text).map_or(Value::Null, Value::Number)
}

/// A threshold of an aggregate.
pub(super) fn exact(dice: &mut Dice) -> Value {
    number(common(dice, &EXACT))
}

/// Text.
pub(super) fn text(dice: &mut Dice) -> &'static str {
    common(dice, &TEXTS)
}

/// One of these, more often one of the first, so that what is asked for is often there.
fn common(dice: &mut Dice, texts: &[&'static str]) -> &'static str {
    let first = dice.chance(60);
    dice.pick(texts.get(..3).filter(|_| first).unwrap_or(texts))
}

/// A value that is neither null, nor a list, nor an object.
pub(super) fn scalar(dice: &mut Dice, scene: &Scene, kind: Kind) -> Value {
    match kind {
        Kind::Number if dice.chance(12) => number(dice.pick(&HARD)),
        Kind::Number => exact(dice),
        Kind::Text => Value::text(text(dice)),
        Kind::List if dice.chance(50) => Value::text(text(dice)),
        Kind::List => exact(dice),
        Kind::Time => time(dice, scene),
        Kind::Flag => Value::Bool(dice.chance(50)),
    }
}

/// A time near those of the scene, as text or as epoch milliseconds.
fn time(dice: &mut Dice, scene: &Scene) -> Value {
    let near = scene.time(dice) + dice.between(-3, 3) * scene.step_ms + dice.between(-1, 1);
    let near = near.clamp(MIN_TIME, MAX_TIME);
    if dice.chance(50) {
        Value::text(&format_time(near))
    } else {
        Value::Number(Decimal::from(near))
    }
}

/// A value as a record may carry it: usually of its kind, but anything may come.
pub(super) fn carried(dice: &mut Dice, scene: &Scene, kind: Kind) -> Value {
    match dice.below(25) {
        0 => Value::Null,
        1 => Value::List([].into()),
        2 => Value::object(vec![("x".into(), exact(dice))]),
        3 => {
            let other = Kind::any(dice);
            scalar(dice, scene, other)
        }
        _ if kind == Kind::List => {
            let items = dice.below(4);
            Value::List((0..items).map(|_| scalar(dice, scene, kind)).collect())
        }
        _ => scalar(dice, scene, kind),
    }
}
