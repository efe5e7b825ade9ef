//! The manifest: one JSON object that says what a checkpoint is made of, [`sealed`].

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::batch::Batch;
use super::{StateError, sealed};

/// The version of the format that is written, and the only one that is read.
pub const MANIFEST_VERSION: u32 = 1;

/// What a checkpoint is made of, and how far everyone was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of its format: [`MANIFEST_VERSION`].
    pub format: u32,
    /// Which checkpoint: 1, 2, 3 …, perhaps with gaps.
    pub number: u64,
    /// What the job was, in short: by it, another job's state is told.
    pub job: String,
    /// Who wrote it. [`Store::commit`](super::Store::commit) fills it in.
    pub writer: String,
    /// Event time up to which all is in it, in milliseconds.
    pub frontier: EventTime,
    /// Event time before which nothing more can come, in milliseconds, where that is not the
    /// frontier: what comes may take effect after its time (`on_event`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<EventTime>,
    /// How events are retained, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<Retention>,
    /// Wall time at which it was taken, RFC 3339; see [`now`].
    pub taken_at: String,
    /// How many workers wrote it. Any number may read it.
    pub workers: u32,
    /// How far each partition of each source was read.
    pub sources: Vec<SourcePosition>,
    /// The definitions in force, as whoever wrote them understands them.
    pub definitions: Vec<Json>,
    /// How far each sink was written, by its name.
    pub sinks: BTreeMap<String, Json>,
    /// What was counted so far, by name.
    pub counts: BTreeMap<String, u64>,
    /// The files that hold the rest.
    pub batches: Vec<BatchEntry>,
}

/// How events are retained for definitions to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// For how long, in milliseconds.
    pub retain_ms: i64,
    /// Events later than this are, event time in milliseconds.
    pub since: EventTime,
}

impl Retention {
    /// How far back one sees who looks at this time: at events that are later.
    pub fn seen_after(&self, time: EventTime) -> EventTime {
        self.since.max(time.saturating_sub(self.retain_ms))
    }
}

/// How far a partition of a source was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePosition {
    /// The source: the path of a file, the name of a topic.
    pub source: String,
    /// Which partition of it.
    pub partition: u32,
    /// The offset to be read next.
    pub offset: u64,
    /// Its clock, event time in milliseconds; none before its first record.
    pub clock: Option<EventTime>,
    /// The offset after the last record that was read. What stands from `offset` to here was
    /// read, and is not all in the checkpoint.
    pub read_to: u64,
    /// Of a file that is stored as it is, where to begin to read; older manifests do not say it.
    pub start: Option<LineStart>,
}

/// Where a line begins in a file, at or before the offset to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineStart {
    /// How many lines are before it.
    pub line: u64,
    /// How many bytes are.
    pub byte: u64,
}

/// A batch that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchEntry {
    /// Its path below the place of the state.
    pub path: String,
    /// Its collection.
    pub collection: String,
    /// The worker that wrote it.
    pub worker: u32,
    /// Event time from which on it tells what happened, in milliseconds.
    pub lower: EventTime,
    /// Event time before which it does.
    pub upper: EventTime,
    /// Event time from which on nothing of it is needed.
    pub until: EventTime,
    /// How many bytes the file has.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
    /// The sum in its footer: 16 digits, `0` to `f`.
    pub checksum: String,
}

/// An empty checkpoint of number 0, which is not to be committed: what the rest is taken from.
impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            format: MANIFEST_VERSION,
            number: 0,
            job: String::new(),
            writer: String::new(),
            frontier: EventTime::MIN,
            watermark: None,
            retained: None,
            taken_at: now(),
            workers: 1,
            sources: Vec::new(),
            definitions: Vec::new(),
            sinks: BTreeMap::new(),
            counts: BTreeMap::new(),
            batches: Vec::new(),
        }
    }
}

/// Wall time as manifests have it: RFC 3339, in UTC, to the millisecond.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl BatchEntry {
    /// What a manifest says of a batch that checkpoint `number` is the first to name.
    pub(super) fn of(number: u64, batch: &Batch) -> Self {
        let (header, checksum) = (batch.header.clone(), format!("{:016x}", batch.checksum));
        let name = format!("{number:010}-{}-{}-{checksum}", header.collection, header.worker);
        BatchEntry {
            path: format!("batches/{name}.batch"),
            collection: header.collection,
            worker: header.worker,
            lower: header.lower,
            upper: header.upper,
            until: EventTime::MAX,
            bytes: batch.bytes,
            entries: batch.entries,
            checksum,
        }
    }
}

/// The path of this manifest below the place of the state.
pub(super) fn path(number: u64) -> String {
    format!("manifests/{number:010}.json")
}

/// The number of the manifest that has this path, or of the first that names the batch that does.
pub(super) fn number_of(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    let end = name.find(|it: char| !it.is_ascii_digit()).filter(|end| *end >= 10)?;
    name[..end].parse().ok()
}

impl Manifest {
    /// Event time before which nothing more can come.
    pub fn settled(&self) -> EventTime {
        self.watermark.unwrap_or(self.frontier)
    }

    /// The file.
    pub(super) fn encode(&self) -> Vec<u8> {
        sealed::seal(self)
    }

    /// Understands a file; `name` is for messages.
    ///
    /// # Errors
    /// It is damaged, or of another version.
    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Self, StateError> {
        sealed::open(name, bytes, MANIFEST_VERSION)
    }
}
