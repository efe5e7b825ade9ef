//! `[[source]]` of kind kafka: which topics, from where, and what librdkafka is told.

use dataflows::rule::reader::{Named, Node};
use serde_json::Value as Json;

use super::{JobReader, Word};
use crate::job::{Start, Topics};

const KEYS: &[&str] = &["kind", "brokers", "topic", "topics", "start", "group", "mapping", "kafka"];

static STARTS: &[Word<Start>] = &[
    Word("earliest", Some(Start::Earliest)),
    Word("latest", Some(Start::Latest)),
    Word("committed", Some(Start::Committed)),
];

/// Settings of librdkafka that a job does not get to change, and what it can do instead.
const NOT_YOURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "say brokers"),
    ("metadata.broker.list", "say brokers"),
    ("group.id", "say group"),
    ("auto.offset.reset", "say start"),
    (
        "enable.auto.commit",
        "offsets are committed when the run has passed them, if there is a group",
    ),
    (
        "auto.commit.enable",
        "offsets are committed when the run has passed them, if there is a group",
    ),
    ("auto.commit.interval.ms", "offsets are committed when the run has passed them"),
    ("enable.auto.offset.store", "offsets are committed when the run has passed them"),
    ("isolation.level", "only what has been committed is read"),
    ("enable.partition.eof", "the run relies on it"),
    ("allow.auto.create.topics", "topics that are read must be there"),
    ("statistics.interval.ms", "the run relies on it"),
    ("group.instance.id", "partitions are dealt out by the job, not by the group"),
    ("group.protocol", "partitions are dealt out by the job, not by the group"),
    ("group.remote.assignor", "partitions are dealt out by the job, not by the group"),
    ("partition.assignment.strategy", "partitions are dealt out by the job, not by the group"),
    ("plugin.library.paths", "foreign code is not loaded"),
    ("enabled_events", "the run relies on it"),
    ("log.queue", "the run relies on it"),
    ("debug", "it would fill standard error"),
];

impl JobReader<'_> {
    pub(super) fn kafka(&mut self, node: &Node<'_>) -> Option<Topics> {
        self.reader.object(node, KEYS)?;
        let brokers = node.get("brokers");
        let brokers = self.reader.name(&brokers, "host:port of brokers, with commas between");
        let topics = self.topics(node, brokers.as_deref().unwrap_or_default());
        let group = self.reader.optional(&node.get("group"), |reader, node| {
            Some(reader.name(node, "the name of a consumer group")?.into_owned())
        });
        let start = self.start(&node.get("start"));
        let options = self.options(&node.get("kafka"), NOT_YOURS);
        let mapping = self.mapping(&node.get("mapping"));
        if start == Some(Start::Committed) && group == Some(None) {
            let hint = "name the group whose offsets it starts from".to_owned();
            self.reader.fault(&node.get("group"), "a consumer group", Some(hint));
            return None;
        }
        Some(Topics {
            brokers: brokers?.into_owned(),
            topics: topics?,
            start: start?,
            group: group?,
            options: options?,
            mapping: mapping?,
        })
    }

    /// One topic, or a list of them.
    fn topics(&mut self, node: &Node<'_>, brokers: &str) -> Option<Vec<String>> {
        let (one, many) = (node.get("topic"), node.get("topics"));
        if one.is_present() && many.is_present() {
            let hint = "name all in \"topics\"".to_owned();
            self.reader.fault(&one, "nothing beside \"topics\"", Some(hint));
            return None;
        }
        if !many.is_present() {
            return self.topic(&one, brokers).map(|topic| vec![topic]);
        }
        let topics: Vec<_> = many.items().map(|item| self.topic(&item, brokers)).collect();
        if topics.is_empty() {
            self.reader.fault(&many, "a list of topics, at least one", None);
            return None;
        }
        topics.into_iter().collect()
    }

    fn topic(&mut self, node: &Node<'_>, brokers: &str) -> Option<String> {
        let topic = self.reader.name(node, "the name of a topic")?.into_owned();
        if !self.topics.insert((brokers.to_owned(), topic.clone())) {
            let hint = "it is read already".to_owned();
            self.reader.fault(node, "each topic once", Some(hint));
            return None;
        }
        Some(topic)
    }

    fn start(&mut self, node: &Node<'_>) -> Option<Start> {
        if !node.is_present() {
            return Some(Start::Earliest);
        }
        let text = node.json().and_then(Json::as_str);
        if let Some(row) = STARTS.iter().find(|row| Some(row.word()) == text) {
            return row.1;
        }
        let is_time = match node.json() {
            Some(Json::String(text)) => text.starts_with(|sign: char| sign.is_ascii_digit()),
            other => other.is_some_and(Json::is_number),
        };
        if is_time {
            return self.reader.instant(node).map(Start::At);
        }
        self.pick(node, STARTS, None)
    }
}
