//! Traces: what becomes of a few records, from their source to the sinks, as spans of OpenTelemetry.
//!
//! Which records are traced is decided by user and event time, so every process says the same, and
//! whoever sees a difference knows without being told whether its cause may be traced. Besides, a
//! record that comes as a sampled part of a trace is followed in that; which those are is told as they
//! have their turn ([`Followed`]). Those who
//! see something take note of it ([`Tracer`]); a thread puts the notes of a record together
//! ([`gathering`]), another one posts what is complete ([`posting`]). Notes and spans wait in
//! bounded queues: what there is no room for is dropped and counted, and nobody ever waits.
//!
//! ```text
//! record                    from its being read until time has passed it
//! ├ read                    its chunk is taken from the source
//! ├ decode                  its chunk is understood
//! └ apply                   from its turn until the watermark has passed it and it is computed
//!   └ difference            someone enters or leaves a segment by it
//!     └ deliver             until an output has it for good; one for each
//! ```

mod followed;
mod gathering;
mod posting;
mod span;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dataflows::model::{Difference, EventTime, Position, UserKey};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::format::TraceParent;
use crate::say::warn;
use crate::threads::give_way;
use followed::Followed;
use gathering::Gatherer;
use posting::{Poster, Posting};

/// How many notes may wait for the thread that puts them together.
const NOTES_WAITING: usize = 8_192;
/// How many notes may wait to be told to the first process.
const TELLING_MAX: usize = 1_024;
/// How many spans are posted at a time, about.
const BATCH_SPANS: usize = 256;
/// How many batches may wait to be posted.
const BATCHES_WAITING: usize = 32;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_millis(500);
/// How often it is looked whether outputs have what they were given, while that is awaited.
const LOOK: Duration = Duration::from_millis(5);
/// How long the end of a run waits for the last spans to be posted.
const END_WAITS: Duration = Duration::from_secs(3);
/// What a share is counted in.
const BILLION: u64 = 1_000_000_000;

/// Where traces go, and which records have one.
#[derive(Clone)]
pub struct Settings {
    /// The job, as people know it.
    pub job: String,
    /// Which of its processes this is.
    pub process: usize,
    /// Whether others tell it what they trace.
    pub hears: bool,
    /// The address of a collector that takes OTLP over HTTP: `http://host:4318`, or all of it, to
    /// `/v1/traces`.
    pub endpoint: String,
    /// Further headers of requests.
    pub headers: BTreeMap<String, String>,
    /// The share of records that are traced, in billionths.
    pub billionths: u64,
    /// What the service is called in traces.
    pub service_name: String,
}

impl Settings {
    /// Whether they can be such. Nothing is connected to.
    ///
    /// # Errors
    /// The address or a header is none.
    pub fn check(&self) -> Result<(), TraceError> {
        posting::check(self)
    }
}

/// Why nothing can be traced.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The address is none.
    #[error("trace.endpoint is no address such as http://127.0.0.1:4318: {0}")]
    Endpoint(String),
    /// A header cannot be one.
    #[error("trace.headers: {0} cannot be a header of HTTP")]
    Header(String),
    /// The client cannot be made.
    #[error("traces cannot be posted: {0}")]
    Client(String),
}

/// A moment on the wall, in nanoseconds since the epoch.
pub type Moment = u64;

/// What moment it is.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A record that is traced: by this other processes know it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it was read.
    pub position: Position,
    /// Whose it is; nobody's, if that was not understood.
    pub user: UserKey,
    /// When it takes effect.
    pub at: EventTime,
    /// The trace it came as a part of.
    pub parent: Option<TraceParent>,
}

/// When a chunk was read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// When the source was asked for it.
    pub asked: Moment,
    /// When the source had given it.
    pub taken: Moment,
    /// When it was understood.
    pub decoded: Moment,
}

/// What became of a record when it had its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect; its event time.
    Applied(EventTime),
    /// It came too late; its event time.
    Late(EventTime),
    /// It was not understood, or not believed: why.
    Rejected(String),
}

