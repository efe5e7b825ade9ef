//! Topics of Kafka: each item once in effect.
//!
//! Items wait in a bounded queue ([`queue`]) for a thread of their own ([`writer`]), which writes
//! them in transactions. Each transaction also holds the *position*: the event time before which
//! all has been written, as the committed offset of a consumer group named after the job and the
//! topic. So the records and the position become visible together or not at all. A job that is
//! started again reads its position and leaves out what lies before it.
//!
//! Whatever goes wrong in a transaction, the client is dropped, and a new one
//! ([`connection`]) asks the brokers: its `init_transactions` ends the old transaction one way or
//! the other, and the position says which. So an unknown outcome never has to be guessed. A position
//! that this process did not write is another process's: then it ends.

mod connection;
mod context;
mod fault;
mod queue;
mod records;
mod settings;
mod topics;
mod users;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use dataflows::model::EventTime;

use super::SinkError;
use super::delivery::{Delivery, Item, MadeFinal};
use connection::Connection;
use context::Watch;
pub use fault::KafkaFault;
use queue::Queue;
pub use settings::Settings;
use users::Users;

/// Whether the run has been told to stop; nothing, where that ends it at once.
pub type Stop = Option<Arc<AtomicBool>>;

/// A topic that is being written.
pub struct KafkaSink {
    delivered: Option<EventTime>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl KafkaSink {
    /// Finds the topics or makes them, and the position; waits for the brokers as long as it takes.
    /// `None` if the run was told to stop before.
    ///
    /// # Errors
    /// The settings are refused, or the topics may not be written.
    pub fn open(settings: Settings, stop: Stop) -> Result<Option<Self>, KafkaFault> {
        let watch = Arc::new(Watch::new(&settings));
        let is_stopped = || stop.as_ref().is_some_and(|stop| stop.load(Ordering::Acquire));
        let Some(connection) = Connection::first(&settings, &watch, &is_stopped)? else {
            return Ok(None);
        };
        let Some(users) = Users::known(&settings, &watch, &is_stopped)? else { return Ok(None) };
        let delivered = connection.position;
        let made_final = MadeFinal::since(delivered.unwrap_or(EventTime::MIN));
        let queue = Arc::new(Queue::new(settings.topic.clone(), made_final, stop));
        let of_writer = Arc::clone(&queue);
        let writer = std::thread::spawn(move || {
            writer::write(settings, watch, connection, users, &of_writer);
        });
        Ok(Some(KafkaSink { delivered, queue, writer: Some(writer) }))
    }
}

impl Delivery for KafkaSink {
    fn delivered(&self) -> Option<EventTime> {
        self.delivered
    }

    fn give(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        Ok(self.queue.give(items)?)
    }

    fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError> {
        Ok(self.queue.advance(frontier)?)
    }

    fn made_final(&self) -> MadeFinal {
        self.queue.made_final.clone()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.queue.finish()?;
        // All is final, so it ends at once. Had it panicked, the queue would have told.
        let _ = self.writer.take().map(JoinHandle::join);
        Ok(())
    }
}

impl Drop for KafkaSink {
    /// What is not final is left to the next life. The thread may be waiting for a broker: nobody
    /// waits for it.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
