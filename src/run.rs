//! The run: workers that read, compute and write until the input has ended.
//!
//! Each worker turns in a circle: settle the batches whose turn it is, read another chunk, say how
//! far time has come, let the dataflow step. It parks when there is nothing to do. How far reading
//! may run ahead of the dataflow is bounded by [`AHEAD_RECORDS`].

mod outputs;
mod progress;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration as WallDuration, Instant};

use dataflows::catalog::Timeline;
use dataflows::clock::{ClockSettings, Emit};
use dataflows::model::{Difference, Duration, EventTime};
use dataflows::operators::checkpoint::Survival;
use dataflows::operators::feed::Feed;
use dataflows::operators::membership::Tally;
use dataflows::operators::memory::Memory;
use dataflows::segmentation::{Inputs, commands, segmentation};
use dataflows::streams::Streams;
use thiserror::Error;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

use crate::format::Mapping;
use crate::ingest::{Batch, Ingest, Partitions, Taken};
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::source::file::FilePartition;

use outputs::Writing;
pub use outputs::{Form, Outputs, Until};
use progress::Progress;

/// How many records may be on their way through the dataflow, a worker, before reading pauses.
const AHEAD_RECORDS: usize = 500_000;
/// How many chunks a worker may have read that wait for their turn.
const BATCHES_WAITING: usize = 4;
/// The longest a worker sleeps before it looks whether another one has failed.
const PARK: WallDuration = WallDuration::from_millis(50);
/// How long pipes must be silent before an instant that has just begun may be over (`on_event`): a
/// record of the same millisecond may be close behind.
const SILENCE: WallDuration = WallDuration::from_micros(100);

/// What keeps a run from ending well.
#[derive(Debug, Error)]
pub enum RunError {
    /// An input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
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
}

/// All that a run needs to know.
pub struct Run {
    /// Where records come from.
    pub inputs: Vec<InputFile>,
    /// The segments and their changes.
    pub timeline: Arc<Timeline>,
    /// The settings of time.
    pub clock: ClockSettings,
    /// How far back new definitions see.
    pub retain: Option<Duration>,
    /// Who works.
    pub cluster: Cluster,
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
}

