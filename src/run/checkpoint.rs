//! Checkpoints of a running job: when one is taken, what is kept of it, and how a later run goes on
//! from there.
//!
//! ```text
//! first worker ── Checkpoint(n) ──► every worker ── pieces ──► keeper of its process ── batches
//!                                                                  │ report: batches, positions
//! manifest ◄── keeper of process 0 ◄──────── every process ◄───────┘
//! ```
//! A checkpoint is taken while the stream flows: workers hand what has changed to their process's
//! *keeper*, a thread that writes it. The keeper of process 0 waits for the reports of all, and
//! commits. There is one at a time; what trouble delays, delays the next one.
//!
//! What has been given out since the last checkpoint will be given out again by a run that goes on
//! from it, the same to the byte: so files are cut back to where they were.
//!
//! With `on_event` a record takes effect at the greatest event time that any worker has seen by then,
//! its *instant*. Instants never go back, so what had its effect before one is, of each partition, all
//! up to some offset: that is where a checkpoint cuts, and where it is read on. What comes after may
//! be older than the cut, but not than the watermark, which the manifest has, too. The next run may
//! read the partitions in another order, so it may give out other differences on its way to the same
//! memberships. That is right for whoever forgets what was given out after the cut: files, cut back,
//! and readers who are told anew who is in what. It is not for a sink that has made such a difference
//! final, so those are refused (`verbs::kept`) until they get nothing but what a checkpoint has.

mod decided;
mod history;
mod keeper;
mod merging;
mod resumed;
mod scribe;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::model::EventTime;
use dataflows::operators::checkpoint::Piece;
use serde::{Deserialize, Serialize};

pub(super) use keeper::Keeper;
pub use resumed::{Resumed, Start};
pub(super) use scribe::Scribe;

use decided::Passed;

use super::lock;
use crate::serve::metrics::CheckpointMeasured;
use crate::serve::view::kept::Kept;
use crate::state::{BatchEntry, SourcePosition};

/// After so long without being able to write, nothing more is read: what the next checkpoint is to
/// have waits in memory.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a run that is to end waits for what cannot be written.
const GIVE_UP: Duration = Duration::from_secs(10);

/// How many pieces may wait for the keeper: a checkpoint has three a worker, and one of the view.
const WAITING: usize = 1_024;

/// What the keeper of a process is told.
enum Told {
    /// A worker has given this out.
    Piece(u32, Piece),
    /// The view has, in the process that has one.
    Kept(Kept),
    /// A process has written its share.
    Report(Report),
    /// Everything before this time has been given out.
    GivenOut(EventTime),
    /// There is nothing more to come.
    End,
}

/// A process has written its share of a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    number: u64,
    process: usize,
    before: EventTime,
    /// Nothing older takes effect after it.
    settled: EventTime,
    batches: Vec<BatchEntry>,
    sources: Vec<SourcePosition>,
}

/// What the workers of a process share about checkpoints.
pub(super) struct Checkpoints {
    interval: Duration,
    keeper: SyncSender<Told>,
    /// What the keeper takes from, until it runs.
    told: Mutex<Option<Receiver<Told>>>,
    progress: Mutex<Progress>,
    /// Reports to the first process, on their way.
    outbox: Mutex<Vec<Report>>,
    /// How far this process was in those it has reported, and the scribe has not seen committed.
    passed: Mutex<VecDeque<Passed>>,
    trouble: Mutex<InTrouble>,
    began: Instant,
}

/// Since when.
#[derive(Default)]
struct InTrouble {
    /// Nothing can be written.
    fails: Option<Instant>,
    /// The run is to end.
    ends: Option<Instant>,
}

struct Progress {
    /// The number of the next one.
    next: u64,
    /// The one that is being taken: its number, and before which time.
    taking: Option<(u64, EventTime)>,
    /// What is committed: everything before this time.
    committed: Option<EventTime>,
    /// When this process has committed one last, and how large it was.
    last: Option<(Instant, u64)>,
    /// When the last one was begun.
    begun: Instant,
    /// Whether everything before the one that is being taken has been given out.
    is_given_out: bool,
}

