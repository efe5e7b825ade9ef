//! What librdkafka says of itself: its troubles, and how far it has read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::{Settings, Track, lock};
use crate::librdkafka;
use crate::say::Trouble;

/// Whether the brokers answer, and the partitions that are read.
pub(super) struct Watch {
    settings: Settings,
    trouble: Trouble,
    is_away: AtomicBool,
    tracks: Mutex<Vec<Arc<Track>>>,
}

/// What librdkafka calls back.
pub(super) struct Context {
    watch: Arc<Watch>,
}

/// The part of librdkafka's statistics that is of use.
#[derive(Deserialize)]
struct Topics {
    topics: BTreeMap<String, Partitions>,
}

#[derive(Deserialize)]
struct Partitions {
    partitions: BTreeMap<String, Ends>,
}

#[derive(Deserialize)]
struct Ends {
    eof_offset: i64,
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Self {
        Watch {
            settings: settings.clone(),
            trouble: Trouble::default(),
            is_away: AtomicBool::new(false),
            tracks: Mutex::default(),
        }
    }

    pub(super) fn add(&self, track: &Arc<Track>) {
        lock(&self.tracks).push(Arc::clone(track));
    }

    /// The partitions that are read.
    pub(super) fn tracks(&self) -> Vec<Arc<Track>> {
        lock(&self.tracks).clone()
    }

    /// The brokers do not answer, or not as they should. What is known of the ends is no longer.
    pub(super) fn trouble(&self, reason: &str) {
        self.is_away.store(true, Ordering::Release);
        lock(&self.tracks).iter().for_each(|track| track.forget_end());
        self.trouble.is(format_args!(
            "Kafka at {}: {}; trying again, nothing is lost",
            self.settings.brokers,
            self.settings.redact(reason)
        ));
    }

    /// The brokers answer.
    pub(super) fn is_well(&self) {
        self.is_away.store(false, Ordering::Release);
        self.trouble.is_over(format_args!("Kafka at {}: answers again", self.settings.brokers));
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }
}

impl Context {
    pub(super) fn new(watch: &Arc<Watch>) -> Self {
        Context { watch: Arc::clone(watch) }
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, _: &str, said: &str) {
        self.watch.trouble(librdkafka::reason(said));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What concerns one partition, its reader is told of in its place among the records.
        let of_partition = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::PartitionEOF
                    | RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
            )
        );
        if !of_partition {
            self.watch.trouble(&format!("{error}: {reason}"));
        }
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, text: &[u8]) {
        let Ok(read) = serde_json::from_slice::<Topics>(text) else { return };
        for track in self.watch.tracks() {
            let topic = read.topics.get(&*track.topic);
            let own = topic.and_then(|it| it.partitions.get(&track.partition.to_string()));
            own.into_iter().for_each(|ends| track.found_nothing_after(ends.eof_offset));
        }
    }
}

impl ConsumerContext for Context {}
