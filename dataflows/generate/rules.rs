//! Random rules of every kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::records::{ATTRIBUTES, EVENTS, PROPERTIES};
use super::values::{Kind, PATTERNS, exact, scalar, text};
use super::{Dice, Scene};
use crate::model::{Path, Value};
use crate::rule::{
    AggregateCondition, AttributeCondition, Comparison, Filter, Measure, NamePattern, Pattern,
    Rule, Sample, Selector, SequenceCondition, Test,
};

/// Makes the rules of one case. It remembers the aggregates it made, so that one is asked for by
/// several segments, with other comparisons, and again after its segment was replaced.
pub(super) struct Rules<'s> {
    scene: &'s Scene,
    aggregates: Vec<AggregateCondition>,
    sequences: Vec<SequenceCondition>,
}

impl<'s> Rules<'s> {
    pub(super) fn new(scene: &'s Scene) -> Self {
        Rules { scene, aggregates: Vec::new(), sequences: Vec::new() }
    }

    /// A rule that nests at most so deep and refers at most to these segments.
    pub(super) fn rule(&mut self, dice: &mut Dice, depth: u32, may_refer: &[Arc<str>]) -> Rule {
        let deeper = depth.saturating_sub(1);
        match dice.below(10) {
            0..3 if depth > 0 => Rule::All(self.several(dice, deeper, may_refer)),
            3..5 if depth > 0 => Rule::Any(self.several(dice, deeper, may_refer)),
            5 if depth > 0 => Rule::Not(Box::new(self.rule(dice, deeper, may_refer))),
            6 | 7 if !may_refer.is_empty() => Rule::Segment(dice.pick(may_refer)),
            _ => self.leaf(dice),
        }
    }

    fn several(&mut self, dice: &mut Dice, depth: u32, may_refer: &[Arc<str>]) -> Vec<Rule> {
        let some = dice.pick(&[2, 2, 2, 3, 3, 1, 0]);
        (0..some).map(|_| self.rule(dice, depth, may_refer)).collect()
    }

    fn leaf(&mut self, dice: &mut Dice) -> Rule {
        match dice.below(20) {
            0 => Rule::Everyone,
            1 => Rule::Members(self.members(dice)),
            2 => Rule::Sample(sample(dice)),
            3..8 => Rule::Attribute(self.attribute(dice)),
            8..17 => Rule::Aggregate(self.aggregate(dice)),
            _ => Rule::Sequence(self.sequence(dice)),
        }
    }

    fn members(&self, dice: &mut Dice) -> Arc<[Arc<str>]> {
        let named = self.scene.users.iter().filter(|_| dice.chance(50));
        let names: BTreeSet<Arc<str>> = named.copied().chain(["nobody"]).map(Arc::from).collect();
        names.into_iter().collect()
    }

    fn attribute(&self, dice: &mut Dice) -> AttributeCondition {
        let (path, usual) = dice.pick(&ATTRIBUTES);
        let path = Path::new(if dice.chance(4) { "never_set" } else { path });
        let kind = if dice.chance(10) { Kind::any(dice) } else { usual };
        let test = if kind == Kind::Time && dice.chance(60) {
            let duration = self.scene.duration(dice);
            let last = dice.chance(50);
            Test::new(if last { Comparison::WithinLast } else { Comparison::WithinNext }(duration))
        } else {
            test(dice, self.scene, kind)
        };
        let held = dice.chance(25).then(|| self.scene.duration(dice));
        AttributeCondition { path, test, held }
    }

    fn aggregate(&mut self, dice: &mut Dice) -> AggregateCondition {
        if dice.chance(35) && !self.aggregates.is_empty() {
            let known = dice.pick(&self.aggregates);
            let kind = usual_kind(&known.measure);
            return AggregateCondition { test: self.of_total(dice, &known.measure, kind), ..known };
        }
        let (measure, kind) = measure(dice);
        let window = (!dice.chance(15)).then(|| self.scene.duration(dice));
        let test = self.of_total(dice, &measure, kind);
        let condition = AggregateCondition { events: self.selector(dice), measure, window, test };
        self.aggregates.push(condition.clone());
        condition
    }

    /// A comparison for what the measure comes to: a number, save for first and last.
    fn of_total(&self, dice: &mut Dice, measure: &Measure, kind: Kind) -> Test {
        match measure {
            Measure::First(_) | Measure::Last(_) => test(dice, self.scene, kind),
            _ => Test::new(of_number(dice, &mut |dice| exact(dice))),
        }
    }

    fn sequence(&mut self, dice: &mut Dice) -> SequenceCondition {
        if dice.chance(25) && !self.sequences.is_empty() {
            return dice.pick(&self.sequences);
        }
        let steps = dice.pick(&[2, 2, 2, 3, 4]);
        let sequence = SequenceCondition {
            steps: (0..steps).map(|_| self.selector(dice)).collect(),
            within: self.scene.duration(dice).max(self.scene.duration(dice)),
            window: self.scene.duration(dice),
        };
        self.sequences.push(sequence.clone());
        sequence
    }

    fn selector(&self, dice: &mut Dice) -> Selector {
        let name = match dice.below(10) {
            0 => NamePattern::Prefix("".into()),
            1 | 2 => NamePattern::Prefix("shop.".into()),
            3 => NamePattern::Prefix("shop".into()),
            _ => NamePattern::Exact(dice.pick(&EVENTS).into()),
        };
        Selector { name, filter: dice.chance(15).then(|| self.filter(dice, 2)) }
    }

