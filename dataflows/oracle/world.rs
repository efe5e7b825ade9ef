//! Small logs and rules, written in few words, for tests.

use std::sync::Arc;

use super::{Answer, Log, answer};
use crate::catalog::{Edit, TimedEdit, Timeline};
use crate::clock::ClockSettings;
use crate::model::{Action, Arrival, Difference, Duration, EventTime, Path, Position, Value};
use crate::rule::{
    AggregateCondition, AttributeCondition, Comparison, Definition, Filter, Measure, NamePattern,
    Rule, Selector, SequenceCondition, Test,
};

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// A log in the making. Partitions are so disordered that nothing is late unless a test says so.
#[derive(Debug, Default, Clone)]
pub(crate) struct World {
    pub arrivals: Vec<Arrival>,
    pub timeline: Timeline,
    pub clock: ClockSettings,
    pub retain: Option<Duration>,
    partition: u32,
}

pub(crate) fn world() -> World {
    World::default().disorder(1_000 * DAY)
}

pub(crate) fn value(json: &str) -> Value {
    Value::from_json(&serde_json::from_str(json).unwrap()).unwrap()
}

pub(crate) fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

impl World {
    pub(crate) fn disorder(mut self, most_ms: i64) -> Self {
        self.clock.max_out_of_orderness = ms(most_ms);
        self
    }

    pub(crate) fn horizon(mut self, dedup_ms: i64) -> Self {
        self.clock.dedup_horizon = ms(dedup_ms);
        self
    }

    pub(crate) fn retain(mut self, retain_ms: i64) -> Self {
        self.retain = Some(ms(retain_ms));
        self
    }

    /// The records that follow are in this partition.
    pub(crate) fn partition(mut self, partition: u32) -> Self {
        self.partition = partition;
        self
    }

    pub(crate) fn record(mut self, time: EventTime, user: &str, action: Action) -> Self {
        let own = self.arrivals.iter().filter(|a| a.position.partition == self.partition);
        let position = Position { partition: self.partition, offset: own.count() as u64 };
        self.arrivals.push(Arrival {
            position,
            time: Some(time),
            user: user.into(),
            id: None,
            action,
        });
        self
    }

    /// The last record has this id.
    pub(crate) fn id(mut self, id: &str) -> Self {
        self.arrivals.last_mut().unwrap().id = Some(id.into());
        self
    }

    /// The last record has no time.
    pub(crate) fn timeless(mut self) -> Self {
        self.arrivals.last_mut().unwrap().time = None;
        self
    }

    pub(crate) fn event(self, time: EventTime, user: &str, name: &str, properties: &str) -> Self {
        let action = Action::Event { name: name.into(), properties: value(properties) };
        self.record(time, user, action)
    }

    pub(crate) fn set(self, time: EventTime, user: &str, attributes: &str) -> Self {
        let Value::Object(members) = value(attributes) else { panic!("{attributes}") };
        self.record(time, user, Action::Attributes(members.to_vec()))
    }

    pub(crate) fn delete(self, time: EventTime, user: &str) -> Self {
        self.record(time, user, Action::Delete)
    }

    pub(crate) fn segment(mut self, id: &str, rule: Rule) -> Self {
        self.timeline.initial.push(definition(id, rule));
        self
    }

    pub(crate) fn put(mut self, time: EventTime, id: &str, rule: Rule) -> Self {
        self.timeline.edits.push(TimedEdit {
            time,
            from: None,
            saved: None,
            edit: Edit::Put(definition(id, rule)),
        });
        self
    }

    pub(crate) fn drop(mut self, time: EventTime, id: &str) -> Self {
        self.timeline.edits.push(TimedEdit {
            time,
            from: None,
            saved: None,
            edit: Edit::Delete(id.into()),
        });
        self
    }

    pub(crate) fn log(&self) -> Log<'_> {
        Log {
            arrivals: &self.arrivals,
            timeline: &self.timeline,
            clock: self.clock,
            retain: self.retain,
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        answer(&self.log())
    }

    /// Checks the differences, written as `120000 + high_value u1`.
    #[track_caller]
    pub(crate) fn gives(&self, expected: &[&str]) {
        let line = |d: &Difference| {
            let sign = if d.sign.diff() > 0 { '+' } else { '-' };
            format!("{} {sign} {} {}", d.time, d.segment, d.user)
        };
        let found: Vec<String> = self.answer().differences.iter().map(line).collect();
        assert_eq!(found, expected);
    }
}

fn definition(id: &str, rule: Rule) -> Arc<Definition> {
    Arc::new(Definition { id: id.into(), name: None, description: None, rule })
}

pub(crate) fn attribute(path: &str, comparison: Comparison) -> Rule {
    let test = Test::new(comparison);
    Rule::Attribute(AttributeCondition { path: Path::new(path), test, held: None })
}

pub(crate) fn held(path: &str, comparison: Comparison, held_ms: i64) -> Rule {
    let test = Test::new(comparison);
    Rule::Attribute(AttributeCondition { path: Path::new(path), test, held: Some(ms(held_ms)) })
}

/// A selector: `buy`, or `shop.*`.
pub(crate) fn named(name: &str) -> Selector {
    let name = match name.strip_suffix('*') {
        Some(prefix) => NamePattern::Prefix(prefix.into()),
        None => NamePattern::Exact(name.into()),
    };
    Selector { name, filter: None }
}

pub(crate) fn named_where(name: &str, path: &str, comparison: Comparison) -> Selector {
    let filter = Filter::Property(Path::new(path), Test::new(comparison));
    Selector { filter: Some(filter), ..named(name) }
}

/// An aggregate; a window of 0 is none.
pub(crate) fn aggregate(
    events: Selector,
    measure: Measure,
    window_ms: i64,
    comparison: Comparison,
) -> Rule {
    let window = (window_ms > 0).then(|| ms(window_ms));
    Rule::Aggregate(AggregateCondition { events, measure, window, test: Test::new(comparison) })
}

pub(crate) fn count(name: &str, window_ms: i64, comparison: Comparison) -> Rule {
    aggregate(named(name), Measure::Count, window_ms, comparison)
}

pub(crate) fn amount(measure: fn(Path) -> Measure, window_ms: i64, comparison: Comparison) -> Rule {
    aggregate(named("buy"), measure(Path::new("amount")), window_ms, comparison)
}

pub(crate) fn sequence(names: &[&str], within_ms: i64, window_ms: i64) -> Rule {
    let steps = names.iter().map(|name| named(name)).collect();
    Rule::Sequence(SequenceCondition { steps, within: ms(within_ms), window: ms(window_ms) })
}

pub(crate) fn refer(id: &str) -> Rule {
    Rule::Segment(id.into())
}

pub(crate) fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}
