//! Streams: which events the rules ask about, and what they take from each.
//!
//! Every behavioural condition reads one stream per selector and property; conditions that ask for
//! the same events share it, whatever their windows and thresholds. A source asks [`Streams`] what
//! is [`Wanted`] of an event by its name, decodes only those properties, and passes on the
//! [`Hit`]s. The events of a stream may also be [counted](Streams::count), whether a rule asks for
//! them or not, and outputs may be [told](Streams::tell) of attributes.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::catalog::{Edit, Timeline};
use crate::codec::fingerprint;
use crate::model::{Hit, Hits, Path, Payload, StreamId, Value};
use crate::rule::{AggregateCondition, Measure, NamePattern, Rule, Selector};

mod whole;

/// Which events, and what is taken from each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Stream {
    /// Which events.
    pub events: Selector,
    /// What is taken from each.
    pub take: Take,
}

/// What a stream takes from each of its events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub enum Take {
    /// Only that it happened.
    Nothing,
    /// A number to compute with.
    Amount(Path),
    /// A value of any type.
    Value(Path),
    /// All that is said of it: its name and all its properties.
    Whole,
}

impl Stream {
    /// Every event, whole.
    pub fn of_all() -> Self {
        let name = NamePattern::Prefix("".into());
        Stream { events: Selector { name, filter: None }, take: Take::Whole }
    }

    /// The stream an aggregate is computed over.
    pub fn of_aggregate(condition: &AggregateCondition) -> Self {
        let take = match &condition.measure {
            Measure::Count => Take::Nothing,
            Measure::Sum(path) | Measure::Avg(path) | Measure::Min(path) | Measure::Max(path) => {
                Take::Amount(path.clone())
            }
            Measure::Distinct(path) | Measure::First(path) | Measure::Last(path) => {
                Take::Value(path.clone())
            }
        };
        Stream { events: condition.events.clone(), take }
    }

    /// The stream a step of a sequence waits on.
    pub fn of_step(step: &Selector) -> Self {
        Stream { events: step.clone(), take: Take::Nothing }
    }

    /// The streams a condition reads, not those of the rules below it.
    pub fn of_rule(rule: &Rule) -> Vec<Self> {
        match rule {
            Rule::Aggregate(condition) => vec![Stream::of_aggregate(condition)],
            Rule::Sequence(condition) => condition.steps.iter().map(Stream::of_step).collect(),
            _ => Vec::new(),
        }
    }

    /// What this stream takes from an event of a fitting name; `None` if its filter turns the
    /// event away.
    fn payload(&self, name: &str, properties: &Value) -> Option<Payload> {
        let (holds, mismatch) =
            self.events.filter.as_ref().map_or((true, false), |filter| filter.holds(properties));
        if !holds {
            return mismatch.then_some(Payload::Mismatch);
        }
        Some(match &self.take {
            Take::Nothing => Payload::Happened,
            Take::Amount(path) => match properties.at(path.as_str()) {
                Some(Value::Number(number)) => {
                    number.to_amount().map_or(Payload::Mismatch, Payload::from)
                }
                _ => Payload::Mismatch,
            },
            Take::Value(path) => {
                let value = properties.at(path.as_str()).cloned();
                value.map_or(Payload::Mismatch, |value| Payload::Value(Box::new(value)))
            }
            Take::Whole => Payload::Whole(whole::whole(name, properties)),
        })
    }
}

/// All streams of a run, each with its index.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    list: Vec<Stream>,
    /// What stands for each in what is kept.
    fingerprints: Vec<u64>,
    ids: HashMap<Stream, StreamId>,
    by_name: HashMap<Arc<str>, Vec<StreamId>>,
    by_prefix: Vec<(Arc<str>, StreamId)>,
    /// By stream, whether rules ask for it.
    asked: Vec<bool>,
    /// By stream, which counter counts its events.
    counters: Vec<Option<u32>>,
    /// How many counters there are.
    counts: u32,
    /// The attributes outputs are told of.
    told: Arc<[Path]>,
}

/// What the rules want of events of one name.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The members of `properties` that are read; others need not be decoded, unless
    /// [all](Wanted::is_all) are.
    pub keys: Vec<Arc<str>>,
    /// Whether all members are read.
    is_all: bool,
    name: Arc<str>,
    /// The streams that may take the event.
    streams: Vec<StreamId>,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { keys: Vec::new(), is_all: false, name: "".into(), streams: Vec::new() }
    }
}