    fn filter(&self, dice: &mut Dice, depth: u32) -> Filter {
        let deeper = depth.saturating_sub(1);
        let several = |dice: &mut Dice| {
            let some = dice.below(3);
            (0..some).map(|_| self.filter(dice, deeper)).collect()
        };
        match dice.below(8) {
            0 if depth > 0 => Filter::All(several(dice)),
            1 if depth > 0 => Filter::Any(several(dice)),
            2 if depth > 0 => Filter::Not(Box::new(self.filter(dice, deeper))),
            _ => {
                let (path, kind) = dice.pick(&PROPERTIES);
                Filter::Property(Path::new(path), test(dice, self.scene, kind))
            }
        }
    }
}

fn sample(dice: &mut Dice) -> Sample {
    let size = dice.pick(&[1_000_000, 500_000, 100_000, 333_333, 1]);
    let key = dice.pick(&["spring", "k"]);
    Sample { key: key.into(), from: dice.below(1_000_001 - size), size }
}

fn measure(dice: &mut Dice) -> (Measure, Kind) {
    let (path, kind) = dice.pick(&PROPERTIES);
    let path = Path::new(path);
    let measure = match dice.below(9) {
        0 | 1 => Measure::Count,
        2 => Measure::Sum(path),
        3 => Measure::Avg(path),
        4 => Measure::Min(path),
        5 => Measure::Max(path),
        6 => Measure::Distinct(path),
        7 => Measure::First(path),
        _ => Measure::Last(path),
    };
    (measure, kind)
}

fn usual_kind(measure: &Measure) -> Kind {
    let path = measure.property().map(Path::as_str);
    let usual = PROPERTIES.iter().find(|(name, _)| Some(*name) == path);
    usual.map_or(Kind::Number, |(_, kind)| *kind)
}

/// A test that does not change by itself, fit for values of this kind.
fn test(dice: &mut Dice, scene: &Scene, kind: Kind) -> Test {
    let ignore_case = kind == Kind::Text && dice.chance(30);
    let fold = |value: Value| match value {
        Value::Text(text) if ignore_case => Value::text(&text.to_lowercase()),
        value => value,
    };
    let constant = &mut |dice: &mut Dice| fold(scalar(dice, scene, kind));
    let part = |dice: &mut Dice| -> Arc<str> {
        let part = text(dice);
        if ignore_case { part.to_lowercase().into() } else { part.into() }
    };
    let comparison = match (kind, dice.below(8)) {
        (Kind::Text, 0) => Comparison::Contains(fold(Value::text(text(dice)))),
        (Kind::Text, 1) => Comparison::StartsWith(part(dice)),
        (Kind::Text, 2) => Comparison::EndsWith(part(dice)),
        (Kind::Text, 3) => match Pattern::new(dice.pick(&PATTERNS), ignore_case) {
            Ok(pattern) => Comparison::Matches(pattern),
            Err(_) => Comparison::IsNotNull,
        },
        (Kind::List, 0 | 1) => Comparison::Contains(constant(dice)),
        (Kind::List, 2 | 3) => Comparison::AnyOf(constants(dice, constant)),
        (Kind::List, 4) => Comparison::AllOf(constants(dice, constant)),
        (Kind::List, 5 | 6) => Comparison::NoneOf(constants(dice, constant)),
        (Kind::Time, 0..3) => Comparison::Before(scene.time(dice)),
        (Kind::Time, 3..6) => Comparison::After(scene.time(dice)),
        (Kind::Flag | Kind::List, _) => of_scalar(dice, constant),
        _ => of_number(dice, constant),
    };
    let minds_case = matches!(comparison, Comparison::IsNull | Comparison::IsNotNull);
    Test { comparison, ignore_case: ignore_case && !minds_case }
}

/// A comparison of values that have an order.
fn of_number(dice: &mut Dice, constant: &mut dyn FnMut(&mut Dice) -> Value) -> Comparison {
    match dice.below(10) {
        0 => Comparison::Gt(constant(dice)),
        1 | 2 => Comparison::Gte(constant(dice)),
        3 => Comparison::Lt(constant(dice)),
        4 => Comparison::Lte(constant(dice)),
        5 => {
            let (one, other) = (constant(dice), constant(dice));
            let (low, high) = if one <= other { (one, other) } else { (other, one) };
            Comparison::Between(low, high)
        }
        _ => of_scalar(dice, constant),
    }
}

/// A comparison of any scalars.
fn of_scalar(dice: &mut Dice, constant: &mut dyn FnMut(&mut Dice) -> Value) -> Comparison {
    match dice.below(7) {
        0 | 1 => Comparison::Eq(constant(dice)),
        2 => Comparison::Neq(constant(dice)),
        3 => Comparison::In(constants(dice, constant)),
        4 => Comparison::NotIn(constants(dice, constant)),
        5 => Comparison::IsNull,
        _ => Comparison::IsNotNull,
    }
}

fn constants(dice: &mut Dice, constant: &mut dyn FnMut(&mut Dice) -> Value) -> Vec<Value> {
    let some = dice.below(3) + 1;
    (0..some).map(|_| constant(dice)).collect()
}
