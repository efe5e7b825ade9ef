//! What holds for one user at one instant.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::definitions::{Definitions, Epoch, Kept};
use super::life::{History, Life};
use super::stream::{Completion, Stream, Taken, Total, completions};
use crate::model::record::sample_place;
use crate::model::time::leave_time;
use crate::model::{Amount, Duration, EventTime, Path, Value};
use crate::rule::{
    AggregateCondition, AttributeCondition, Comparison, Rule, Selector, SequenceCondition, Test,
    Truth,
};

/// All that any rule asks about one life of one user, laid out so that it can be asked for at any
/// instant.
pub(crate) struct Facts<'a> {
    user: &'a str,
    definitions: &'a Definitions<'a>,
    granularity: Duration,
    histories: HashMap<&'a Path, History>,
    streams: HashMap<(&'a Selector, Taken<'a>), Stream<'a>>,
    completions: HashMap<&'a SequenceCondition, Vec<Completion>>,
    instants: Vec<EventTime>,
}

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// Whether it holds.
    pub truth: bool,
    /// The value it looked at.
    pub value: Option<Value>,
    /// Whether it met a value of a wrong type.
    pub mismatch: bool,
}

impl<'a> Facts<'a> {
    /// The facts of this life.
    pub(crate) fn new(
        user: &'a str,
        life: &'a Life<'a>,
        definitions: &'a Definitions<'a>,
        granularity: Duration,
    ) -> Self {
        let mut facts = Facts {
            user,
            definitions,
            granularity,
            histories: HashMap::new(),
            streams: HashMap::new(),
            completions: HashMap::new(),
            instants: life.times.clone(),
        };
        facts.instants.extend(definitions.changes());
        for rule in definitions.leaves() {
            match rule {
                Rule::Attribute(condition) => facts.prepare_attribute(life, condition),
                Rule::Aggregate(condition) => facts.prepare_aggregate(life, condition),
                Rule::Sequence(sequence) => facts.prepare_sequence(life, sequence),
                _ => {}
            }
        }
        facts.instants.retain(|instant| life.covers(*instant));
        facts.instants.sort_unstable();
        facts.instants.dedup();
        facts
    }

    /// Every instant of the life at which anything could change, ascending.
    pub(crate) fn instants(&self) -> &[EventTime] {
        &self.instants
    }

    /// How things stand at an instant of the life.
    pub(crate) fn at(&self, now: EventTime) -> Moment<'_, 'a> {
        let known = vec![None; self.definitions.ids().len()];
        Moment { facts: self, epoch: self.definitions.at(now), now, known }
    }

    fn prepare_attribute(&mut self, life: &Life<'a>, condition: &'a AttributeCondition) {
        let path = &condition.path;
        let history = self.histories.entry(path).or_insert_with(|| life.history(path));
        for (since, value) in history {
            self.instants.extend(condition.held.map(|held| *since + held.ms()));
            let span = value.as_ref().and_then(|value| condition.test.span(value));
            self.instants.extend(span.into_iter().flat_map(|(from, until)| [from, until]));
        }
    }

    fn prepare_aggregate(&mut self, life: &Life<'a>, condition: &'a AggregateCondition) {
        let taken = Taken::by(&condition.measure);
        let stream = self
            .streams
            .entry((&condition.events, taken))
            .or_insert_with(|| Stream::new(&life.events, &condition.events, taken));
        if let Some(window) = condition.window {
            let leaves = |time: &EventTime| leave_time(*time, window, self.granularity);
            self.instants.extend(stream.times.iter().map(leaves));
        }
    }

    fn prepare_sequence(&mut self, life: &Life<'a>, sequence: &'a SequenceCondition) {
        let completions = completions(&life.events, sequence);
        let ends = completions.iter().map(|way| way.last + sequence.window.ms());
        self.instants.extend(ends);
        self.completions.insert(sequence, completions);
    }

    fn attribute(&self, condition: &AttributeCondition, now: EventTime) -> Finding {
        let history = self.histories.get(&condition.path).map(Vec::as_slice).unwrap_or_default();
        let begun = history.partition_point(|(since, _)| *since <= now);
        let present = begun.checked_sub(1).and_then(|last| history.get(last));
        let Some((since, value)) = present else { return Finding::unknown() };
        let truth = condition.test.holds_at(value.as_ref(), now);
        let long_enough = condition.held.is_none_or(|held| *since + held.ms() <= now);
        Finding {
            truth: truth.holds() && long_enough,
            value: value.clone(),
            mismatch: truth == Truth::Mismatch,
        }
    }

    fn aggregate(&self, condition: &'a AggregateCondition, now: EventTime) -> Finding {
        let taken = Taken::by(&condition.measure);
        let Some(stream) = self.streams.get(&(&condition.events, taken)) else {
            return Finding::unknown();
        };
        let after = self.definitions.sees_after(&Kept::of(condition), now);
        let range = stream.window(now, after, condition.window, self.granularity);
        let (truth, value) = match stream.total(&condition.measure, range) {
            Total::Value(value) => (condition.test.holds(value.as_ref()), value),
            Total::Mean { sum, count } => {
                (mean_holds(&condition.test, sum, count), Some(mean(sum, count)))
            }
        };
        let unusable = stream.mismatch(now, after, condition.window, self.granularity);
        let mismatch = unusable || truth == Truth::Mismatch;
        Finding { truth: truth.holds(), value, mismatch }
    }

