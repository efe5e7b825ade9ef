//! The thread beside a source: new partitions, deleted topics, how far partitions go, offsets for
//! observers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::survey::Answer;
use super::{KafkaFault, Shared, Start};

/// How long the common queue of a source is waited on.
const TURN: Duration = Duration::from_millis(100);
/// How often the brokers are asked how far partitions go.
const ENDS: Duration = Duration::from_millis(500);
/// How often they are asked for new partitions.
const TOPICS: Duration = Duration::from_secs(2);
/// How often offsets are committed.
const COMMITS: Duration = Duration::from_secs(3);
/// How often in a row a topic is unknown before it is believed to have been deleted.
const BELIEF: u32 = 3;

/// Something done now and then.
struct Now {
    every: Duration,
    last: Option<Instant>,
}

impl Now {
    fn and_then(every: Duration) -> Self {
        Now { every, last: None }
    }

    fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

/// What the service knows of a topic.
struct Topic {
    partitions: i32,
    unknown_in_a_row: u32,
}

struct Service {
    shared: Arc<Shared>,
    topics: Vec<Topic>,
    /// What was committed last.
    committed: Vec<Option<i64>>,
}

/// Starts the service of a source whose topics have so many partitions.
pub(super) fn start(shared: &Arc<Shared>, counts: Vec<i32>) -> JoinHandle<()> {
    let topic = |partitions| Topic { partitions, unknown_in_a_row: 0 };
    let topics = counts.into_iter().map(topic).collect();
    let service = Service { shared: Arc::clone(shared), topics, committed: Vec::new() };
    std::thread::spawn(move || service.serve())
}

impl Service {
    fn serve(mut self) {
        let (mut ends, mut topics) = (Now::and_then(ENDS), Now::and_then(TOPICS));
        let mut commits = Now::and_then(COMMITS);
        while !self.shared.is_closing.load(Ordering::Acquire) {
            self.turn();
            if ends.is_due() {
                let asked = self.shared.ends();
                self.heard(asked);
            }
            if topics.is_due() {
                let asked = self.topics();
                self.heard(asked);
            }
            if commits.is_due() {
                self.commit();
            }
        }
        if !self.shared.watch.is_away() {
            self.commit();
        }
    }

    /// Serves the common queue. Records have queues of their own.
    fn turn(&self) {
        match self.shared.consumer.poll(TURN) {
            None => {}
            Some(Ok(_)) => self.shared.fail(KafkaFault::Client {
                brokers: self.shared.brokers(),
                reason: "a record came by another way than its partition's".to_owned(),
            }),
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => self.shared.watch.trouble(&self.shared.text(&error)),
        }
    }

    fn heard(&self, asked: KafkaResult<()>) {
        match asked {
            Ok(()) => {
                self.shared.watch.is_well();
                self.shared.listener.wake();
            }
            Err(error) => self.shared.watch.trouble(&self.shared.text(&error)),
        }
    }

    /// Looks for new partitions, and for topics that are no more.
    fn topics(&mut self) -> KafkaResult<()> {
        let before: Vec<_> = self.topics.iter().map(|topic| topic.partitions).collect();
        let mut now = before.clone();
        for (place, topic) in self.topics.iter_mut().enumerate() {
            let name = &self.shared.settings.topics[place];
            match self.shared.partitions_of(name)? {
                Answer::Given(count) => {
                    topic.unknown_in_a_row = 0;
                    now[place] = count.max(before[place]);
                }
                Answer::NoTopic => {
                    topic.unknown_in_a_row += 1;
                    if topic.unknown_in_a_row == BELIEF {
                        self.shared.fail(deleted(&self.shared, place));
                    }
                }
            }
        }
        let new = self.shared.own(&now, &before);
        let tracks = self.shared.begin(&new, Start::Earliest)?;
        match self.shared.read(tracks) {
            Ok(found) => found.into_iter().for_each(|it| self.shared.listener.found(it)),
            Err(fault) => self.shared.fail(fault),
        }
        self.topics.iter_mut().zip(now).for_each(|(topic, count)| topic.partitions = count);
        Ok(())
    }

    /// Commits how far the run has passed the partitions, if there is a group to do it for.
    fn commit(&mut self) {
        if self.shared.settings.group.is_none() {
            return;
        }
        let tracks = self.shared.watch.tracks();
        self.committed.resize(tracks.len(), None);
        let mut list = TopicPartitionList::new();
        for (track, committed) in tracks.iter().zip(&mut self.committed) {
            let passed = track.passed();
            if let Some(next) = passed.filter(|_| passed != *committed) {
                let added =
                    list.add_partition_offset(&track.topic, track.partition, Offset::Offset(next));
                if added.is_ok() {
                    *committed = passed;
                }
            }
        }
        if list.count() > 0
            && let Err(error) = self.shared.consumer.commit(&list, CommitMode::Async)
        {
            self.shared.watch.trouble(&self.shared.text(&error));
            self.committed.clear();
        }
    }
}

fn deleted(shared: &Shared, place: usize) -> KafkaFault {
    let tracks = shared.watch.tracks();
    let own = tracks.iter().filter(|track| track.place == place);
    let read: Vec<_> = own
        .map(|track| format!("offset {} of partition {}", track.next(), track.partition))
        .collect();
    KafkaFault::Deleted { topic: shared.settings.topics[place].clone(), read: read.join(", ") }
}
