//! From lines to what the dataflow takes in: the partitions of one process, shared by its workers.
//!
//! A worker takes the next chunk of the partition that is furthest behind ([`Partitions::take`]),
//! reads it into records on its own core ([`Ingest::read`]), and, when all earlier chunks of that
//! partition have had their turn, lets the partition's clock decide what is late
//! ([`Ingest::settle`]). So reading runs on all cores, and lateness still goes strictly by offset.

mod course;
mod instant;
mod journal;
mod live;
mod mentioned;
mod named;
mod notes;
mod others;
mod partition;
mod record;
mod wall;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use dataflows::clock::{ClockSettings, Emit};
use dataflows::model::EventTime;

use instant::OpenInstant;
pub use live::Last;
use live::Live;
use partition::{Input, Next, Partition};

use crate::format::Mapping;
use crate::source::file::{FilePartition, Progress};
use crate::source::http::LogPartition;
use crate::source::kafka::KafkaPartition;
use crate::source::{Chunk, SourceError, Track};

pub use course::{Courses, Took};
pub use journal::{Decision, Journal, Recalled, Ticket};
pub use others::Standing;
pub use partition::{GoOn, STREAMS_MAX, index, stream_and_number};
pub use record::{Onlooker, Shown};
pub use wall::Wall;
pub use worker::{Batch, Ingest};

/// The partitions this process reads, shared by its workers.
pub struct Partitions {
    /// It only ever grows.
    list: RwLock<Vec<Arc<Partition>>>,
    settings: ClockSettings,
    /// What wall time decides, in a running job.
    live: Option<Live>,
    /// Where the clock stands (`on_event`).
    instant: OpenInstant,
    /// Whether checkpoints are to know from where to go on.
    keeps: bool,
    /// Where decisions are written down, and those of earlier runs.
    pub journal: Arc<Journal<Decision>>,
    recalled: Recalled,
    /// Where it is written down what took effect at which instants, and what earlier runs have
    /// written there, once that is known.
    pub chronicle: Journal<Took>,
    courses: Mutex<Option<Courses>>,
    /// Whether records may have their turn.
    has_begun: AtomicBool,
    /// Whether nothing more is to be taken.
    is_stopped: AtomicBool,
    /// Records seen.
    read: AtomicU64,
    workers: Mutex<Vec<Thread>>,
    own: Weak<Partitions>,
}

/// What [`Partitions::take`] found.
pub enum Taken {
    /// A chunk to be read.
    Chunk(Task),
    /// Nothing at present.
    Nothing,
    /// Every partition has been read to its end.
    Exhausted,
}

/// A chunk, and which one of its partition it is.
pub struct Task {
    partition: Arc<Partition>,
    /// Which partition of the process that is.
    place: usize,
    number: u64,
    chunk: Chunk,
}

impl Partitions {
    /// None as yet. With a wall, time is lived through; without, it is replayed. Everything that took
    /// effect before `before` is done, and nothing older than `gone_to` is to come. `kept` is what
    /// earlier runs have decided, where there are checkpoints. If it `is_chronicled`, it waits for
    /// [`follow`](Self::follow) and [`begin`](Self::begin).
    pub fn new(
        settings: &ClockSettings,
        wall: Option<Wall>,
        (before, gone_to): (EventTime, EventTime),
        (kept, is_chronicled): (Option<Recalled>, bool),
    ) -> Arc<Self> {
        let keeps = kept.is_some();
        let journal = Arc::new(Journal::new(keeps && wall.is_some()));
        Arc::new_cyclic(|own| Partitions {
            list: RwLock::default(),
            settings: *settings,
            live: wall.map(|wall| Live::new(wall, *settings, gone_to)),
            instant: OpenInstant::since(before),
            keeps,
            journal,
            recalled: kept.unwrap_or_default(),
            chronicle: Journal::new(is_chronicled),
            courses: Mutex::default(),
            has_begun: AtomicBool::new(!is_chronicled),
            is_stopped: AtomicBool::new(false),
            read: AtomicU64::new(0),
            workers: Mutex::new(Vec::new()),
            own: own.clone(),
        })
    }

    /// There are so many other processes, which it hears of; `may_come` tells whether there may yet
    /// be partitions that are not there now.
    pub fn await_others(&self, count: usize, may_come: bool) {
        self.live.iter().for_each(|live| live.await_others(count, may_come));
    }

    /// Another process has come so far.
    pub fn hear(&self, process: usize, standing: Standing) {
        self.live.iter().for_each(|live| live.hear(process, standing));
        self.wake();
    }

    /// How far this process has come, as of the last watermark, and whether another one goes by it.
    pub fn standing(&self) -> Option<(Standing, bool)> {
        self.live.as_ref()?.standing()
    }

    /// Adds a file, not read but for what is not to be, as the partition of this index.
    pub fn add_file(&self, index: u32, file: FilePartition, mapping: Mapping, go_on: Option<GoOn>) {
        self.add(index, Input::of(file, &self.own), mapping, go_on);
    }

