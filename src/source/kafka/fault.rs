//! What keeps topics from being read.

use thiserror::Error;

/// What ends the reading of a source, because going on would lose records unseen.
#[derive(Debug, Error)]
pub enum KafkaFault {
    /// The settings are not accepted.
    #[error("Kafka at {brokers}: {reason}; correct [source.kafka] in the job file")]
    Settings {
        /// The brokers.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The client does not do what it is told.
    #[error("Kafka at {brokers}: {reason}")]
    Client {
        /// The brokers.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// There is no such topic.
    #[error(
        "topic {topic} is not there (Kafka at {brokers}): create it, or correct \"topic\" in the job file"
    )]
    NoTopic {
        /// Its name.
        topic: String,
        /// The brokers.
        brokers: String,
    },
    /// The topic was deleted while it was being read.
    #[error(
        "topic {topic} was deleted while it was being read, up to {read}: what had not been read is \
         lost; create the topic anew, and start again"
    )]
    Deleted {
        /// Its name.
        topic: String,
        /// How far its partitions had been read.
        read: String,
    },
    /// The records at the wanted offset have been removed.
    #[error(
        "topic {topic}, partition {partition}: offset {wanted} is to be read next, but there are \
         only {low} to {high}: records were removed before they had been read. Say start = \
         \"earliest\" to go on from {low}, and let the topic keep its records longer (retention.ms)"
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// The offset that was to be read.
        wanted: i64,
        /// The first offset there is.
        low: i64,
        /// The offset after the last.
        high: i64,
    },
}
