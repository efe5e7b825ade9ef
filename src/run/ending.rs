//! How a run ends that is told to stop: all workers of all processes at one time, at which all that
//! is due has been given out and nothing later has.
//!
//! Each process takes nothing more, and lets what it has taken have its turn. Then it says where
//! its time stands, and stays there. When all have said so, the run is over once the frontier has
//! come to the least of these times. A process whose partitions have nothing to say on this goes
//! along with the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::clock::Emit;
use dataflows::model::EventTime;
use dataflows::operators::feed::Feed;
use serde::{Deserialize, Serialize};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::Broadcast;
use timely::worker::Worker;

use super::outputs::Writing;
use super::{Cluster, Live, Shared, lock};
use crate::ingest::{Last, Standing};
use crate::sink::SinkError;

/// How often files are brought up to date with what has been given out. Always where tests want many
/// steps.
const FLUSH: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 100 });

/// What the processes have said of their ends.
pub(super) struct Ending {
    processes: usize,
    /// Where the time of each stands that has read all it is going to read.
    stands: Mutex<BTreeMap<usize, Last>>,
    /// Those that have read all there was when they began.
    caught_up: Mutex<BTreeSet<usize>>,
    /// The same of those whose records have had their turn too, pipes aside: how far they were then.
    up_to_date: Mutex<BTreeMap<usize, Last>>,
    /// Whether one of them was told to stop: then all stop.
    all_stop: AtomicBool,
    /// Before which time all is in a checkpoint.
    pub(super) kept: AtomicI64,
}

/// What a process says to all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Word {
    /// Its time stands here for good; or, if it has no say, has come so far.
    Stands(usize, EventTime, bool),
    /// It has read all there was when it began, and reads on until all have.
    CaughtUp(usize),
    /// All of that has had its turn, when it stood here; whether its partitions say so.
    UpToDate(usize, EventTime, bool),
    /// All are to stop.
    Stop,
    /// A checkpoint is committed that has everything before this time.
    Kept(EventTime),
}

impl Ending {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let processes = cluster.hosts.len().max(1);
        let kept = AtomicI64::new(EventTime::MIN);
        let (stands, caught_up, up_to_date, all_stop) = Default::default();
        Ending { processes, stands, caught_up, up_to_date, all_stop, kept }
    }

    fn hear(&self, word: Word) {
        match word {
            Word::Stands(process, time, has_say) => {
                lock(&self.stands).insert(process, Last { time, has_say });
            }
            Word::UpToDate(process, time, has_say) => {
                lock(&self.up_to_date).insert(process, Last { time, has_say });
            }
            Word::CaughtUp(process) => _ = lock(&self.caught_up).insert(process),
            Word::Stop => self.all_stop.store(true, Ordering::Release),
            Word::Kept(before) => _ = self.kept.fetch_max(before, Ordering::AcqRel),
        }
    }

    fn are_caught_up(&self) -> bool {
        lock(&self.caught_up).len() == self.processes
    }

    /// The time at which all end, once all have come so far.
    fn time(&self) -> Option<EventTime> {
        let stands = self.of_all(&self.stands)?;
        least_with_say(&stands).or_else(|| stands.iter().map(|it| it.time).max())
    }

    /// Up to when all is in that any process had to read when it began, once all have read it.
    pub(super) fn up_to_date(&self) -> Option<EventTime> {
        let all = self.of_all(&self.up_to_date)?;
        least_with_say(&all).or_else(|| all.iter().map(|it| it.time).min())
    }

    /// What all have said, once they have.
    fn of_all(&self, said: &Mutex<BTreeMap<usize, Last>>) -> Option<Vec<Last>> {
        let said = lock(said);
        (said.len() == self.processes).then(|| said.values().copied().collect())
    }
}

fn least_with_say(all: &[Last]) -> Option<EventTime> {
    all.iter().filter(|it| it.has_say).map(|it| it.time).min()
}

/// A worker's part in it.
pub(super) struct Ends {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    until_caught_up: bool,
    process: usize,
    /// Whether it is the one that speaks for its process, and what it has said.
    speaks: bool,
    said: (bool, bool),
    said_caught_up: bool,
    said_up_to_date: bool,
    /// Before which time, as it has said, all is in a checkpoint.
    told_kept: EventTime,
    to_all: Option<Feed<Word>>,
    flushed: Instant,
    /// How far sinks that are delivered to know that time has come, where they are told at once.
    told: Option<EventTime>,
}

impl Ends {
    pub(super) fn new(
        worker: &mut Worker,
        live: &Live,
        (cluster, emit): (&Cluster, Emit),
        shared: &Arc<Shared>,
    ) -> Self {
        let to_all = (cluster.hosts.len() > 1).then(|| {
            let shared = Arc::clone(shared);
            worker.dataflow(|scope| {
                let (feed, words) = Feed::new(scope, "Ending");
                words.broadcast().inspect(move |word: &Word| shared.ending.hear(*word));
                feed
            })
        });
        Ends {
            shared: Arc::clone(shared),
            stop: Arc::clone(&live.stop),
            // Files alone come to an end by themselves, as in a replay.
            until_caught_up: live.until_caught_up && live.is_endless,
            process: cluster.process,
            speaks: worker.index().is_multiple_of(cluster.workers),
            said: (false, false),
            said_caught_up: false,
            said_up_to_date: false,
            told_kept: EventTime::MIN,
            to_all,
            flushed: Instant::now(),
            told: (emit == Emit::OnEvent).then_some(EventTime::MIN),
        }
    }

