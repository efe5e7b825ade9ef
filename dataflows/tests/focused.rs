//! The dataflow against the oracle on worlds that ask about one thing only, but much of it.
//!
//! Random worlds of every kind are small; these have hundreds of records a user and dozens of
//! comparisons of one fact, so that alarms set far ahead, passed over or set anew are the rule.
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::clock::{ClockSettings, Emit};
use dataflows::generate::Case;
use dataflows::in_memory::{Pace, run};
use dataflows::model::time::{MAX_TIME, MIN_TIME};
use dataflows::model::{
    Action, Arrival, Decimal, Difference, Duration, EventTime, Path, Position, Sign, Value,
};
use dataflows::oracle::answer;
use dataflows::rule::{
    AggregateCondition, AttributeCondition, Comparison, Definition, Measure, NamePattern, Rule,
    Sample, Selector, SequenceCondition, Test,
};

/// Steele, Lea and Flood's `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn number(text: &str) -> Value {
    Value::Number(Decimal::parse(text).unwrap())
}

fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

fn selector(name: &str) -> Selector {
    Selector { name: NamePattern::Exact(name.into()), filter: None }
}

fn aggregate(measure: Measure, window: Option<i64>, comparison: Comparison) -> Rule {
    let (events, window, test) = (selector("buy"), window.map(ms), Test::new(comparison));
    Rule::Aggregate(AggregateCondition { events, measure, window, test })
}

fn attribute(path: &str, comparison: Comparison, held: Option<i64>) -> Rule {
    let (path, test) = (Path::new(path), Test::new(comparison));
    Rule::Attribute(AttributeCondition { path, test, held: held.map(ms) })
}

fn compared(dice: &mut Dice, bounds: &[&str]) -> Comparison {
    let mut bound = || number(dice.pick(bounds));
    let (low, high) = (bound(), bound());
    match dice.below(8) {
        0 => Comparison::Eq(low),
        1 => Comparison::Neq(low),
        2 => Comparison::Gt(low),
        3 => Comparison::Gte(low),
        4 => Comparison::Lt(low),
        5 => Comparison::Lte(low),
        6 => Comparison::NotIn(vec![low, high]),
        _ => Comparison::Between(low, high),
    }
}

const DAY: i64 = 86_400_000;
const CENTURY: i64 = 36_500 * DAY;
const WINDOWS: [i64; 9] = [1, 10, 50, 200, 1_000, DAY, DAY + 1, 365 * DAY, CENTURY];
const COUNTS: [&str; 12] =
    ["0", "0.5", "1", "2", "2.5", "-1", "-0.5", "64", "65", "100", "130.5", "7"];
const SUMS: [&str; 12] =
    ["0", "0.5", "1", "2.5", "-1", "-0.000001", "64", "65", "100", "1000", "999.999999", "7"];

fn counts(dice: &mut Dice) -> Rule {
    let window = Some(dice.pick(&WINDOWS)).filter(|_| !dice.chance(10));
    aggregate(Measure::Count, window, compared(dice, &COUNTS))
}

fn sums(dice: &mut Dice) -> Rule {
    let window = Some(dice.pick(&WINDOWS)).filter(|_| !dice.chance(10));
    aggregate(Measure::Sum(Path::new("amount")), window, compared(dice, &SUMS))
}

fn others(dice: &mut Dice) -> Rule {
    let path = Path::new("amount");
    let window = Some(dice.pick(&WINDOWS)).filter(|_| !dice.chance(10));
    let measures: [fn(Path) -> Measure; 6] = [
        Measure::Avg,
        Measure::Min,
        Measure::Max,
        Measure::Distinct,
        Measure::First,
        Measure::Last,
    ];
    aggregate(dice.pick(&measures)(path), window, compared(dice, &SUMS))
}

fn timed(dice: &mut Dice) -> Rule {
    let some = dice.pick(&[0, 1, 10, 50, 200, DAY]);
    let held = dice.chance(70).then_some(some);
    let comparison = match dice.below(6) {
        0 => Comparison::IsNull,
        1 => Comparison::IsNotNull,
        2 => Comparison::WithinLast(ms(dice.pick(&[1, 10, 50, 200]))),
        3 => Comparison::WithinNext(ms(dice.pick(&[1, 10, 50, 200]))),
        _ => compared(dice, &SUMS),
    };
    attribute(dice.pick(&["plan", "p.x", "at"]), comparison, held)
}

fn sequences(dice: &mut Dice) -> Rule {
    let some = dice.pick(&[2, 3, 4]);
    let steps = (0..some).map(|_| selector(dice.pick(&["buy", "view"]))).collect();
    let (within, window) = (ms(dice.pick(&[1, 5, 50])), ms(dice.pick(&[1, 5, 50])));
    Rule::Sequence(SequenceCondition { steps, within, window })
}