impl Wanted {
    /// Whether all members of `properties` are read.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// Whether a member of `properties` is read.
    pub fn has(&self, key: &str) -> bool {
        self.is_all || self.keys.iter().any(|wanted| **wanted == *key)
    }

    /// Whether no rule asks about these events.
    pub fn is_nothing(&self) -> bool {
        self.streams.is_empty()
    }
}

impl Streams {
    /// The streams of every definition that is in force at any time that is known. Equal timelines give equal indexes,
    /// in every process.
    pub fn of(timeline: &Timeline) -> Self {
        let mut streams = Streams::default();
        for definition in &timeline.initial {
            streams.add_rule(&definition.rule);
        }
        for edit in &timeline.edits {
            if let Edit::Put(definition) = &edit.edit {
                streams.add_rule(&definition.rule);
            }
        }
        streams
    }

    /// Adds what a rule asks for. Equal rules added in one order give equal indexes, in every
    /// process, and what there was keeps its own.
    pub fn add_rule(&mut self, rule: &Rule) {
        rule.walk(&mut |node| {
            for stream in Stream::of_rule(node) {
                self.add(stream);
            }
        });
    }

    /// Whether all that a rule asks for is among them.
    pub fn know(&self, rule: &Rule) -> bool {
        let mut is_known = true;
        rule.walk(&mut |node| {
            let is_asked = |it: &Stream| self.id(it).is_some_and(|id| self.is_asked(id));
            is_known &= Stream::of_rule(node).iter().all(is_asked);
        });
        is_known
    }

    /// The index of a stream that rules ask for, which is added if it is new.
    pub fn add(&mut self, stream: Stream) -> StreamId {
        let id = self.index(stream);
        self.asked[id.0 as usize] = true;
        id
    }

    fn index(&mut self, stream: Stream) -> StreamId {
        if let Some(id) = self.ids.get(&stream) {
            return *id;
        }
        let id = StreamId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        match &stream.events.name {
            NamePattern::Exact(name) => self.by_name.entry(name.clone()).or_default().push(id),
            NamePattern::Prefix(prefix) => self.by_prefix.push((prefix.clone(), id)),
        }
        self.ids.insert(stream.clone(), id);
        self.fingerprints.push(fingerprint(&stream));
        self.asked.push(false);
        self.counters.push(None);
        self.list.push(stream);
        id
    }

    /// Has the events of a stream counted, each once, by the next counter: the first is 0. Counters
    /// are to be the same in every process. A stream has one at most.
    pub fn count(&mut self, stream: Stream) {
        let id = self.index(stream);
        self.counters[id.0 as usize] = Some(self.counts);
        self.counts += 1;
    }

    /// Has outputs told of these attributes. They are to be the same in every process.
    pub fn tell(&mut self, attributes: &[Path]) {
        self.told = attributes.into();
    }

    /// The attributes outputs are told of.
    pub fn told(&self) -> &[Path] {
        &self.told
    }

    /// Whether any events are counted.
    pub fn are_counted(&self) -> bool {
        self.counts > 0
    }

    /// Whether rules ask for a stream; else it is only counted.
    pub fn is_asked(&self, id: StreamId) -> bool {
        self.asked.get(id.0 as usize).copied().unwrap_or(false)
    }

    /// The counter of a stream, if its events are counted.
    pub fn counter(&self, id: StreamId) -> Option<u32> {
        self.counters.get(id.0 as usize).copied().flatten()
    }

    /// The index of a stream that has been added.
    pub fn id(&self, stream: &Stream) -> Option<StreamId> {
        self.ids.get(stream).copied()
    }

    /// What stands for a stream in what is kept, in any run.
    pub fn fingerprint(&self, id: StreamId) -> u64 {
        *self.fingerprints.get(id.0 as usize).expect("a stream id names a known stream")
    }

