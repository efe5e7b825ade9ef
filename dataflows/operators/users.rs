//! The users of one worker: who exists, and all that is known of each.

use std::hash::Hasher;
use std::hint::black_box;
use std::sync::Arc;

use super::attributes::{Attributes, Writer, Writers};
use super::exact::Exact;
use super::held::Held;
use super::members::Members;
use super::memory::Memory;
use super::name::Name;
use super::plan::{FactId, NodeId};
use super::pool::Pool;
use super::sequence::Progress;
use super::spread::Spread;
use super::store::AttributeNumber;
use super::window::{Log, Total, Window};
use crate::model::{Change, EventTime, Position, StreamId, UserKey};

/// Index of a user among those of its worker.
pub type Slot = u32;

/// An update at its user: what is left of it once that is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Whom it concerns.
    pub slot: Slot,
    /// When it happened.
    pub time: EventTime,
    /// Where it stood.
    pub position: Position,
    /// What it changes.
    pub change: Change,
}

/// No alarm is set.
pub const UNARMED: EventTime = EventTime::MAX;

/// `since` of one who does not exist.
const NEVER: EventTime = EventTime::MAX;

/// One user. There are many, and of most of them little is known: what is empty takes a word or two.
#[derive(Debug)]
pub struct User {
    key: UserKey,
    /// The name in every output.
    pub name: Name,
    since: EventTime,
    /// The attributes.
    pub attributes: Attributes,
    /// The events held for windows, by stream.
    pub logs: Exact<Log>,
    /// What is kept for facts, by fact.
    pub states: Exact<(FactId, State)>,
    /// The nodes the user is in.
    pub members: Members,
    disorder: Option<Box<Disorder>>,
}

/// What is kept of a user only where updates may come out of order.
#[derive(Debug, Default)]
pub struct Disorder {
    /// Updates the watermark has not passed, and some that it has, as they came.
    pub recent: Vec<Effect>,
    /// The last deletion.
    pub erased: Option<Writer>,
    /// By number, who wrote each attribute.
    pub writers: Writers,
}

/// What is kept of one fact of one user, and the instant it asked to be looked at.
#[derive(Debug)]
pub struct State {
    /// The instant of its alarm.
    pub armed: EventTime,
    /// What is kept.
    pub kind: StateKind,
}

/// What is kept of one fact.
#[derive(Debug)]
pub enum StateKind {
    /// Of an attribute: since when it is what it is, where that is asked for.
    Attribute(Option<Box<Held>>),
    /// Of an aggregate with a window.
    Window(Window),
    /// Of an aggregate without.
    Total(Box<Total>),
    /// Of a sequence.
    Sequence(Box<Progress>),
}

impl StateKind {
    /// The bytes it has asked for, beside its own place.
    fn bytes(&self) -> usize {
        match self {
            StateKind::Attribute(None) => 0,
            StateKind::Attribute(Some(held)) => held.bytes(),
            StateKind::Window(window) => window.bytes(),
            StateKind::Total(total) => total.bytes(),
            StateKind::Sequence(progress) => progress.bytes(),
        }
    }

    /// Whether it is of an aggregate with a window.
    pub fn is_window(&self) -> bool {
        matches!(self, StateKind::Window(_))
    }

    /// The window, if it is of an aggregate with one.
    pub fn window(&mut self) -> Option<&mut Window> {
        match self {
            StateKind::Window(window) => Some(window),
            _ => None,
        }
    }
}

impl User {
    fn new(key: UserKey, name: Name) -> Self {
        User {
            key,
            name,
            since: NEVER,
            attributes: Attributes::default(),
            logs: Exact::default(),
            states: Exact::default(),
            members: Members::default(),
            disorder: None,
        }
    }

    /// The key of the name.
    pub fn key(&self) -> UserKey {
        self.key
    }

    /// Since when the user exists; `None`: does not.
    pub fn since(&self) -> Option<EventTime> {
        (self.since != NEVER).then_some(self.since)
    }

    /// The user exists since then.
    pub fn begin(&mut self, since: EventTime) {
        self.since = since;
    }

    /// The last deletion, where earlier updates may come after it.
    pub fn erased(&self) -> Option<Writer> {
        self.disorder.as_ref()?.erased
    }

