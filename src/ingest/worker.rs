//! One worker's way from chunks to the dataflow.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dataflows::catalog::{TimedEdit, Timeline};
use dataflows::clock::{ClockSettings, Emit, Punctuality};
use dataflows::model::{
    Change, EventTime, Hit, Incoming, Payload, Position, Stamp, Update, UserKey, Value,
};
use dataflows::segmentation::{Inputs, Late, Rejected, Seen};
use dataflows::sketch::Top;
use dataflows::streams::Streams;

use super::course::{Course, Took};
use super::journal::{Decision, Ticket};
use super::mentioned::Mentioned;
use super::named::Named;
use super::notes::{Notes, Traced};
use super::partition::{Mark, Partition, Stretch, Turn};
use super::record::{Name, Onlooker, Record, Shown, Span, Understood};
use super::{Partitions, Taken, Task, lock};
use crate::format::{self, Reader};
use crate::source::{Chunk, Line, LineStart, SourceError};
use crate::trace::{Moment, Read, Tracer, now};

/// Why a record of Kafka without a value is rejected.
const MISSING: &str = "record: there is none (a tombstone: a null value); to erase a user, send a \
                       record of type delete";

/// A chunk that has been read and waits for its turn.
pub struct Batch {
    task: Task,
    records: Vec<Record>,
    /// The greatest time that was believed when it was read, in a running job.
    believed: Option<EventTime>,
    /// When it may have its turn: what was not believed must have been written down.
    ticket: Option<Ticket>,
    /// When it was read, where records are traced.
    read: Option<Read>,
}

