//! A client of the brokers, from its `init_transactions` until something goes wrong.

use std::sync::Arc;
use std::time::Duration;

use dataflows::model::EventTime;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::context::{Context, Watch};
use super::records::{Record, record};
use super::topics::{make, missing};
use super::{KafkaFault, Settings};
use crate::sink::delivery::Item;

/// How long a question to the brokers may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long the brokers may take to acknowledge the records of a transaction, and again to make it
/// final. Together less than `transaction.timeout.ms`: it is given up here before the brokers give
/// it up, which would look as if another process had taken over.
const COMMIT: Duration = Duration::from_secs(25);
/// How long to wait for room in the queue of librdkafka.
const ROOM: Duration = Duration::from_millis(10);

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may go well the next time.
    Trouble(String),
    /// A topic is not there.
    Missing(String),
    /// It will not.
    Fault(KafkaFault),
}

/// A client whose transactions nobody else disturbs.
pub(super) struct Connection {
    producer: ThreadedProducer<Context>,
    context: Context,
    group: ConsumerGroupMetadata,
    /// All before this has been written, by this life or an earlier one.
    pub(super) position: Option<EventTime>,
}

impl Connection {
    /// The first of a life: what is missing is made. `None` if the run was told to stop before.
    pub(super) fn first(
        settings: &Settings,
        watch: &Arc<Watch>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, KafkaFault> {
        while !is_stopped() {
            let made = match Connection::new(settings, watch) {
                Err(Failure::Missing(topic)) => make(settings, watch, &topic).map(|()| None),
                connected => connected.map(Some),
            };
            match made {
                Ok(None) => {}
                Ok(connection) => return Ok(connection),
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Trouble(reason) | Failure::Missing(reason)) => watch.trouble(&reason),
            }
            std::thread::park_timeout(10 * ROOM);
        }
        Ok(None)
    }

    /// A new client. Whatever an older one, of this process or another, has begun is over then.
    pub(super) fn new(settings: &Settings, watch: &Arc<Watch>) -> Result<Self, Failure> {
        let context = Context::new(watch);
        let refused = |error: KafkaError| Failure::Fault(settings.refused(&error));
        // First: who keeps its group it finds out meanwhile.
        let consumer: BaseConsumer<Context> =
            settings.consumer().create_with_context(Context::new(watch)).map_err(refused)?;
        let producer: ThreadedProducer<Context> =
            settings.producer().create_with_context(context.clone()).map_err(refused)?;
        if let Some(topic) = missing(settings, producer.client())? {
            return Err(Failure::Missing(topic.to_owned()));
        }
        let failed = |error: KafkaError| judge(settings, &error);
        // librdkafka leaves the connection by which it has learned of the brokers. While it has no
        // other it cannot ask who keeps transactions, and does so again only half a second later:
        // this answer comes by the one that stays.
        producer.client().fetch_metadata(Some(&settings.topic), ANSWER).map_err(failed)?;
        producer.init_transactions(ANSWER).map_err(failed)?;
        let position = position(settings, &consumer)?;
        let group = consumer.group_metadata();
        let group = group.ok_or_else(|| Failure::Fault(settings.client("it has no group")))?;
        Ok(Connection { producer, context, group, position })
    }

    /// Writes all of this and the position, or nothing of it.
    pub(super) fn write(
        &mut self,
        settings: &Settings,
        items: &[Item],
        users: &[Record],
        upto: EventTime,
    ) -> Result<(), Failure> {
        self.attempt(settings, items, users, upto)
            .map_err(|(error, size)| self.cause(settings, &error, size))?;
        self.position = Some(upto);
        Ok(())
    }

    fn attempt(
        &self,
        settings: &Settings,
        items: &[Item],
        users: &[Record],
        upto: EventTime,
    ) -> Result<(), (KafkaError, usize)> {
        let plain = |error| (error, 0);
        self.producer.begin_transaction().map_err(plain)?;
        for item in items {
            self.send(&settings.topic, &record(item))?;
        }
        if let Some(topic) = &settings.users_topic {
            users.iter().try_for_each(|record| self.send(topic, record))?;
        }
        let offsets = offsets(&settings.topic, upto).map_err(plain)?;
        self.producer.send_offsets_to_transaction(&offsets, &self.group, ANSWER).map_err(plain)?;
        self.producer.commit_transaction(COMMIT).map_err(plain)
    }

