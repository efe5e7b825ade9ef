//! Who is in what now: a view beside the dataflow, kept by the differences it gives out.
//!
//! ```text
//! differences ──► pending ──► ring (the last so many: past times, streams)
//!                    │  all of a time at once, when the frontier has passed it
//!                    ├──────► users, in shards: the segments of each
//!                    └──────► segments: the users of each, in bytewise order
//! ```
//! Whoever asks waits at most while one shard or one segment takes what has changed. Each answer
//! tells as of which time it is, and is exactly what membership was then: a shard takes all that
//! one step of the frontier brings at once, and says how far it is.
//!
//! Costs: about 60 bytes a user who is in a segment and 40 a membership, names apart; the ring 40
//! a difference.

mod classes;
pub mod drift;
pub mod kept;
pub mod names;
pub mod overlap;
pub mod past;
pub mod recent;
mod retained;
mod ring;
mod segments;
pub mod sizes;
pub mod sketches;
mod users;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use dataflows::clock::Emit;
use dataflows::model::{Difference, EventTime};
use dataflows::segmentation::Seen;
use tokio::sync::watch;

use super::{Metrics, Questions, settings};

pub use ring::{Entry, Gone, Place};
pub use segments::{InForce, Page, Segment};

use classes::Classes;
use kept::{Cuts, Kept};
use names::Names;
use recent::Recent;
use ring::Ring;
use segments::Segments;
use sketches::Sketches;
use users::Users;

/// The memberships of all users as of the time up to which differences have come.
pub struct View {
    users: Users,
    segments: Segments,
    classes: Classes,
    ring: Ring,
    late: Recent,
    rejected: Recent,
    names: Names,
    /// Differences of times that may not be over.
    pending: Mutex<Vec<Difference>>,
    /// All up to this time is in.
    as_of: AtomicI64,
    /// Everything before this was given out by an earlier run: it is known, not news.
    before: AtomicI64,
    /// Once all has been read that there was at the start, it has to be in up to here.
    goal: AtomicI64,
    has_begun: AtomicBool,
    is_ready: AtomicBool,
    is_over: AtomicBool,
    metrics: Metrics,
    questions: Questions,
    sketches: Option<Sketches>,
    cuts: Cuts,
    /// Told whenever something has changed.
    changes: watch::Sender<()>,
}

/// An answer, and as of which time it is; of none, if nothing has been told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf<T> {
    /// All up to this time is in it, and nothing later.
    pub time: Option<EventTime>,
    /// What it is.
    pub answer: T,
}

impl View {
    /// Nobody is in anything. The last `retained` differences will be kept.
    pub fn new(retained: usize) -> Self {
        let (metrics, classes) = (Metrics::default(), Classes::default());
        metrics.add(|registry| classes.register(registry));
        View {
            users: Users::default(),
            segments: Segments::default(),
            classes,
            ring: Ring::new(retained),
            late: Recent::default(),
            rejected: Recent::default(),
            names: Names::default(),
            pending: Mutex::default(),
            as_of: AtomicI64::new(EventTime::MIN),
            before: AtomicI64::new(EventTime::MIN),
            goal: AtomicI64::new(EventTime::MAX),
            has_begun: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            metrics,
            questions: Questions::default(),
            sketches: None,
            cuts: Cuts::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// The same, counting by sketches, where anything is to be; events come as they are emitted.
    #[must_use]
    pub fn with_sketches(self, settings: Option<&settings::Sketches>, emit: Emit) -> Self {
        View { sketches: settings.map(|it| Sketches::new(it.clone(), emit)), ..self }
    }

    /// An earlier run has given out everything before this time. Its memberships will come as
    /// differences before that time.
    pub fn go_on_from(&self, before: EventTime) {
        self.before.store(before, Ordering::Release);
        self.ring.begin(before);
        self.sketches.iter().for_each(|sketches| sketches.begin(before));
    }

    /// What an earlier run has left is there by now, if there is anything.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.changes.send_replace(());
    }

    /// Whether it is known what has come before what will come.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Takes differences. They can be asked for once it [advances](Self::advance) beyond them.
    pub fn take(&self, differences: &[Difference]) {
        lock(&self.pending).extend_from_slice(differences);
    }

    /// Takes events that are counted, likewise.
    pub fn count(&self, seen: &[Seen]) {
        self.sketches.iter().for_each(|sketches| sketches.take(seen));
    }

    /// All before this time has been taken. Called by one thread at a time.
    pub fn advance(&self, frontier: EventTime) {
        while let Some((before, number)) = self.cuts.next(frontier) {
            self.come_to(before.saturating_sub(1));
            self.cuts.keep(Kept { number, before, counts: self.counts(before) });
        }
        self.come_to(frontier.saturating_sub(1));
    }

    fn come_to(&self, up_to: EventTime) {
        if up_to <= self.as_of.load(Ordering::Relaxed) {
            return;
        }
        let due = {
            let mut pending = lock(&self.pending);
            let due = pending.partition_point(|it| it.time <= up_to);
            let rest = pending.split_off(due);
            std::mem::replace(&mut *pending, rest)
        };
        if !due.is_empty() {
            self.apply(&due, up_to);
        }
        self.as_of.store(up_to, Ordering::Release);
        // Last: as of its time, members are known.
        self.sketches.iter().for_each(|sketches| sketches.advance(&due, up_to));
        self.look_whether_ready(up_to);
        self.changes.send_replace(());
    }

    fn apply(&self, due: &[Difference], up_to: EventTime) {
        let before = self.before.load(Ordering::Acquire);
        let numbered = self.segments.numbered(due);
        let news = due.partition_point(|it| it.time < before);
        // The past is told from the present by it, so it must be there first.
        self.ring.push(&due[news..], &numbered[news..]);
        self.classes.count(&due[news..], &numbered[news..]);
        self.users.apply(due, &numbered, up_to);
        self.segments.apply(due, &numbered, (before, up_to));
    }

    /// All that there was to be read at the start has been read; its differences are those up to
    /// this time. What is said after the first time makes no odds.
    pub fn caught_up(&self, up_to: EventTime) {
        if self.goal.load(Ordering::Relaxed) == EventTime::MAX {
            self.goal.store(up_to, Ordering::Release);
            self.look_whether_ready(self.as_of.load(Ordering::Acquire));
        }
    }

    fn look_whether_ready(&self, as_of: EventTime) {
        let before = self.before.load(Ordering::Acquire);
        let goal = self.goal.load(Ordering::Acquire);
        if as_of >= before.saturating_sub(1)
            && goal < EventTime::MAX
            && as_of >= goal.saturating_sub(1)
        {
            self.is_ready.store(true, Ordering::Release);
        }
    }

    /// Whether it is as of no earlier a time than there is to tell of.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Nothing will change any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.changes.send_replace(());
    }

    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What is measured of the run, and of those who ask.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The last records that came too late.
    pub fn late(&self) -> &Recent {
        &self.late
    }