/// One worker's way from chunks to the dataflow.
pub struct Ingest {
    partitions: Arc<Partitions>,
    settings: ClockSettings,
    streams: Arc<Streams>,
    /// One a partition, made when it is first needed.
    readers: Vec<Reader>,
    /// Users whose name this worker has passed on.
    named: Named,
    mentioned: Mentioned,
    onlooker: Option<Arc<dyn Onlooker>>,
    /// When the last record takes effect that was handed over.
    greatest: EventTime,
    /// Who takes note of what becomes of a few records, and when the last chunk was asked for.
    tracer: Option<(Arc<Tracer>, Moment)>,
    /// What it has handed over that is not written down yet: the first instant of each, in order.
    unwritten: VecDeque<(Ticket, EventTime)>,
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
        let mentioned = Mentioned::new(streams, timeline);
        let (readers, named, unwritten, done) = Default::default();
        let streams = Arc::clone(streams);
        let (greatest, onlooker, tracer) = (EventTime::MIN, None, None);
        Ingest {
            partitions,
            settings,
            streams,
            readers,
            named,
            mentioned,
            onlooker,
            greatest,
            tracer,
            unwritten,
            done,
        }
    }

    /// The same, with someone who looks on.
    #[must_use]
    pub fn shown_to(self, onlooker: Option<Arc<dyn Onlooker>>) -> Self {
        Ingest { onlooker, ..self }
    }

    /// The same, telling a tracer what becomes of a few records.
    #[must_use]
    pub fn traced(self, tracer: Option<Arc<Tracer>>) -> Self {
        Ingest { tracer: tracer.map(|tracer| (tracer, 0)), ..self }
    }

    /// From now on reads what more there is to be known; gives back until when what it
    /// read without, and has handed over, takes effect. What has been read must have had its turn.
    pub fn grow(&mut self, streams: &Arc<Streams>) -> EventTime {
        self.streams = Arc::clone(streams);
        self.readers.iter_mut().for_each(|reader| reader.grow(streams));
        self.mentioned.grow(streams);
        self.greatest
    }

    /// An edit is in force.
    pub fn edited(&mut self, edit: TimedEdit) {
        self.mentioned.edited(edit);
    }

    /// Takes the next chunk: see [`Partitions`].
    ///
    /// # Errors
    /// A file cannot be read on.
    pub fn take(&mut self, only_behind: bool) -> Result<Taken, SourceError> {
        self.tracer.iter_mut().for_each(|(_, asked)| *asked = now());
        self.partitions.take(only_behind, &mut self.done.0)
    }

    /// Reads a chunk into records.
    pub fn read(&mut self, task: Task) -> Batch {
        let taken = self.tracer.as_ref().map(|(_, asked)| (*asked, now()));
        if self.readers.len() <= task.place {
            self.partitions.all(|list| {
                let new = list[self.readers.len()..].iter();
                let reader = |it: &Arc<_>| Reader::new(self.streams.clone(), mapping(it));
                self.readers.extend(new.map(reader));
            });
        }
        let reader = &mut self.readers[task.place];
        let mut records = std::mem::take(&mut self.done.1);
        if task.chunk.has_pieces() {
            read(reader, &task.chunk, task.chunk.pieces(), &mut records);
        } else {
            read(reader, &task.chunk, task.chunk.lines(), &mut records);
        }
        if let Some(onlooker) = &self.onlooker {
            let shown = Shown { records: &records, chunk: &task.chunk.bytes };
            onlooker.look(&task.partition.mapping, &shown);
        }
        self.partitions.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        let live = self.partitions.live.as_ref();
        let believed = live.map(|live| live.believed());
        let ticket = believed.and_then(|believed| self.ask_ahead(&task, &records, believed));
        let read = taken.map(|(asked, taken)| Read { asked, taken, decoded: now() });
        Batch { task, records, believed, ticket, read }
    }

    /// Has it written down which records are not believed.
    fn ask_ahead(&self, task: &Task, records: &[Record], believed: EventTime) -> Option<Ticket> {
        let time = |record: &Record| record.content.as_ref().ok().and_then(|it| it.time);
        let is_ahead = |record: &&Record| time(record).is_some_and(|time| time > believed);
        let offsets: Vec<_> = records.iter().filter(is_ahead).map(|record| record.offset).collect();
        let partition = task.partition.index;
        let ahead = (!offsets.is_empty()).then_some(Decision::Ahead { partition, offsets })?;
        Some(self.partitions.journal.ask([ahead]))
    }

    /// Whether every earlier chunk of its partition has had its turn, and what was decided about it
    /// is written down.
    pub fn is_next(&self, batch: &Batch) -> bool {
        let (partition, journal) = (&batch.task.partition, &self.partitions.journal);
        partition.settled.load(Ordering::Acquire) == batch.task.number
            && self.partitions.has_begun()
            && batch.ticket.is_none_or(|ticket| journal.is_durable(ticket))
            && self.partitions.live.as_ref().is_none_or(|live| live.may_settle(partition, journal))
    }

    /// Takes a batch's turn: decides what is late, and hands everything to the dataflow. Gives
    /// back the greatest time at which something of it takes effect, and how many records do.
    pub fn settle(&mut self, mut batch: Batch, inputs: &mut Inputs) -> Option<(EventTime, usize)> {
        match (self.tracer.clone(), batch.read) {
            (Some((tracer, _)), Some(read)) => {
                let parents = batch.task.chunk.take_parents();
                self.settle_noted(batch, inputs, &mut Traced::new(&tracer, read, parents))
            }
            _ => self.settle_noted(batch, inputs, &mut ()),
        }
    }

    /// The same, having note taken of what becomes of each record.
    fn settle_noted(
        &mut self,
        batch: Batch,
        inputs: &mut Inputs,
        notes: &mut impl Notes,
    ) -> Option<(EventTime, usize)> {
        let Batch { task, mut records, believed, .. } = batch;
        let partitions = self.partitions.clone();
        let partition = &task.partition;
        let chunk = &task.chunk.bytes;
        let mut turn = lock(&partition.turn);
        let live = partitions.live.as_ref();
        live.into_iter().for_each(|live| live.join(partition, &mut turn));
        let believed = believed.unwrap_or(EventTime::MAX);
        records.first().into_iter().for_each(|first| turn.comes_to(first.offset));
        let next_offset = records.last().map(|record| record.offset + 1);
        let first = records.first().map(|record| (record.offset, turn.clock.now()));
        let (mut latest, mut sent) = (None, 0);
        let mut passed =
            Instants::new(self.settings.emit, turn.stretches.is_some(), task.chunk.start);
        let (mut updates, mut stamps) = (inputs.updates.open(), inputs.stamps.open());
        let mut counted = inputs.seen.as_mut().map(|seen| seen.open());
        updates.reserve(records.len());
        stamps.reserve(records.len());
        let understood = records.iter().filter_map(|record| record.content.as_ref().ok());
        self.named.look_ahead(understood.map(|it| it.user));
        for record in records.drain(..) {
            let position = Position { partition: partition.index, offset: record.offset };
            let raw = || record.line.bytes(chunk).to_vec();
            turn.comes_to(record.offset);
            let rejection = match &record.content {
                Err(reason) => Some(reason.clone()),
                Ok(Understood { time: Some(time), .. })
                    if *time > believed || turn.was_ahead(record.offset) =>
                {
                    live.map(|live| live.too_far_ahead(*time))
                }
                Ok(_) => None,
            };
            if let Some(reason) = rejection {
                let clock = turn.clock.now();
                if !turn.is_done(record.offset, clock) {
                    notes.rejected(position, &reason);
                    let at = self.given_out(&mut turn, record.offset, clock);
                    passed.at(at, record.offset, clock);
                    let rejected = Rejected { position, clock, at, reason, record: raw() };
                    inputs.rejected.send((at, rejected));
                }
                continue;
            }
            let Ok(Understood { user, name, time, id, mut change }) = record.content else {
                unreachable!("what was not understood has been rejected");
            };
            let before = turn.clock.now();
            match turn.clock.observe(time) {
                Punctuality::OnTime(time) if turn.is_done(record.offset, time) => {}
                Punctuality::OnTime(time) => {
                    let at = self.effective(&mut turn, record.offset, time);
                    passed.at(at, record.offset, before);
                    self.greatest = self.greatest.max(at);
                    latest = latest.max(Some(at));
                    sent += 1;
                    notes.applied(position, user, time, at);
                    if self.named.insert(user) {
                        updates.push(Incoming::Name(user, name.shared(chunk)));
                    }
                    if let (Some(counted), Change::Event(hits)) = (&mut counted, &mut change) {
                        let seen =
                            |(counter, value)| Seen { counter, user, time, at, position, value };
                        counted.extend(self.seen(hits).map(seen));
                        // What is only counted is no matter of the rules.
                        hits.retain(|hit| self.streams.is_asked(hit.stream));
                    }
                    if let Some(id) = id {
                        stamps.push(Stamp { time, at, position, id, user });
                    }
                    updates.push(Incoming::Update(Update { user, time, at, position, change }));
                }
                Punctuality::Late { clock, .. } if turn.is_done(record.offset, clock) => {}
                Punctuality::Late { time, clock, reason } => {
                    notes.late(position, user, time, clock);
                    let segments = self.mentioned.at(clock).segments(&change);
                    let at = self.given_out(&mut turn, record.offset, clock);
                    passed.at(at, record.offset, clock);
                    let late = Late { position, time, clock, at, reason, segments, record: raw() };
                    inputs.late.send((at, late));
                }
            }
        }
        latest.max(passed.last).into_iter().for_each(|last| partitions.instant.took_effect(last));
        if let (Some(next_offset), Some((offset, clock)), true) =
            (next_offset, first, live.is_some())
        {
            // What is rejected or late is given out at the clock.
            let given = latest.max(passed.last).unwrap_or(EventTime::MIN);
            let latest = given.max(turn.clock.now());
            turn.marks.push_back(Mark { latest, next_offset });
            self.write_down(partition, &mut turn, next_offset, passed.stretches.as_deref());
            partition.settled_to.fetch_max(next_offset, Ordering::AcqRel);
            turn.start = task.chunk.start;
            let whole = Stretch { latest, offset, start: turn.start, clock };
            let stretches = passed.stretches.unwrap_or_else(|| vec![whole]);
            turn.stretches.iter_mut().for_each(|them| them.extend(stretches.iter().cloned()));
        }
        partition.stir();
        let settled = task.number + 1;
        let done = partition.exhausted.load(Ordering::Acquire)
            && partition.taken.load(Ordering::Acquire) == settled;
        if done {
            partition.follow_to(&mut turn, u64::MAX);
        }
        let clock = if done { EventTime::MAX } else { turn.clock.now() };
        partition.clock.store(clock, Ordering::Release);
        partition.settled.store(settled, Ordering::Release);
        drop(turn);
        partitions.wake_others();
        self.done = (Some(task.chunk), records);
        latest.map(|latest| (latest, sent))
    }

    /// By which counters an event is counted, and what they take from it.
    fn seen(&self, hits: &[Hit]) -> impl Iterator<Item = (u32, Option<Value>)> {
        let counter = |hit: &Hit| {
            let value = match &hit.payload {
                Payload::Value(value) if Top::is_ranked(value) => Some(Value::clone(value)),
                _ => None,
            };
            Some((self.streams.counter(hit.stream)?, value))
        };
        hits.iter().filter_map(counter)
    }

    /// Asks for what had its turn to be written down, up to this offset and but for what earlier
    /// runs have.
    fn write_down(
        &mut self,
        partition: &Partition,
        turn: &mut Turn,
        next: u64,
        stretches: Option<&[Stretch]>,
    ) {
        let chronicle = &self.partitions.chronicle;
        if !chronicle.is_kept() {
            return;
        }
        let known = turn.course.as_ref().map_or(0, Course::next);
        let from = partition.settled_to.load(Ordering::Acquire).max(known);
        partition.follow_to(turn, next);
        if from >= next {
            return;
        }
        let new = stretches.into_iter().flatten().filter(|stretch| stretch.offset >= from);
        let steps: Vec<_> = new.map(|stretch| (stretch.offset, stretch.latest)).collect();
        let first = steps.first().map(|(_, at)| *at);
        let ticket = chronicle.ask([Took { partition: partition.index, from, next, steps }]);
        self.unwritten.extend(first.map(|first| (ticket, first)));
    }

    /// How far time may come for now: to the first instant that is not written down; `None` where
    /// all are.
    pub fn holds_time(&mut self) -> Option<EventTime> {
        let chronicle = &self.partitions.chronicle;
        while self.unwritten.front().is_some_and(|(ticket, _)| chronicle.is_durable(*ticket)) {
            self.unwritten.pop_front();
        }
        self.unwritten.front().map(|(_, first)| *first)
    }

    /// When something is given out that has no effect, and comes when its partition's clock stands
    /// there.
    fn given_out(&self, turn: &mut Turn, offset: u64, clock: EventTime) -> EventTime {
        match self.settings.emit {
            Emit::OnWatermark => clock,
            Emit::OnEvent => {
                turn.instant(offset).unwrap_or_else(|| self.partitions.instant.clock())
            }
        }
    }

    fn effective(&self, turn: &mut Turn, offset: u64, time: EventTime) -> EventTime {
        match self.settings.emit {
            Emit::OnWatermark => time,
            Emit::OnEvent => match turn.instant(offset) {
                Some(at) => at.max(time),
                None => self.partitions.instant.see(time).0,
            },
        }
    }
}