    fn send(&self, topic: &str, record: &Record) -> Result<(), (KafkaError, usize)> {
        loop {
            let mut to = BaseRecord::<[u8], [u8]>::to(topic)
                .key(record.key.as_bytes())
                .headers(record.headers.clone());
            if let Some(value) = &record.value {
                to = to.payload(value);
            }
            match self.producer.send(to) {
                Ok(()) => return Ok(()),
                Err((error, _))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                {
                    std::thread::park_timeout(ROOM);
                }
                Err((error, _)) => {
                    let value = record.value.as_ref().map_or(0, Vec::len);
                    return Err((error, value + record.key.len()));
                }
            }
        }
    }

    /// What is behind an error: a record that was not taken, or what ended the client.
    fn cause(&self, settings: &Settings, error: &KafkaError, size: usize) -> Failure {
        if let Some(lost) = self.context.lost() {
            if is_refused(&lost.error) {
                return refused(settings, &lost.topic, lost.bytes, &lost.error);
            }
            if let fault @ Failure::Fault(_) = judge(settings, &lost.error) {
                return fault;
            }
        }
        if is_refused(error) {
            return refused(settings, &settings.topic, size, error);
        }
        match self.producer.client().fatal_error() {
            Some((code, _)) if is_fenced(code) => Failure::Fault(settings.fenced()),
            Some((code, reason)) if is_authorisation(code) => {
                Failure::Fault(settings.not_allowed(&reason))
            }
            _ => judge(settings, error),
        }
    }
}

impl Settings {
    pub(super) fn fenced(&self) -> KafkaFault {
        KafkaFault::Fenced { topic: self.topic.clone(), brokers: self.brokers.clone() }
    }

    pub(super) fn client(&self, reason: &str) -> KafkaFault {
        let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
        KafkaFault::Client { topic, brokers, reason: self.redact(reason) }
    }

    fn not_allowed(&self, reason: &str) -> KafkaFault {
        let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
        KafkaFault::NotAllowed { topic, brokers, reason: self.redact(reason), id: self.id() }
    }
}

/// What an error means.
pub(super) fn judge(settings: &Settings, error: &KafkaError) -> Failure {
    match error.rdkafka_error_code() {
        Some(code) if is_fenced(code) => Failure::Fault(settings.fenced()),
        Some(code) if is_authorisation(code) => {
            Failure::Fault(settings.not_allowed(&error.to_string()))
        }
        _ => Failure::Trouble(error.to_string()),
    }
}

fn refused(settings: &Settings, topic: &str, bytes: usize, error: &KafkaError) -> Failure {
    Failure::Fault(KafkaFault::Refused {
        topic: topic.to_owned(),
        brokers: settings.brokers.clone(),
        bytes,
        reason: settings.redact(&error.to_string()),
    })
}

fn is_refused(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
        )
    })
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch)
}

fn is_authorisation(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}

/// The position as an offset of the group: the offset itself is for observers, and cannot be
/// negative; the metadata has it as it is.
fn offsets(topic: &str, upto: EventTime) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(Offset::Offset(upto.clamp(0, i64::MAX - 1)))?;
    element.set_metadata(upto.to_string());
    Ok(list)
}

fn position(
    settings: &Settings,
    consumer: &BaseConsumer<Context>,
) -> Result<Option<EventTime>, Failure> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&settings.topic, 0);
    let failed = |error: KafkaError| judge(settings, &error);
    let found = consumer.committed_offsets(list, ANSWER).map_err(failed)?;
    let elements = found.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error().map_err(failed)?;
    if !matches!(element.offset(), Offset::Offset(_)) {
        return Ok(None);
    }
    let text = element.metadata();
    let unknown = || {
        let reason = format!(
            "the group {:?} holds {text:?} where the position of this job should be: give the job \
             another name",
            settings.id()
        );
        Failure::Fault(settings.client(&reason))
    };
    text.parse().map(Some).map_err(|_| unknown())
}