    /// The stream a fingerprint stands for, if it is known. Costs a pass over all.
    pub fn by_fingerprint(&self) -> HashMap<u64, StreamId> {
        self.fingerprints.iter().copied().zip((0..).map(StreamId)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether no rule asks about events.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What is wanted of events of this name. Costs a look-up and a pass over the prefixes, so
    /// readers remember the answer per name.
    pub fn wanted(&self, name: &str) -> Wanted {
        let mut streams = self.by_name.get(name).cloned().unwrap_or_default();
        let prefixed = self.by_prefix.iter().filter(|(prefix, _)| name.starts_with(&**prefix));
        streams.extend(prefixed.map(|(_, id)| *id));
        let mut keys: Vec<Arc<str>> = Vec::new();
        let mut is_all = false;
        for stream in streams.iter().filter_map(|id| self.get(*id)) {
            is_all |= stream.take == Take::Whole;
            let mut paths = Vec::new();
            if let Some(filter) = &stream.events.filter {
                filter.paths(&mut paths);
            }
            if let Take::Amount(path) | Take::Value(path) = &stream.take {
                paths.push(path);
            }
            for path in paths {
                keys.push(path.as_str().into());
                keys.extend(path.split().map(|(first, _)| first.into()));
            }
        }
        keys.sort();
        keys.dedup();
        Wanted { keys, is_all, name: name.into(), streams }
    }

    /// The hits of an event, given what is wanted of its name and an object of (at least) the
    /// wanted properties.
    pub fn hits(&self, wanted: &Wanted, properties: &Value) -> Hits {
        let hit = |id: &StreamId| {
            let payload = self.get(*id)?.payload(&wanted.name, properties)?;
            Some(Hit { stream: *id, payload })
        };
        wanted.streams.iter().filter_map(hit).collect()
    }

    /// A stream.
    pub fn get(&self, id: StreamId) -> Option<&Stream> {
        self.list.get(usize::try_from(id.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Amount;
    use crate::rule::{Comparison, Filter, Test};

    fn selector(name: NamePattern, filter: Option<Filter>) -> Selector {
        Selector { name, filter }
    }

    #[test]
    fn only_wanted_keys_are_asked_for_and_filters_decide() {
        let euro = Filter::Property(
            Path::new("order.currency"),
            Test::new(Comparison::Eq(Value::text("EUR"))),
        );
        let mut streams = Streams::default();
        let spent = streams.add(Stream {
            events: selector(NamePattern::Exact("purchase".into()), Some(euro)),
            take: Take::Amount(Path::new("amount")),
        });
        let any = streams.add(Stream {
            events: selector(NamePattern::Prefix("pur".into()), None),
            take: Take::Nothing,
        });
        let wanted = streams.wanted("purchase");
        assert_eq!(wanted.keys, ["amount", "order", "order.currency"].map(Arc::from));
        let hits = |json: &str| {
            let value = Value::from_json(&serde_json::from_str(json).unwrap()).unwrap();
            streams.hits(&wanted, &value).to_vec()
        };
        let happened = Hit { stream: any, payload: Payload::Happened };
        let amount = Hit { stream: spent, payload: Payload::from(Amount::whole(5)) };
        assert_eq!(hits(r#"{"amount":5,"order":{"currency":"EUR"}}"#), [amount, happened.clone()]);
        assert_eq!(
            hits(r#"{"amount":5,"order":{"currency":"USD"}}"#),
            std::slice::from_ref(&happened)
        );
        let mismatch = Hit { stream: spent, payload: Payload::Mismatch };
        assert_eq!(hits(r#"{"amount":"5","order":{"currency":"EUR"}}"#), [mismatch, happened]);
        assert!(streams.wanted("click").streams.is_empty());
    }

    #[test]
    fn what_is_only_counted_is_not_known_to_rules_before_one_asks() {
        let buys = Stream {
            events: selector(NamePattern::Exact("buy".into()), None),
            take: Take::Nothing,
        };
        let rule = serde_json::json!({
            "event": "buy", "aggregate": "count", "window": "1h", "op": "gte", "value": 1,
        });
        let definition = serde_json::json!({ "id": "s", "rules": rule });
        let rule = crate::rule::parse::definition(&definition).unwrap().rule;
        let mut streams = Streams::default();
        streams.count(buys.clone());
        let id = streams.id(&buys).unwrap();
        assert_eq!((streams.counter(id), streams.is_asked(id)), (Some(0), false));
        assert!(streams.are_counted() && !streams.know(&rule));
        assert_eq!(streams.hits(&streams.wanted("buy"), &Value::Null).len(), 1);
        streams.add_rule(&rule);
        assert_eq!((streams.counter(id), streams.is_asked(id)), (Some(0), true));
        assert!(streams.know(&rule) && streams.len() == 1);
    }
}
