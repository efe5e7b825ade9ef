//! From lines to what the dataflow takes in: the partitions of one process, shared by its workers.
//!
//! A worker takes the next chunk of the partition that is furthest behind ([`Partitions::take`]),
//! reads it into records on its own core ([`Ingest::read`]), and, when all earlier chunks of that
//! partition have had their turn, lets the partition's clock decide what is late
//! ([`Ingest::settle`]). So reading runs on all cores, and lateness still goes strictly by offset.

mod instant;
mod record;

use std::borrow::Cow;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use dataflows::catalog::{Edit, Timeline};
use dataflows::clock::{ClockSettings, Emit, PartitionClock, Punctuality};
use dataflows::mentions::Mentions;
use dataflows::model::{EventTime, Incoming, Position, Stamp, Update, UserKey};
use dataflows::operators::users::KeyHasher;
use dataflows::segmentation::{Inputs, Late, Rejected};
use dataflows::streams::Streams;
use hashbrown::HashSet;

use instant::OpenInstant;
use record::{Name, Record, Span, Understood};

use crate::format::{self, Mapping, Reader};
use crate::source::file::{FilePartition, Progress};
use crate::source::{Chunk, SourceError};

/// How much a worker reads before it lets the dataflow have its turn.
const CHUNK_BYTES: usize = 128 << 10;
/// How many chunks of a pipe are read ahead.
const PIPE_CHUNKS: usize = 4;

/// The partitions this process reads, shared by its workers.
pub struct Partitions {
    list: Vec<Partition>,
    /// Where the clock stands (`on_event`).
    instant: OpenInstant,
    /// Records seen.
    read: AtomicU64,
    workers: Mutex<Vec<Thread>>,
}

struct Partition {
    /// Its index among all partitions of the job.
    index: u32,
    mapping: Mapping,
    /// Whether it is written while it is read.
    is_pipe: bool,
    reading: Mutex<Reading>,
    exhausted: AtomicBool,
    turn: Mutex<Turn>,
    /// The clock as of the last chunk that had its turn; the end of time once all had.
    clock: AtomicI64,
}

struct Reading {
    input: Input,
    taken: u64,
}

enum Input {
    File(FilePartition),
    /// Read by a thread of its own, so that no worker waits for it.
    Pipe(Receiver<Result<Chunk, SourceError>>),
}

struct Turn {
    clock: PartitionClock,
    settled: u64,
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
    partition: usize,
    number: u64,
    chunk: Chunk,
}

