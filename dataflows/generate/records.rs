//! Random records, in an order that is almost that of their times.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::values::{Kind, carried};
use super::{Dice, Scene};
use crate::model::{Action, Arrival, EventTime, Position, Value};

/// The names events have.
pub(super) const EVENTS: [&str; 8] =
    ["buy", "buy", "buy", "view", "view", "shop.cart", "shop.pay", "shop"];
/// Properties, and what they usually are. Some are given inside the object `cart`, some under
/// their dotted name, some both ways.
pub(super) const PROPERTIES: [(&str, Kind); 8] = [
    ("amount", Kind::Number),
    ("amount", Kind::Number),
    ("amount", Kind::Number),
    ("amount", Kind::Number),
    ("cart.total", Kind::Number),
    ("kind", Kind::Text),
    ("tags", Kind::List),
    ("due", Kind::Time),
];
/// Attributes, and what they usually are; the dotted ones as with properties.
pub(super) const ATTRIBUTES: [(&str, Kind); 8] = [
    ("plan", Kind::Text),
    ("score", Kind::Number),
    ("tags", Kind::List),
    ("at", Kind::Time),
    ("flag", Kind::Flag),
    ("p.city", Kind::Text),
    ("p.age", Kind::Number),
    ("p.geo.lat", Kind::Number),
];

/// All records of a case: each partition's in the order of its offsets.
pub(super) fn arrivals(dice: &mut Dice, scene: &Scene) -> Vec<Arrival> {
    let partitions = dice.below(3) + 1;
    let count = dice.between(20, 200);
    let mut records: Vec<(EventTime, Arrival)> = Vec::new();
    for number in 0..count {
        let copied = dice.chance(12) && !records.is_empty();
        let (time, mut arrival) =
            if copied { copy(dice, scene, &records) } else { fresh(dice, scene, number) };
        arrival.position.partition = dice.below(partitions);
        records.push((time + delay(dice, scene), arrival));
    }
    records.sort_by_key(|(arrives, _)| *arrives);
    let mut offsets: BTreeMap<u32, u64> = BTreeMap::new();
    for (_, arrival) in &mut records {
        let next = offsets.entry(arrival.position.partition).or_default();
        arrival.position.offset = *next;
        *next += if dice.chance(10) { 3 } else { 1 }; // blank lines leave gaps
    }
    records.into_iter().map(|(_, arrival)| arrival).collect()
}

/// How long after its time a record comes: mostly within the bound, now and then beyond it.
fn delay(dice: &mut Dice, scene: &Scene) -> i64 {
    let bound = scene.clock.max_out_of_orderness.ms();
    match dice.below(10) {
        0 => bound + dice.between(0, 4) * scene.step_ms,
        1 | 2 => bound,
        3..6 => dice.between(0, bound.min(i64::from(u32::MAX) - 1)),
        _ => 0,
    }
}

fn fresh(dice: &mut Dice, scene: &Scene, number: i64) -> (EventTime, Arrival) {
    let time = scene.time(dice);
    let arrival = Arrival {
        position: Position { partition: 0, offset: 0 },
        time: (!dice.chance(3)).then_some(time),
        user: dice.pick(&scene.users).into(),
        id: dice.chance(60).then(|| format!("m{number}").into()),
        action: action(dice, scene),
    };
    (time, arrival)
}

/// A second copy of a record: as it was, or under another time, or saying something else.
fn copy(dice: &mut Dice, scene: &Scene, records: &[(EventTime, Arrival)]) -> (EventTime, Arrival) {
    let mut arrival = dice.pick(records).1;
    if dice.chance(50) {
        arrival.time = Some(scene.time(dice));
    }
    if dice.chance(20) {
        arrival.action = action(dice, scene);
        arrival.user = dice.pick(&scene.users).into();
    }
    (arrival.time.unwrap_or_else(|| scene.time(dice)), arrival)
}

fn action(dice: &mut Dice, scene: &Scene) -> Action {
    match dice.below(100) {
        0..3 => Action::Delete,
        3..40 => {
            let some = dice.below(5) + 1;
            Action::Attributes(members(dice, scene, &ATTRIBUTES, some))
        }
        _ => {
            let some = dice.below(7);
            let name = dice.pick(&EVENTS).into();
            Action::Event {
                name,
                properties: Value::object(members(dice, scene, &PROPERTIES, some)),
            }
        }
    }
}

/// Some members of an object. A dotted name is given under its whole name or nested.
fn members(
    dice: &mut Dice,
    scene: &Scene,
    names: &[(&str, Kind)],
    some: u32,
) -> Vec<(Arc<str>, Value)> {
    let member = |dice: &mut Dice| {
        let (name, kind) = dice.pick(names);
        let value = carried(dice, scene, kind);
        match name.split_once('.') {
            Some((first, rest)) if dice.chance(70) => (first.into(), nested(rest, value)),
            _ => (name.into(), value),
        }
    };
    (0..some).map(|_| member(dice)).collect()
}

fn nested(path: &str, value: Value) -> Value {
    match path.split_once('.') {
        Some((first, rest)) => Value::object(vec![(first.into(), nested(rest, value))]),
        None => Value::object(vec![(path.into(), value)]),
    }
}
