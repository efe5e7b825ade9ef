//! Segments saved in mid-stream that look back at retained events, in worlds made for that: a few
//! users to whom much happens, and windows about as long as events are retained.
//!
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::catalog::{TimedEdit, Timeline};
use dataflows::clock::{ClockSettings, Emit};
use dataflows::in_memory::{Pace, Stretch, run_crashing_saved, run_retaining};
use dataflows::model::{Action, Arrival, Difference, Duration, EventTime, Position, Sign, Value};
use dataflows::oracle::{Log, answer};
use dataflows::rule::{Definition, parse};
use serde_json::{Value as Json, json};

const RECORDS: u64 = 90;
const DISORDER_MS: i64 = 3_000;

/// Numbers that depend on the seed only.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

struct World {
    arrivals: Vec<Arrival>,
    initial: Vec<Arc<Definition>>,
    saved: Vec<Arc<Definition>>,
    clock: ClockSettings,
    retain: Duration,
    pace: Pace,
    dice: Dice,
}

impl World {
    fn new(seed: u64, emit: Emit) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
        let clock = ClockSettings {
            emit,
            max_out_of_orderness: Duration::from_ms(DISORDER_MS),
            ..ClockSettings::default()
        };
        let arrivals = arrivals(&mut dice, emit);
        let mut definition = |number: u64| {
            let id = format!("s{}", dice.below(7) + 7 * u64::from(number < 3));
            definition(&json!({ "id": id, "rules": rules(&mut dice) }))
        };
        let mut initial: Vec<_> = (0..3).map(&mut definition).collect();
        initial.sort_by(|left, right| left.id.cmp(&right.id));
        initial.dedup_by(|left, right| left.id == right.id);
        let mut saved: Vec<_> = (3..10).map(&mut definition).collect();
        saved.push(definition_of_both(&initial[0], &mut dice));
        let retain = Duration::from_ms(dice.pick(&[5_000, 20_000, 40_000, 200_000]));
        let pace = Pace { workers: dice.pick(&[1, 2, 3]), block: dice.pick(&[1, 2, 3]) };
        World { arrivals, initial, saved, clock, retain, pace, dice }
    }

    /// Runs it; gives back what came of it, and the definitions as they came into force.
    fn save(&self) -> (Vec<Difference>, Timeline) {
        let timeline = Timeline { initial: self.initial.clone(), edits: Vec::new() };
        let (answered, edits) =
            run_retaining(&self.log(&timeline), self.pace, &self.saved, Some(self.retain));
        (answered.differences, Timeline { edits, ..timeline })
    }

    fn log<'a>(&'a self, timeline: &'a Timeline) -> Log<'a> {
        Log { arrivals: &self.arrivals, timeline, clock: self.clock, retain: None }
    }

    /// Some stretches, with as many checkpoints as there may be.
    fn stretches(&mut self) -> Vec<Stretch> {
        let dice = &mut self.dice;
        let count = 2 + dice.below(3);
        let mut stretch = || Stretch {
            pace: Pace { workers: dice.pick(&[1, 2, 3]), block: 1 + dice.below(3) as usize },
            checkpoints: (0..2 + dice.below(60) as usize).collect(),
            merged: dice.below(2) == 0,
            order: None,
        };
        (0..count).map(|_| stretch()).collect()
    }
}

