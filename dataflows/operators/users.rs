//! The users of one worker: who exists, and all that is known of each.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use hashbrown::HashMap;

use super::attributes::{Attributes, Writer};
use super::held::Held;
use super::members::Members;
use super::plan::{FactId, NodeId};
use super::pool::Pool;
use super::sequence::Progress;
use super::window::{Log, Total, Window};
use crate::model::{EventTime, StreamId, Update, UserKey};

/// Index of a user among those of its worker.
pub type Slot = u32;

/// No alarm is set.
pub const UNARMED: EventTime = EventTime::MAX;

/// One user.
#[derive(Debug)]
pub struct User {
    /// The name in every output.
    pub name: Arc<str>,
    /// Since when the user exists; `None`: does not.
    pub since: Option<EventTime>,
    /// The attributes.
    pub attributes: Attributes,
    /// The events held for windows, by stream.
    pub logs: Vec<(StreamId, Log)>,
    /// What is kept for facts, by fact.
    pub states: Vec<(FactId, State)>,
    /// The nodes the user is in.
    pub members: Members,
    /// Updates the watermark has not passed, and some that it has, as they came; kept only where
    /// they may come out of order.
    pub recent: Vec<Update>,
    /// The last deletion; kept only where earlier updates may come after it.
    pub erased: Option<Writer>,
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

impl User {
    fn new(name: Arc<str>) -> Self {
        User {
            name,
            since: None,
            attributes: Attributes::default(),
            logs: Vec::new(),
            states: Vec::new(),
            members: Members::default(),
            recent: Vec::new(),
            erased: None,
        }
    }

    /// Forgets everything but the name.
    pub fn erase(&mut self, pool: &mut Pool) {
        self.attributes.retire(pool);
        *self = User { erased: self.erased, ..User::new(self.name.clone()) };
    }

    /// The state of a fact, if anything is kept.
    pub fn state(&self, fact: FactId) -> Option<&State> {
        let place = self.states.binary_search_by_key(&fact, |(fact, _)| *fact).ok()?;
        self.states.get(place).map(|(_, state)| state)
    }

    /// The log of a stream, if events are held.
    pub fn log(&self, stream: StreamId) -> Option<&Log> {
        let place = self.logs.binary_search_by_key(&stream, |(stream, _)| *stream).ok()?;
        self.logs.get(place).map(|(_, log)| log)
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
    states: &mut Vec<(FactId, State)>,
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
    logs: &mut Vec<(StreamId, Log)>,
    stream: StreamId,
    new: impl FnOnce() -> Log,
) -> &mut Log {
    let place = match logs.binary_search_by_key(&stream, |(stream, _)| *stream) {
        Ok(place) => place,
        Err(place) => {
            logs.insert(place, (stream, new()));
            place
        }
    };
    &mut logs[place].1
}

/// All users of a worker.
#[derive(Debug, Default)]
pub struct Users {
    slots: HashMap<UserKey, Slot, BuildHasherDefault<KeyHasher>>,
    list: Vec<User>,
}

impl Users {
    /// Makes a name known.
    pub fn name(&mut self, key: UserKey, name: Arc<str>) {
        let list = &mut self.list;
        self.slots.entry(key).or_insert_with(|| {
            list.push(User::new(name));
            u32::try_from(list.len() - 1).expect("a worker has fewer than 2^32 users")
        });
    }

    /// Where a user is.
    pub fn slot(&self, key: UserKey) -> Slot {
        *self.slots.get(&key).expect("a user's name comes before its first update")
    }

    /// A user.
    pub fn get(&self, slot: Slot) -> &User {
        &self.list[slot as usize]
    }

    /// A user, to be changed.
    pub fn get_mut(&mut self, slot: Slot) -> &mut User {
        &mut self.list[slot as usize]
    }

    /// Every slot there is.
    pub fn slots(&self) -> std::ops::Range<Slot> {
        0..u32::try_from(self.list.len()).expect("a worker has fewer than 2^32 users")
    }
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
