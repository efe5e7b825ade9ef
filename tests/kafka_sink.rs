//! Topics of a real broker, written by the program: each difference once, whatever happens.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "common/kafka.rs"]
mod harness;

#[path = "kafka_sink/crashes.rs"]
mod crashes;
#[path = "kafka_sink/decisions.rs"]
mod decisions;
#[path = "kafka_sink/faults.rs"]
mod faults;
#[path = "kafka_sink/records.rs"]
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use common::{BUSY_SEGMENTS, Lines, Place, Running};
use harness::{Broker, Seen};
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

/// A clickstream that keeps its segments busy, and what a replay of it says, in order.
pub(crate) fn clickstream(place: &Place, events: usize) -> Vec<String> {
    place.write("segments.json", BUSY_SEGMENTS);
    let flags = "--users 60 --rate 20 --duplicates 0.05 --jitter 9s --identify 0.05 --seed 5";
    place.run(&format!("generate --events {events} {flags} --out whole.jsonl")).fine();
    let flags = "--events whole.jsonl --max-out-of-orderness 9s --out replayed";
    place.replay(flags).fine();
    let lines: Vec<_> = place.text("replayed").lines().map(str::to_owned).collect();
    assert!(lines.len() > events / 10, "{}", lines.len());
    lines
}

/// The lines of a user, in order; of all users.
pub(crate) fn by_user(lines: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut by_user: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let json: Json = serde_json::from_str(&line).unwrap();
        by_user.entry(json["user"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    by_user
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

/// Who is in which segment after these differences.
pub(crate) fn segments_after(lines: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut segments: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in lines {
        let json: Json = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        let of = segments.entry(text("user")).or_default();
        let changed = if json["diff"] == 1 {
            of.insert(text("segment"))
        } else {
            of.remove(&text("segment"))
        };
        assert!(changed, "{line}");
    }
    segments.retain(|_, of| !of.is_empty());
    segments
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

/// A run of the job that goes on.
pub(crate) struct Live {
    pub(crate) running: Running,
    said: Lines,
}

impl Live {
    pub(crate) fn start(place: &Place, words: &str) -> Self {
        let mut running = Running::start(place.command(words).stdout(Stdio::null()));
        let said = Lines::of(running.child.stderr.take().unwrap());
        Live { running, said }
    }

    /// A line on standard error that has this in it, if it has come by now.
    pub(crate) fn has_said(&self, part: &str) -> Option<String> {
        std::iter::from_fn(|| self.said.now()).find(|line| line.contains(part))
    }

    /// The next line on standard error that has this in it.
    pub(crate) fn says(&self, part: &str) -> String {
        loop {
            let line = self.said.next();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Kills it, as a machine that fails would.
    pub(crate) fn kill(mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.running.child.id().to_string();
        let told = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        self.running.code()
    }

    /// Waits until it ends by itself.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.running.code()
    }
}
