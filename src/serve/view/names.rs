//! What records have named: events and their properties, attributes, and the values many users have,
//! for whoever writes a rule. Learnt from a sample of all records, those that no rule reads too.
//!
//! ```text
//! workers ── some records of a chunk, so many a second ──► queue ──► a thread reads them in full
//! ```
//! A worker copies the bytes of a record now and then, and never waits: what does not fit into the
//! queue is not learnt from. What is remembered is bounded in number and length, about 16 MB at the
//! most; of many names and values the most frequent stay ([`Common`]). It begins anew with the
//! process.
//!
//! People are not to be found in it. A value is told only if [`USERS_LEAST`] different users had it,
//! and none of a name is where nearly every user has one of their own (addresses, ids): users are
//! told apart by hashes under a secret of the process, and no name of one is kept.

mod common;
mod fields;
mod sampled;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use dataflows::model::{Action, Arrival, Position};

use super::lock;
use crate::format::{Mapping, arrival};
use common::Common;
use fields::{Fields, User};
pub use fields::{Told, USERS_LEAST, Values};
use sampled::Budget;

/// How many event names are remembered, and properties of each of them.
const EVENTS: usize = 150;
const PROPERTIES: usize = 20;
/// How many attributes are.
const ATTRIBUTES: usize = 300;
/// The longest record that is looked at, in bytes.
const RECORD_BYTES: usize = 16 << 10;
/// How many records wait to be read.
const QUEUE: usize = 256;

/// What records have named so far.
#[derive(Default)]
pub struct Names {
    seen: Arc<Mutex<Seen>>,
    budget: Mutex<Budget>,
    /// Begun with the first record: where none come there is no thread.
    queue: OnceLock<SyncSender<Sample>>,
}

/// A record to be read.
struct Sample {
    mapping: Mapping,
    line: Box<[u8]>,
}

struct Seen {
    records: u64,
    events: Common<Fields>,
    attributes: Fields,
    users: User,
}

/// An event, and what is known of its properties.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: Arc<str>,
    /// In how many records of the sample it was, at least.
    pub records: u64,
    /// The most frequent first.
    pub properties: Vec<Told>,
}

/// All names there are, the most frequent first.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// How many records have been looked at.
    pub records: u64,
    /// Events.
    pub events: Vec<Event>,
    /// Attributes of users.
    pub attributes: Vec<Told>,
}

impl Default for Seen {
    fn default() -> Self {
        let (events, attributes) = (Common::new(EVENTS), Fields::new(ATTRIBUTES));
        Seen { records: 0, events, attributes, users: User::default() }
    }
}

impl Names {
    /// May look at some of so many records, in the shape of `mapping`; `record` gives one by its
    /// place. Costs the reading of a clock where it does not.
    pub fn glance<'a>(
        &self,
        mapping: &Mapping,
        count: usize,
        record: impl Fn(usize) -> Option<&'a [u8]>,
    ) {
        // Where another worker looks at its records, those will do.
        let Ok(mut budget) = self.budget.try_lock() else { return };
        let places = budget.places(count, Instant::now());
        drop(budget);
        for place in places {
            let Some(line) = record(place).filter(|it| it.len() <= RECORD_BYTES) else { continue };
            let sample = Sample { mapping: mapping.clone(), line: line.into() };
            // One that does not fit is left out, as most are.
            let _ = self.queue.get_or_init(|| begin(&self.seen)).try_send(sample);
        }
    }

    /// All names, without values.
    pub fn known(&self) -> Known {
        let seen = lock(&self.seen);
        let event = |(name, records, fields): (&Arc<str>, u64, &Fields)| Event {
            name: Arc::clone(name),
            records,
            properties: fields.told(),
        };
        let events = seen.events.most_first().into_iter().map(event).collect();
        Known { records: seen.records, events, attributes: seen.attributes.told() }
    }

    /// The common values of an attribute; `None` if it has not been seen.
    pub fn of_attribute(&self, attribute: &str) -> Option<Values> {
        lock(&self.seen).attributes.values(attribute)
    }

    /// The common values of a property of an event; `None` if it has not been seen.
    pub fn of_property(&self, event: &str, property: &str) -> Option<Values> {
        lock(&self.seen).events.get(event)?.values(property)
    }
}

impl Seen {
    fn take(&mut self, record: &Arrival) {
        self.records += 1;
        let user = self.users.hash(&record.user);
        match &record.action {
            Action::Event { name, properties } if name.len() <= fields::NAME_BYTES => {
                let new = || Fields::new(PROPERTIES);
                self.events.see(name, new).see_members(properties, user);
            }
            Action::Attributes(attributes) => {
                attributes.iter().for_each(|(name, value)| self.attributes.see(name, value, user));
            }
            Action::Event { .. } | Action::Delete => {}
        }
    }
}

