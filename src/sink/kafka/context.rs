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
use crate::sink::courier;

/// Tells people whether the brokers do what they are asked, and none of the secrets.
pub(super) struct Watch {
    settings: Settings,
    told: courier::Watch,
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { brokers, topic, .. } = settings;
        let told = courier::Watch::new(format!("topic {topic} (Kafka at {brokers})"));
        Watch { settings: settings.clone(), told }
    }

    /// The brokers do not answer, or not as they should.
    pub(super) fn trouble(&self, reason: &str) {
        self.told.trouble(&self.settings.redact(reason));
    }

    /// The same for those who know that there are none in it.
    pub(super) fn told(&self) -> &courier::Watch {
        &self.told
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
