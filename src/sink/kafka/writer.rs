//! What is written in a transaction, and on which connection.

use std::sync::Arc;

use dataflows::model::EventTime;

use super::connection::{self, Connection};
use super::context::Watch;
use super::records::Record;
use super::users::Users;
use super::{KafkaFault, Settings};
use crate::sink::SinkError;
use crate::sink::courier::{self, Destination, Failure};
use crate::sink::delivery::Item;
use crate::sink::queue::Due;

/// How often in a row a topic is unknown before it is believed to have been deleted: brokers that
/// start do not know all yet.
const BELIEF: u32 = 5;

/// Topics that are being written.
pub(super) struct Writer {
    settings: Settings,
    watch: Arc<Watch>,
    connection: Option<Connection>,
    users: Users,
    /// Of the step that is being tried: how its users are after it.
    records: Vec<Record>,
    /// How often in a row a topic was not there.
    unknown: u32,
}

impl Writer {
    pub(super) fn new(
        settings: Settings,
        watch: Arc<Watch>,
        connection: Connection,
        users: Users,
    ) -> Self {
        let (connection, records) = (Some(connection), Vec::new());
        Writer { settings, watch, connection, users, records, unknown: 0 }
    }

    fn failure(&mut self, failure: connection::Failure) -> Failure {
        match failure {
            connection::Failure::Fault(fault) => Failure::Fault(fault.into()),
            connection::Failure::Missing(topic) if self.unknown == BELIEF => {
                let brokers = self.settings.brokers.clone();
                KafkaFault::Deleted { topic, brokers }.into()
            }
            connection::Failure::Missing(topic) => {
                self.unknown += 1;
                Failure::Trouble(format!("topic {topic} is not there"), None)
            }
            connection::Failure::Trouble(reason) => {
                self.unknown = 0;
                Failure::Trouble(reason, None)
            }
        }
    }
}

impl Destination for Writer {
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        let connected = Connection::new(&self.settings, &self.watch);
        let connection = connected.map_err(|failure| self.failure(failure))?;
        Ok(self.connection.insert(connection).position)
    }

    fn disconnect(&mut self) {
        self.connection = None;
    }

    fn prepare(&mut self, items: &[Item]) {
        self.records = match self.settings.users_topic {
            Some(_) => self.users.apply(items),
            None => Vec::new(),
        };
    }

    fn write(&mut self, due: &Due, _: Option<EventTime>) -> Result<(), Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::Trouble("it is not connected".to_owned(), None));
        };
        let written = connection.write(&self.settings, &due.items, &self.records, due.upto);
        written.map_err(|failure| self.failure(failure))?;
        self.unknown = 0;
        Ok(())
    }

    fn displaced(&self, _: Option<EventTime>, _: Option<EventTime>) -> SinkError {
        self.settings.fenced().into()
    }

    fn watch(&self) -> &courier::Watch {
        self.watch.told()
    }

    fn trouble(&self, reason: &str) {
        self.watch.trouble(reason);
    }
}