impl Partitions {
    /// Partitions not read yet: index, file, mapping.
    pub fn new(files: Vec<(u32, FilePartition, Mapping)>, settings: &ClockSettings) -> Arc<Self> {
        Arc::new_cyclic(|shared: &std::sync::Weak<Partitions>| Partitions {
            list: files
                .into_iter()
                .map(|(index, file, mapping)| Partition {
                    index,
                    mapping,
                    is_pipe: file.progress().total.is_none(),
                    reading: Mutex::new(Reading { input: Input::of(file, shared), taken: 0 }),
                    exhausted: AtomicBool::new(false),
                    turn: Mutex::new(Turn {
                        clock: PartitionClock::new(settings.max_out_of_orderness),
                        settled: 0,
                    }),
                    clock: AtomicI64::new(EventTime::MIN),
                })
                .collect(),
            instant: OpenInstant::new(),
            read: AtomicU64::new(0),
            workers: Mutex::new(Vec::new()),
        })
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

    /// The next chunk of the partition whose clock is furthest behind. Where that one has nothing
    /// at present, of the next, unless `only_behind`: then no other is read further ahead.
    /// The memory of `done`, a chunk that is done with, is used again.
    fn take(&self, only_behind: bool, done: &mut Option<Chunk>) -> Result<Taken, SourceError> {
        let is_open =
            |partition: &&(usize, &Partition)| !partition.1.exhausted.load(Ordering::Acquire);
        let mut open: Vec<_> = self.list.iter().enumerate().filter(|it| is_open(&it)).collect();
        if open.is_empty() {
            return Ok(Taken::Exhausted);
        }
        open.sort_by_key(|(_, partition)| partition.clock.load(Ordering::Acquire));
        for (place, partition) in open {
            let mut reading = lock(&partition.reading);
            match reading.next(done)? {
                Next::Chunk(chunk) => {
                    let number = reading.taken;
                    reading.taken += 1;
                    return Ok(Taken::Chunk(Task { partition: place, number, chunk }));
                }
                Next::Nothing if only_behind => break,
                Next::Nothing => {}
                Next::End => {
                    partition.exhausted.store(true, Ordering::Release);
                    let taken = reading.taken;
                    drop(reading);
                    let turn = lock(&partition.turn);
                    if turn.settled == taken {
                        partition.clock.store(EventTime::MAX, Ordering::Release);
                        self.wake();
                    }
                }
            }
        }
        Ok(Taken::Nothing)
    }

    /// The least clock over the partitions that have more to come; `None` when none has.
    pub fn watermark(&self) -> Option<EventTime> {
        let clocks = self.list.iter().map(|partition| partition.clock.load(Ordering::Acquire));
        clocks.min().filter(|clock| *clock != EventTime::MAX)
    }

    /// For how long the latest instant must still stay open (`on_event`), if records have taken
    /// effect at it and only pipes have more to come; `None` where there is nothing to be closed.
    pub fn stays_open(&self, more_are_coming: bool) -> Option<Duration> {
        let may_close = self.instant.is_open() && self.open().all(|partition| partition.is_pipe);
        may_close.then(|| self.instant.stays_open(more_are_coming))
    }

    /// Whether all that was read has had its turn.
    pub fn is_settled(&self) -> bool {
        self.open().all(|partition| {
            let taken = lock(&partition.reading).taken;
            lock(&partition.turn).settled == taken
        })
    }

    /// The partitions that have more to come.
    fn open(&self) -> impl Iterator<Item = &Partition> {
        let is_open = |it: &&Partition| it.clock.load(Ordering::Acquire) != EventTime::MAX;
        self.list.iter().filter(is_open)
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
    /// the last instant closed.
    pub fn clock(&self) -> EventTime {
        self.instant.clock()
    }

    /// Records seen so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How far the files have been read, in bytes.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress { read: 0, total: Some(0) };
        for partition in &self.list {
            // A worker that is reading says so the next time.
            let Ok(reading) = partition.reading.try_lock() else { continue };
            let own = match &reading.input {
                Input::File(file) => file.progress(),
                Input::Pipe(_) => Progress { read: 0, total: None },
            };
            sum.read += own.read;
            sum.total = sum.total.zip(own.total).map(|(sum, own)| sum + own);
        }
        sum
    }
}

enum Next {
    Chunk(Chunk),
    Nothing,
    End,
}

impl Input {
    fn of(mut file: FilePartition, shared: &std::sync::Weak<Partitions>) -> Self {
        if file.progress().total.is_some() {
            return Input::File(file);
        }
        let (give, take) = sync_channel(PIPE_CHUNKS);
        let shared = shared.clone();
        std::thread::spawn(move || {
            while let Some(chunk) = file.next_chunk(CHUNK_BYTES).transpose() {
                let failed = chunk.is_err();
                if give.send(chunk).is_err() || failed {
                    break;
                }
                shared.upgrade().iter().for_each(|partitions| partitions.wake());
            }
            drop(give);
            shared.upgrade().iter().for_each(|partitions| partitions.wake());
        });
        Input::Pipe(take)
    }
}

impl Reading {
    fn next(&mut self, done: &mut Option<Chunk>) -> Result<Next, SourceError> {
        match &mut self.input {
            Input::File(file) => {
                done.take().into_iter().for_each(|chunk| file.recycle(chunk));
                Ok(file.next_chunk(CHUNK_BYTES)?.map_or(Next::End, Next::Chunk))
            }
            Input::Pipe(chunks) => match chunks.try_recv() {
                Ok(chunk) => Ok(Next::Chunk(chunk?)),
                Err(TryRecvError::Empty) => Ok(Next::Nothing),
                Err(TryRecvError::Disconnected) => Ok(Next::End),
            },
        }
    }
}

/// A chunk that has been read and waits for its turn.
pub struct Batch {
    task: Task,
    records: Vec<Record>,
}

/// One worker's way from chunks to the dataflow.
pub struct Ingest {
    partitions: Arc<Partitions>,
    settings: ClockSettings,
    readers: Vec<Reader>,
    /// Users whose name this worker has passed on.
    named: HashSet<UserKey, BuildHasherDefault<KeyHasher>>,
    mentioned: Mentioned,
    /// The last chunk that is done with, and a list that is empty: memory to be used again.
    done: (Option<Chunk>, Vec<Record>),
}

impl Ingest {
    /// A worker's.
    pub fn new(
        partitions: Arc<Partitions>,
        settings: ClockSettings,
        streams: &Arc<Streams>,
        timeline: Arc<Timeline>,
    ) -> Self {
        let reader =
            |partition: &Partition| Reader::new(streams.clone(), partition.mapping.clone());
        let readers = partitions.list.iter().map(reader).collect();
        let mentioned = Mentioned { streams: streams.clone(), timeline, version: None };
        let (named, done) = Default::default();
        Ingest { partitions, settings, readers, named, mentioned, done }
    }

    /// Takes the next chunk: see [`Partitions`].
    ///
    /// # Errors
    /// A file cannot be read on.
    pub fn take(&mut self, only_behind: bool) -> Result<Taken, SourceError> {
        self.partitions.take(only_behind, &mut self.done.0)
    }

