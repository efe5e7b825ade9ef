//! What keeps a topic from being written.

use thiserror::Error;

/// What ends a run, because trying again would not help.
#[derive(Debug, Error)]
pub enum KafkaFault {
    /// The settings are not accepted.
    #[error("Kafka at {brokers}: {reason}; correct [sink.kafka] in the job file")]
    Settings {
        /// The brokers.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// A topic is not there and cannot be made.
    #[error(
        "topic {topic} is not there and cannot be made (Kafka at {brokers}): {reason}; create it, \
         or correct the sink in the job file"
    )]
    NoTopic {
        /// Its name.
        topic: String,
        /// The brokers.
        brokers: String,
        /// What the brokers say.
        reason: String,
    },
    /// The topic was deleted while it was being written.
    #[error(
        "topic {topic} was deleted while it was being written (Kafka at {brokers}): start again to \
         have it made anew, with all that the sources still hold"
    )]
    Deleted {
        /// Its name.
        topic: String,
        /// The brokers.
        brokers: String,
    },
    /// The brokers do not allow it.
    #[error(
        "topic {topic} (Kafka at {brokers}) may not be written: {reason}; allow the user of \
         [sink.kafka] to write it, and to use the transactional id and the group {id:?}"
    )]
    NotAllowed {
        /// The topic of the sink.
        topic: String,
        /// The brokers.
        brokers: String,
        /// What the brokers say.
        reason: String,
        /// The name for transactions and position.
        id: String,
    },
    /// Another process writes in its place.
    #[error(
        "topic {topic} (Kafka at {brokers}): another process writes it for the same job, so this \
         one ends. If there is no other, this one stood still for too long: start it again. Nothing \
         is lost or doubled"
    )]
    Fenced {
        /// The topic of the sink.
        topic: String,
        /// The brokers.
        brokers: String,
    },
    /// The brokers do not take a record.
    #[error(
        "topic {topic} (Kafka at {brokers}) does not take a record of {bytes} bytes: {reason}; \
         raise message.max.bytes in [sink.kafka] and max.message.bytes of the topic, and start again"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// The brokers.
        brokers: String,
        /// How long the record is.
        bytes: usize,
        /// What the brokers say.
        reason: String,
    },
    /// The client does not do what it is told.
    #[error("topic {topic} (Kafka at {brokers}): {reason}")]
    Client {
        /// The topic of the sink.
        topic: String,
        /// The brokers.
        brokers: String,
        /// What is the matter.
        reason: String,
    },
}
