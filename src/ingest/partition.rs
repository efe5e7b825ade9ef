//! One partition: what is read of it, in which order that takes its turn, and what of it the run
//! has not passed yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use dataflows::clock::PartitionClock;
use dataflows::model::{Duration, EventTime};

use super::journal::Recall;
use super::{Partitions, lock};
use crate::format::Mapping;
use crate::source::file::{Ahead, FilePartition, Progress, ReadAhead};
use crate::source::http::LogPartition;
use crate::source::kafka::KafkaPartition;
use crate::source::{Chunk, LineStart, SourceError, Track};

/// How much a worker reads before it lets the dataflow have its turn. Little where tests want many
/// turns.
const CHUNK_BYTES: usize = if cfg!(test) { 1 << 10 } else { 128 << 10 };
/// A partition that is not quiet.
const NOT_QUIET: i64 = i64::MIN;
/// How many files and topics a job may have; and how many partitions, a topic.
pub const STREAMS_MAX: u32 = 1 << 16;

/// The index of a partition among all of the job, by the place of its file or topic, and, of a
/// topic, its number. It does not depend on how many partitions there are, so a partition that is
/// made while the job runs has the same index in every process, whenever it is found there; and of
/// files it is their place. Ties on time go by it: to the higher number, then to the later topic.
pub fn index(stream: u32, number: u32) -> u32 {
    number.saturating_mul(STREAMS_MAX).saturating_add(stream)
}

/// The place of its file or topic, and its number, that an [`index`] stands for.
pub fn stream_and_number(index: u32) -> (u32, u32) {
    (index % STREAMS_MAX, index / STREAMS_MAX)
}

/// Where a partition goes on that an earlier run had read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoOn {
    /// The offset to be read next.
    pub offset: u64,
    /// The offset after the last that was read.
    pub read_to: u64,
    /// Where a line begins that stands at or before `offset`, if that is known.
    pub start: Option<LineStart>,
    /// The clock before `offset`.
    pub clock: EventTime,
    /// What is older than this had its effect, or is late.
    pub before: EventTime,
}

pub(super) struct Partition {
    /// Its index among all partitions of the job.
    pub(super) index: u32,
    pub(super) mapping: Mapping,
    /// How far it has been read, if it goes on meanwhile.
    pub(super) track: Option<Track>,
    /// Whether it is written while it is read.
    pub(super) is_live: bool,
    reading: Mutex<Input>,
    /// Chunks taken.
    pub(super) taken: AtomicU64,
    pub(super) exhausted: AtomicBool,
    pub(super) turn: Mutex<Turn>,
    /// Chunks that have had their turn.
    pub(super) settled: AtomicU64,
    /// The offset after the last record that has had its turn.
    pub(super) settled_to: AtomicU64,
    /// Whether the watermark has waited for it before, in this run or an earlier one.
    pub(super) has_joined: AtomicBool,
    /// The clock as of the last chunk that had its turn; the end of time once all had.
    pub(super) clock: AtomicI64,
    /// Since when, on the wall, there has been nothing to take.
    quiet_since_ms: AtomicI64,
    /// Whether the watermark goes on without it.
    pub(super) is_idle: AtomicBool,
}

/// The one whose turn it is decides what is late.
pub(super) struct Turn {
    pub(super) clock: PartitionClock,
    /// What the run has not passed yet, if that is kept.
    pub(super) marks: VecDeque<Mark>,
    /// What no checkpoint has passed yet, if there are any.
    pub(super) stretches: Option<VecDeque<Stretch>>,
    /// What an earlier run had read and is read again, until that is done.
    pub(super) again: Option<GoOn>,
    /// Where the last chunk began that had its turn, if it can be read from there.
    pub(super) start: Option<LineStart>,
    /// From which offsets on what is older than these times is late, in order.
    floors: VecDeque<(u64, EventTime)>,
    /// The offsets of records that an earlier run found too far ahead, in order.
    ahead: Vec<u64>,
}

/// A chunk that has had its turn, or all of it that took effect at one instant (`on_event`), and how
/// things stood before it.
#[derive(Clone)]
pub(super) struct Stretch {
    /// The greatest time at which something of it is given out.
    pub(super) latest: EventTime,
    /// The offset of its first record.
    pub(super) offset: u64,
    /// Where the chunk of that record begins.
    pub(super) start: Option<LineStart>,
    /// The clock before it.
    pub(super) clock: EventTime,
}

impl Turn {
    fn new(disorder: Duration, again: Option<GoOn>, recall: Recall, keeps: bool) -> Self {
        let clock = PartitionClock::new(disorder);
        let clock = again.map_or(clock, |again| clock.standing_at(again.clock));
        let stretches = keeps.then(VecDeque::new);
        let (marks, floors, ahead) = (VecDeque::new(), VecDeque::new(), recall.ahead);
        let start = again.and_then(|again| again.start);
        let mut turn = Turn { clock, marks, stretches, again, start, floors, ahead };
        recall.floors.into_iter().for_each(|(offset, time)| turn.leave_behind(offset, time));
        again.into_iter().for_each(|again| turn.leave_behind(again.read_to, again.before));
        turn
    }

