//! What is known of a user between being created and being deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::applied::Applied;
use crate::model::{Action, EventTime, Path, Value};

/// Something that happened in a life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happening<'a> {
    pub time: EventTime,
    pub name: &'a str,
    pub properties: &'a Value,
}

/// A user from one creation to the next deletion. It exists at `now` iff `born <= now < died`.
#[derive(Debug, Default)]
pub(crate) struct Life<'a> {
    /// The time of its first record.
    pub born: EventTime,
    /// The time it was deleted, if it was.
    pub died: Option<EventTime>,
    /// The times of its records, ascending, each once.
    pub times: Vec<EventTime>,
    /// Its events, in the order they take effect.
    pub events: Vec<Happening<'a>>,
    /// All attributes, as an object, at the end of each millisecond in which any was set.
    pub attributes: Vec<(EventTime, Value)>,
}

/// What a path led to from a time on; `None`: nothing, or null.
pub(crate) type History = Vec<(EventTime, Option<Value>)>;

impl Life<'_> {
    /// Whether the user exists in this life at the end of this millisecond.
    pub(crate) fn covers(&self, now: EventTime) -> bool {
        self.born <= now && self.died.is_none_or(|died| now < died)
    }

    /// What the path led to since when, compared at the ends of milliseconds. The first entry is at
    /// birth, so an attribute never set has been missing since then.
    pub(crate) fn history(&self, path: &Path) -> History {
        let first = self.attributes.first().filter(|(time, _)| *time == self.born);
        let look = |attributes: &Value| attributes.at(path.as_str()).cloned();
        let mut history = vec![(self.born, first.and_then(|(_, attributes)| look(attributes)))];
        for (time, attributes) in &self.attributes {
            let value = look(attributes);
            if history.last().is_some_and(|(_, last)| *last != value) {
                history.push((*time, value));
            }
        }
        history
    }
}

/// The lives of one user, in their order, of records in the order they take effect. A life that
/// ends in the millisecond it began is left out: no end of a millisecond ever sees it.
pub(crate) fn lives<'a>(records: &[Applied<'a>]) -> Vec<Life<'a>> {
    let mut lives = Vec::new();
    let mut current: Option<(Life<'a>, BTreeMap<Arc<str>, Value>)> = None;
    for record in records {
        if record.arrival.action == Action::Delete {
            let ended = current.take().map(|(life, _)| Life { died: Some(record.time), ..life });
            lives.extend(ended.filter(|life| life.born < record.time));
            continue;
        }
        let (life, attributes) = current.get_or_insert_with(|| {
            (Life { born: record.time, ..Life::default() }, BTreeMap::new())
        });
        if life.times.last() != Some(&record.time) {
            life.times.push(record.time);
        }
        match &record.arrival.action {
            Action::Event { name, properties } => {
                life.events.push(Happening { time: record.time, name, properties });
            }
            Action::Attributes(changes) => {
                attributes.extend(changes.iter().cloned());
                // Only the end of a millisecond is ever looked at.
                life.attributes.pop_if(|(time, _)| *time == record.time);
                let all = Value::object(attributes.clone().into_iter().collect());
                life.attributes.push((record.time, all));
            }
            Action::Delete => {} // answered above
        }
    }
    lives.extend(current.map(|(life, _)| life));
    lives
}