/// A record had its turn.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which record.
    pub place: Place,
    /// When it was read.
    pub read: Read,
    /// When it had its turn.
    pub turn: Moment,
    /// What became of it.
    pub fate: Fate,
}

/// Something that differences are given to.
pub struct Output {
    /// What it is called.
    pub name: String,
    /// Before which event time it has all for good; without it, as soon as it is given.
    pub made_final: Option<Box<dyn Fn() -> EventTime + Send>>,
}

/// What a process tells of itself when it begins to run.
pub struct Scene {
    /// What differences are given to, by index.
    pub outputs: Vec<Output>,
    /// The name of where a partition is, and its number there, by the index of the partition.
    pub name: Box<dyn Fn(u32) -> (String, u32) + Send>,
}

/// A difference that may be of a record that is traced.
#[derive(Debug, Clone)]
struct Came {
    difference: Difference,
    user: UserKey,
    came: Moment,
    /// When it had been given to all outputs.
    given: Moment,
    /// When those had it that have it so far.
    done: Moment,
    /// Which have not.
    outputs: Vec<usize>,
}

/// A note.
enum Note {
    Scene(Scene),
    Settled(Settled),
    /// Another process has settled it.
    Heard(Place),
    Came(Came),
    /// All before this time has come out.
    Passed(EventTime, Moment),
    End,
}

/// How many spans there were.
#[derive(Debug, Clone, Default)]
struct Counts {
    posted: Counter,
    /// Those that wait to be posted.
    waiting: Gauge,
    dropped: Counter,
}

/// The greatest hash of a record that is traced, where such a share is.
fn bound(billionths: u64) -> u64 {
    if billionths >= BILLION { u64::MAX } else { billionths * (u64::MAX / BILLION) }
}

impl Counts {
    /// Spans that waited were taken, or dropped.
    fn leave_the_queue(&self, posted: usize, dropped: usize) {
        self.waiting.dec_by(i64::try_from(posted + dropped).unwrap_or(i64::MAX));
        self.posted.inc_by(u64::try_from(posted).unwrap_or(u64::MAX));
        self.dropped.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
    }
}

/// What takes the notes of a process. All of it is quick, and none of it waits.
pub struct Tracer {
    /// A hash up to this is of a record that is traced.
    bound: u64,
    notes: SyncSender<Note>,
    /// The least time a record that is traced waits for.
    waits_for: Arc<AtomicI64>,
    /// What the first process is to be told; nothing, in that itself.
    telling: Option<Mutex<Vec<Place>>>,
    followed: Followed,
    counts: Counts,
}

/// The threads behind a tracer. Dropped, they post what is complete, if that does not take long.
pub struct Tracing {
    tracer: Arc<Tracer>,
    gatherer: Option<JoinHandle<()>>,
    posting: Posting,
}

impl Tracing {
    /// Begins to trace. Whether the collector answers is not asked.
    ///
    /// # Errors
    /// The address or a header is none.
    pub fn start(settings: &Settings) -> Result<Self, TraceError> {
        let counts = Counts::default();
        let (give, take) = sync_channel(BATCHES_WAITING);
        let posting = Posting::start(Poster::new(settings, &counts)?, take);
        let (notes, noted) = sync_channel(NOTES_WAITING);
        let waits_for = Arc::new(AtomicI64::new(EventTime::MAX));
        let tracer = Arc::new(Tracer {
            bound: bound(settings.billionths),
            notes,
            waits_for: Arc::clone(&waits_for),
            telling: (settings.process > 0).then(Mutex::default),
            followed: Followed::default(),
            counts: counts.clone(),
        });
        let gatherer = Gatherer::new((&settings.job, settings.hears), waits_for, counts, give);
        let gatherer = std::thread::spawn(move || {
            give_way();
            gatherer.run(&noted);
        });
        Ok(Tracing { tracer, gatherer: Some(gatherer), posting })
    }