impl Summary {
    /// Records read, by all processes: each ended in exactly one of these.
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

/// Runs until the input has ended and all time has passed.
///
/// # Errors
/// An input cannot be read, an output cannot be written, or the workers cannot be started.
pub fn run(run: Run, outputs: Outputs) -> Result<(Summary, Outputs), RunError> {
    let processes = run.cluster.hosts.len().max(1);
    let mut files = Vec::new();
    for (index, input) in run.inputs.iter().enumerate() {
        if index % processes == run.cluster.process {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            files.push((index, FilePartition::open(&input.path)?, input.mapping.clone()));
        }
    }
    let partitions = Partitions::new(files, &run.clock);
    let shared = Arc::new(Shared {
        progress: Progress::new(&partitions, !outputs.show_on_terminal()),
        partitions,
        outputs: Mutex::new(Writing::new(outputs)),
        failed: Mutex::new(None),
        stop: AtomicBool::new(false),
    });
    let config = config(&run.cluster)?;
    let streams = Arc::new(Streams::of(&run.timeline));
    let (run, of_workers) = (Arc::new(run), shared.clone());
    let guards = timely::execute(config, move |worker| {
        work(worker, &run, &streams, &of_workers);
    })
    .map_err(RunError::Start)?;
    for result in guards.join() {
        if let Err(message) = result {
            shared.fail(RunError::Worker(message));
        }
    }
    shared.progress.finish();
    if let Some(error) = lock(&shared.failed).take() {
        return Err(error);
    }
    let written = std::mem::take(&mut *lock(&shared.outputs));
    Ok(written.finish()?)
}

/// The cluster as timely's own settings.
fn config(cluster: &Cluster) -> Result<timely::Config, RunError> {
    if cluster.hosts.len() <= 1 {
        return Ok(timely::Config::process(cluster.workers));
    }
    let communication = timely::CommunicationConfig::Cluster {
        threads: cluster.workers,
        process: cluster.process,
        addresses: cluster.hosts.clone(),
        report: false,
        zerocopy: false,
    };
    Ok(timely::Config { communication, worker: timely::WorkerConfig::default() })
}

fn work(worker: &mut Worker, run: &Run, streams: &Arc<Streams>, shared: &Arc<Shared>) {
    let _guard = StopOnPanic(shared.clone());
    shared.partitions.enlist(std::thread::current());
    let probe = ProbeHandle::new();
    let (mut inputs, memory) = build(worker, run, streams, shared, &probe);
    let mut pace = Pace::new(worker, run, shared);
    for command in commands(&run.timeline, run.retain) {
        inputs.commands.send(command);
    }
    let mut ingest =
        Ingest::new(shared.partitions.clone(), run.clock, streams, run.timeline.clone());
    let mut waiting: VecDeque<Batch> = VecDeque::new();
    let mut on_the_way = OnTheWay::default();
    while !shared.stop.load(Ordering::Acquire) {
        let (mut busy, mut silent) = (false, false);
        while let Some(batch) = ready(&mut waiting, &ingest) {
            on_the_way.sent(ingest.settle(batch, &mut inputs));
            busy = true;
        }
        let Some(watermark) = shared.partitions.watermark() else { break };
        pace.advance(&mut inputs, watermark);
        on_the_way.passed(&probe);
        if waiting.len() < BATCHES_WAITING && !on_the_way.is_full(&probe, pace.time) {
            match ingest.take(on_the_way.is_much()) {
                Ok(Taken::Chunk(task)) => {
                    waiting.push_back(ingest.read(task));
                    busy = true;
                }
                Ok(Taken::Nothing) => silent = true,
                Ok(Taken::Exhausted) => {}
                Err(error) => shared.fail(error.into()),
            }
            shared.progress.tell(&shared.partitions);
        }
        let idle = !busy && !waiting.iter().any(|batch| ingest.is_next(batch));
        match pace.close(idle && silent) {
            Closing::Done => {}
            Closing::In(wait) if idle => _ = worker.step_or_park(Some(wait.min(PARK))),
            Closing::Nothing if idle => _ = worker.step_or_park(Some(PARK)),
            Closing::In(_) | Closing::Nothing => _ = worker.step(),
        }
    }
    drop((inputs, pace));
    while !probe.done() && !shared.stop.load(Ordering::Acquire) {
        worker.step_or_park(Some(PARK));
    }
    lock(&shared.outputs).memory(&memory());
    if shared.stop.load(Ordering::Acquire) {
        // There is no one left to work for.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }
}

/// A batch whose turn it is.
fn ready(waiting: &mut VecDeque<Batch>, ingest: &Ingest) -> Option<Batch> {
    let place = waiting.iter().position(|batch| ingest.is_next(batch))?;
    waiting.remove(place)
}

/// How far a worker has said that time has come.
struct Pace {
    emit: Emit,
    time: EventTime,
    shared: Arc<Shared>,
    /// Tells the other processes of a greater event time (`on_event`).
    others: Option<(Feed<EventTime>, EventTime)>,
    /// Since when there has been nothing to read.
    silent_since: Option<Instant>,
}

/// What becomes of the latest instant.
enum Closing {
    /// It is over.
    Done,
    /// It will be, so much later.
    In(WallDuration),
    /// There is none to be closed.
    Nothing,
}

impl Pace {
    fn new(worker: &mut Worker, run: &Run, shared: &Arc<Shared>) -> Self {
        let spread = run.clock.emit == Emit::OnEvent && run.cluster.hosts.len() > 1;
        let others = spread.then(|| {
            let partitions = shared.partitions.clone();
            let feed = worker.dataflow(|scope| {
                let (feed, greatest) = Feed::new(scope, "Greatest");
                greatest.broadcast().inspect(move |time: &EventTime| partitions.see(*time));
                feed
            });
            (feed, EventTime::MIN)
        });
        let (emit, shared) = (run.clock.emit, shared.clone());
        Pace { emit, time: EventTime::MIN, shared, others, silent_since: None }
    }

    /// Closes the latest instant, if it is time (`on_event`): where nothing has come for a while,
    /// as soon as all that has come is in it; under load, once it has stood for its millisecond.
    fn close(&mut self, silent: bool) -> Closing {
        let partitions = &self.shared.partitions;
        if self.emit == Emit::OnWatermark {
            return Closing::Nothing;
        }
        if !(silent && partitions.is_settled()) {
            self.silent_since = None;
        } else if self.silent_since.is_none() {
            self.silent_since = Some(Instant::now());
        }
        let Some(line_in) = partitions.stays_open(true) else { return Closing::Nothing };
        let wait = match (self.silent_since, partitions.stays_open(false)) {
            (Some(since), Some(soon)) => {
                line_in.min(soon.max(SILENCE.saturating_sub(since.elapsed())))
            }
            _ => line_in,
        };
        if !wait.is_zero() {
            return Closing::In(wait);
        }
        partitions.close_instant();
        Closing::Done
    }

    fn advance(&mut self, inputs: &mut Inputs, watermark: EventTime) {
        let time = match self.emit {
            Emit::OnWatermark => watermark,
            Emit::OnEvent => self.shared.partitions.clock(),
        };
        if let Some((feed, told)) = &mut self.others
            && time > *told
        {
            feed.send(time);
            feed.flush();
            *told = time;
        }
        self.time = self.time.max(time);
        inputs.advance_to(self.time, watermark.min(self.time));
    }
}

fn build(
    worker: &mut Worker,
    run: &Run,
    streams: &Arc<Streams>,
    shared: &Arc<Shared>,
    probe: &ProbeHandle<EventTime>,
) -> (Inputs, Box<dyn Fn() -> Memory>) {
    worker.dataflow(|scope| {
        let (inputs, outputs) = segmentation(scope, run.clock, streams.clone(), Survival::Nothing);
        let write = |shared: &Arc<Shared>| {
            let shared = shared.clone();
            move |written: Result<(), SinkError>| {
                if let Err(error) = written {
                    shared.fail(error.into());
                }
            }
        };
        let (to, done) = (shared.clone(), write(shared));
        let differences = outputs.differences.inspect_batch(move |_, batch: &Vec<Difference>| {
            done(lock(&to.outputs).differences(batch));
        });
        let (to, done) = (shared.clone(), write(shared));
        let late = outputs.late.inspect_batch(move |_, batch| done(lock(&to.outputs).late(batch)));
        let (to, done) = (shared.clone(), write(shared));
        let rejected =
            outputs.rejected.inspect_batch(move |_, batch| done(lock(&to.outputs).rejected(batch)));
        let (to, done) = (shared.clone(), write(shared));
        let tally =
            outputs.tally.inspect_batch(move |_, batch| done(lock(&to.outputs).tally(batch)));
        differences.probe_with(probe);
        late.probe_with(probe);
        rejected.probe_with(probe);
        tally.probe_with(probe);
        (inputs, outputs.memory)
    })
}

/// Records that have been handed over and not been passed by the frontier.
#[derive(Default)]
struct OnTheWay {
    batches: VecDeque<(EventTime, usize)>,
    records: usize,
}

impl OnTheWay {
    fn sent(&mut self, sent: Option<(EventTime, usize)>) {
        if let Some((latest, records)) = sent {
            self.batches.push_back((latest, records));
            self.records += records;
        }
    }

    fn passed(&mut self, probe: &ProbeHandle<EventTime>) {
        while let Some((latest, records)) = self.batches.front()
            && !probe.less_equal(latest)
        {
            self.records -= records;
            self.batches.pop_front();
        }
    }

    /// Whether to wait for the dataflow, which has not come as far as it may (`time`). Where it
    /// has, more input is what it waits for.
    fn is_full(&self, probe: &ProbeHandle<EventTime>, time: EventTime) -> bool {
        self.is_much() && probe.less_than(&time)
    }

    /// Whether to read only what holds the watermark back.
    fn is_much(&self) -> bool {
        self.records > AHEAD_RECORDS
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