    /// Who set an attribute, where updates may come out of order.
    pub fn writer(&self, number: AttributeNumber) -> Option<Writer> {
        self.disorder.as_ref()?.writers.of(number)
    }

    /// Updates that a deletion to come may be older than, and some that none can be.
    pub fn recent(&self) -> &[Effect] {
        self.disorder.as_ref().map_or(&[], |disorder| &disorder.recent)
    }

    /// What is kept where updates may come out of order.
    pub fn disorder(&mut self) -> &mut Disorder {
        self.disorder.get_or_insert_default()
    }

    /// Whether no more is kept of the user than who it is, and what follows from the events held.
    pub fn is_bare(&self) -> bool {
        let follows =
            |kind: &StateKind| matches!(kind, StateKind::Window(_) | StateKind::Attribute(None));
        self.disorder.is_none()
            && self.attributes.cells().is_empty()
            && self.states.iter().all(|(_, state)| follows(&state.kind))
    }

    fn count(&self, memory: &mut Memory) {
        let logs = self.logs.iter().map(Log::bytes);
        let states = self.states.iter().map(|(_, state)| state.kind.bytes());
        let updates = |it: &Disorder| {
            size_of::<Disorder>() + it.recent.capacity() * size_of::<Effect>() + it.writers.bytes()
        };
        memory.users += u64::from(self.since != NEVER);
        memory.events += self.logs.iter().map(|log| log.len() as u64).sum::<u64>();
        memory.user_bytes += self.name.bytes() as u64;
        memory.attribute_bytes += self.attributes.bytes() as u64;
        memory.event_bytes += (self.logs.bytes() + logs.sum::<usize>()) as u64;
        memory.state_bytes += (self.states.bytes() + states.sum::<usize>()) as u64;
        memory.member_bytes += self.members.heap_bytes() as u64;
        memory.disorder_bytes += self.disorder.as_deref().map_or(0, updates) as u64;
    }

    /// Forgets everything but the name.
    pub fn erase(&mut self, pool: &mut Pool) {
        self.attributes.retire(pool);
        let mut disorder = self.disorder.take();
        disorder
            .iter_mut()
            .for_each(|it| **it = Disorder { erased: it.erased, ..Disorder::default() });
        *self = User { disorder, ..User::new(self.key, self.name.clone()) };
    }

    /// The state of a fact, if anything is kept.
    pub fn state(&self, fact: FactId) -> Option<&State> {
        let place = self.states.binary_search_by_key(&fact, |(fact, _)| *fact).ok()?;
        self.states.get(place).map(|(_, state)| state)
    }

    /// The log of a stream, if events are held.
    pub fn log(&self, stream: StreamId) -> Option<&Log> {
        let place = self.logs.binary_search_by_key(&stream, Log::stream).ok()?;
        self.logs.get(place)
    }

    /// Whether the user is in a node.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.members.contains(node)
    }

    /// Puts the user into a node or takes it out; says whether that changed anything.
    pub fn set_member(&mut self, node: NodeId, member: bool) -> bool {
        self.members.set(node, member)
    }
}

/// The state of a fact in a user's list, put there if it is missing.
pub fn state_of(
    states: &mut Exact<(FactId, State)>,
    fact: FactId,
    new: impl FnOnce() -> StateKind,
) -> &mut State {
    let place = match states.binary_search_by_key(&fact, |(fact, _)| *fact) {
        Ok(place) => place,
        Err(place) => {
            states.insert(place, (fact, State { armed: UNARMED, kind: new() }));
            place
        }
    };
    &mut states[place].1
}

/// The log of a stream in a user's list, put there if it is missing.
pub fn log_of(
    logs: &mut Exact<Log>,
    stream: StreamId,
    new: impl FnOnce(StreamId) -> Log,
) -> &mut Log {
    let place = match logs.binary_search_by_key(&stream, Log::stream) {
        Ok(place) => place,
        Err(place) => {
            logs.insert(place, new(stream));
            place
        }
    };
    &mut logs[place]
}

/// How many users stand in one piece of memory: none of them moves when there are more.
const TOGETHER: usize = 1_024;

/// All users of a worker.
#[derive(Debug, Default)]
pub struct Users {
    slots: Spread<Slot>,
    list: Vec<Vec<User>>,
}