    /// The last records that could not be understood.
    pub fn rejected(&self) -> &Recent {
        &self.rejected
    }

    /// What records have named.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What is asked of the workers.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// What is counted by sketches, if anything is.
    pub fn sketches(&self) -> Option<&Sketches> {
        self.sketches.as_ref()
    }

    /// The segments in force whose size is not what it usually is, by id.
    pub fn drifting(&self) -> Vec<Arc<str>> {
        let Some(as_of) = self.as_of() else { return Vec::new() };
        let segments = self.segments.after(None, usize::MAX);
        let drifting = segments.iter().filter(|it| it.drifting(as_of).is_some());
        drifting.map(|it| Arc::clone(&it.id)).collect()
    }

    /// As of which time it is.
    pub fn as_of(&self) -> Option<EventTime> {
        known(self.as_of.load(Ordering::Acquire))
    }

    /// Told whenever something has changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The ids of the segments a user is in, in bytewise order.
    pub fn segments_of(&self, user: &str) -> AsOf<Vec<Arc<str>>> {
        let as_of = self.as_of.load(Ordering::Acquire);
        let (numbers, up_to) = self.users.get(user);
        AsOf { time: known(as_of.max(up_to)), answer: self.segments.names(&numbers) }
    }

    /// A definition is in force.
    pub fn define(&self, in_force: InForce) {
        let definition = Arc::clone(&in_force.definition);
        self.segments.define(in_force);
        if let Some(segment) = self.segments.get(&definition.id) {
            self.classes.define(segment.number(), &definition.rule);
        }
        self.changes.send_replace(());
    }

    /// A definition is in force no more; its members leave by differences.
    pub fn undefine(&self, id: &str) {
        self.segments.undefine(id);
        self.changes.send_replace(());
    }

    /// The definition of a segment.
    pub fn in_force(&self, id: &str) -> Option<InForce> {
        self.segments.get(id).and_then(|segment| segment.in_force())
    }

    /// A segment that is in force.
    pub fn segment(&self, id: &str) -> Option<Arc<Segment>> {
        self.segments.get(id).filter(|it| it.in_force().is_some())
    }

    /// Whether a segment is deleted, and all its members have left.
    pub fn is_gone(&self, id: &str) -> bool {
        let gone = |it: Arc<Segment>| it.in_force().is_none() && it.size() == 0;
        self.segments.get(id).is_none_or(gone)
    }

    /// Segments that are in force, by id, after this one, at most so many.
    pub fn segments_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Segment>> {
        self.segments.after(after, limit)
    }

    /// The users of a segment, a page of them. May wait while the segment takes a change of many.
    pub fn users_of(&self, segment: &Segment, page: &Page) -> AsOf<Vec<Arc<str>>> {
        let as_of = self.as_of.load(Ordering::Acquire);
        let (users, up_to) = segment.page(page);
        AsOf { time: known(as_of.max(up_to)), answer: users }
    }

    /// Differences after a place, in order: some of them, and the place after them.
    ///
    /// # Errors
    /// They are retained no longer.
    pub fn differences_after(&self, place: Place) -> Result<(Vec<Entry>, Place), Gone> {
        self.ring.after(place)
    }

    /// The place after all differences that are known by now.
    pub fn newest(&self) -> Place {
        self.ring.newest()
    }

    /// The id of a segment, by its number.
    pub fn segment_id(&self, number: u32) -> Arc<str> {
        self.segments.name(number)
    }
}

fn known(time: EventTime) -> Option<EventTime> {
    (time > EventTime::MIN).then_some(time)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
