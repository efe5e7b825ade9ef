//! How topics are to be written, and what librdkafka is told of it.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::KafkaFault;
use crate::librdkafka;

/// What is told to librdkafka unless the job says otherwise.
const USUAL: &[(&str, &str)] = &[
    ("client.id", "rivulet"),
    // The partitioner of the Java clients, so that a user is where their consumers expect.
    ("partitioner", "murmur2_random"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "500"),
];

/// What delivery relies on: the job does not get to say otherwise.
const FIXED: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    // A transaction whose process is gone holds up consumers for so long, at most.
    ("transaction.timeout.ms", "60000"),
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("allow.auto.create.topics", "false"),
];

/// What does not concern a producer of transactions.
const OF_CONSUMERS: &[&str] = &[
    "isolation.level",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.partition.eof",
    "allow.auto.create.topics",
];

/// A topic of a cluster of brokers, and how to write it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` of some brokers, with commas between.
    pub brokers: String,
    /// The name of the job, by which the sink is known after a restart.
    pub job: String,
    /// The topic of the records.
    pub topic: String,
    /// The topic of each user's current segments.
    pub users_topic: Option<String>,
    /// How many partitions a topic gets that is not there yet.
    pub partitions: i32,
    /// Settings of librdkafka, passed on as they are.
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for Settings {
    /// Options by name only: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("job", &self.job)
            .field("topic", &self.topic)
            .field("users_topic", &self.users_topic)
            .field("partitions", &self.partitions)
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
        self.producer().create_native_config().map(drop).map_err(|error| self.refused(&error))
    }

    /// The name under which transactions are known, and the position: of this job and topic, and
    /// the same in every life.
    pub(super) fn id(&self) -> String {
        format!("rivulet.{}.{}", self.job, self.topic)
    }

    /// The topics that are written.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        [Some(&self.topic), self.users_topic.as_ref()].into_iter().flatten().map(String::as_str)
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.consumer();
        OF_CONSUMERS.iter().for_each(|key| _ = client.remove(key));
        client.remove("group.id");
        client.set("transactional.id", self.id());
        client
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        let own = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in USUAL.iter().copied().chain(own).chain(FIXED.iter().copied()) {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers);
        client.set("group.id", self.id());
        client.set_log_level(RDKafkaLogLevel::Error);
        client
    }

    pub(super) fn refused(&self, error: &KafkaError) -> KafkaFault {
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
            job: "shop".into(),
            topic: "t".into(),
            users_topic: None,
            partitions: 1,
            options: options.iter().map(own).collect(),
        }
    }

    #[test]
    fn the_job_has_its_say_but_not_on_what_delivery_relies_on() {
        let said = settings(&[("compression.type", "zstd"), ("enable.idempotence", "false")]);
        let client = said.producer();
        assert_eq!(client.get("compression.type"), Some("zstd"));
        assert_eq!(client.get("enable.idempotence"), Some("true"));
        assert_eq!(client.get("transactional.id"), Some("rivulet.shop.t"));
        assert!(said.check().is_ok());
    }

    #[test]
    fn what_is_refused_names_the_setting_and_no_secret() {
        let said = settings(&[("compresion", "zstd"), ("sasl.password", "hunter2")]);
        let refused = said.check().unwrap_err().to_string();
        assert!(refused.contains("compresion") && refused.contains("[sink.kafka]"), "{refused}");
        assert!(!refused.contains("hunter2") && !format!("{said:?}").contains("hunter2"));
    }
}
