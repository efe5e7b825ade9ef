//! Delivery by a thread: what is given waits in a bounded queue ([`queue`](super::queue)) for a
//! thread of its own, which takes it to a [`Destination`] in steps, each tried until it is final.
//!
//! A destination stores with every step the *position*: the event time before which all has been
//! written. Whatever goes wrong in a step, the connection is dropped, and on a new one the position
//! says whether the step took effect; so an unknown outcome never has to be guessed. A position
//! that this process did not write is another process's, or the destination has lost something:
//! then it ends.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::model::{Difference, EventTime, Path};

use super::SinkError;
use super::buffer::Place;
use super::delivery::{Delivery, HowItStands, Item, MadeFinal};
use super::queue::{Due, Pace, Queue, Stop};
use super::selection::Selection;
use crate::say::Trouble;

/// How long to wait after the first failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long to wait at most, unless the destination asks for longer.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How long to wait at most, whatever it asks for.
const ASKED_MAX: Duration = Duration::from_secs(300);

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may go well the next time, if need be after so long.
    Trouble(String, Option<Duration>),
    /// It will not.
    Fault(SinkError),
}

impl<T: Into<SinkError>> From<T> for Failure {
    fn from(fault: T) -> Self {
        Failure::Fault(fault.into())
    }
}

/// A place outside that items are written to in steps.
pub(super) trait Destination: Send + 'static {
    /// A new connection. Whatever an older one has begun is over then, one way or the other. Gives
    /// back the position that is stored.
    fn connect(&mut self) -> Result<Option<EventTime>, Failure>;

    /// Drops the connection.
    fn disconnect(&mut self);

    /// These are the items of the next step, which may be tried several times.
    fn prepare(&mut self, _items: &[Item]) {}

    /// Writes all that is due and the position `due.upto`, where `from` is stored; or nothing.
    fn write(&mut self, due: &Due, from: Option<EventTime>) -> Result<(), Failure>;

    /// How long to wait at most before it is tried again, unless it asks for longer.
    fn pause_max(&self) -> Duration {
        BACK_OFF_MAX
    }

    /// The fault that another position is stored than the one this process has written.
    fn displaced(&self, _found: Option<EventTime>, _expected: Option<EventTime>) -> SinkError {
        SinkError::Displaced { name: self.watch().name().to_owned() }
    }

    /// By what people are told how it stands.
    fn watch(&self) -> &Watch;

    /// Tells people of trouble that may pass.
    fn trouble(&self, reason: &str) {
        self.watch().trouble(reason);
    }
}

/// The fault of a destination that can be rebuilt, whose position is not the one this process has
/// written: one further on is another process's, one further back has been lost.
pub(super) fn displaced(
    name: &str,
    sink: &str,
    found: Option<EventTime>,
    expected: Option<EventTime>,
) -> SinkError {
    let name = name.to_owned();
    if found < expected {
        return SinkError::Lost { name, sink: sink.to_owned() };
    }
    SinkError::Displaced { name }
}

/// Where a courier begins.
#[derive(Debug, Default)]
pub(super) struct Begin {
    /// The position that was found.
    pub(super) position: Option<EventTime>,
    /// Of the items from the position on, the last one that was written already.
    pub(super) after: Option<Mark>,
    /// Nothing is written before time has passed this.
    pub(super) hold: Option<EventTime>,
    /// Whether it wants to be told who is in which segment, when it has no position.
    pub(super) keeps_members: bool,
}

impl Begin {
    /// That of a destination that keeps who is in which segment, for a run that goes on from
    /// `resumes`; a fault, if what it has got does not reach so far.
    pub(super) fn keeping_members(
        name: &str,
        sink: &str,
        position: Option<EventTime>,
        resumes: Option<EventTime>,
    ) -> Result<Self, SinkError> {
        let begin = Begin { position, keeps_members: true, ..Begin::default() };
        match (position, resumes) {
            (Some(position), Some(resumes)) if position < resumes => {
                Err(SinkError::Behind { name: name.to_owned(), sink: sink.to_owned() })
            }
            // Members are given as of the instant before, and must be complete.
            (None, Some(resumes)) => Ok(Begin { hold: Some(resumes - 1), ..begin }),
            _ => Ok(begin),
        }
    }
}

