//! The collector: Segment's clients send here, and what was acknowledged is a partition of the job.
//!
//! A request is read and bounded ([`body`]); when its turn has come ([`turns`]), its key is looked at
//! ([`keys`]), and each of its events is stamped ([`event`]) and put into the [`log`]. It is answered 200 when they are on disk for good,
//! and not before. The job reads the log as it reads a partition of a topic.
//!
//! Who serves the routes, and what bounds connections and their time, is not decided here.

mod answer;
mod body;
mod counted;
mod event;
mod keys;
mod log;
mod routes;
#[cfg(test)]
mod tests;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use prometheus_client::registry::Registry;

use event::Names;
pub use keys::{HASH, WriteKey, WriteKeys};
pub use log::{Log, LogFault, LogPartition, LogWriter, NotKept, Records, Track, Wake};
pub use routes::Bearer;
use routes::Collects;
use turns::Turns;

/// How long an event may be, in bytes: what Segment's clients keep to.
pub const EVENT_BYTES: usize = 32 << 10;
/// How long a batch of events may be, in bytes, unpacked.
pub const BATCH_BYTES: usize = 500 << 10;

/// Where what comes is kept, and from whom it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder of the log.
    pub folder: PathBuf,
    /// Who may send; everyone, if there are none.
    pub keys: WriteKeys,
    /// How many bytes may be kept that are not read yet. What is beyond is not taken.
    pub max_backlog: u64,
}

/// A collector. Dropped, it takes nothing more.
pub struct Collector {
    keys: WriteKeys,
    log: Arc<Log>,
    turns: Arc<Turns>,
    /// The last to go.
    _writer: LogWriter,
}

impl Collector {
    /// Opens the log. It takes nothing until its routes are served.
    ///
    /// # Errors
    /// The log cannot be used.
    pub fn open(settings: &Settings) -> Result<Self, LogFault> {
        let (log, writer) = Log::open(&settings.folder, settings.max_backlog)?;
        let turns = Turns::new().map_err(LogFault::io("start the threads of", &settings.folder))?;
        Ok(Collector { keys: settings.keys.clone(), log, turns: Arc::new(turns), _writer: writer })
    }

    /// The routes. Besides those who have a write key, those may send who bear a token that
    /// `bearer` knows; where there is one, no one may without any. `is_encrypted` tells whether
    /// they are served by TLS.
    pub fn router(&self, bearer: Option<Bearer>, is_encrypted: bool) -> Router {
        let (log, keys) = (Arc::clone(&self.log), self.keys.clone());
        let (names, turns) = (Names::new(), Arc::clone(&self.turns));
        routes::router(Collects { log, keys, bearer, is_encrypted, names, turns })
    }

    /// Adds what is counted here to what is measured.
    pub fn measure(&self, registry: &mut Registry) {
        counted::register(&self.log, registry);
    }

    /// The log, to be read.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// What the routes are, as parts of an OpenAPI document.
pub const OPENAPI: &str = include_str!("http/openapi.json");

/// What the log is called among the sources of a job: as no topic may be, and no file is.
pub const NAME: &str = "http /v1";

/// Where the log is, for a job whose state is in this folder.
pub fn folder_in(state: &Path) -> PathBuf {
    state.join("collector")
}
