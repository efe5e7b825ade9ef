//! Notes of what becomes of records when they have their turn, for those that are traced.

use dataflows::model::{EventTime, Position, UserKey};

use crate::format::TraceParent;
use crate::trace::{Fate, Moment, Place, Read, Settled, Tracer, now};

/// Whoever takes note of what becomes of each record. What nobody notes costs nothing.
pub(super) trait Notes {
    /// It takes effect at some time, which may not be its own (`on_event`).
    fn applied(&mut self, position: Position, user: UserKey, time: EventTime, at: EventTime);
    /// It came too late, by this clock.
    fn late(&mut self, position: Position, user: UserKey, time: EventTime, clock: EventTime);
    /// It is rejected.
    fn rejected(&mut self, position: Position, reason: &str);
}

/// Nobody.
impl Notes for () {
    fn applied(&mut self, _: Position, _: UserKey, _: EventTime, _: EventTime) {}
    fn late(&mut self, _: Position, _: UserKey, _: EventTime, _: EventTime) {}
    fn rejected(&mut self, _: Position, _: &str) {}
}

/// A tracer, of the records of one chunk.
pub(super) struct Traced<'a> {
    tracer: &'a Tracer,
    read: Read,
    turn: Moment,
    /// By offset, those that are a part of a trace that others began.
    parents: Vec<(u64, TraceParent)>,
}

impl<'a> Traced<'a> {
    /// A chunk that was read so has its turn; of its records these are a part of a trace.
    pub(super) fn new(tracer: &'a Tracer, read: Read, parents: Vec<(u64, TraceParent)>) -> Self {
        Traced { tracer, read, turn: now(), parents }
    }

    fn parent(&self, position: Position) -> Option<TraceParent> {
        let place = self.parents.binary_search_by_key(&position.offset, |(offset, _)| *offset);
        Some(self.parents.get(place.ok()?)?.1)
    }

    fn note(&self, place: Place, fate: Fate) {
        let (read, turn) = (self.read, self.turn);
        self.tracer.settled(Settled { place, read, turn, fate });
    }
}

impl Notes for Traced<'_> {
    fn applied(&mut self, position: Position, user: UserKey, time: EventTime, at: EventTime) {
        let parent = self.parent(position);
        if parent.is_some() || self.tracer.traces(user, at) {
            self.note(Place { position, user, at, parent }, Fate::Applied(time));
        }
    }

    fn late(&mut self, position: Position, user: UserKey, time: EventTime, clock: EventTime) {
        let parent = self.parent(position);
        if parent.is_some() || self.tracer.traces(user, time) {
            self.note(Place { position, user, at: clock, parent }, Fate::Late(time));
        }
    }

    fn rejected(&mut self, position: Position, reason: &str) {
        let parent = self.parent(position);
        if parent.is_some() || self.tracer.traces_place(position) {
            let user = UserKey::from_bytes([0; 16]);
            let place = Place { position, user, at: EventTime::MIN, parent };
            self.note(place, Fate::Rejected(reason.to_owned()));
        }
    }
}