    fn sequence(&self, sequence: &'a SequenceCondition, now: EventTime) -> Finding {
        let ways = self.completions.get(sequence).map(Vec::as_slice).unwrap_or_default();
        let after = self.definitions.sees_after(&Kept::Sequence(sequence), now);
        let done = ways.partition_point(|way| way.last <= now);
        // The last completion leaves its window last and sees the least far back.
        let last = done.checked_sub(1).and_then(|last| ways.get(last));
        let truth =
            last.is_some_and(|way| now < way.last + sequence.window.ms() && after < way.first);
        Finding { truth, ..Finding::unknown() }
    }
}

impl Finding {
    fn unknown() -> Self {
        Finding { truth: false, value: None, mismatch: false }
    }
}

/// Compares a mean without dividing: the sum against the constant times the count.
fn mean_holds(test: &Test, sum: Amount, count: i64) -> Truth {
    use Comparison::*;
    let against = |constant: &Value| match constant {
        Value::Number(number) => {
            let constant = number.to_amount_exactly()?;
            Some(sum.micros().cmp(&(constant.micros() * i128::from(count))))
        }
        _ => None,
    };
    let is = |constant: &Value| against(constant) == Some(Ordering::Equal);
    let ordered = |constant: &Value, holds: fn(Ordering) -> bool| {
        against(constant).map_or(Truth::Mismatch, |order| holds(order).into())
    };
    match &test.comparison {
        Eq(constant) => is(constant).into(),
        Neq(constant) => (!is(constant)).into(),
        In(constants) => constants.iter().any(is).into(),
        NotIn(constants) => (!constants.iter().any(is)).into(),
        Gt(bound) => ordered(bound, Ordering::is_gt),
        Gte(bound) => ordered(bound, Ordering::is_ge),
        Lt(bound) => ordered(bound, Ordering::is_lt),
        Lte(bound) => ordered(bound, Ordering::is_le),
        Between(low, high) => match ordered(low, Ordering::is_ge) {
            Truth::True => ordered(high, Ordering::is_le),
            other => other,
        },
        IsNull => Truth::False,
        IsNotNull => Truth::True,
        _ => Truth::Mismatch, // what rules do not allow for a mean
    }
}

/// The mean to six places, cut off; only ever shown.
fn mean(sum: Amount, count: i64) -> Value {
    Value::Number(Amount::from_micros(sum.micros() / i128::from(count.max(1))).to_decimal())
}

/// How things stand for one user at one instant.
pub(crate) struct Moment<'f, 'a> {
    facts: &'f Facts<'a>,
    epoch: Option<&'f Epoch<'a>>,
    now: EventTime,
    /// The memberships found so far, so that a segment many refer to is worked out once.
    known: Vec<Option<bool>>,
}

impl<'a> Moment<'_, 'a> {
    /// For each of [`Definitions::ids`], whether the user is in it.
    pub(crate) fn memberships(mut self) -> Vec<bool> {
        (0..self.known.len()).map(|segment| self.is_in(segment)).collect()
    }

    fn is_in(&mut self, segment: usize) -> bool {
        if let Some(Some(known)) = self.known.get(segment) {
            return *known;
        }
        let rule = self.epoch.and_then(|epoch| *epoch.rules.get(segment)?);
        let holds = rule.is_some_and(|rule| self.holds(rule));
        if let Some(known) = self.known.get_mut(segment) {
            *known = Some(holds);
        }
        holds
    }

    /// Whether a rule holds for the user.
    pub(crate) fn holds(&mut self, rule: &'a Rule) -> bool {
        match rule {
            Rule::All(rules) => rules.iter().all(|rule| self.holds(rule)),
            Rule::Any(rules) => rules.iter().any(|rule| self.holds(rule)),
            Rule::Not(rule) => !self.holds(rule),
            Rule::Segment(id) => {
                let index = self.facts.definitions.index(id);
                index.is_some_and(|index| self.is_in(index))
            }
            Rule::Everyone => true,
            Rule::Members(names) => names.iter().any(|name| **name == *self.facts.user),
            Rule::Sample(sample) => {
                let place = sample_place(&sample.key, self.facts.user);
                sample.from <= place && place - sample.from < sample.size
            }
            Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_) => self.finding(rule).truth,
        }
    }

    /// What a rule comes to, with the value it looks at.
    pub(crate) fn finding(&mut self, rule: &'a Rule) -> Finding {
        match rule {
            Rule::Attribute(condition) => self.facts.attribute(condition, self.now),
            Rule::Aggregate(condition) => self.facts.aggregate(condition, self.now),
            Rule::Sequence(sequence) => self.facts.sequence(sequence, self.now),
            _ => Finding { truth: self.holds(rule), ..Finding::unknown() },
        }
    }
}
