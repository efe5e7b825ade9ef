//! The job file: what to read, what to compute, where to write.
//!
//! Two stages: TOML as it was typed, and [`Job`], which has no holes. Everything wrong is told at
//! once, by the path of its key. Text may name variables of the environment, `${NAME}`; what they
//! hold is never printed with the faults of a job file.

mod error;
mod read;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dataflows::clock::ClockSettings;
use dataflows::model::{Duration, EventTime};

use crate::format::Mapping;
use crate::serve::Settings as ServeSettings;
pub use crate::source::http::Settings as Collector;
use crate::state::{Location, Secret};

pub use error::JobError;

/// A job, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name; that of its file, unless it says.
    pub name: String,
    /// The file or directory of the definitions.
    pub segments: PathBuf,
    /// The file of their changes.
    pub changes: Option<PathBuf>,
    /// How far back a definition put in mid-stream sees events; if not said, to the beginning.
    pub retain: Option<Duration>,
    /// The settings of time.
    pub clock: ClockSettings,
    /// The files records come from.
    pub sources: Vec<Source>,
    /// The topics of Kafka they come from. There is at least one of these, or a collector.
    pub topics: Vec<Topics>,
    /// What clients send to.
    pub collector: Option<Collector>,
    /// Where the output goes. If none is named: differences, to standard output.
    pub sinks: Vec<Sink>,
    /// What is written as files for those who read tables.
    pub exports: Vec<Export>,
    /// Where checkpoints are kept; none are, if not said.
    pub state: Option<StateSettings>,
    /// Where the running job answers; nowhere, if not said.
    pub serve: Option<ServeSettings>,
    /// How several processes that do the job keep together.
    pub cluster: ClusterSettings,
    /// Where it tells what becomes of a few records; nowhere, if not said.
    pub trace: Option<TraceSettings>,
}

/// Where traces go, and which records have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The address of a collector that takes OTLP over HTTP.
    pub endpoint: String,
    /// Further headers of requests.
    pub headers: BTreeMap<String, Secret>,
    /// The share of records that are traced, in billionths; one in a thousand unless said.
    pub billionths: u64,
    /// What the service is called in traces; `rivulet` unless said.
    pub service_name: String,
}

/// How the processes of a job keep together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// By what they know one another; without it, they must all be on one machine.
    pub secret: Option<Secret>,
    /// For how long one may not answer before it counts as lost, in wall time. 10 s unless said:
    /// longer than switches and routes take to find another way.
    pub lost_after: Duration,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        ClusterSettings { secret: None, lost_after: Duration::from_ms(10_000) }
    }
}

/// Where checkpoints are kept, how often one is taken, and how many stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// Where.
    pub location: Location,
    /// How long from one to the next, in wall time. 10 s unless said: a restart reads
    /// again what came in ten seconds, and an object store is asked seldom enough to cost little.
    pub interval: Duration,
    /// How many of the newest stay; at least 1. 3 unless said: one to go on from, one in case its
    /// files are damaged, and one more.
    pub keep: usize,
    /// For how long every event is retained, so that a definition that is saved looks back at them;
    /// none is, unless said.
    pub retain: Option<Duration>,
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// One partition each.
    pub inputs: Vec<Input>,
    /// Which fields mean what; all unnamed for the shape of the Segment specification.
    pub mapping: Mapping,
}

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input (`-`).
    Stdin,
    /// This file.
    File(PathBuf),
}

/// Topics of one cluster of Kafka brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `host:port` of some brokers, with commas between.
    pub brokers: String,
    /// Their names.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// The group under which offsets are committed, for observers.
    pub group: Option<String>,
    /// What librdkafka is told.
    pub options: Options,
    /// Which fields mean what.
    pub mapping: Mapping,
}

/// Where a partition of a topic is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// After the last one.
    Latest,
    /// Where the group has committed.
    Committed,
    /// At the first record Kafka has stamped with this time or a later one.
    At(EventTime),
}

/// Settings of librdkafka. Some are secrets, so they are shown by name only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(pub BTreeMap<String, String>);

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Which output.
    pub of: Output,
    /// How it is written.
    pub format: Format,
    /// Where to.
    pub target: Target,
    /// What it is called: that of its kind, unless it says. Of those that store a position, each
    /// has a name of its own.
    pub name: String,
    /// The segments it is told of, or how their names begin (`b*`); all, if none is said.
    pub segments: Vec<String>,
    /// Where on disk there is room for what waits for it; in memory only, if not said.
    pub buffer: Option<Buffer>,
}