    /// Reads a chunk into records.
    pub fn read(&mut self, task: Task) -> Batch {
        let reader = &mut self.readers[task.partition];
        let mut records = std::mem::take(&mut self.done.1);
        let chunk = &task.chunk.bytes;
        for line in task.chunk.lines() {
            let parsed = match format::oversize(line.length) {
                Some(reason) => Err(reason),
                None => reader.update(line.bytes),
            };
            let content = parsed.map(|parsed| {
                let user = UserKey::of(&parsed.user);
                let name = match parsed.user {
                    Cow::Borrowed(name) => Name::Written(Span::of(name.as_bytes(), chunk)),
                    Cow::Owned(name) => Name::Decoded(name.into()),
                };
                Understood { user, name, time: parsed.time, id: parsed.id, change: parsed.change }
            });
            let span = Span::of(line.bytes, chunk);
            records.push(Record { offset: line.offset, line: span, content });
        }
        self.partitions.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        Batch { task, records }
    }

    /// Whether every earlier chunk of its partition has had its turn.
    pub fn is_next(&self, batch: &Batch) -> bool {
        let partition = &self.partitions.list[batch.task.partition];
        lock(&partition.turn).settled == batch.task.number
    }

    /// Takes a batch's turn: decides what is late, and hands everything to the dataflow. Gives
    /// back the greatest time at which something of it takes effect, and how many records do.
    pub fn settle(&mut self, batch: Batch, inputs: &mut Inputs) -> Option<(EventTime, usize)> {
        let Batch { task, mut records } = batch;
        let partitions = self.partitions.clone();
        let partition = &partitions.list[task.partition];
        let chunk = &task.chunk.bytes;
        let mut turn = lock(&partition.turn);
        let (mut latest, mut sent) = (None, 0);
        let (mut updates, mut stamps) = (inputs.updates.open(), inputs.stamps.open());
        updates.reserve(records.len());
        stamps.reserve(records.len());
        for record in records.drain(..) {
            let position = Position { partition: partition.index, offset: record.offset };
            let raw = || record.line.bytes(chunk).to_vec();
            let understood = match record.content {
                Ok(understood) => understood,
                Err(reason) => {
                    let rejected = Rejected { position, reason, record: raw() };
                    inputs.rejected.send((turn.clock.now(), rejected));
                    continue;
                }
            };
            let Understood { user, name, time, id, change } = understood;
            match turn.clock.observe(time) {
                Punctuality::OnTime(time) => {
                    let at = self.effective(time);
                    latest = latest.max(Some(at));
                    sent += 1;
                    if self.named.insert(user) {
                        updates.push(Incoming::Name(user, name.shared(chunk)));
                    }
                    if let Some(id) = id {
                        stamps.push(Stamp { time, at, position, id, user });
                    }
                    updates.push(Incoming::Update(Update { user, time, at, position, change }));
                }
                Punctuality::Late { time, clock } => {
                    let segments = self.mentioned.at(clock).segments(&change);
                    let late = Late { position, time, clock, segments, record: raw() };
                    inputs.late.send((clock, late));
                }
            }
        }
        latest.into_iter().for_each(|latest| partitions.instant.took_effect(latest));
        turn.settled += 1;
        let done = partition.exhausted.load(Ordering::Acquire)
            && lock(&partition.reading).taken == turn.settled;
        let clock = if done { EventTime::MAX } else { turn.clock.now() };
        partition.clock.store(clock, Ordering::Release);
        drop(turn);
        partitions.wake_others();
        self.done = (Some(task.chunk), records);
        latest.map(|latest| (latest, sent))
    }

    fn effective(&self, time: EventTime) -> EventTime {
        match self.settings.emit {
            Emit::OnWatermark => time,
            Emit::OnEvent => self.partitions.instant.see(time).0,
        }
    }
}

/// Which segments mention a record, by the definitions in force at a time.
struct Mentioned {
    timeline: Arc<Timeline>,
    streams: Arc<Streams>,
    /// How many edits have taken effect, and what the definitions mention then.
    version: Option<(usize, Mentions)>,
}

impl Mentioned {
    fn at(&mut self, clock: EventTime) -> &Mentions {
        let version = self.timeline.edits.partition_point(|edit| edit.time <= clock);
        if self.version.as_ref().is_none_or(|(have, _)| *have != version) {
            let mut definitions: std::collections::BTreeMap<_, _> =
                self.timeline.initial.iter().map(|it| (it.id.clone(), it.clone())).collect();
            for edit in self.timeline.edits.iter().take(version) {
                match &edit.edit {
                    Edit::Put(definition) => {
                        definitions.insert(definition.id.clone(), definition.clone())
                    }
                    Edit::Delete(id) => definitions.remove(id),
                };
            }
            self.version = Some((version, Mentions::of(definitions.values(), &self.streams)));
        }
        self.version.as_ref().map(|(_, mentions)| mentions).expect("a version was just made")
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
