//! Topics of a real broker, written by the program: each difference once, whatever happens.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "common/disorder.rs"]
mod disorder;
#[path = "common/kafka.rs"]
mod harness;
#[path = "common/live.rs"]
mod live;

#[path = "kafka_sink/at_once.rs"]
mod at_once;
#[path = "kafka_sink/crashes.rs"]
mod crashes;
#[path = "kafka_sink/decisions.rs"]
mod decisions;
#[path = "kafka_sink/faults.rs"]
mod faults;
#[path = "kafka_sink/records.rs"]
mod records;

use std::collections::{BTreeMap, BTreeSet};

use common::Place;
use harness::{Broker, Seen};
pub(crate) use live::{Live, by_user, clickstream, segments_after};
use serde_json::Value as Json;

/// A job that reads a file or a topic and writes topics.
pub(crate) fn job(place: &Place, source: &str, sinks: &[String]) {
    let clock = "[clock]\nmax_out_of_orderness = \"9s\"\nidle_timeout = \"1h\"\n";
    let text = format!("segments = \"segments.json\"\n{clock}\n{source}\n{}", sinks.concat());
    place.write("job.toml", text);
}

pub(crate) fn from_file(path: &str) -> String {
    format!("[[source]]\nkind = \"file\"\npath = {path:?}\n")
}

pub(crate) fn from_topic(broker: &Broker, topic: &str) -> String {
    format!("[[source]]\nkind = \"kafka\"\nbrokers = {:?}\ntopic = {topic:?}\n", broker.address())
}

pub(crate) fn to_topic(broker: &Broker, of: &str, topic: &str, more: &str) -> String {
    let brokers = broker.address();
    format!(
        "[[sink]]\nkind = \"kafka\"\nof = {of:?}\nbrokers = {brokers:?}\ntopic = {topic:?}\n{more}\n"
    )
}

/// A name for a topic that is not there yet.
pub(crate) fn new_name(broker: &Broker, what: &str) -> String {
    format!("{what}-of-{}", broker.topic(1))
}

/// That a consumer sees exactly these differences, each user's in order.
pub(crate) fn check(seen: &[Seen], expected: &[String]) {
    let told = by_user(seen.iter().map(|it| it.value().to_owned()));
    let expected = by_user(expected.iter().cloned());
    for (user, lines) in &expected {
        let told = told.get(user);
        assert_eq!(told, Some(lines), "{user}");
    }
    assert_eq!(told.len(), expected.len());
}

/// Who is in which segment by the last record of each user.
pub(crate) fn segments_in(seen: &[Seen]) -> BTreeMap<String, BTreeSet<String>> {
    let mut segments = BTreeMap::new();
    for record in seen {
        let Some(value) = &record.value else {
            segments.remove(&record.key);
            continue;
        };
        let json: Json = serde_json::from_str(value).unwrap();
        assert_eq!(json["user"].as_str(), Some(&*record.key));
        let of = json["segments"].as_array().unwrap().iter();
        let of: Vec<_> = of.map(|it| it.as_str().unwrap().to_owned()).collect();
        assert!(of.is_sorted() && !of.is_empty());
        segments.insert(record.key.clone(), of.into_iter().collect());
    }
    segments
}
