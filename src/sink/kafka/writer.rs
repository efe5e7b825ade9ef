//! The thread that writes: transaction after transaction, each until it is final.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::model::EventTime;

use super::connection::{Connection, Failure};
use super::context::Watch;
use super::queue::{Due, Queue};
use super::records::Record;
use super::users::Users;
use super::{KafkaFault, Settings};

/// How long to wait after the first failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long to wait at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How often in a row a topic is unknown before it is believed to have been deleted: brokers that
/// start do not know all yet.
const BELIEF: u32 = 5;

/// Writes what is due until the end, or until something is wrong that does not pass.
pub(super) fn write(
    settings: Settings,
    watch: Arc<Watch>,
    connection: Connection,
    users: Users,
    queue: &Queue,
) {
    let _guard = TellPanic(queue);
    let position = connection.position;
    let mut writer = Writer { settings, watch, connection: Some(connection), position, users };
    let fault = writer.serve(queue).err();
    drop(writer); // it takes its leave of the brokers
    queue.end(fault);
}

/// Without it, the run would wait for a thread that is no more.
struct TellPanic<'a>(&'a Queue);

impl Drop for TellPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the thread that writes it has failed".to_owned();
            let (topic, brokers) = Default::default();
            self.0.end(Some(KafkaFault::Client { topic, brokers, reason }));
        }
    }
}

struct Writer {
    settings: Settings,
    watch: Arc<Watch>,
    connection: Option<Connection>,
    position: Option<EventTime>,
    users: Users,
}

impl Writer {
    fn serve(&mut self, queue: &Queue) -> Result<(), KafkaFault> {
        let mut last = Instant::now();
        while let Some(due) = queue.next(last, self.position) {
            let users = match self.settings.users_topic {
                Some(_) => self.users.apply(&due.items),
                None => Vec::new(),
            };
            if !self.deliver(queue, &due, &users)? {
                return Ok(());
            }
            self.position = Some(due.upto);
            queue.wrote(&due);
            last = Instant::now();
        }
        Ok(())
    }

    /// Tries until it is final, for ever; tells whether it is. It is not, if nobody waits for it
    /// any more.
    fn deliver(&mut self, queue: &Queue, due: &Due, users: &[Record]) -> Result<bool, KafkaFault> {
        let (mut wait, mut unknown) = (BACK_OFF, 0);
        loop {
            let failure = match self.attempt(due, users) {
                Ok(()) => {
                    self.watch.is_well();
                    return Ok(true);
                }
                Err(failure) => failure,
            };
            self.connection = None;
            match failure {
                Failure::Fault(fault) => return Err(fault),
                Failure::Missing(topic) if unknown == BELIEF => {
                    let brokers = self.settings.brokers.clone();
                    return Err(KafkaFault::Deleted { topic, brokers });
                }
                Failure::Missing(topic) => {
                    unknown += 1;
                    self.watch.trouble(&format!("topic {topic} is not there"));
                }
                Failure::Trouble(reason) => {
                    unknown = 0;
                    self.watch.trouble(&reason);
                }
            }
            queue.pause(jittered(wait), due);
            wait = (2 * wait).min(BACK_OFF_MAX);
            if queue.is_left(due) {
                return Ok(false);
            }
        }
    }

    /// Writes what is due, on a new connection if need be. What an older one had begun may have
    /// become final: the position says so.
    fn attempt(&mut self, due: &Due, users: &[Record]) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::new(&self.settings, &self.watch)?,
        };
        let found = connection.position;
        if found != self.position && found != Some(due.upto) {
            return Err(Failure::Fault(self.settings.fenced()));
        }
        if found != Some(due.upto) {
            connection.write(&self.settings, &due.items, users, due.upto)?;
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// From half of it to all of it, so that many that have failed together do not come again together.
fn jittered(wait: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().build_hasher().finish() % 512).unwrap_or(0);
    wait * (512 + random) / 1_024
}
