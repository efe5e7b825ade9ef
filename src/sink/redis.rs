//! A Redis server that knows who is in which segment: `user:{id}:segments` and
//! `segment:{id}:users`, both sets, under a prefix if one is wanted.
//!
//! A step is one `MULTI … EXEC`: what its differences come to in both sets, and the position in the
//! hash `rivulet:{job}:{sink}`. That hash is watched from before it is read, so that of two
//! processes only one writes. `rivulet:{job}:{sink}:segments` holds the segments that were written,
//! by which all that is the sink's own can be found and cleared away ([`clear`]).
//!
//! What a server has acknowledged, it may lose when it dies, unless it is told to keep it
//! (`appendonly yes`, `appendfsync always`). It loses data and position together, so that is
//! noticed, and the sink can be rebuilt.

mod batch;
mod clear;
mod fault;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dataflows::model::EventTime;
use redis::{
    Client, Connection, ConnectionLike, RedisError, RedisResult, TlsCertificates, Value, cmd, pipe,
};

use super::SinkError;
use super::courier::{
    Begin, Courier, Destination, Failure, Terms, Watch, displaced, first_connection,
};
use super::proof::{self, ProofFault};
use super::queue::{Due, Pace};
pub use fault::RedisFault;

/// What is kept has this shape.
const VERSION: u32 = 1;
/// How long a server may take to be connected to, and how long it may be silent: it does nothing
/// else while it carries out a step, however large.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(60);

/// What is said where the address is not allowed, beside the codes.
const REFUSALS: &[&str] = &["NOAUTH", "Authentication required", "refused to switch database"];

/// What is said where the server does not prove who it is.
const CERTIFICATE: &str = "invalid peer certificate";

const PACE: Pace = Pace {
    // Enough that the way there and back does not matter; others wait some milliseconds for it.
    items: 10_000,
    every: Duration::from_millis(20),
    position_every: Duration::from_millis(250),
    only_what_is_stored: true,
};

/// A server, and what the sink is called there.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of the job.
    pub job: String,
    /// The name of the sink in it.
    pub name: String,
    /// `redis://[user:password@]host:port[/database]`, or `rediss://` with TLS.
    pub url: String,
    /// The authorities by which the server proves who it is; those the machine trusts, if none.
    pub ca: Option<PathBuf>,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// Whether all that the sink has written is to be cleared away first.
    pub rebuild: bool,
}

impl fmt::Debug for Settings {
    /// All but the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("job", &self.job)
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether the address can be one. Nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), SinkError> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<Client, SinkError> {
        let opened = match &self.ca {
            None => Client::open(self.url.as_str()),
            Some(path) => {
                let root_cert = Some(proof::authorities(&self.name, path)?);
                let tls = TlsCertificates { client_tls: None, root_cert };
                Client::build_with_tls(self.url.as_str(), tls)
            }
        };
        opened.map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            RedisFault::Address { sink: self.name.clone(), reason }.into()
        })
    }

    /// The hash that holds the position.
    fn own_key(&self) -> String {
        format!("{}rivulet:{}:{}", self.prefix, self.job, self.name)
    }

    /// The set of the segments that were written.
    fn segments_key(&self) -> String {
        format!("{}:segments", self.own_key())
    }
}

/// Connects, for as long as it takes; clears away what is left of an earlier try. `resumes` is the
/// time from which the run goes on, where it does. `None` if the run was told to stop before.
///
/// # Errors
/// The server refuses it, or what it holds does not go with the checkpoint.
pub fn open(
    settings: Settings,
    resumes: Option<EventTime>,
    terms: Terms,
) -> Result<Option<Courier>, SinkError> {
    let client = settings.client()?;
    let address = client.get_connection_info().addr().to_string();
    let name = format!("sink {} (Redis at {address})", settings.name);
    let watch = Watch::new(name.clone());
    let mut writer =
        Writer { rebuild: settings.rebuild, settings, client, watch, connection: None };
    let Some(position) = first_connection(&mut writer, &terms.stop)? else { return Ok(None) };
    let begin = Begin::keeping_members(&name, &writer.settings.name, position, resumes)?;
    Ok(Some(Courier::start(name, writer, begin, PACE, terms)))
}

/// A server that is being written.
struct Writer {
    settings: Settings,
    client: Client,
    watch: Watch,
    connection: Option<Connection>,
    /// Whether all is to be cleared away with the first connection.
    rebuild: bool,
}