    /// Adds a partition of a topic.
    pub fn add_topic(
        &self,
        index: u32,
        partition: KafkaPartition,
        mapping: Mapping,
        go_on: Option<GoOn>,
    ) {
        self.add(index, Input::Kafka(partition), mapping, go_on);
    }

    /// Adds what a collector takes.
    pub fn add_log(&self, index: u32, partition: LogPartition, go_on: Option<GoOn>) {
        self.add(index, Input::Log(partition), Mapping::default(), go_on);
    }

    fn add(&self, index: u32, input: Input, mapping: Mapping, go_on: Option<GoOn>) {
        let disorder = self.settings.max_out_of_orderness;
        let recall = self.recalled.about(index);
        let partition =
            Partition::new(index, input, mapping, disorder, (go_on, recall, self.keeps));
        let partition = Arc::new(partition);
        self.live.iter().for_each(|live| live.begin(&partition, &self.journal));
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        lock(&self.courses).iter().for_each(|courses| partition.follow(courses));
        list.push(partition);
        drop(list);
        self.wake();
    }

    /// Has records take effect at the instants at which earlier runs had them do so. None may have
    /// had its turn.
    pub fn follow(&self, courses: Courses) {
        // First, so that none that is added meanwhile goes without.
        *lock(&self.courses) = Some(courses.clone());
        self.all(|list| list.iter().for_each(|partition| partition.follow(&courses)));
    }

    /// From where on each partition is read, by its index, where nothing has had its turn.
    pub fn starts(&self) -> Vec<(u32, u64)> {
        let start = |it: &Arc<Partition>| (it.index, it.settled_to.load(Ordering::Acquire));
        self.all(|list| list.iter().map(start).collect())
    }

    /// Lets records have their turn. What no earlier run has taken takes effect at this time or
    /// later: all before it may be final.
    pub fn begin(&self, time: EventTime) {
        self.instant.see(time);
        self.has_begun.store(true, Ordering::Release);
        self.wake();
    }

    /// From which time on what no earlier run has taken takes effect, or a later one.
    pub fn begins(&self) -> EventTime {
        self.instant.clock()
    }

    /// Whether they may.
    fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// The first instant at which something is yet to take effect that earlier runs have taken; the
    /// end of time if there is none.
    fn follows(&self) -> EventTime {
        if !self.chronicle.is_kept() {
            return EventTime::MAX;
        }
        let follows = |it: &Arc<Partition>| it.follows.load(Ordering::Acquire);
        self.all(|list| list.iter().map(follows).min()).unwrap_or(EventTime::MAX)
    }