    /// What takes notes.
    pub fn tracer(&self) -> Arc<Tracer> {
        Arc::clone(&self.tracer)
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // It takes what waits at once, so there is room.
        let _ = self.tracer.notes.send(Note::End);
        let _ = self.gatherer.take().map(JoinHandle::join);
        self.posting.end(END_WAITS);
        let counts = &self.tracer.counts;
        let lost = counts.dropped.get() + u64::try_from(counts.waiting.get()).unwrap_or(0);
        if lost > 0 {
            warn(format_args!("traces: at least {lost} spans were not taken"));
        }
    }
}

impl Tracer {
    /// Whether records of this user at this time are traced.
    pub fn traces(&self, user: UserKey, at: EventTime) -> bool {
        if self.bound == 0 {
            return false;
        }
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&user.to_bytes());
        bytes[16..].copy_from_slice(&at.to_be_bytes());
        xxh3_64(&bytes) <= self.bound
    }

    /// Whether a record is traced of which nothing but its place is known.
    pub fn traces_place(&self, position: Position) -> bool {
        if self.bound == 0 {
            return false;
        }
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&position.partition.to_be_bytes());
        bytes[4..].copy_from_slice(&position.offset.to_be_bytes());
        xxh3_64(&bytes) <= self.bound
    }

    /// The run begins.
    pub fn begin(&self, scene: Scene) {
        self.note(Note::Scene(scene));
    }

    /// A record that is traced had its turn.
    pub fn settled(&self, settled: Settled) {
        let place = settled.place;
        if matches!(settled.fate, Fate::Applied(_)) {
            if !self.follow(&place) {
                return;
            }
            self.waits_for.fetch_min(place.at, Ordering::AcqRel);
            if let Some(telling) = &self.telling {
                let mut telling = telling.lock().unwrap_or_else(PoisonError::into_inner);
                match telling.len() < TELLING_MAX {
                    true => telling.push(place),
                    false => _ = self.counts.dropped.inc(),
                }
            }
        }
        self.note(Note::Settled(settled));
    }

    /// Follows what comes of a record that is a part of a trace; whether there was room.
    fn follow(&self, place: &Place) -> bool {
        let has_room = place.parent.is_none() || self.followed.add(place.user, place.at);
        if !has_room {
            self.counts.dropped.inc();
        }
        has_room
    }

    /// What the first process is to be told.
    pub fn to_be_told(&self) -> Vec<Place> {
        let telling = self.telling.iter();
        let take =
            |it: &Mutex<_>| std::mem::take(&mut *it.lock().unwrap_or_else(PoisonError::into_inner));
        telling.flat_map(take).collect()
    }

    /// Another process has settled it.
    pub fn heard(&self, place: Place) {
        if !self.follow(&place) {
            return;
        }
        self.waits_for.fetch_min(place.at, Ordering::AcqRel);
        self.note(Note::Heard(place));
    }

    /// Differences came out at this moment and have been given to outputs, by index.
    pub fn differences(
        &self,
        batch: &[Difference],
        came: Moment,
        outputs: impl Fn(&Difference) -> Vec<usize>,
    ) {
        for difference in batch {
            let user = UserKey::of(&difference.user);
            if self.traces(user, difference.time) || self.followed.has(user, difference.time) {
                let (outputs, difference, given) = (outputs(difference), difference.clone(), now());
                self.note(Note::Came(Came { difference, user, came, given, done: given, outputs }));
            }
        }
    }

    /// All before this time has come out.
    pub fn passed(&self, frontier: EventTime) {
        if frontier > self.waits_for.load(Ordering::Acquire) {
            self.followed.forget(frontier);
            // The thread says what is waited for besides.
            self.waits_for.store(EventTime::MAX, Ordering::Release);
            self.note(Note::Passed(frontier, now()));
        }
    }

    /// Adds what is counted here to what is measured.
    pub fn measure(&self, registry: &mut Registry) {
        let help = "Spans of traces a collector has taken";
        registry.register("trace_spans", help, self.counts.posted.clone());
        let help = "Spans of traces that were dropped: there was no room, or they were refused";
        registry.register("trace_spans_dropped", help, self.counts.dropped.clone());
        let help = "Spans of traces that wait to be posted";
        registry.register("trace_spans_waiting", help, self.counts.waiting.clone());
    }

    fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.counts.dropped.inc();
        }
    }
}
