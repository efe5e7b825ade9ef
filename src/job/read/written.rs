//! `[[sink]]` of kind kafka: which topics, and what librdkafka is told.

use dataflows::rule::reader::{Node, Reader};
use serde_json::Value as Json;

use super::JobReader;
use super::options::NotYours;
use super::sinks::OUTPUTS;
use crate::job::{Format, Output, Sink, Target, ToTopic};

const KEYS: &[&str] = &[
    "kind",
    "of",
    "brokers",
    "topic",
    "users_topic",
    "partitions",
    "segments",
    "buffer",
    "buffer_path",
    "kafka",
];

/// How many partitions a topic gets unless said: in one, differences stay in their order.
const PARTITIONS: u16 = 1;

const TRANSACTIONS: &str = "each difference is written once because of it";

/// Settings of librdkafka that a job does not get to change, and what it can do instead.
const NOT_YOURS: NotYours = &[
    ("bootstrap.servers", "say brokers"),
    ("metadata.broker.list", "say brokers"),
    ("transactional.id", "it is that of the job and the topic: say name, at the top"),
    ("group.id", "it is that of the job and the topic: say name, at the top"),
    ("enable.idempotence", TRANSACTIONS),
    ("transaction.timeout.ms", "the run relies on it"),
    ("acks", TRANSACTIONS),
    ("request.required.acks", TRANSACTIONS),
    ("max.in.flight", TRANSACTIONS),
    ("max.in.flight.requests.per.connection", TRANSACTIONS),
    ("retries", TRANSACTIONS),
    ("message.send.max.retries", TRANSACTIONS),
    ("enable.gapless.guarantee", TRANSACTIONS),
    ("queuing.strategy", TRANSACTIONS),
    ("isolation.level", "only what has been committed is read again"),
    ("auto.offset.reset", "the run relies on it"),
    ("enable.auto.commit", "the position is committed with the records"),
    ("auto.commit.enable", "the position is committed with the records"),
    ("enable.auto.offset.store", "the position is committed with the records"),
    ("enable.partition.eof", "the run relies on it"),
    ("allow.auto.create.topics", "topics that are missing are made as the sink needs them"),
    ("group.instance.id", "the position has a group of its own"),
    ("group.protocol", "the position has a group of its own"),
    ("group.remote.assignor", "the position has a group of its own"),
    ("delivery.report.only.error", "the run relies on it"),
    ("plugin.library.paths", "foreign code is not loaded"),
    ("enabled_events", "the run relies on it"),
    ("log.queue", "the run relies on it"),
    ("debug", "it would fill standard error"),
];

impl JobReader<'_> {
    pub(super) fn written_topic(&mut self, node: &Node<'_>) -> Option<Sink> {
        self.reader.object(node, KEYS)?;
        let of = self.pick(&node.get("of"), OUTPUTS, Some(Output::Differences));
        let brokers = node.get("brokers");
        let brokers = self.reader.name(&brokers, "host:port of brokers, with commas between");
        let name = |reader: &mut Reader<'_>, node: &Node<'_>| {
            Some(reader.name(node, "the name of a topic")?.into_owned())
        };
        let (topic, users) = (node.get("topic"), node.get("users_topic"));
        let topic_name = name(&mut self.reader, &topic);
        let users_name = self.reader.optional(&users, name);
        let partitions = self.partitions(&node.get("partitions"));
        let options = self.options(&node.get("kafka"), NOT_YOURS);
        let segments = self.selection(&node.get("segments"));
        let buffer = self.buffer(node);
        let (of, brokers) = (of?, brokers?.into_owned());
        if of != Output::Differences && node.get("segments").is_present() {
            let hint = "only differences are of segments".to_owned();
            self.reader.fault(&node.get("segments"), "nothing", Some(hint));
            return None;
        }
        if users.is_present() && of != Output::Differences {
            let hint = "only differences say who is in which segment".to_owned();
            self.reader.fault(&users, "nothing", Some(hint));
            return None;
        }
        let (topic_name, users_name) = (topic_name?, users_name?);
        let is_own = self.is_own(&topic, &brokers, &topic_name);
        let is_own = users_name.iter().fold(is_own, |is_own, name| {
            let is_too = self.is_own(&users, &brokers, name);
            is_own && is_too
        });
        let target = ToTopic {
            brokers,
            topic: topic_name,
            users_topic: users_name,
            partitions: partitions?,
            options: options?,
        };
        let (target, name, segments) = (Target::Topic(target), "kafka".to_owned(), segments?);
        let (format, buffer) = (Format::Json, buffer?);
        is_own.then_some(Sink { of, format, target, name, segments, buffer })
    }

    /// Whether a topic is neither read by the job nor written by another of its sinks.
    fn is_own(&mut self, node: &Node<'_>, brokers: &str, topic: &str) -> bool {
        let place = (brokers.to_owned(), topic.to_owned());
        let is_read = self.topics.contains(&place);
        if !is_read && self.topics_written.insert(place) {
            return true;
        }
        let hint = if is_read { "a source reads it" } else { "it is written already" };
        self.reader.fault(node, "a topic of its own", Some(hint.to_owned()));
        false
    }

    fn partitions(&mut self, node: &Node<'_>) -> Option<u16> {
        if !node.is_present() {
            return Some(PARTITIONS);
        }
        let count = match node.json() {
            Some(Json::Number(number)) => number.as_u64().and_then(|it| u16::try_from(it).ok()),
            _ => None,
        };
        if count.is_none_or(|count| count == 0) {
            self.reader.fault(node, "a number from 1 to 65535", None);
            return None;
        }
        count
    }
}
