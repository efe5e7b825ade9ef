//! How topics are to be read, and what librdkafka is told of it.

use std::collections::BTreeMap;
use std::fmt;

use dataflows::model::EventTime;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::context::Context;
use super::{Consumer, KafkaFault};
use crate::librdkafka;

/// The group librdkafka wants to know of; nothing is committed under this name.
const NO_GROUP: &str = "rivulet";

/// What is told to librdkafka unless the job says otherwise. The bounds are a partition's.
const USUAL: &[(&str, &str)] = &[
    ("client.id", "rivulet"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "10"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// What the reading of a job relies on: the job does not get to say otherwise.
const FIXED: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("allow.auto.create.topics", "false"),
    ("statistics.interval.ms", "1000"),
];

/// Topics of one cluster of brokers, and how to read them.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` of some brokers, with commas between.
    pub brokers: String,
    /// The topics.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// Where to begin instead, by topic and partition: an earlier run has come so far.
    pub go_on: BTreeMap<(String, i32), i64>,
    /// Under which group offsets are committed, for observers; without one, none are.
    pub group: Option<String>,
    /// Settings of librdkafka, passed on as they are.
    pub options: BTreeMap<String, String>,
}

/// Where a partition is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// After the last one there is.
    Latest,
    /// Where the group has committed; where it has not, at the first.
    Committed,
    /// At the first record whose timestamp in Kafka is not below this.
    At(EventTime),
}

impl fmt::Debug for Settings {
    /// Options by name only: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("group", &self.group)
            .field("options", &options)
            .finish()
    }
}

impl Settings {
    /// Whether librdkafka takes the options. Nothing is connected to.
    ///
    /// # Errors
    /// What it says of one it does not take.
    pub fn check(&self) -> Result<(), KafkaFault> {
        self.client().create_native_config().map(drop).map_err(|error| self.refused(&error))
    }

    pub(super) fn consumer(&self, context: Context) -> Result<Consumer, KafkaFault> {
        self.client().create_with_context(context).map_err(|error| self.refused(&error))
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        let own = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in USUAL.iter().copied().chain(own).chain(FIXED.iter().copied()) {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers);
        client.set("group.id", self.group.as_deref().unwrap_or(NO_GROUP));
        client.set_log_level(RDKafkaLogLevel::Error);
        client
    }

    fn refused(&self, error: &KafkaError) -> KafkaFault {
        let reason = librdkafka::refusal(&self.options, error);
        KafkaFault::Settings { brokers: self.brokers.clone(), reason }
    }

    /// Text in which no secret stands.
    pub(super) fn redact(&self, text: &str) -> String {
        librdkafka::redact(&self.options, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> Settings {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Settings {
            brokers: "localhost:1".into(),
            topics: vec!["t".into()],
            start: Start::Earliest,
            go_on: BTreeMap::new(),
            group: None,
            options: options.iter().map(own).collect(),
        }
    }

    #[test]
    fn options_are_passed_on_and_refused_by_librdkafka() {
        settings(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN")])
            .check()
            .unwrap();
        let said = settings(&[("security.protocol", "tsl")]).check().unwrap_err().to_string();
        assert!(said.contains("security.protocol") && said.contains("tsl"), "{said}");
        let said = settings(&[("sesion.timeout.ms", "1")]).check().unwrap_err().to_string();
        assert!(said.contains("No such configuration property: \"sesion.timeout.ms\""), "{said}");
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings = settings(&[("sasl.password", "hunter2"), ("client.id", "me")]);
        assert_eq!(settings.redact("hunter2 by me"), "… by me");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