/// The place of a difference among all: they come in the order of time, segment and user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Mark {
    pub(super) time: EventTime,
    pub(super) segment: Arc<str>,
    pub(super) user: Arc<str>,
}

impl Mark {
    pub(super) fn of(difference: &Difference) -> Self {
        let Difference { time, segment, user, .. } = difference;
        Mark { time: *time, segment: Arc::clone(segment), user: Arc::clone(user) }
    }
}

/// What a job says of any sink that delivers.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Which segments it is told of.
    pub selection: Selection,
    /// Which attributes of users it is told of.
    pub attributes: Vec<Path>,
    /// Where items may wait for which there is no room in memory.
    pub buffer: Option<Place>,
    /// Whether the run has been told to stop.
    pub stop: Stop,
}

/// A sink with a thread that delivers.
pub struct Courier {
    delivered: Option<EventTime>,
    after: Option<Mark>,
    wants_members: bool,
    selection: Selection,
    attributes: Vec<Path>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// Begins to take to a destination, to which there is a connection, what is selected.
    pub(super) fn start(
        name: String,
        to: impl Destination,
        begin: Begin,
        pace: Pace,
        terms: Terms,
    ) -> Self {
        let Terms { selection, attributes, buffer, stop } = terms;
        let position = begin.position;
        let made_final = MadeFinal::since(position.unwrap_or(EventTime::MIN));
        let hold = begin.hold.unwrap_or(EventTime::MIN);
        let queue = Arc::new(Queue::new(name, pace, (made_final, hold), (buffer, stop)));
        let of_thread = Arc::clone(&queue);
        let thread = std::thread::spawn(move || carry(to, position, &of_thread));
        let after = begin.after;
        Courier {
            delivered: position.max(after.as_ref().map(|mark| mark.time)),
            after,
            wants_members: begin.keeps_members && position.is_none(),
            selection,
            attributes,
            queue,
            thread: Some(thread),
        }
    }

    fn is_wanted(&self, item: &Item) -> bool {
        let Item::Difference(difference) = item else { return true };
        let is_new = self.after.as_ref().is_none_or(|after| {
            after.time < difference.time || *after < Mark::of(difference) // most end at the time
        });
        is_new && self.selection.has(&difference.segment)
    }
}

/// Connects for the first time, for as long as it takes: the position. `None` if the run was told
/// to stop before.
pub(super) fn first_connection(
    to: &mut impl Destination,
    stop: &Stop,
) -> Result<Option<Option<EventTime>>, SinkError> {
    let is_stopped = || stop.as_ref().is_some_and(|stop| stop.load(Ordering::Acquire));
    let mut wait = BACK_OFF;
    while !is_stopped() {
        match to.connect() {
            Ok(position) => {
                to.watch().is_well();
                return Ok(Some(position));
            }
            Err(Failure::Fault(fault)) => return Err(fault),
            Err(Failure::Trouble(reason, _)) => to.trouble(&reason),
        }
        let until = Instant::now() + jittered(wait);
        while Instant::now() < until && !is_stopped() {
            std::thread::park_timeout(BACK_OFF);
        }
        wait = (2 * wait).min(BACK_OFF_MAX);
    }
    Ok(None)
}

impl Delivery for Courier {
    fn delivered(&self) -> Option<EventTime> {
        self.delivered
    }

    fn wants_members(&self) -> bool {
        self.wants_members
    }

    fn takes(&self, segment: &str) -> bool {
        self.selection.has(segment)
    }

    fn attributes(&self) -> &[Path] {
        &self.attributes
    }

    fn give(&mut self, mut items: Vec<Item>) -> Result<(), SinkError> {
        let Some(last) = items.last().map(Item::time) else { return Ok(()) };
        items.retain(|item| self.is_wanted(item));
        if items.last().is_none_or(|item| item.time() < last) {
            self.queue.advance(last)?;
        }
        self.queue.give(items)
    }

    fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError> {
        self.queue.advance(frontier)
    }

    fn made_final(&self) -> MadeFinal {
        self.queue.made_final.clone()
    }

    fn standing(&self) -> HowItStands {
        let queue = Arc::clone(&self.queue);
        Arc::new(move || queue.standing())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.queue.finish()?;
        // All is final, so it ends at once. Had it panicked, the queue would have told.
        let _ = self.thread.take().map(JoinHandle::join);
        Ok(())
    }
}

impl Drop for Courier {
    /// What is not final is left to the next life. The thread may be waiting for a server: nobody
    /// waits for it.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Delivers until the end, or until something is wrong that does not pass.
fn carry(to: impl Destination, position: Option<EventTime>, queue: &Queue) {
    let _guard = TellPanic(queue);
    let mut carrier = Carrier { to, position, is_connected: true };
    let fault = carrier.serve(queue).err();
    drop(carrier); // it takes its leave
    queue.end(fault);
}

/// Without it, the run would wait for a thread that is no more.
struct TellPanic<'a>(&'a Queue);

impl Drop for TellPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = self.0.name().to_owned();
            self.0.end(Some(SinkError::Panicked { name }));
        }
    }
}

struct Carrier<D> {
    to: D,
    position: Option<EventTime>,
    is_connected: bool,
}

impl<D: Destination> Carrier<D> {
    fn serve(&mut self, queue: &Queue) -> Result<(), SinkError> {
        let mut last = Instant::now();
        while let Some(due) = queue.next(last, self.position) {
            self.to.prepare(&due.items);
            if !self.deliver(queue, &due)? {
                return Ok(());
            }
            self.position = Some(due.upto);
            queue.wrote(&due);
            last = Instant::now();
        }
        Ok(())
    }

    /// Tries until it is final, for ever; tells whether it is. It is not, if nobody waits for it
    /// any more.
    fn deliver(&mut self, queue: &Queue, due: &Due) -> Result<bool, SinkError> {
        let mut wait = BACK_OFF;
        loop {
            let asked = match self.attempt(due) {
                Ok(()) => {
                    self.to.watch().is_well();
                    queue.is_down.store(false, Ordering::Release);
                    return Ok(true);
                }
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Trouble(reason, asked)) => {
                    self.to.trouble(&reason);
                    asked
                }
            };
            queue.is_down.store(true, Ordering::Release);
            self.to.disconnect();
            self.is_connected = false;
            let asked = asked.unwrap_or_default().min(ASKED_MAX);
            queue.pause(jittered(wait).max(asked), due);
            wait = (2 * wait).min(self.to.pause_max());
            if queue.is_left(due) {
                return Ok(false);
            }
        }
    }

    /// Writes what is due, on a new connection if need be. What an older one had begun may have
    /// become final: the position says so.
    fn attempt(&mut self, due: &Due) -> Result<(), Failure> {
        if !self.is_connected {
            let found = self.to.connect()?;
            self.is_connected = true;
            if found == Some(due.upto) {
                return Ok(());
            }
            if found != self.position {
                return Err(Failure::Fault(self.to.displaced(found, self.position)));
            }
        }
        self.to.write(due, self.position)
    }
}

/// Trouble with a destination, told to people.
#[derive(Debug)]
pub(super) struct Watch {
    name: String,
    trouble: Trouble,
}

impl Watch {
    pub(super) fn new(name: String) -> Self {
        Watch { name, trouble: Trouble::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn trouble(&self, reason: &str) {
        let name = &self.name;
        self.trouble.is(format_args!("{name}: {reason}; trying again, nothing is lost"));
    }

    pub(super) fn is_well(&self) {
        self.trouble.is_over(format_args!("{}: is written again", self.name));
    }
}

/// From half of it to all of it, so that many that have failed together do not come again together.
fn jittered(wait: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().build_hasher().finish() % 512).unwrap_or(0);
    wait * (512 + random) / 1_024
}