/// The instants a chunk takes part in (`on_event`), in order: what had its turn before an instant is
/// all that stands before the first record of it, whoever read what in the other partitions.
struct Instants {
    emit: Emit,
    last: Option<EventTime>,
    /// For checkpoints, where each begins.
    stretches: Option<Vec<Stretch>>,
    /// Where the chunk begins.
    start: Option<LineStart>,
}

impl Instants {
    fn new(emit: Emit, keeps: bool, start: Option<LineStart>) -> Self {
        let stretches = (keeps && emit == Emit::OnEvent).then(Vec::new);
        Instants { emit, last: None, stretches, start }
    }

    /// The record at this offset is given out at `at`; before it, its partition's clock stood at
    /// `clock`.
    fn at(&mut self, at: EventTime, offset: u64, clock: EventTime) {
        if self.emit == Emit::OnEvent && self.last < Some(at) {
            self.last = Some(at);
            let (start, stretches) = (self.start, self.stretches.iter_mut());
            stretches.for_each(|them| them.push(Stretch { latest: at, offset, start, clock }));
        }
    }
}

fn mapping(partition: &Arc<super::partition::Partition>) -> format::Mapping {
    partition.mapping.clone()
}

/// Reads the records of a chunk.
fn read<'a>(
    reader: &mut Reader,
    chunk: &'a Chunk,
    lines: impl Iterator<Item = Line<'a>>,
    records: &mut Vec<Record>,
) {
    for line in lines {
        let refusal = format::oversize(line.length).or_else(|| line.refusal.map(str::to_owned));
        let parsed = match refusal {
            Some(reason) => Err(reason),
            None if line.is_missing => Err(MISSING.to_owned()),
            None => reader.update(line.bytes),
        };
        let content = parsed.map(|parsed| {
            let user = UserKey::of(&parsed.user);
            let name = match parsed.user {
                Cow::Borrowed(name) => Name::Written(Span::of(name.as_bytes(), &chunk.bytes)),
                Cow::Owned(name) => Name::Decoded(name.into()),
            };
            Understood { user, name, time: parsed.time, id: parsed.id, change: parsed.change }
        });
        let span = Span::of(line.bytes, &chunk.bytes);
        records.push(Record { offset: line.offset, line: span, content });
    }
}
