//! The run: workers that read, compute and write until the input has ended, or they are told to
//! stop.
//!
//! Each worker turns in a circle ([`work`]): settle the batches whose turn it is, read another
//! chunk, say how far time has come, let the dataflow step. It parks when there is nothing to do.
//! At the end of its input a run lets all time pass; where it is told to stop, time stays where it
//! is ([`ending`]).

mod abreast;
mod checkpoint;
mod deliveries;
mod edits;
mod ending;
mod inputs;
mod lost;
mod on_the_way;
mod outputs;
mod pace;
pub mod places;
mod processes;
mod progress;
mod reports;
mod statement;
mod traced;
mod viewed;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration as WallDuration, Instant};

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::clock::ClockSettings;
use dataflows::model::{Duration, EventTime, Path};
use dataflows::operators::membership::Tally;
use dataflows::operators::memory::Memory;
use dataflows::segmentation::Sight;
use dataflows::streams::{Stream, Streams};
use serde::Serialize;
use thiserror::Error;

use crate::definitions::Watch;
use crate::format::Mapping;
use crate::ingest::{GoOn, Partitions, Recalled, Wall};
use crate::mesh::{IsEdited, MeshError};
use crate::serve::view::View;
use crate::sink::SinkError;
use crate::sink::delivery::MadeFinal;
use crate::source::http::Log;
use crate::source::kafka::Settings;
use crate::source::{SourceError, Track};
use crate::state::{Secret, StateError};
use crate::trace::Tracer;

use checkpoint::{Checkpoints, Chronicler, Keeper, KeeperThread, Scribe};
pub use checkpoint::{Resumed, Start};
pub use deliveries::Deliveries;
use edits::Known;
use ending::Ending;
pub use lost::LOST;
use outputs::Writing;
pub use outputs::{Form, Origin, Outputs, Until};
use progress::Progress;

/// What keeps a run from ending well.
#[derive(Debug, Error)]
pub enum RunError {
    /// An input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Checkpoints cannot be written or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The processes of the cluster do not come together.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// There are more files and topics than can be told apart.
    #[error("the job has {0} files and topics: read at most 65,536 in one run")]
    Streams(usize),
    /// The workers cannot be started.
    #[error("cannot start the workers: {0}")]
    Start(String),
    /// A worker came to harm.
    #[error("a worker failed: {0}")]
    Worker(String),
}

/// One file, a partition of its own.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Where it is; `-` is standard input.
    pub path: PathBuf,
    /// Which fields of its records mean what.
    pub mapping: Mapping,
}

/// The workers of a run, over one process or several.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Threads in this process.
    pub workers: usize,
    /// Which process this is.
    pub process: usize,
    /// `host:port` of every process; empty for a single one.
    pub hosts: Vec<String>,
    /// The job they work on.
    pub job: String,
    /// By what they know one another.
    pub secret: Option<Secret>,
    /// For how long one of them may not answer before it counts as lost.
    pub lost_after: WallDuration,
}

impl Cluster {
    /// A single process.
    pub fn single(workers: usize) -> Self {
        let (hosts, job, lost_after) = (Vec::new(), String::new(), WallDuration::MAX);
        Cluster { workers, process: 0, hosts, job, secret: None, lost_after }
    }
}

/// All that a run needs to know.
pub struct Run {
    /// Where records come from.
    pub inputs: Vec<InputFile>,
    /// The segments and their changes.
    pub timeline: Arc<Timeline>,
    /// The settings of time.
    pub clock: ClockSettings,
    /// The attributes outputs are told of, all of those that any asks for.
    pub attributes: Vec<Path>,
    /// How far back new definitions see.
    pub retain: Option<Duration>,
    /// Who works.
    pub cluster: Cluster,
    /// What a run has that goes on until it is told to stop; `None` for a replay.
    pub live: Option<Live>,
    /// Where it keeps its state, and how often; `None` where it keeps none.
    pub state: Option<Kept>,
}

/// The state a run keeps, and goes on from.
pub struct Kept {
    /// What an earlier run has left.
    pub resumed: Resumed,
    /// How long from one checkpoint to the next, in wall time.
    pub interval: WallDuration,
    /// By index, where partitions go on that an earlier run had read.
    pub go_on: BTreeMap<u32, GoOn>,
    /// What has been edited since the earlier run.
    pub edits: Vec<Edit>,
    /// What the earlier run has decided that no checkpoint has.
    pub recalled: Recalled,
    /// Whether it is written down which records took effect at which instants: where these depend
    /// on the order in which they come, and an output cannot be cut back.
    pub is_chronicled: bool,
}