/// Files for those who read tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// What it is called: `export`, unless it says. Each has a name of its own.
    pub name: String,
    /// Whether differences are written, or who is in which segment.
    pub of: Exported,
    /// The segments it is about, or how their names begin (`b*`); all, if none is said.
    pub segments: Vec<String>,
    /// What the files are like.
    pub format: FileFormat,
    /// Where they go: a place of its own.
    pub to: Location,
    /// How often: for differences, how long they are gathered in wall time, 1 m unless said; for
    /// users, the interval of event time between pictures.
    pub every: Option<Duration>,
    /// Of users: only of segments of which more than this share has entered or left, in
    /// millionths.
    pub when_changed: Option<u64>,
    /// Where on disk there is room for what waits for it; in memory only, if not said.
    pub buffer: Option<Buffer>,
}

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// Who entered and left.
    Differences,
    /// Who is in which segment.
    Users,
}

/// What a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// CSV with a line of names.
    Csv,
    /// JSON lines.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// Room on disk for what waits for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// The folder: `sinks` in that of the state, unless said.
    pub folder: PathBuf,
    /// How many bytes; 1 GiB unless said.
    pub bytes: u64,
}

/// The outputs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Who entered and left.
    Differences,
    /// Records that came too late.
    Late,
    /// Records that could not be understood.
    Rejected,
}

/// How an output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people; differences only.
    Text,
}

/// Where an output is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// This file.
    File(PathBuf),
    /// Topics of Kafka.
    Topic(ToTopic),
    /// A Redis server.
    Redis(ToRedis),
    /// A PostgreSQL database.
    Postgres(ToPostgres),
    /// Whoever takes webhooks.
    Webhook(ToWebhook),
}

/// An address batches of differences are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToWebhook {
    /// The address; its path may be secret.
    pub url: Secret,
    /// What batches are signed with.
    pub secret: Secret,
    /// Further headers.
    pub headers: BTreeMap<String, Secret>,
    /// How many differences a batch holds at most; 100 unless said.
    pub batch: usize,
    /// How long differences wait for others; 1 s unless said.
    pub linger: Duration,
    /// How often a batch is tried, 0 being for ever; 12 times, which is some three minutes, unless
    /// said.
    pub attempts: u32,
    /// The folder of its progress and its dead letters: `sinks` in that of the state, unless said.
    pub folder: PathBuf,
}

/// A PostgreSQL database that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToPostgres {
    /// Its address, with user and password.
    pub url: Secret,
    /// The authorities that sign its certificate.
    pub ca: Option<PathBuf>,
    /// The schema of the tables.
    pub schema: String,
    /// The attributes of users that are written, too.
    pub attributes: Vec<dataflows::model::Path>,
}

/// A Redis server that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRedis {
    /// Its address, with user and password.
    pub url: Secret,
    /// The authorities that sign its certificate.
    pub ca: Option<PathBuf>,
    /// What the names of all keys begin with.
    pub prefix: String,
}

/// Topics of one cluster of Kafka brokers that are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToTopic {
    /// `host:port` of some brokers, with commas between.
    pub brokers: String,
    /// The topic of the records.
    pub topic: String,
    /// The topic of each user's current segments; of differences only.
    pub users_topic: Option<String>,
    /// How many partitions a topic gets that is not there yet.
    pub partitions: u16,
    /// What librdkafka is told.
    pub options: Options,
}

impl Job {
    /// Reads a job file. Relative paths in it start from its folder.
    ///
    /// # Errors
    /// That it cannot be read or is not TOML; or everything in it that is wrong.
    pub fn load(path: &Path) -> Result<Self, JobError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| JobError::Read { path: path.into(), source })?;
        Self::from_text(&text, path, &|name| std::env::var(name).ok())
    }

    /// Reads the text of a job file that stands at `path`, in this environment.
    ///
    /// # Errors
    /// That it is not TOML; or everything in it that is wrong.
    pub fn from_text(
        text: &str,
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, JobError> {
        let tree = tree::parse(text, path)?;
        read::job(&tree, path, environment)
            .map_err(|faults| JobError::Faults { path: path.into(), faults })
    }
}

#[cfg(test)]
mod tests;