    /// Whether everything before the end is in a checkpoint, if there are any.
    pub(super) fn is_kept(&self, end: EventTime) -> bool {
        let is_wanted = self.shared.checkpoints.is_some() && end > EventTime::MIN;
        !is_wanted || self.shared.ending.kept.load(Ordering::Acquire) >= end
    }

    /// Says once that its process has read all there was when it began, and all of it has had its
    /// turn; for a worker that has nothing waiting or not, and whose time stands here.
    pub(super) fn tell_up_to_date(&mut self, has_settled: bool, time: EventTime) {
        let partitions = &self.shared.partitions;
        if !self.speaks || self.said_up_to_date || !has_settled || !partitions.are_up_to_date() {
            return;
        }
        // What has had no record holds the others back, and says nothing of how far they are to be.
        let own = partitions.standing().filter(|_| partitions.have_come_to_any());
        let (time, has_say) = match own {
            Some((Standing::At(own), _)) => (time.max(own), true),
            _ => (time, false),
        };
        self.said_up_to_date = true;
        self.say(Word::UpToDate(self.process, time, has_say));
    }

    /// Where time ends, once the run has come there; for a worker that has nothing waiting, and
    /// whose time stands here.
    pub(super) fn turn(
        &mut self,
        has_settled: bool,
        time: EventTime,
        probe: &ProbeHandle<EventTime>,
    ) -> Option<EventTime> {
        let shared = Arc::clone(&self.shared);
        let (partitions, ending) = (&shared.partitions, &shared.ending);
        if self.speaks {
            self.tell_kept();
            self.look_after(probe);
            let is_told = self.stop.load(Ordering::Acquire);
            if is_told && !self.said.0 {
                self.said.0 = true;
                self.say(Word::Stop);
            }
            if self.until_caught_up && !self.said_caught_up && partitions.are_caught_up() {
                self.said_caught_up = true;
                self.say(Word::CaughtUp(self.process));
            }
            let is_over =
                is_told || ending.are_caught_up() || ending.all_stop.load(Ordering::Acquire);
            if is_over && !partitions.is_stopped() {
                partitions.stop();
            }
        }
        let only_read = self.until_caught_up && !ending.all_stop.load(Ordering::Acquire);
        let last = partitions.last_watermark(only_read).filter(|_| has_settled)?;
        let come = time >= last.time && time >= partitions.clock();
        if self.speaks && !self.said.1 && come {
            self.said.1 = true;
            self.say(Word::Stands(self.process, time, last.has_say));
        }
        if let Some(end) = ending.time()
            && !last.has_say
        {
            partitions.stay_at(end);
        }
        let end = ending.time().filter(|end| time >= *end && !probe.less_than(end));
        if let (Some(end), true) = (end, self.speaks) {
            self.tell_outputs(|outputs| outputs.advance(end));
        }
        end
    }

    /// Passes on what has been given out, and to the sources how far that is.
    fn look_after(&mut self, probe: &ProbeHandle<EventTime>) {
        let frontier = probe.with_frontier(|frontier| frontier.first().copied());
        let frontier = frontier.unwrap_or(EventTime::MAX);
        // Decisions in milliseconds are those of sinks, too.
        if self.told.is_some_and(|told| told < frontier) {
            self.told = Some(frontier);
            self.tell_outputs(|outputs| outputs.advance(frontier));
        }
        if self.flushed.elapsed() < FLUSH {
            return;
        }
        self.flushed = Instant::now();
        self.shared.partitions.pass(|time| !probe.less_equal(&time));
        self.tell_outputs(|outputs| {
            outputs.advance(frontier)?;
            outputs.flush()
        });
    }

    fn tell_outputs(&self, tell: impl FnOnce(&mut Writing) -> Result<(), SinkError>) {
        if let Err(error) = tell(&mut lock(&self.shared.outputs)) {
            self.shared.fail(error.into());
        }
    }

    /// The first process says what its keeper has committed.
    fn tell_kept(&mut self) {
        let checkpoints = self.shared.checkpoints.as_ref().filter(|_| self.process == 0);
        let committed = checkpoints.and_then(|them| them.committed());
        if let Some(before) = committed.filter(|before| *before > self.told_kept) {
            self.told_kept = before;
            self.say(Word::Kept(before));
        }
    }

    fn say(&mut self, word: Word) {
        match &mut self.to_all {
            Some(feed) => {
                feed.send(word);
                feed.flush();
            }
            None => self.shared.ending.hear(word),
        }
    }
}
