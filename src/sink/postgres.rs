//! A PostgreSQL database that knows who is in which segment, who was, and what was computed when:
//! the tables of `postgres/schema.sql`, in a schema of the sink's own.
//!
//! A step is one transaction: it moves the position on, which holds up any other process that
//! would do the same, copies what its differences come to ([`stays`]) into a table that lasts as
//! long as the transaction, and takes it over from there into all others.
//!
//! Where the job names attributes of users, the step says what they have become ([`profiles`]), too: of
//! all users of whom any is known, whatever segments the sink is told of.

mod fault;
mod profiles;
mod stays;
mod tables;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dataflows::model::{EventTime, Path};
use openssl::ssl::SslVerifyMode;
use postgres::config::{Host, SslMode};
use postgres::{Client, Config};
use postgres_openssl::MakeTlsConnector;

use super::SinkError;
use super::courier::{
    Begin, Courier, Destination, Failure, Terms, Watch, displaced, first_connection,
};
use super::proof::{self, ProofFault};
use super::queue::{Due, Pace};
pub use fault::PostgresFault;
use stays::Stays;
use tables::Step;

/// How long a server may take to be connected to, and how long what is sent to it may go without
/// an answer of its machine.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);

const PACE: Pace = Pace {
    // A transaction costs a write to the disk and a dozen ways there and back, whatever it holds.
    items: 20_000,
    every: Duration::from_millis(100),
    position_every: Duration::from_millis(500),
    only_what_is_stored: true,
};

/// A database, and what the sink is called there.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of the job.
    pub job: String,
    /// The name of the sink in it.
    pub name: String,
    /// `postgres://user:password@host:port/database`, with parameters if need be.
    pub url: String,
    /// The authorities by which the server proves who it is; those the machine trusts, if none.
    pub ca: Option<PathBuf>,
    /// The schema of the tables.
    pub schema: String,
    /// The attributes of users that are written, in order, each once.
    pub attributes: Vec<Path>,
    /// Whether all that the sink has written is to be cleared away first.
    pub rebuild: bool,
}

impl fmt::Debug for Settings {
    /// All but the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("job", &self.job)
            .field("name", &self.name)
            .field("schema", &self.schema)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether the address can be one. Nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), SinkError> {
        self.config()?;
        self.authorities().map(drop)
    }

    fn authorities(&self) -> Result<Option<Vec<u8>>, SinkError> {
        let read = |path: &PathBuf| proof::authorities(&self.name, path);
        Ok(self.ca.as_ref().map(read).transpose()?)
    }

    fn config(&self) -> Result<Config, PostgresFault> {
        let address = |reason: String| PostgresFault::Address { sink: self.name.clone(), reason };
        let url = known_to_client(&self.url);
        let mut config: Config = url.parse().map_err(|error: postgres::Error| {
            // It is the cause that says which part, and no part is repeated by it.
            address(fault::with_causes(&error))
        })?;
        if config.get_hosts().is_empty() {
            return Err(address("it names no host".to_owned()));
        }
        if self.ca.is_some() {
            if config.get_ssl_mode() == SslMode::Disable {
                return Err(address("sslmode=disable, beside a ca to prove it by".to_owned()));
            }
            config.ssl_mode(SslMode::Require);
        }
        config.application_name("rivulet").connect_timeout(CONNECT).tcp_user_timeout(SILENCE);
        Ok(config)
    }
}

/// Connects, for as long as it takes; makes the tables, if they are not there. `resumes` is the
/// time from which the run goes on, where it does. `None` if the run was told to stop before.
///
/// # Errors
/// The server refuses it, the tables are of another shape or another's, or they do not go with the
/// checkpoint.
pub fn open(
    settings: Settings,
    resumes: Option<EventTime>,
    terms: Terms,
) -> Result<Option<Courier>, SinkError> {
    let config = settings.config()?;
    let name = format!("sink {} (PostgreSQL at {})", settings.name, place(&config));
    let (watch, rebuild) = (Watch::new(name.clone()), settings.rebuild);
    let (connected, writes) = (None, Writes::default());
    let mut writer =
        Writer { settings, config, watch, connected, rebuild, writes, tells_members: false };
    let Some(position) = first_connection(&mut writer, &terms.stop)? else { return Ok(None) };
    writer.tells_members = position.is_none() && resumes.is_some();
    let begin = Begin::keeping_members(&name, &writer.settings.name, position, resumes)?;
    Ok(Some(Courier::start(name, writer, begin, PACE, terms)))
}