/// Begins to read what comes through the queue, until that is dropped.
fn begin(seen: &Arc<Mutex<Seen>>) -> SyncSender<Sample> {
    let (give, take) = sync_channel::<Sample>(QUEUE);
    let seen = Arc::clone(seen);
    let reading = move || {
        for Sample { mapping, line } in take {
            // Where it stands makes no odds.
            let place = Position { partition: 0, offset: 0 };
            if let Ok(record) = arrival(&mapping, place, &line) {
                lock(&seen).take(&record);
            }
        }
    };
    // Without a thread nothing is learnt, and nothing else is the worse for it.
    let _ = thread::Builder::new().name("names".into()).spawn(reading);
    give
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(records: impl IntoIterator<Item = serde_json::Value>) -> Names {
        let names = Names::default();
        for record in records {
            let place = Position { partition: 0, offset: 0 };
            let line = record.to_string();
            let record = arrival(&Mapping::default(), place, line.as_bytes()).unwrap();
            lock(&names.seen).take(&record);
        }
        names
    }

    fn identify(user: usize, traits: serde_json::Value) -> serde_json::Value {
        json!({ "type": "identify", "userId": user.to_string(), "traits": traits })
    }

    fn track(user: usize, event: &str, properties: serde_json::Value) -> serde_json::Value {
        json!({ "type": "track", "userId": user.to_string(), "event": event,
                "properties": properties })
    }

    fn texts(values: &Values) -> Vec<String> {
        values.values.iter().map(|(value, _)| value.to_string()).collect()
    }

    #[test]
    fn names_are_told_with_their_kinds_the_most_frequent_first() {
        let names = taken([
            identify(
                1,
                json!({ "country": "DE", "age": 3, "home": { "city": "X" }, "gone": null }),
            ),
            identify(2, json!({ "country": 7 })),
            track(1, "buy", json!({ "amount": 5, "tags": ["a"], "at": "2026-01-01T00:00:00Z" })),
            track(1, "buy", json!({ "amount": 5 })),
            json!({ "type": "page", "userId": "1", "name": "Home" }),
        ]);
        let known = names.known();
        let told = |told: &[Told]| -> Vec<String> {
            told.iter()
                .map(|it| format!("{} {} {}", it.name, it.records, it.kinds.join("/")))
                .collect()
        };
        assert_eq!(known.records, 5);
        assert_eq!(
            told(&known.attributes),
            ["country 2 number/text", "age 1 number", "home.city 1 text"]
        );
        assert_eq!(&*known.events[0].name, "buy");
        assert_eq!(
            told(&known.events[0].properties),
            ["amount 2 number", "at 1 time", "tags 1 list"]
        );
        assert_eq!((&*known.events[1].name, known.events[1].records), ("page", 1));
    }

    #[test]
    fn a_value_is_told_when_many_users_have_it() {
        let plan = |user: usize| {
            identify(user, json!({ "plan": if user.is_multiple_of(2) { "pro" } else { "free" } }))
        };
        let few = taken((0..2 * USERS_LEAST - 1).map(plan));
        assert_eq!(texts(&few.of_attribute("plan").unwrap()), [r#""pro""#]);
        let often = taken((0..100).map(|_| plan(1)));
        assert_eq!(
            texts(&often.of_attribute("plan").unwrap()),
            [""; 0],
            "one user, again and again"
        );
        let items = taken((0..50).map(|user| track(user, "buy", json!({ "tags": ["a", "b"] }))));
        assert_eq!(texts(&items.of_property("buy", "tags").unwrap()), [r#""a""#, r#""b""#]);
        assert!(items.of_property("buy", "x").is_none() && items.of_attribute("plan").is_none());
    }

    #[test]
    fn what_nearly_every_user_has_of_their_own_is_never_told() {
        let address = |user: usize| {
            // A few share one: it does not make the others' a matter of anyone's.
            let own =
                if user.is_multiple_of(40) { "info".to_owned() } else { format!("person-{user}") };
            identify(user, json!({ "email": format!("{own}@example.com"), "n": user }))
        };
        let names = taken((0..2_000).map(address));
        for attribute in ["email", "n"] {
            let values = names.of_attribute(attribute).unwrap();
            assert!(values.are_scattered && values.values.is_empty(), "{values:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let record = |nth: usize| match nth % 3 {
            0 => track(nth, &format!("e{nth}"), json!({ format!("p{nth}"): "x" })),
            1 => identify(nth, json!({ format!("a{nth}"): nth, "usual": "y".repeat(10_000) })),
            _ => track(nth, "usual", json!({ format!("p{nth}"): nth, "usual": true })),
        };
        let names = taken((0..9_000).map(record));
        let known = names.known();
        assert_eq!((known.events.len(), known.attributes.len()), (EVENTS, ATTRIBUTES));
        assert_eq!(&*known.events[0].name, "usual");
        assert_eq!(known.events[0].properties.len(), PROPERTIES);
        assert_eq!((&*known.attributes[0].name, known.attributes[0].records), ("usual", 3_000));
        assert_eq!(names.of_attribute("usual").unwrap().values, []);
    }
}
