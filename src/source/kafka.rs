//! Topics of Kafka: each of their partitions is a partition of the job, with Kafka's own offsets.
//!
//! A process is assigned the partitions that are its share, never by the rebalancing of a consumer
//! group: who reads what is the job's decision. librdkafka fetches each partition into a queue of
//! its own, which is bounded, and stops while that is full; a worker takes records out of it when it
//! comes to it, without waiting ([`KafkaPartition::next_chunk`]). Beside it one thread a source
//! ([`service`]) asks the brokers how far the partitions go and whether there are new ones, and
//! commits, for observers, the offsets the run has passed.
//!
//! Only what has been committed is read. Brokers that are away are waited for. What would lose
//! records unseen ends the job: a topic deleted, an offset that is no longer there.

mod context;
mod fault;
mod partition;
mod service;
mod settings;
mod survey;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use context::{Context, Watch};
pub use fault::KafkaFault;
pub use partition::{KafkaPartition, Track};
pub use settings::{Settings, Start};

type Consumer = BaseConsumer<Context>;

/// Who is told what happens to a source between the calls for records.
pub trait Listener: Send + Sync {
    /// There may be something to take.
    fn wake(&self);
    /// A partition was made while the topic was being read.
    fn found(&self, partition: KafkaPartition);
}

/// Which partitions a process reads, by the place of the topic in its source and their number.
pub type Share = Box<dyn Fn(usize, i32) -> bool + Send + Sync>;

/// Topics that are being read. Dropped, it commits what has been passed and takes its leave.
pub struct KafkaSource {
    shared: Arc<Shared>,
    service: Option<JoinHandle<()>>,
}

/// What the partitions of a source and its service know together.
struct Shared {
    settings: Settings,
    consumer: Arc<Consumer>,
    watch: Arc<Watch>,
    share: Share,
    listener: Arc<dyn Listener>,
    /// What ends the job.
    fault: Mutex<Option<KafkaFault>>,
    has_fault: AtomicBool,
    is_closing: AtomicBool,
}

impl KafkaSource {
    /// Finds the partitions of the topics, waiting for the brokers as long as it takes, and starts
    /// to fetch this process's share of them. `None` if it was stopped before it came so far.
    ///
    /// # Errors
    /// The settings are refused, or a topic is not there.
    pub fn open(
        settings: Settings,
        share: Share,
        listener: Arc<dyn Listener>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<(KafkaSource, Vec<KafkaPartition>)>, KafkaFault> {
        let watch = Arc::new(Watch::new(&settings));
        let consumer = settings.consumer(Context::new(&watch))?;
        let shared = Arc::new(Shared {
            settings,
            consumer: Arc::new(consumer),
            watch,
            share,
            listener,
            fault: Mutex::default(),
            has_fault: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        });
        let Some(found) = shared.first_survey(is_stopped)? else { return Ok(None) };
        let counts = found.counts;
        let partitions = shared.read(found.tracks)?;
        let service = service::start(&shared, counts);
        Ok(Some((KafkaSource { shared, service: Some(service) }, partitions)))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
        // A service that has panicked was told of already.
        let _ = self.service.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// Starts to fetch partitions from where they are to be read.
    fn read(self: &Arc<Self>, tracks: Vec<Arc<Track>>) -> Result<Vec<KafkaPartition>, KafkaFault> {
        let refused =
            |cause| KafkaFault::Client { brokers: self.brokers(), reason: self.text(&cause) };
        let mut list = rdkafka::TopicPartitionList::new();
        let mut partitions = Vec::with_capacity(tracks.len());
        for track in tracks {
            let offset = rdkafka::Offset::Offset(track.next());
            list.add_partition_offset(&track.topic, track.partition, offset).map_err(refused)?;
            self.watch.add(&track);
            // Before it is assigned, so that nothing of it gets into the common queue.
            let queue = self.consumer.split_partition_queue(&track.topic, track.partition);
            let queue = queue.ok_or_else(|| KafkaFault::Client {
                brokers: self.brokers(),
                reason: format!("no queue for topic {}", track.topic),
            })?;
            partitions.push(KafkaPartition::new(queue, self, track));
        }
        if list.count() > 0 {
            self.consumer.incremental_assign(&list).map_err(refused)?;
        }
        Ok(partitions)
    }

    fn brokers(&self) -> String {
        self.settings.brokers.clone()
    }

    /// What librdkafka says, without secrets.
    fn text(&self, error: &rdkafka::error::KafkaError) -> String {
        self.settings.redact(&error.to_string())
    }

    /// Notes what ends the job, and wakes the workers, who will find it.
    fn fail(&self, fault: KafkaFault) {
        lock(&self.fault).get_or_insert(fault);
        self.has_fault.store(true, Ordering::Release);
        self.listener.wake();
    }

    /// Whether the job is to end, and why.
    fn check(&self) -> Result<(), KafkaFault> {
        if self.has_fault.load(Ordering::Acquire)
            && let Some(fault) = lock(&self.fault).take()
        {
            return Err(fault);
        }
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