impl Users {
    /// Makes a name known; gives back where the user is.
    pub fn name(&mut self, key: UserKey, name: Arc<str>) -> Slot {
        let Users { slots, list } = self;
        let hash = key.bucket();
        let slots = slots.part_mut(hash);
        if let Some(slot) = slots.find(hash, |slot| user(list, *slot).key == key) {
            return *slot;
        }
        if list.last().is_none_or(|last| last.len() == TOGETHER) {
            // The first ones may be all there are.
            list.push(Vec::with_capacity(if list.is_empty() { 0 } else { TOGETHER }));
        }
        let before = (list.len() - 1) * TOGETHER;
        let last = list.last_mut().expect("a piece was just made if there was none");
        let slot = u32::try_from(before + last.len()).expect("a worker has fewer than 2^32 users");
        last.push(User::new(key, Name::new(name)));
        slots.insert_unique(hash, slot, |slot| user(list, *slot).key.bucket());
        slot
    }

    /// Where a user is, if the name is known.
    pub fn find(&self, key: UserKey) -> Option<Slot> {
        let hash = key.bucket();
        let slots = self.slots.part(hash);
        slots.find(hash, |slot| user(&self.list, *slot).key == key).copied()
    }

    /// Where a user is.
    pub fn slot(&self, key: UserKey) -> Slot {
        self.find(key).expect("a user's name comes before its first update")
    }

    /// A user.
    pub fn get(&self, slot: Slot) -> &User {
        user(&self.list, slot)
    }

    /// A user, to be changed.
    pub fn get_mut(&mut self, slot: Slot) -> &mut User {
        let slot = slot as usize;
        &mut self.list[slot / TOGETHER][slot % TOGETHER]
    }

    /// Looks for users who are to be found. As in [`look_ahead`](Users::look_ahead), all are looked
    /// for in the index before the first is looked at.
    pub fn look_for(&self, keys: impl Iterator<Item = UserKey>, likely: &mut Vec<Slot>) {
        likely.clear();
        likely.extend(keys.filter_map(|key| self.slots.likely(key.bucket())));
        sum_up(likely.iter().map(|slot| self.get(*slot).key.bucket()));
    }

    /// Looks at users who are to be worked on, one right after the other: the machine then waits
    /// for the memory of many at once, and not of each in turn. What is found by what was found is
    /// looked at when that has been, of all of them.
    pub fn look_ahead(&self, slots: impl Iterator<Item = Slot> + Clone) {
        let users = || slots.clone().map(|slot| self.get(slot));
        sum_up(users().map(|user| user.since.cast_unsigned() ^ user.key.bucket()));
        sum_up(users().map(|user| user.states.first().map_or(0, |(fact, _)| fact.0.into())));
        sum_up(users().map(|user| user.logs.iter().map(|log| log.len() as u64).sum()));
        let is_held = |log: &Log| u64::from(log.time(0).is_some());
        sum_up(users().map(|user| user.logs.iter().map(is_held).sum()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let full = self.list.len().saturating_sub(1) * TOGETHER;
        full + self.list.last().map_or(0, Vec::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Counts the bytes of the users, and of all that is kept of them.
    pub fn count(&self, memory: &mut Memory) {
        let places = self.list.iter().map(|part| part.capacity() * size_of::<User>());
        // One byte beside each slot, by which the index tells most keys apart.
        let index = self.slots.capacity() * (size_of::<Slot>() + 1) * 8 / 7;
        memory.user_bytes += (places.sum::<usize>() + index) as u64;
        self.list.iter().flatten().for_each(|user| user.count(memory));
    }

    /// Every slot there is.
    pub fn slots(&self) -> std::ops::Range<Slot> {
        0..u32::try_from(self.len()).expect("a worker has fewer than 2^32 users")
    }
}

fn user(list: &[Vec<User>], slot: Slot) -> &User {
    let slot = slot as usize;
    &list[slot / TOGETHER][slot % TOGETHER]
}

/// Has all of them computed, though nobody asks for the sum.
fn sum_up(words: impl Iterator<Item = u64>) {
    black_box(words.fold(0, u64::wrapping_add));
}

/// Keys are hashes already: half of their bits are taken as they are.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_user_has_is_small() {
        assert_eq!(size_of::<User>(), 96);
        assert_eq!(size_of::<(FactId, State)>(), 32);
        assert_eq!(size_of::<Log>(), 32);
        assert_eq!(size_of::<Option<Effect>>(), 56);
    }
}