fn personal(dice: &mut Dice) -> Rule {
    match dice.below(6) {
        0 => Rule::Everyone,
        1 => Rule::Members(["u1".into()].into()),
        2 => Rule::Sample(Sample { key: "k".into(), from: 0, size: 500_000 }),
        3 => counts(dice),
        _ => timed(dice),
    }
}

/// A rule over segments, with doubled children, a child beside its negation, and gates under gates.
fn referring(dice: &mut Dice, ids: &[Arc<str>], depth: usize) -> Rule {
    let child = |dice: &mut Dice| match dice.below(6) {
        0 if depth > 0 => referring(dice, ids, depth - 1),
        1 => personal(dice),
        _ => Rule::Segment(dice.pick(ids)),
    };
    let one = child(dice);
    let two = if dice.chance(40) { one.clone() } else { child(dice) };
    let negated = |rule: Rule| Rule::Not(Box::new(rule));
    let two = if dice.chance(40) { negated(two) } else { two };
    match dice.below(5) {
        0 => negated(Rule::Any(vec![negated(one), negated(two)])),
        1 => negated(negated(Rule::All(vec![one, two]))),
        2 => Rule::Any(vec![one, two]),
        3 => Rule::All(vec![negated(one), two]),
        _ => Rule::All(vec![one, two]),
    }
}

type Make = fn(&mut Dice) -> Rule;

fn definition(id: &str, rule: Rule) -> Arc<Definition> {
    Arc::new(Definition { id: id.into(), name: None, description: None, rule })
}

fn records(dice: &mut Dice, count: usize, start: EventTime, disorder: i64) -> Vec<Arrival> {
    let (mut arrivals, mut now) = (Vec::new(), start);
    let amounts = ["0", "0", "0", "1", "1", "2.5", "0.000001", "99", "-1", "-2.5", "-99"];
    let usable = if dice.chance(50) { &amounts[..8] } else { &amounts[..] };
    for offset in 0..count {
        now += dice.pick(&[0, 0, 1, 1, 1, 2, 9, 60]);
        let late = if disorder > 0 { dice.below(disorder as usize + 1) as i64 } else { 0 };
        let value = number(dice.pick(usable));
        let action = match dice.below(40) {
            0 if dice.chance(10) => Action::Delete,
            0..4 => Action::Attributes(vec![("plan".into(), value)]),
            4 => Action::Attributes(vec![("plan".into(), Value::Null)]),
            5 => Action::Attributes(vec![("p".into(), Value::object(vec![("x".into(), value)]))]),
            6 => Action::Attributes(vec![("p.x".into(), dice.pick(&[value, Value::Null]))]),
            7 => Action::Attributes(vec![("at".into(), number(&now.to_string()))]),
            8..14 => Action::Event { name: "view".into(), properties: Value::object(vec![]) },
            _ => {
                let properties = Value::object(vec![("amount".into(), value)]);
                Action::Event { name: "buy".into(), properties }
            }
        };
        let position = Position { partition: 0, offset: offset as u64 };
        let user = dice.pick(&["u1", "u1", "u1", "u1", "u2"]).into();
        arrivals.push(Arrival { position, time: Some(now - late), user, id: None, action });
    }
    arrivals
}

/// Many comparisons of one kind, some of them put, replaced or deleted on the way.
fn case(seed: u64, make: Make, refer: bool, disorder: i64, count: usize) -> Case {
    let mut dice = Dice(seed);
    let start = dice.pick(&[0, 1_767_225_600_001, MIN_TIME + 100, MAX_TIME - 100_000]);
    let arrivals = records(&mut dice, count, start, disorder);
    let ids: Vec<Arc<str>> = (0..24).map(|id| format!("s{id}").into()).collect();
    let plain = if refer { 8 } else { ids.len() };
    let rule = |dice: &mut Dice, index: usize| {
        if index < plain { make(dice) } else { referring(dice, &ids[..index], 2) }
    };
    let each = ids.iter().enumerate();
    let initial = each.map(|(index, id)| definition(id, rule(&mut dice, index))).collect();
    let times: Vec<_> = arrivals.iter().filter_map(|arrival| arrival.time).collect();
    let mut chosen: Vec<_> = (0..8).map(|_| dice.pick(&times) + dice.pick(&[0, 0, 1])).collect();
    chosen.sort_unstable();
    let mut edits = Vec::new();
    for time in chosen {
        let index = dice.below(ids.len());
        let id = ids[index].clone();
        if !refer && dice.chance(30) {
            edits.push(TimedEdit { time, from: None, saved: None, edit: Edit::Delete(id.clone()) });
        }
        let made = if refer && index >= plain && dice.chance(50) {
            make(&mut dice)
        } else {
            rule(&mut dice, index)
        };
        edits.push(TimedEdit {
            time,
            from: None,
            saved: None,
            edit: Edit::Put(definition(&id, made)),
        });
    }
    let clock = ClockSettings {
        max_out_of_orderness: ms(disorder),
        dedup_horizon: ms(disorder),
        granularity: ms(dice.pick(&[1, 7, 60_000, 400 * DAY, CENTURY])),
        ..ClockSettings::default()
    };
    let retain = dice.chance(30).then(|| ms(dice.pick(&[0, 5, 100, DAY])));
    Case { timeline: Timeline { initial, edits }, arrivals, clock, retain }
}