fn arrivals(dice: &mut Dice, emit: Emit) -> Vec<Arrival> {
    // At once, much is to be on its way when a deletion comes that is older.
    let (steps, deletions) = match emit {
        Emit::OnWatermark => ([0, 1, 300, 900, 2_000], 30),
        Emit::OnEvent => ([0, 1, 50, 100, 300], 25),
    };
    let mut time = 1_767_225_600_000;
    let mut records: Vec<_> = (0..RECORDS)
        .map(|_| {
            time += dice.pick(&steps);
            let action = match dice.below(deletions) {
                0 => Action::Delete,
                _ => {
                    let amount = dice.pick(&["1", "2.5", "-3", "\"much\"", "100000000000"]);
                    let kind = dice.pick(&["\"x\"", "\"y\"", "7", "null", "[1]"]);
                    let text = format!(r#"{{"amount":{amount},"of":{{"kind":{kind}}}}}"#);
                    let properties = Value::from_json(&serde_json::from_str(&text).unwrap());
                    let name = dice.pick(&["buy", "buy.again", "view"]).into();
                    Action::Event { name, properties: properties.unwrap() }
                }
            };
            let user = dice.pick(&["u1", "u2", "u3"]).into();
            (time + dice.below(2_900) as i64, dice.below(2) as u32, time, user, action)
        })
        .collect();
    records.sort_by_key(|(arrives, ..)| *arrives);
    let mut offsets = [0, 0];
    let arrival = |(_, partition, time, user, action): (i64, u32, i64, Arc<str>, Action)| {
        let offset = &mut offsets[partition as usize];
        *offset += 1;
        let position = Position { partition, offset: *offset - 1 };
        Arrival { position, time: Some(time), user, id: None, action }
    };
    records.into_iter().map(arrival).collect()
}

fn definition(json: &Json) -> Arc<Definition> {
    parse::definition(json).unwrap_or_else(|faults| panic!("{json}: {faults:?}")).into()
}

/// One that refers to another.
fn definition_of_both(other: &Definition, dice: &mut Dice) -> Arc<Definition> {
    let refers = json!({ "segment": &*other.id });
    let rules = json!({ "operator": "OR", "conditions": [refers, rules(dice)] });
    definition(&json!({ "id": "both", "rules": rules }))
}

/// A condition on events, of any kind.
fn rules(dice: &mut Dice) -> Json {
    let event = |dice: &mut Dice| dice.pick(&["buy", "buy*", "view", "buy.again"]);
    let window = dice.pick(&["1s", "6s", "15s", "40s", "2m", ""]);
    let mut rule = match dice.below(9) {
        0 => {
            let steps = [json!({ "event": event(dice) }), json!({ "event": event(dice) })];
            let within = dice.pick(&["2s", "10s", "60s"]);
            let window = if window.is_empty() { "5s" } else { window };
            return json!({ "sequence": steps, "within": within, "window": window });
        }
        1 | 2 => json!({ "aggregate": "count", "op": "gte", "value": 1 + dice.below(4) }),
        3 => json!({ "aggregate": "sum", "property": "amount", "op": "gt", "value": 4 }),
        4 => json!({ "aggregate": "avg", "property": "amount", "op": "lt", "value": 2 }),
        5 => json!({ "aggregate": "min", "property": "amount", "op": "lt", "value": 0 }),
        6 => json!({ "aggregate": "max", "property": "amount", "op": "gt", "value": 2 }),
        7 => json!({ "aggregate": "distinct", "property": "of.kind", "op": "gte", "value": 2 }),
        _ => {
            let end = dice.pick(&["first", "last"]);
            json!({ "aggregate": end, "property": "of.kind", "op": "eq", "value": "x" })
        }
    };
    rule["event"] = event(dice).into();
    if !window.is_empty() {
        rule["window"] = window.into();
    }
    if dice.below(4) == 0 {
        rule["where"] = json!({ "attribute": "of.kind", "op": "eq", "value": "x" });
    }
    rule
}

#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("RIVULET_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => default,
    }
}

#[track_caller]
fn check(seed: u64, got: &[Difference], expected: &[Difference]) {
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got, expected, "difference {index} of seed {seed}");
    }
    assert_eq!(got.len(), expected.len(), "seed {seed}");
}

fn members(differences: &[Difference], until: EventTime) -> BTreeSet<(&str, &str)> {
    let mut members = BTreeSet::new();
    for it in differences.iter().filter(|it| it.time <= until) {
        match it.sign {
            Sign::Entered => members.insert((&*it.segment, &*it.user)),
            Sign::Left => members.remove(&(&*it.segment, &*it.user)),
        };
    }
    members
}

#[test]
fn what_is_saved_counts_what_came_before() {
    let mut at_once = 0;
    for seed in seeds(0..40) {
        let world = World::new(seed, Emit::OnWatermark);
        let (got, timeline) = world.save();
        check(seed, &got, &answer(&world.log(&timeline)).differences);
        let begins = |edit: &TimedEdit| got.iter().filter(|it| it.time == edit.time).count();
        at_once += timeline.edits.iter().map(begins).sum::<usize>();
    }
    assert!(at_once > 100, "only {at_once} entered or left at once");
}

#[test]
fn what_was_saved_is_the_same_after_crashes() {
    for seed in seeds(0..40) {
        let mut world = World::new(seed, Emit::OnWatermark);
        let (expected, timeline) = world.save();
        let stretches = world.stretches();
        check(
            seed,
            &run_crashing_saved(&world.log(&timeline), &stretches, world.retain),
            &expected,
        );
    }
}

#[test]
fn at_once_it_is_right_wherever_all_has_come() {
    for seed in seeds(190..230) {
        let mut world = World::new(seed, Emit::OnEvent);
        let (got, timeline) = world.save();
        let log = world.log(&timeline);
        let expected = answer(&log).differences;
        let last = world.arrivals.iter().filter_map(|it| it.time).max().unwrap();
        let instants = expected.iter().chain(&got).map(|it| it.time).filter(|it| *it >= last);
        for now in instants.collect::<BTreeSet<_>>() {
            assert_eq!(members(&got, now), members(&expected, now), "seed {seed} at {now}");
        }
        let whole = Stretch { pace: world.pace, checkpoints: vec![], merged: false, order: None };
        let expected = run_crashing_saved(&log, &[whole], world.retain);
        let stretches = world.stretches();
        let got = run_crashing_saved(&world.log(&timeline), &stretches, world.retain);
        check(seed, &got, &expected);
    }
}