/// What a run has that goes on until it is told to stop.
pub struct Live {
    /// The topics it reads.
    pub topics: Vec<Topics>,
    /// What clients send, in the process that takes it.
    pub log: Option<Arc<Log>>,
    /// Whether any input has no end, in whichever process: topics, and clients.
    pub is_endless: bool,
    /// Wall time.
    pub wall: Wall,
    /// Whether it ends by itself when all has been read that there was when it began.
    pub until_caught_up: bool,
    /// Whether it is started again where it ends because another process is not as it should be.
    pub is_supervised: bool,
    /// Whether the definitions it was given have been edited since they were read.
    pub is_edited: IsEdited,
    /// Whether it has been told to stop.
    pub stop: Arc<AtomicBool>,
    /// The events that are counted, by counter.
    pub counted: Vec<Stream>,
    /// The watch over its definitions, in the process that has it.
    pub watch: Option<Watch>,
    /// That view, in the process where all comes together.
    pub view: Option<Arc<View>>,
    /// What takes note of what becomes of a few records.
    pub tracer: Option<Arc<Tracer>>,
}

/// Topics of one cluster of brokers.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Which, and how they are read.
    pub settings: Settings,
    /// Which fields of their records mean what.
    pub mapping: Mapping,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// What was counted, by all processes.
    pub tally: Tally,
    /// Differences given out.
    pub differences: u64,
    /// What the users of this process needed when the last record had been applied.
    pub memory: Memory,
    /// Records read by this process, if it is the only one, at times the watermark had not passed
    /// when the run was told to end.
    pub waiting: u64,
    /// How far the partitions of topics and of a collector were read by this process.
    pub lags: Vec<Lag>,
}

/// How far a partition of a topic or of a collector was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// The topic; of a collector, what its log is called.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// The offset from which it is to be read on.
    pub next_offset: u64,
    /// How many offsets there were after it, as far as is known.
    pub lag: u64,
}

impl Summary {
    /// Records read, by all processes, and passed: each ended in exactly one of these.
    pub fn read(&self) -> u64 {
        let tally = &self.tally;
        tally.applied + tally.late + tally.rejected + tally.duplicate
    }
}

/// What the workers of a process share.
struct Shared {
    partitions: Arc<Partitions>,
    outputs: Mutex<Writing>,
    failed: Mutex<Option<RunError>>,
    stop: AtomicBool,
    progress: Progress,
    ending: Ending,
    /// Checkpoints, where the run keeps state.
    checkpoints: Option<Arc<Checkpoints>>,
    /// The names of files and topics.
    sources: Vec<String>,
    /// Up to when each output that is delivered is final.
    finals: Vec<MadeFinal>,
    /// Whether any output is to be told who is in which segment, where the run goes on from.
    tells_members: bool,
    /// What was edited since the earlier run, in force from before anything is given out.
    edited: Vec<TimedEdit>,
    /// What readers know.
    known: Mutex<Known>,
    /// What workers have worked out of the definition that was saved last.
    prepared: Mutex<Vec<Sight>>,
    /// The view that is asked who is in what.
    view: Option<Arc<View>>,
}

impl Shared {
    fn fail(&self, error: RunError) {
        lock(&self.failed).get_or_insert(error);
        self.stop.store(true, Ordering::Release);
        self.partitions.wake();
    }
}

/// Stops the other workers when this one panics: they would wait for it for ever.
struct StopOnPanic(Arc<Shared>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Release);
            self.0.partitions.wake();
        }
    }
}