    /// Whether a record at this offset, done at this time, was done by an earlier run.
    pub(super) fn is_done(&self, offset: u64, time: EventTime) -> bool {
        self.again.is_some_and(|again| offset < again.offset || time < again.before)
    }

    /// Whether an earlier run found the record at this offset too far ahead.
    pub(super) fn was_ahead(&self, offset: u64) -> bool {
        !self.ahead.is_empty() && self.ahead.binary_search(&offset).is_ok()
    }

    /// From this offset on what is older than `time` is late.
    pub(super) fn leave_behind(&mut self, offset: u64, time: EventTime) {
        let place = self.floors.partition_point(|(other, _)| *other <= offset);
        self.floors.insert(place, (offset, time));
    }

    /// By what it is late from this offset on, as far as that is to come.
    pub(super) fn floor(&self, offset: u64) -> Option<EventTime> {
        self.floors.iter().filter(|(other, _)| *other <= offset).map(|(_, time)| *time).max()
    }

    /// The record at this offset comes next.
    pub(super) fn comes_to(&mut self, offset: u64) {
        while let Some((from, time)) = self.floors.front().copied()
            && from <= offset
        {
            self.floors.pop_front();
            self.clock.leave_behind(time);
        }
        self.again.take_if(|again| offset >= again.read_to);
    }

    /// From where on to read again what takes effect at `before` or later, once all time before
    /// that is over; nothing of it is older than `settled`.
    fn go_on(&mut self, (before, settled): (EventTime, EventTime), read_to: u64) -> GoOn {
        let stretches = self.stretches.get_or_insert_default();
        while stretches.front().is_some_and(|stretch| stretch.latest < before) {
            stretches.pop_front();
        }
        match stretches.front() {
            Some(Stretch { offset, clock, start, .. }) => {
                GoOn { offset: *offset, read_to, start: *start, clock: *clock, before: settled }
            }
            // Whatever comes is late if it is older.
            None => {
                let clock = self.clock.now().max(settled);
                GoOn { offset: read_to, read_to, start: self.start, clock, before: settled }
            }
        }
    }
}

/// A chunk that has had its turn: where to go on, were all from it on to be done again.
pub(super) struct Mark {
    /// The greatest time at which something of it is given out.
    pub(super) latest: EventTime,
    /// The offset after its last record.
    pub(super) next_offset: u64,
}

pub(super) enum Input {
    /// Read by a thread of its own, so that no worker waits for it.
    File(ReadAhead),
    /// Fetched by threads of its own.
    Kafka(KafkaPartition),
    /// Taken from clients.
    Log(LogPartition),
}

pub(super) enum Next {
    Chunk(Chunk, u64),
    /// Nothing, but only just now.
    Soon,
    Nothing,
    End,
}

impl Partition {
    pub(super) fn new(
        index: u32,
        input: Input,
        mapping: Mapping,
        disorder: Duration,
        (go_on, recall, keeps): (Option<GoOn>, Recall, bool),
    ) -> Self {
        let track = match &input {
            Input::Kafka(partition) => Some(Track::Topic(Arc::clone(partition.track()))),
            Input::Log(partition) => Some(Track::Log(Arc::clone(partition.track()))),
            Input::File(_) => None,
        };
        let is_whole = matches!(&input, Input::File(file) if file.is_whole());
        let start = track.as_ref().map(Track::next).or(go_on.map(|go_on| go_on.offset));
        let start = start.unwrap_or(0);
        Partition {
            index,
            mapping,
            track,
            is_live: !is_whole,
            reading: Mutex::new(input),
            taken: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
            turn: Mutex::new(Turn::new(disorder, go_on, recall, keeps)),
            settled: AtomicU64::new(0),
            settled_to: AtomicU64::new(start),
            has_joined: AtomicBool::new(go_on.is_some()),
            clock: AtomicI64::new(go_on.map_or(EventTime::MIN, |go_on| go_on.clock)),
            quiet_since_ms: AtomicI64::new(NOT_QUIET),
            is_idle: AtomicBool::new(false),
        }
    }