fn members(differences: &[Difference]) -> BTreeSet<(&str, &str)> {
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for Difference { segment, user, sign, .. } in differences {
        let sum = sums.entry((segment, user)).or_default();
        *sum += if *sign == Sign::Entered { 1 } else { -1 };
        assert!((0..=1).contains(sum), "{user} is {sum} times in {segment}");
    }
    sums.into_iter().filter(|(_, sum)| *sum == 1).map(|(member, _)| member).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn check(make: Make, refer: bool, seeds: std::ops::Range<u64>, count: usize) {
    let seeds = match std::env::var("RIVULET_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => seeds,
    };
    for seed in seeds {
        let (workers, block) = [(1, 10_000), (1, 1), (2, 13)][usize::try_from(seed % 3).unwrap()];
        let pace = Pace { workers, block };
        for disorder in [0, 40] {
            let mut case = case(seed, make, refer, disorder, count);
            let expected = answer(&case.log()).differences;
            let got = run(&case.log(), pace).differences;
            same(&got, &expected, &format!("seed {seed}, disorder {disorder}"));
            case.clock.emit = Emit::OnEvent;
            let got = run(&case.log(), pace).differences;
            if disorder == 0 {
                same(&got, &expected, &format!("seed {seed}, on_event"));
            }
            assert_eq!(members(&got), members(&expected), "seed {seed}, on_event");
        }
    }
}

fn same(got: &[Difference], expected: &[Difference], case: &str) {
    let first = got.iter().zip(expected).position(|(got, expected)| got != expected);
    if let Some(first) = first {
        panic!("{case}: difference {first} is {}, not {}", got[first], expected[first]);
    }
    assert_eq!(got.len(), expected.len(), "{case}");
}

#[test]
fn counts_and_nothing_else() {
    check(counts, false, 0..6, 400);
}

#[test]
fn sums_and_nothing_else() {
    check(sums, false, 0..9, 400);
}

#[test]
fn means_extremes_ends_and_distinct_values() {
    check(others, false, 0..6, 250);
}

#[test]
fn attributes_that_time_changes() {
    check(timed, false, 0..9, 250);
}

#[test]
fn sequences_and_nothing_else() {
    check(sequences, false, 0..6, 300);
}

#[test]
fn references_to_references() {
    check(personal, true, 0..12, 120);
}

/// References as deep as they may be, with a negation at every step.
#[test]
fn references_sixty_four_deep() {
    let id = |depth: usize| Arc::<str>::from(format!("d{depth:02}"));
    let mut initial =
        vec![definition(&id(0), aggregate(Measure::Count, Some(10), Comparison::Gte(number("2"))))];
    for depth in 1..64 {
        let below = Rule::Not(Box::new(Rule::Segment(id(depth - 1))));
        let rule = if depth % 7 == 0 { Rule::All(vec![below, Rule::Everyone]) } else { below };
        initial.push(definition(&id(depth), rule));
    }
    let arrivals = records(&mut Dice(1), 60, 0, 0);
    let timeline = Timeline { initial, edits: Vec::new() };
    let case = Case { timeline, arrivals, clock: ClockSettings::default(), retain: None };
    let got = run(&case.log(), Pace { workers: 2, block: 5 }).differences;
    same(&got, &answer(&case.log()).differences, "64 deep");
}

/// Ten thousand segments, over half of them put at once while users are there.
#[test]
fn ten_thousand_segments() {
    let mut dice = Dice(3);
    let mut made = |id: usize| {
        let bound = || number(&format!("{}.5", id % 700));
        let rule = match id % 3 {
            0 => aggregate(Measure::Count, Some(1 + id as i64 % 5), Comparison::Gt(bound())),
            1 => attribute("plan", Comparison::Gt(bound()), None),
            _ => counts(&mut dice),
        };
        definition(&format!("n{id}"), rule)
    };
    let initial = (0..4_000).map(&mut made).collect();
    let put = |id| TimedEdit { time: 20, from: None, saved: None, edit: Edit::Put(made(id)) };
    let edits = (4_000..10_000).map(put).collect();
    let arrivals = records(&mut Dice(1), 12, 0, 0);
    let clock = ClockSettings { max_out_of_orderness: ms(0), ..ClockSettings::default() };
    let case = Case { timeline: Timeline { initial, edits }, arrivals, clock, retain: None };
    let got = run(&case.log(), Pace { workers: 1, block: 5 }).differences;
    members(&got);
    assert!(got.len() > 1_000, "{}", got.len());
}
