//! Topics of Kafka: each item once in effect.
//!
//! A [`Courier`] writes items in transactions. Each transaction also holds the *position*: the
//! event time before which all has been written, as the committed offset of a consumer group named
//! after the job and the topic. So the records and the position become visible together or not at all. A job that is
//! started again reads its position and leaves out what lies before it.
//!
//! Whatever goes wrong in a transaction, the client is dropped, and a new one ([`connection`]) asks
//! the brokers: its `init_transactions` ends the old transaction one way or the other.

mod connection;
mod context;
mod fault;
mod records;
mod settings;
mod topics;
mod users;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::SinkError;
use super::courier::{Begin, Courier, Terms};
use super::queue::Pace;
use connection::Connection;
use context::Watch;
pub use fault::KafkaFault;
pub use settings::Settings;
use users::Users;
use writer::Writer;

const PACE: Pace = Pace {
    // Markers cost little beside so many, and a consumer waits for their end for no more than some
    // tens of milliseconds.
    items: 10_000,
    // Ten a second cost the brokers little, and a tenth of a second is what a watermark is late by
    // anyway.
    every: Duration::from_millis(100),
    // Brokers forget positions that nobody renews, and a process that another has replaced learns
    // of it.
    position_every: Duration::from_secs(10),
    only_what_is_stored: false,
};

/// Finds the topics or makes them, and the position; waits for the brokers as long as it takes.
/// `None` if the run was told to stop before.
///
/// # Errors
/// The settings are refused, or the topics may not be written.
pub fn open(settings: Settings, terms: Terms) -> Result<Option<Courier>, SinkError> {
    let watch = Arc::new(Watch::new(&settings));
    let is_stopped = || terms.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Acquire));
    let Some(connection) = Connection::first(&settings, &watch, &is_stopped)? else {
        return Ok(None);
    };
    let Some(users) = Users::known(&settings, &watch, &is_stopped)? else { return Ok(None) };
    let name = format!("topic {}", settings.topic);
    let begin = Begin { position: connection.position, ..Begin::default() };
    let writer = Writer::new(settings, watch, connection, users);
    Ok(Some(Courier::start(name, writer, begin, PACE, terms)))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
