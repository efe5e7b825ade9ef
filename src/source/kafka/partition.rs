//! One partition of a topic, as it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers as _};
use rdkafka::types::RDKafkaErrorCode;

use super::context::Context;
use super::{KafkaFault, Shared};
use crate::format::{TRACEPARENT, TraceParent};
use crate::source::Chunk;

/// How long a question to a broker may take whose answer decides whether the job ends.
const ANSWER: Duration = Duration::from_secs(5);
/// How many records a chunk has at most.
const CHUNK_RECORDS: usize = 4_096;

/// How far a partition has been read, and how far it goes. Offsets are those after the last record.
#[derive(Debug)]
pub struct Track {
    /// The topic.
    pub topic: Arc<str>,
    /// The place of the topic in its source.
    pub place: usize,
    /// The number of the partition.
    pub partition: i32,
    /// How far it went when it was begun.
    goal: i64,
    next: AtomicI64,
    /// How far it goes; below 0 if that is not known at present.
    end: AtomicI64,
    /// How far librdkafka has found nothing more.
    nothing_after: AtomicI64,
    /// Whether all that was fetched has been taken, up to an end.
    is_drained: AtomicBool,
    is_caught_up: AtomicBool,
    /// How far the run has passed it; below 0 at first.
    passed: AtomicI64,
}

impl Track {
    pub(super) fn new(topic: &str, place: usize, partition: i32, start: i64, goal: i64) -> Self {
        Track {
            topic: topic.into(),
            place,
            partition,
            goal,
            next: AtomicI64::new(start),
            end: AtomicI64::new(-1),
            nothing_after: AtomicI64::new(-1),
            is_drained: AtomicBool::new(false),
            is_caught_up: AtomicBool::new(start >= goal),
            passed: AtomicI64::new(-1),
        }
    }

    /// The offset from which it is to be read on.
    pub fn next(&self) -> i64 {
        self.next.load(Ordering::Acquire)
    }

    /// How many offsets are still to be read, as far as is known.
    pub fn lag(&self) -> u64 {
        let end = self.end.load(Ordering::Acquire);
        // What ends in aborted records is read before its last offset.
        if self.is_at_end() || (self.is_caught_up() && end <= self.goal) {
            return 0;
        }
        u64::try_from(end.max(self.goal) - self.next()).unwrap_or(0)
    }

    /// Whether all it held when it was begun has been taken.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up.load(Ordering::Acquire)
    }

    /// Whether the brokers have said of late that there is nothing more to be taken.
    pub fn is_at_end(&self) -> bool {
        let end = self.end.load(Ordering::Acquire);
        let is_beyond = self.is_drained.load(Ordering::Acquire)
            && self.nothing_after.load(Ordering::Acquire) >= end;
        end >= 0 && (self.next() >= end || is_beyond)
    }

    /// Says that the run has passed all records before this offset.
    pub fn pass(&self, next: u64) {
        self.passed.fetch_max(i64::try_from(next).unwrap_or(i64::MAX), Ordering::AcqRel);
    }

    /// How far the run has passed it.
    pub fn passed(&self) -> Option<i64> {
        Some(self.passed.load(Ordering::Acquire)).filter(|passed| *passed >= 0)
    }

    pub(super) fn goes_to(&self, end: i64) {
        self.end.store(end, Ordering::Release);
    }

    pub(super) fn forget_end(&self) {
        self.end.store(-1, Ordering::Release);
    }

    pub(super) fn found_nothing_after(&self, offset: i64) {
        self.nothing_after.store(offset, Ordering::Release);
    }

    fn took(&self, next: i64) {
        self.next.store(next, Ordering::Release);
        self.is_drained.store(false, Ordering::Release);
        if next >= self.goal {
            self.is_caught_up.store(true, Ordering::Release);
        }
    }

    fn drained(&self) {
        self.is_drained.store(true, Ordering::Release);
        // The goal was asked for before the first record was fetched.
        self.is_caught_up.store(true, Ordering::Release);
    }
}

/// A partition that is being read.
pub struct KafkaPartition {
    queue: PartitionQueue<Context>,
    shared: Arc<Shared>,
    track: Arc<Track>,
}

impl KafkaPartition {
    pub(super) fn new(
        mut queue: PartitionQueue<Context>,
        shared: &Arc<Shared>,
        track: Arc<Track>,
    ) -> Self {
        let listener = Arc::clone(&shared.listener);
        queue.set_nonempty_callback(move || listener.wake());
        KafkaPartition { queue, shared: Arc::clone(shared), track }
    }

    /// How far it has been read.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Puts the next records, about `target_bytes` of them, into a chunk in place of what it held;
    /// tells whether there were any. It does not wait.
    ///
    /// # Errors
    /// Records have been lost, or the topic is gone.
    pub fn next_chunk(
        &mut self,
        target_bytes: usize,
        chunk: &mut Chunk,
    ) -> Result<bool, KafkaFault> {
        self.shared.check()?;
        chunk.clear();
        let mut records = 0;
        while chunk.bytes.len() < target_bytes && records < CHUNK_RECORDS {
            match self.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let offset = message.offset();
                    let number = u64::try_from(offset).unwrap_or_default();
                    if let Some(parent) = message.headers().and_then(parent) {
                        chunk.push_parent(number, parent);
                    }
                    chunk.push(number, message.payload());
                    self.track.took(offset + 1);
                    records += 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.track.drained();
                    self.shared.listener.wake();
                }
                Some(Err(error)) => self.judge(&error)?,
                None => break,
            }
        }
        Ok(records > 0)
    }

    /// What an error of this partition means.
    fn judge(&self, error: &KafkaError) -> Result<(), KafkaFault> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.out_of_range()
            }
            // The service finds out whether that is for good.
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Ok(()),
            _ => {
                self.shared.watch.trouble(&self.shared.text(error));
                Ok(())
            }
        }
    }

    /// The next offset is said not to be there. If it is after all, it is gone back to.
    fn out_of_range(&self) -> Result<(), KafkaFault> {
        let (topic, partition, wanted) =
            (&*self.track.topic, self.track.partition, self.track.next());
        let consumer = &self.shared.consumer;
        let Ok((low, high)) = consumer.fetch_watermarks(topic, partition, ANSWER) else {
            return self.again(wanted);
        };
        if (low..=high).contains(&wanted) {
            return self.again(wanted);
        }
        let topic = topic.to_owned();
        Err(KafkaFault::OutOfRange { topic, partition, wanted, low, high })
    }

    fn again(&self, wanted: i64) -> Result<(), KafkaFault> {
        let (topic, partition) = (&*self.track.topic, self.track.partition);
        let gone_back = self.shared.consumer.seek(topic, partition, Offset::Offset(wanted), ANSWER);
        gone_back.map_err(|error| KafkaFault::Client {
            brokers: self.shared.brokers(),
            reason: format!("topic {topic}, partition {partition}: {}", self.shared.text(&error)),
        })
    }
}

/// The trace a record is a part of, if its headers say so once.
fn parent(headers: &BorrowedHeaders) -> Option<TraceParent> {
    let mut said = headers.iter().filter(|header| header.key == TRACEPARENT);
    let (first, second) = (said.next()?, said.next());
    TraceParent::parse(first.value?).filter(|_| second.is_none())
}
