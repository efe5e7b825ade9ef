//! Which segments mention a record: whose conditions it could have changed, had it been on time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{AttributeKey, Change, StreamId};
use crate::rule::{Definition, Rule};
use crate::streams::{Stream, Streams};

/// The segments by what their own conditions ask about; references do not count.
#[derive(Debug, Default)]
pub struct Mentions {
    by_attribute: HashMap<AttributeKey, BTreeSet<Arc<str>>>,
    by_stream: HashMap<StreamId, BTreeSet<Arc<str>>>,
}

impl Mentions {
    /// What these definitions mention.
    pub fn of<'a>(
        definitions: impl IntoIterator<Item = &'a Arc<Definition>>,
        streams: &Streams,
    ) -> Self {
        let mut mentions = Mentions::default();
        for definition in definitions {
            definition.rule.walk(&mut |rule| mentions.add(&definition.id, rule, streams));
        }
        mentions
    }

    fn add(&mut self, segment: &Arc<str>, rule: &Rule, streams: &Streams) {
        if let Rule::Attribute(condition) = rule {
            let first = condition.path.split().map(|(first, _)| first);
            for name in [condition.path.as_str()].into_iter().chain(first) {
                let key = AttributeKey::of(name);
                self.by_attribute.entry(key).or_default().insert(segment.clone());
            }
        }
        for stream in Stream::of_rule(rule).iter().filter_map(|stream| streams.id(stream)) {
            self.by_stream.entry(stream).or_default().insert(segment.clone());
        }
    }

    /// The segments that mention a change, in bytewise order.
    pub fn segments(&self, change: &Change) -> Vec<Arc<str>> {
        let found: BTreeSet<_> = match change {
            Change::Event(hits) => {
                hits.iter().filter_map(|hit| self.by_stream.get(&hit.stream)).flatten().collect()
            }
            Change::Attributes(attributes) => {
                let sets = attributes.iter().filter_map(|(key, _)| self.by_attribute.get(key));
                sets.flatten().collect()
            }
            Change::Delete => BTreeSet::new(),
        };
        found.into_iter().cloned().collect()
    }
}