/// Runs until the input has ended and all time has passed, or it is told to stop.
///
/// # Errors
/// An input cannot be read, an output cannot be written, or the workers cannot be started.
pub fn run(run: Run, outputs: Outputs) -> Result<(Summary, Outputs), RunError> {
    let processes = run.cluster.hosts.len().max(1);
    let is_live = run.live.is_some();
    let wall = run.live.as_ref().map(|live| live.wall.clone());
    let before = run.state.as_ref().and_then(|kept| kept.resumed.before());
    let recalled = run.state.as_ref().map(|kept| kept.recalled.clone());
    let going = run.state.as_ref().and_then(|kept| kept.resumed.before_and_settled());
    let going = going.unwrap_or((EventTime::MIN, EventTime::MIN));
    let is_chronicled = run.state.as_ref().is_some_and(|kept| kept.is_chronicled);
    let partitions = Partitions::new(&run.clock, wall, going, (recalled, is_chronicled));
    let may_come = run.live.as_ref().is_some_and(|live| !live.topics.is_empty());
    partitions.await_others(processes - 1, may_come && processes > 1);
    let is_served = run.live.as_ref().is_some_and(|live| live.view.is_some());
    let tells_members = is_served || outputs.deliveries.want_members();
    let finals = outputs.deliveries.made_final();
    let sources = outputs.sources.iter().map(ToString::to_string).collect();
    let Some(topics) = inputs::open(&run, &partitions)? else {
        return Ok(Writing::new(outputs, None).finish()?); // told to stop before there was anything
    };
    let view = viewed::begin(&run, before.unwrap_or(EventTime::MIN))?;
    view.iter().for_each(|view| viewed::watch_sinks(view, outputs.deliveries.standing()));
    let tracer = run.live.as_ref().and_then(|live| live.tracer.clone());
    let edited = run.edited(&finals);
    let streams = Arc::new(run.streams());
    let shared = Arc::new(Shared {
        progress: Progress::new(&partitions, !is_live && !outputs.show_on_terminal()),
        partitions,
        outputs: Mutex::new(
            Writing::new(outputs, run.resumed()).viewed(view.clone()).traced(tracer),
        ),
        failed: Mutex::new(None),
        stop: AtomicBool::new(false),
        ending: Ending::new(&run.cluster),
        checkpoints: run.state.as_ref().map(|kept| Arc::new(kept.checkpoints())),
        sources,
        finals,
        tells_members,
        edited,
        known: Mutex::new(Known::new(&streams)),
        prepared: Mutex::default(),
        view,
    });
    let who = (run.cluster.process, processes, run.cluster.workers);
    let keeper = run.state.as_ref().and_then(|kept| Keeper::start(&kept.resumed, who, &shared));
    let keeper = shared.checkpoints.clone().map(|them| KeeperThread(keeper, them));
    let Some((builders, others)) = processes::join(&run)? else {
        drop((topics, keeper));
        let written = std::mem::take(&mut *lock(&shared.outputs));
        return Ok(written.finish()?); // told to stop before all were there
    };
    // Only now: what stood there before was decided by earlier runs.
    let scribe = run.state.iter().map(|kept| Scribe::start(&kept.resumed, who.0, &shared));
    let scribe = scribe.collect::<Result<Vec<_>, _>>()?;
    let chronicler = run.state.iter().map(|kept| Chronicler::start(&kept.resumed, who.0, &shared));
    let chronicler = chronicler.collect::<Result<Vec<_>, _>>()?;
    let (run, of_workers) = (Arc::new(run), shared.clone());
    let settings = timely::WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, others, settings, move |worker| {
        work::work(worker, &run, &streams, &of_workers);
    })
    .map_err(RunError::Start)?;
    for result in guards.join() {
        if let Err(message) = result {
            shared.fail(RunError::Worker(message));
        }
    }
    shared.progress.finish();
    drop((topics, keeper, scribe, chronicler));
    if let Some(error) = lock(&shared.failed).take() {
        return Err(error);
    }
    let written = std::mem::take(&mut *lock(&shared.outputs));
    let (mut summary, outputs) = written.finish()?;
    if shared.partitions.is_stopped() && processes == 1 {
        summary.waiting = shared.partitions.read().saturating_sub(summary.read());
    }
    summary.lags = shared.partitions.tracks().iter().map(Lag::of).collect();
    Ok((summary, outputs))
}

impl Run {
    /// All that may be asked for at first.
    fn streams(&self) -> Streams {
        let mut streams = Streams::of(&self.timeline);
        if self.state.as_ref().is_some_and(|kept| kept.resumed.retained().is_some()) {
            streams.add(Stream::of_all());
        }
        for edit in self.state.iter().flat_map(|kept| &kept.edits) {
            if let Edit::Put(definition) = edit {
                streams.add_rule(&definition.rule);
            }
        }
        let counted = self.live.iter().flat_map(|live| &live.counted);
        counted.for_each(|stream| streams.count(stream.clone()));
        streams.tell(&self.attributes);
        streams
    }

    /// When it began to go on from an earlier run, and before which time that had done everything.
    fn resumed(&self) -> Option<(Instant, EventTime)> {
        let resumed = &self.state.as_ref()?.resumed;
        Some((resumed.began(), resumed.before()?))
    }

    /// What was edited since the earlier run. It comes into force where this one goes on; or later,
    /// where all before that has been given out already.
    fn edited(&self, finals: &[MadeFinal]) -> Vec<TimedEdit> {
        let Some(kept) = &self.state else { return Vec::new() };
        let given_out = finals.iter().map(MadeFinal::time).max();
        let time = kept.resumed.before().max(given_out).unwrap_or(EventTime::MIN);
        let edits = kept.edits.iter().cloned();
        let retained = kept.resumed.retained();
        let edits = edits.map(|edit| {
            let is_put = matches!(edit, Edit::Put(_));
            let from = retained.filter(|_| is_put).map(|retained| retained.seen_after(time));
            TimedEdit { time, from, saved: from.map(|_| time), edit }
        });
        edits.collect()
    }
}

impl Kept {
    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.interval, &self.resumed)
    }
}

impl Lag {
    fn of(track: &Track) -> Self {
        let (topic, partition) = (track.source().to_owned(), track.partition());
        Lag { topic, partition, next_offset: track.next(), lag: track.lag() }
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