/// The same address, in words the client knows: what is required here is the whole proof.
fn known_to_client(url: &str) -> String {
    let parameters = url.find('?').unwrap_or(url.len());
    let (address, parameters) = url.split_at(parameters);
    format!("{address}{}", parameters.replace("sslmode=verify-full", "sslmode=require"))
}

fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5_432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}:{port}/{database}")
}

/// What the items of a step come to.
#[derive(Debug, Default)]
struct Writes {
    stays: Stays,
    /// What attributes have become, as rows.
    profiles: Vec<u8>,
}

/// A database that is being written.
struct Writer {
    settings: Settings,
    config: Config,
    watch: Watch,
    connected: Option<(Client, Step)>,
    /// Whether all is to be cleared away with the first connection.
    rebuild: bool,
    /// What the step that is being tried comes to.
    writes: Writes,
    /// Whether the first step tells who is in which segment.
    tells_members: bool,
}

impl Destination for Writer {
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        let authorities = self.settings.authorities()?;
        let tls = self.tls(authorities.as_deref());
        let tls = tls.map_err(|error| Failure::Trouble(error.to_string(), None))?;
        let client = self.config.connect(tls);
        let mut client = client.map_err(|error| self.judge(&error))?;
        let opened = tables::open(&mut client, &self.settings, self.rebuild);
        let found = opened.map_err(|error| self.judge(&error))?;
        if found.version != tables::VERSION {
            let (name, schema) = (self.watch.name().to_owned(), self.settings.schema.clone());
            let known = tables::VERSION;
            return Err(PostgresFault::Version { name, schema, found: found.version, known }.into());
        }
        let Settings { job, name, schema, .. } = &self.settings;
        if (&found.job, &found.sink) != (job, name) {
            let (name, schema) = (self.watch.name().to_owned(), schema.clone());
            let (job, sink) = (found.job, found.sink);
            return Err(PostgresFault::Others { name, schema, job, sink }.into());
        }
        let wanted = self.settings.attributes.iter().map(Path::as_str);
        if !wanted.eq(found.attributes.iter().map(String::as_str)) {
            let (name, schema) = (self.watch.name().to_owned(), schema.clone());
            let (attributes, sink) = (found.attributes.join(", "), self.settings.name.clone());
            return Err(PostgresFault::Attributes { name, schema, attributes, sink }.into());
        }
        self.rebuild = false;
        let step = Step::prepare(&mut client).map_err(|error| self.judge(&error))?;
        self.connected = Some((client, step));
        Ok(found.position)
    }

    fn disconnect(&mut self) {
        self.connected = None;
    }

    fn prepare(&mut self, items: &[super::delivery::Item]) {
        self.writes = Writes { stays: Stays::of(items), profiles: profiles::rows(items) };
    }

    fn write(&mut self, due: &Due, from: Option<EventTime>) -> Result<(), Failure> {
        let Some((mut client, step)) = self.connected.take() else {
            return Err(Failure::Trouble("it is not connected".to_owned(), None));
        };
        let cause = if self.tells_members && from.is_none() { "rebuild" } else { "stream" };
        let written = step.write(&mut client, &self.writes, (from, due.upto), cause);
        let written = written.map_err(|error| self.judge(&error));
        self.connected = Some((client, step));
        match written? {
            true => Ok(()),
            // Another process has moved the position on meanwhile.
            false => Err(Failure::Fault(self.displaced(Some(due.upto), from))),
        }
    }

    fn displaced(&self, found: Option<EventTime>, expected: Option<EventTime>) -> SinkError {
        displaced(self.watch.name(), &self.settings.name, found, expected)
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

impl Writer {
    /// As libpq does, a server is believed to be who it says unless encryption is required; then it
    /// has to prove it, by its host name too.
    fn tls(
        &self,
        authorities: Option<&[u8]>,
    ) -> Result<MakeTlsConnector, openssl::error::ErrorStack> {
        let must_prove = self.config.get_ssl_mode() == SslMode::Require;
        let mut builder = proof::client(authorities)?;
        if !must_prove {
            builder.set_verify(SslVerifyMode::NONE);
        }
        let mut tls = MakeTlsConnector::new(builder.build());
        tls.set_callback(move |session, _| {
            session.set_verify_hostname(must_prove);
            Ok(())
        });
        Ok(tls)
    }

    fn judge(&self, error: &postgres::Error) -> Failure {
        let (name, sink) = (self.watch.name().to_owned(), self.settings.name.clone());
        if let Some(reason) = fault::not_proven(error) {
            return ProofFault::NotProven { name, reason }.into();
        }
        match PostgresFault::of(error, name, sink, &self.settings.schema) {
            Some(fault) => fault.into(),
            None => Failure::Trouble(fault::with_causes(error), None),
        }
    }
}