impl Checkpoints {
    /// None are taken yet; the first has this number.
    pub(super) fn new(interval: Duration, resumed: &Resumed) -> Self {
        let (keeper, told) = sync_channel(WAITING);
        let progress = Progress {
            next: resumed.next(),
            taking: None,
            committed: resumed.before(),
            last: None,
            begun: Instant::now(),
            is_given_out: true,
        };
        Checkpoints {
            interval,
            keeper,
            told: Mutex::new(Some(told)),
            progress: Mutex::new(progress),
            outbox: Mutex::default(),
            passed: Mutex::default(),
            trouble: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Whether nothing could be written for so long that nothing more is to be read.
    pub(super) fn is_stuck(&self) -> bool {
        lock(&self.trouble).fails.is_some_and(|since| since.elapsed() >= PATIENCE)
    }

    /// Something was written, or could not be.
    fn is_written(&self, is_written: bool) {
        let fails = &mut lock(&self.trouble).fails;
        if is_written {
            *fails = None;
        } else {
            fails.get_or_insert_with(Instant::now);
        }
    }

    /// Whether a run that is to end has waited for long enough.
    fn gives_up(&self) -> bool {
        lock(&self.trouble).ends.is_some_and(|since| since.elapsed() >= GIVE_UP)
    }

    /// How far this process was in those that are committed by now: each is told once.
    fn passed(&self, kept: EventTime) -> Vec<Passed> {
        let mut passed = lock(&self.passed);
        let count = passed.iter().take_while(|it| it.before <= kept).count();
        passed.drain(..count).collect()
    }

    /// Begins one, if it is time: everything before `time` will be in it. Asked by the first worker
    /// of all, whose time stands there. `at_once` does not wait for the interval to pass.
    pub(super) fn begin(&self, time: EventTime, at_once: bool) -> Option<u64> {
        if at_once {
            lock(&self.trouble).ends.get_or_insert_with(Instant::now);
        }
        let mut progress = lock(&self.progress);
        let is_new = time > EventTime::MIN && progress.committed.is_none_or(|it| time > it);
        let is_due = at_once || progress.begun.elapsed() >= self.interval;
        // Where time stands for good, one of a later time never comes.
        let is_taken = progress.taking.is_some_and(|(_, before)| !at_once || before <= time);
        if is_taken || !is_new || !is_due {
            return None;
        }
        let number = progress.next;
        progress.next += 1;
        progress.taking = Some((number, time));
        progress.begun = Instant::now();
        progress.is_given_out = false;
        Some(number)
    }

    /// Everything before this time is in a checkpoint that is committed.
    pub(super) fn committed(&self) -> Option<EventTime> {
        lock(&self.progress).committed
    }

    /// Tells the keeper once everything before the one that is being taken has been given out.
    pub(super) fn give_out(&self, is_given_out: impl Fn(EventTime) -> bool) {
        let mut progress = lock(&self.progress);
        if let Some((_, before)) = progress.taking
            && !progress.is_given_out
            && is_given_out(before)
        {
            progress.is_given_out = true;
            let _ = self.keeper.send(Told::GivenOut(before));
        }
    }

    /// It is committed, here or in another process.
    pub(super) fn is_committed(&self, number: u64, before: EventTime) {
        let mut progress = lock(&self.progress);
        progress.committed = progress.committed.max(Some(before));
        progress.next = progress.next.max(number + 1);
        if progress.taking.is_some_and(|(taking, _)| taking <= number) {
            progress.taking = None;
        }
    }

    /// This process has committed one, of so many bytes.
    pub(super) fn committed_now(&self, bytes: u64) {
        lock(&self.progress).last = Some((Instant::now(), bytes));
    }

    /// How old the last one is that this process has committed, and whether more can be.
    pub(super) fn measured(&self) -> CheckpointMeasured {
        let last = lock(&self.progress).last;
        let is_failing = lock(&self.trouble).fails.is_some();
        let (at, bytes) = last.map_or((self.began, None), |(at, bytes)| (at, Some(bytes)));
        CheckpointMeasured { at, bytes, interval: self.interval, is_failing }
    }

    /// A worker of this process has given out a piece. Waits while the keeper has much to do.
    pub(super) fn piece(&self, worker: usize, piece: Piece) {
        // A keeper that is gone has said why.
        let _ = self.keeper.send(Told::Piece(u32::try_from(worker).unwrap_or(u32::MAX), piece));
    }

    /// The view has given out what it adds.
    pub(super) fn kept(&self, kept: Kept) {
        let _ = self.keeper.send(Told::Kept(kept));
    }

    /// A process has written its share; told to the first process.
    pub(super) fn report(&self, report: Report) {
        let _ = self.keeper.send(Told::Report(report));
    }

    /// Reports that are to be sent to the first process.
    pub(super) fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut *lock(&self.outbox))
    }

    /// Ends the keeper, once it has done what it was told.
    pub(super) fn end(&self) {
        lock(&self.trouble).ends.get_or_insert_with(Instant::now);
        let _ = self.keeper.send(Told::End);
    }
}

/// The shares of one checkpoint, as processes report them.
#[derive(Default)]
struct Shares {
    by_number: BTreeMap<u64, Vec<Report>>,
}

impl Shares {
    /// Takes a share; all of them, once they are complete.
    fn add(&mut self, report: Report, processes: usize) -> Option<Vec<Report>> {
        let number = report.number;
        let shares = self.by_number.entry(number).or_default();
        shares.push(report);
        let whose: BTreeSet<usize> = shares.iter().map(|report| report.process).collect();
        (whose.len() == processes).then(|| self.by_number.remove(&number)).flatten()
    }
}

/// A keeper's thread, which is waited for.
pub(super) struct KeeperThread(
    pub(super) Option<std::thread::JoinHandle<()>>,
    pub(super) Arc<Checkpoints>,
);

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.1.end();
        // One that has panicked was told of already.
        let _ = self.0.take().map(std::thread::JoinHandle::join);
    }
}