    /// All partitions there are by now.
    fn all<T>(&self, see: impl FnOnce(&[Arc<Partition>]) -> T) -> T {
        see(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a worker be woken when there is something for it to do.
    pub fn enlist(&self, worker: Thread) {
        lock(&self.workers).push(worker);
    }

    /// Wakes every worker.
    pub fn wake(&self) {
        lock(&self.workers).iter().for_each(Thread::unpark);
    }

    /// Wakes every worker but the one that calls, which is awake and must not be kept from going to
    /// sleep.
    fn wake_others(&self) {
        let own = std::thread::current().id();
        lock(&self.workers).iter().filter(|it| it.id() != own).for_each(Thread::unpark);
    }

    /// The next chunk of the partition whose clock is furthest behind; of those that earlier runs
    /// have taken more of, of the one that time waits for. Where that one has nothing at present, of the next, unless `only_behind`: then no other is read further ahead.
    /// The memory of `done`, a chunk that is done with, is used again.
    fn take(&self, only_behind: bool, done: &mut Option<Chunk>) -> Result<Taken, SourceError> {
        if self.is_stopped() {
            return Ok(Taken::Nothing);
        }
        let is_open = |it: &(usize, &Arc<Partition>)| !it.1.exhausted.load(Ordering::Acquire);
        let mut open: Vec<(usize, Arc<Partition>)> = self.all(|list| {
            let open = list.iter().enumerate().filter(is_open);
            open.map(|(place, partition)| (place, Arc::clone(partition))).collect()
        });
        if open.is_empty() {
            return Ok(Taken::Exhausted);
        }
        open.sort_by_key(|(_, partition)| {
            let follows = partition.follows.load(Ordering::Acquire);
            (follows, partition.clock.load(Ordering::Acquire))
        });
        for (place, partition) in open {
            match partition.take(done)? {
                Next::Chunk(chunk, number) => {
                    return Ok(Taken::Chunk(Task { partition, place, number, chunk }));
                }
                // To read another one further ahead would not help for so long.
                Next::Soon => break,
                Next::Nothing if only_behind && !partition.is_idle.load(Ordering::Acquire) => break,
                Next::Nothing => {}
                Next::End => {
                    let _turn = lock(&partition.turn);
                    if partition.is_settled() {
                        partition.clock.store(EventTime::MAX, Ordering::Release);
                        self.wake();
                    }
                }
            }
        }
        Ok(Taken::Nothing)
    }

    /// The least clock over the partitions that have more to come; `None` when none has. In a
    /// running job, those that are idle are not waited for; where all of this process are, the
    /// others' are what counts.
    pub fn watermark(&self) -> Option<EventTime> {
        let Some(live) = &self.live else {
            let clock = |partition: &Arc<Partition>| partition.clock.load(Ordering::Acquire);
            let least = self.all(|list| list.iter().map(clock).min());
            return least.filter(|clock| *clock != EventTime::MAX);
        };
        let (time, all_are_idle) = self.all(|list| live.watermark(list, &self.journal))?;
        if all_are_idle && self.settings.emit == Emit::OnEvent {
            self.see(time);
        }
        Some(time)
    }

    /// Takes nothing more, so that the run can end where it has come to.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether nothing more is taken.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Whether all that there was when the run began has been read.
    pub fn are_caught_up(&self) -> bool {
        self.all(|list| list.iter().all(|it| it.is_caught_up()))
    }

    /// The same, but that pipes, which have no end, are not waited for.
    pub fn are_up_to_date(&self) -> bool {
        self.all(|list| list.iter().all(|it| it.is_up_to_date()))
    }

    /// Whether any that is open has had a record.
    pub fn have_come_to_any(&self) -> bool {
        let has_come = |it: &Arc<Partition>| it.clock.load(Ordering::Acquire) > EventTime::MIN;
        self.all(|list| list.iter().any(|it| it.is_open() && has_come(it)))
    }

    /// Where the watermark stays when nothing more is taken, once all that was taken has had its
    /// turn. Partitions that had no record have no say, if `only_read`.
    pub fn last_watermark(&self, only_read: bool) -> Option<Last> {
        let live = self.live.as_ref().filter(|_| self.is_stopped() && self.is_settled())?;
        let mut last = self.all(|list| live.last_watermark(list, only_read));
        // It has not come further than what it has taken of what earlier runs had.
        last.time = last.time.min(self.follows());
        if self.settings.emit == Emit::OnEvent && self.instant.is_open() {
            self.close_instant();
        }
        Some(last)
    }

    /// Lets the watermark stay at a later time, which all processes have agreed on.
    pub fn stay_at(&self, time: EventTime) {
        self.live.iter().for_each(|live| live.stay_at(time));
    }

    /// From where on each partition is to be read again for what takes effect at `before` or later,
    /// by its index. All time before that must be over, and nothing older than `settled` to come.
    pub fn go_on(&self, before: EventTime, settled: EventTime) -> Vec<(u32, GoOn)> {
        self.all(|list| list.iter().map(|it| (it.index, it.go_on(before, settled))).collect())
    }

    /// Takes note of what the run has passed.
    pub fn pass(&self, is_passed: impl Fn(EventTime) -> bool) {
        self.all(|list| list.iter().for_each(|it| it.pass(&is_passed)));
    }

    /// How far the partitions that go on meanwhile have been read, those of files not among them.
    pub fn tracks(&self) -> Vec<Track> {
        self.all(|list| list.iter().filter_map(|it| it.track.clone()).collect())
    }

    /// Where the clock of each partition stands, by its index, and how many records there are to be
    /// read yet, where these are known.
    pub fn clocks_and_lags(&self) -> Vec<(u32, Option<EventTime>, Option<u64>)> {
        let clock = |it: &Arc<Partition>| {
            let clock = it.clock.load(Ordering::Acquire);
            Some(clock).filter(|clock| (EventTime::MIN + 1..EventTime::MAX).contains(clock))
        };
        let lag = |it: &Arc<Partition>| it.track.as_ref().map(|track| track.lag());
        self.all(|list| list.iter().map(|it| (it.index, clock(it), lag(it))).collect())
    }

    /// For how long the latest instant must still stay open (`on_event`), if records have taken
    /// effect at it and only what is being written has more to come; `None` where there is nothing
    /// to be closed.
    pub fn stays_open(&self, more_are_coming: bool) -> Option<Duration> {
        let is_live = |it: &Arc<Partition>| it.is_live || !it.is_open();
        let may_close = self.instant.is_open() && self.all(|list| list.iter().all(is_live));
        may_close.then(|| self.instant.stays_open(more_are_coming))
    }

    /// Whether all that was read has had its turn.
    pub fn is_settled(&self) -> bool {
        self.all(|list| list.iter().all(|it| !it.is_open() || it.is_settled()))
    }

    /// Says that the latest instant is over (`on_event`), so that what happened at it is given out.
    pub fn close_instant(&self) {
        self.instant.close();
        self.wake_others();
    }

    /// Takes note of an event time another process has seen.
    pub fn see(&self, time: EventTime) {
        if self.instant.see(time).1 {
            self.wake();
        }
    }

    /// Where the clock stands (`on_event`): at the greatest event time seen by any worker, or after
    /// the last instant closed; before what earlier runs have taken and this one has not.
    pub fn clock(&self) -> EventTime {
        self.instant.clock().min(self.follows())
    }

    /// Records seen so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How far the files have been read, in bytes.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress { read: 0, total: Some(0) };
        // A worker that is reading says so the next time.
        for own in self.all(|list| list.iter().filter_map(|it| it.progress()).collect::<Vec<_>>()) {
            sum.read += own.read;
            sum.total = sum.total.zip(own.total).map(|(sum, own)| sum + own);
        }
        sum
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