impl Destination for Writer {
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        let connection = self.client.get_connection_with_timeout(CONNECT);
        let mut connection = connection.map_err(|error| self.judge(&error))?;
        let timeouts = connection.set_read_timeout(Some(ANSWER));
        timeouts
            .and_then(|()| connection.set_write_timeout(Some(ANSWER)))
            .map_err(|error| self.judge(&error))?;
        let mut found = stored(&mut connection, &self.settings);
        let is_left = |found: &Stored| found.position.is_none() && found.has_segments;
        if self.rebuild || found.as_ref().is_ok_and(is_left) {
            let cleared = clear::clear(&mut connection, &self.settings);
            found = cleared.and_then(|()| stored(&mut connection, &self.settings));
        }
        let found = found.map_err(|error| self.judge(&error))?;
        self.rebuild = false;
        if let Some(version) = found.version.filter(|version| *version != VERSION) {
            let (name, key) = (self.watch.name().to_owned(), self.settings.own_key());
            return Err(RedisFault::Version { name, key, found: version, known: VERSION }.into());
        }
        self.connection = Some(connection);
        Ok(found.position)
    }

    fn disconnect(&mut self) {
        self.connection = None;
    }

    fn write(&mut self, due: &Due, from: Option<EventTime>) -> Result<(), Failure> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Failure::Trouble("it is not connected".to_owned(), None));
        };
        let written = self.attempt(&mut connection, due, from).map_err(|error| self.judge(&error));
        self.connection = Some(connection);
        match written? {
            Attempt::Done => Ok(()),
            Attempt::Displaced(found) => Err(Failure::Fault(self.displaced(found, from))),
        }
    }

    fn displaced(&self, found: Option<EventTime>, expected: Option<EventTime>) -> SinkError {
        displaced(self.watch.name(), &self.settings.name, found, expected)
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

enum Attempt {
    Done,
    Displaced(Option<EventTime>),
}

impl Writer {
    fn attempt(
        &self,
        connection: &mut Connection,
        due: &Due,
        from: Option<EventTime>,
    ) -> RedisResult<Attempt> {
        let key = self.settings.own_key();
        let () = cmd("WATCH").arg(&key).query(connection)?;
        let found = stored(connection, &self.settings)?.position;
        if found != from {
            return Ok(Attempt::Displaced(found));
        }
        let mut step = batch::commands(&due.items, &self.settings);
        step.cmd("HSET").arg(&key).arg("version").arg(VERSION);
        step.arg("position").arg(due.upto).ignore();
        // Nothing but `nil` is what an aborted transaction answers.
        let answer: Value = step.query(connection)?;
        if answer == Value::Nil {
            return Ok(Attempt::Displaced(stored(connection, &self.settings)?.position));
        }
        Ok(Attempt::Done)
    }

    fn judge(&self, error: &RedisError) -> Failure {
        let name = self.watch.name().to_owned();
        let reason = error.to_string();
        if let Some((_, reason)) = reason.split_once(CERTIFICATE) {
            let reason = reason.trim_matches([':', ' ']).to_owned();
            return ProofFault::NotProven { name, reason }.into();
        }
        let is_refused = error.kind() == redis::ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"))
            || REFUSALS.iter().any(|refusal| reason.contains(refusal));
        if is_refused {
            let reason = reason.replace(&*self.settings.url, "…");
            return RedisFault::NotAllowed { name, reason }.into();
        }
        if error.code() == Some("WRONGTYPE") || reason.contains("WRONGTYPE") {
            let (sink, prefix) = (self.settings.name.clone(), self.settings.prefix.clone());
            return RedisFault::Occupied { name, sink, prefix }.into();
        }
        Failure::Trouble(reason, None)
    }
}

/// What a server holds of a sink.
struct Stored {
    position: Option<EventTime>,
    version: Option<u32>,
    has_segments: bool,
}

fn stored(connection: &mut impl ConnectionLike, settings: &Settings) -> RedisResult<Stored> {
    let mut question = pipe();
    question.cmd("HMGET").arg(settings.own_key()).arg("position").arg("version");
    question.cmd("EXISTS").arg(settings.segments_key());
    let ((position, version), has_segments) = question.query(connection)?;
    Ok(Stored { position, version, has_segments })
}