    /// Takes the next chunk; the memory of `done`, a chunk that is done with, is used again.
    pub(super) fn take(&self, done: &mut Option<Chunk>) -> Result<Next, SourceError> {
        let mut reading = lock(&self.reading);
        let chunk = match &mut *reading {
            Input::File(file) => {
                done.take().into_iter().for_each(|chunk| file.recycle(chunk));
                match file.next_chunk()? {
                    Ahead::Chunk(chunk) => Some(chunk),
                    Ahead::Soon => return Ok(Next::Soon),
                    Ahead::Nothing => return Ok(Next::Nothing),
                    Ahead::End => None,
                }
            }
            live @ (Input::Kafka(_) | Input::Log(_)) => {
                let mut chunk = done.take().unwrap_or_default();
                if !live.fill(&mut chunk)? {
                    *done = Some(chunk);
                    return Ok(Next::Nothing);
                }
                Some(chunk)
            }
        };
        let Some(chunk) = chunk else {
            self.exhausted.store(true, Ordering::Release);
            return Ok(Next::End);
        };
        // While it is still locked: chunks are numbered as they were read.
        Ok(Next::Chunk(chunk, self.taken.fetch_add(1, Ordering::AcqRel)))
    }

    /// Whether there is more to come.
    pub(super) fn is_open(&self) -> bool {
        self.clock.load(Ordering::Acquire) != EventTime::MAX
    }

    /// Whether all that was taken has had its turn.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire) == self.taken.load(Ordering::Acquire)
    }

    /// Whether all it held when the run began has had its turn.
    pub(super) fn is_caught_up(&self) -> bool {
        let is_read = match &self.track {
            Some(track) => track.is_caught_up(),
            None => self.exhausted.load(Ordering::Acquire),
        };
        is_read && self.is_settled()
    }

    /// The same, where that can be known. What a pipe holds is not: it is being written.
    pub(super) fn is_up_to_date(&self) -> bool {
        let is_pipe = self.is_live && self.track.is_none();
        self.is_caught_up() || (is_pipe && self.is_settled())
    }

    /// Whether there has been nothing to take for so long. What the brokers have not confirmed
    /// does not count: a partition that cannot be reached is not idle.
    pub(super) fn is_quiet_for(&self, timeout_ms: i64, now_ms: i64) -> bool {
        let is_at_end = self.track.as_ref().is_none_or(|track| track.is_at_end());
        if !(self.is_live && self.is_settled() && is_at_end) {
            self.stir();
            return false;
        }
        let since = &self.quiet_since_ms;
        let since =
            match since.compare_exchange(NOT_QUIET, now_ms, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => now_ms,
                Err(since) => since,
            };
        now_ms.saturating_sub(since) >= timeout_ms
    }

    /// Something came of it.
    pub(super) fn stir(&self) {
        self.quiet_since_ms.store(NOT_QUIET, Ordering::Release);
        self.is_idle.store(false, Ordering::Release);
    }

    /// Forgets the marks that `is_passed` by the run, and tells the source how far that is.
    pub(super) fn pass(&self, is_passed: impl Fn(EventTime) -> bool) {
        // Whoever settles it now passes it the next time.
        let Ok(mut turn) = self.turn.try_lock() else { return };
        let mut passed = None;
        while let Some(mark) = turn.marks.front()
            && is_passed(mark.latest)
        {
            passed = Some(mark.next_offset);
            turn.marks.pop_front();
        }
        if let (Some(next), Some(track)) = (passed, &self.track) {
            track.pass(next);
        }
    }

    /// From where on to read again what takes effect at `before` or later, of which nothing is older
    /// than `settled`.
    pub(super) fn go_on(&self, before: EventTime, settled: EventTime) -> GoOn {
        let mut turn = lock(&self.turn);
        turn.go_on((before, settled), self.settled_to.load(Ordering::Acquire))
    }

    /// How far it has been read, in bytes; `None` while it is being read.
    pub(super) fn progress(&self) -> Option<Progress> {
        let reading = self.reading.try_lock().ok()?;
        Some(match &*reading {
            Input::File(file) => file.progress(),
            Input::Kafka(_) | Input::Log(_) => Progress { read: 0, total: None },
        })
    }
}

impl Input {
    /// Puts what is there at present into a chunk; tells whether there was anything.
    fn fill(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        match self {
            Input::Kafka(partition) => Ok(partition.next_chunk(CHUNK_BYTES, chunk)?),
            Input::Log(partition) => Ok(partition.next_chunk(CHUNK_BYTES, chunk)?),
            Input::File(_) => Ok(false),
        }
    }

    pub(super) fn of(file: FilePartition, shared: &Weak<Partitions>) -> Self {
        let shared = shared.clone();
        let wake = move || shared.upgrade().iter().for_each(|partitions| partitions.wake());
        Input::File(ReadAhead::new(file, CHUNK_BYTES, Box::new(wake)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_stands_whatever_is_added() {
        assert_eq!([index(0, 0), index(1, 0), index(7, 0)], [0, 1, 7], "files: their place");
        assert!(index(0, 1) > index(5, 0) && index(1, 3) > index(0, 3));
        assert_eq!(stream_and_number(index(3, 12)), (3, 12));
    }
}
