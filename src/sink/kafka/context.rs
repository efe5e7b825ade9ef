//! What librdkafka says: of its troubles, and of what became of records.

use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::{Settings, lock};
use crate::librdkafka;
use crate::say::Trouble;

/// Tells people whether the brokers do what they are asked.
pub(super) struct Watch {
    settings: Settings,
    trouble: Trouble,
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Self {
        Watch { settings: settings.clone(), trouble: Trouble::default() }
    }

    /// The brokers do not answer, or not as they should.
    pub(super) fn trouble(&self, reason: &str) {
        let Settings { brokers, topic, .. } = &self.settings;
        self.trouble.is(format_args!(
            "topic {topic} (Kafka at {brokers}): {}; trying again, nothing is lost",
            self.settings.redact(reason)
        ));
    }

    /// What was asked was done.
    pub(super) fn is_well(&self) {
        let Settings { brokers, topic, .. } = &self.settings;
        self.trouble.is_over(format_args!("topic {topic} (Kafka at {brokers}): is written again"));
    }
}

/// A record the brokers did not take.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) topic: String,
    pub(super) bytes: usize,
    pub(super) error: KafkaError,
}

/// What librdkafka calls back.
#[derive(Clone)]
pub(super) struct Context {
    watch: Arc<Watch>,
    /// The first record of a client that was not taken for its own sake.
    lost: Arc<Mutex<Option<Lost>>>,
}

impl Context {
    pub(super) fn new(watch: &Arc<Watch>) -> Self {
        Context { watch: Arc::clone(watch), lost: Arc::default() }
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        lock(&self.lost).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, said: &str) {
        if facility == "CONFWARN" {
            return; // what is for the producer is told to the consumer beside it, too
        }
        self.watch.trouble(librdkafka::reason(said));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let is_told_elsewhere = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::PartitionEOF
                    | RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed
            )
        );
        if !is_told_elsewhere {
            self.watch.trouble(&format!("{error}: {reason}"));
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let is_of_others = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        );
        if !is_of_others {
            lock(&self.lost).get_or_insert_with(|| Lost {
                topic: message.topic().to_owned(),
                bytes: message.payload_len() + message.key_len(),
                error: error.clone(),
            });
        }
    }
}
