//! One change on its way in: where it stood ([`Position`]), whom it concerns, what it says.
//!
//! A record has two forms. [`Arrival`] is all of it, as the oracle reads it. [`Update`] is what
//! the dataflow needs of it: names are hashes, and of an event only what the rules ask for is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;
use xxhash_rust::xxh3;

use super::hits::Hits;
use super::number::Amount;
use super::time::EventTime;
use super::value::Value;

/// Where a record stood: its partition and its place in it. The order of positions breaks ties of
/// time: the later offset in a partition, then the higher partition, is the later record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Index of the partition among all partitions of the job.
    pub partition: u32,
    /// Place in the partition; for a file, the number of lines before it.
    pub offset: u64,
}

/// A record in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where it stood.
    pub position: Position,
    /// Its event time; `None` takes the partition's clock.
    pub time: Option<EventTime>,
    /// Whom it concerns.
    pub user: Arc<str>,
    /// Its `messageId`, by which a second copy is known.
    pub id: Option<Arc<str>>,
    /// What it says.
    pub action: Action,
}

/// What a record says of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Something happened.
    Event {
        /// Its name.
        name: Arc<str>,
        /// Its properties, an object (empty where there were none).
        properties: Value,
    },
    /// Attributes have these values from now on; null takes one away.
    Attributes(Vec<(Arc<str>, Value)>),
    /// The user and everything known of them is erased.
    Delete,
}

/// A user, as the dataflow knows them: 128 bits of XXH3 of the user's name.
///
/// Two users would have to share all 128 bits to be taken for one; among a thousand million users
/// the chance is below 10^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserKey(u64, u64);

impl UserKey {
    /// The key as it is kept.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }

    /// The key that is kept so.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        UserKey((hash >> 64) as u64, hash as u64)
    }

    /// The key of the user with this name.
    pub fn of(name: &str) -> Self {
        let hash = xxh3::xxh3_128(name.as_bytes());
        UserKey((hash >> 64) as u64, hash as u64)
    }

    /// The bits by which users are spread over workers.
    pub fn route(self) -> u64 {
        self.0
    }

    /// The bits by which a worker finds a user among its own.
    pub fn bucket(self) -> u64 {
        self.1
    }
}

/// A `messageId`, as the dataflow knows it: 128 bits of XXH3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey(u64, u64);

impl MessageKey {
    /// The bits by which a worker finds an identifier among its own.
    pub fn bucket(self) -> u64 {
        self.1
    }

    /// The key as it is kept.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }

    /// The key that is kept so.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        MessageKey((hash >> 64) as u64, hash as u64)
    }

    /// The key of this `messageId`.
    pub fn of(id: &str) -> Self {
        let hash = xxh3::xxh3_128(id.as_bytes());
        MessageKey((hash >> 64) as u64, hash as u64)
    }

    /// The bits by which identifiers are spread over workers.
    pub fn route(self) -> u64 {
        self.0
    }
}

/// An attribute, as the dataflow knows it: 64 bits of XXH3 of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttributeKey(pub u64);

impl AttributeKey {
    /// The key of the attribute with this name.
    pub fn of(name: &str) -> Self {
        AttributeKey(xxh3::xxh3_64(name.as_bytes()))
    }
}

/// Where a user stands in the split named `key`: parts per million of the way from 0 to 100 %.
/// Stable for ever: XXH3-64 of `key`, a zero byte and the user's name, scaled to a million.
pub fn sample_place(key: &str, user: &str) -> u32 {
    let mut bytes = Vec::with_capacity(key.len() + 1 + user.len());
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(user.as_bytes());
    let place = (u128::from(xxh3::xxh3_64(&bytes)) * 1_000_000) >> 64;
    place as u32
}

/// Index of a stream among all streams of events the rules ask about
/// (see [`Streams`](crate::streams::Streams)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u32);

/// What the dataflow needs of a record that is on time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Whom it concerns.
    pub user: UserKey,
    /// When it happened.
    pub time: EventTime,
    /// When it takes effect: `time`, or the clock where that has gone past it (`on_event` only).
    pub at: EventTime,
    /// Where it stood.
    pub position: Position,
    /// What it changes.
    pub change: Change,
}

/// What is sent to the worker of a user, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Incoming {
    /// The name of a user, before the first update from the same source.
    Name(UserKey, Arc<str>),
    /// A record that is on time.
    Update(Update),
}

impl Incoming {
    /// Whom it concerns.
    pub fn user(&self) -> UserKey {
        match self {
            Incoming::Name(user, _) => *user,
            Incoming::Update(update) => update.user,
        }
    }
}

/// What it takes to know whether an [`Update`] is a second copy of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The time of the update.
    pub time: EventTime,
    /// When the update takes effect.
    pub at: EventTime,
    /// Where it stood.
    pub position: Position,
    /// What copies have in common.
    pub id: MessageKey,
    /// Whom it concerns.
    pub user: UserKey,
}

/// What an [`Update`] changes for its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// An event, as the streams it belongs to see it. With no hits it still tells that the user
    /// exists.
    Event(Hits),
    /// Attributes and their values from now on.
    Attributes(Box<[(AttributeKey, Value)]>),
    /// The user is erased.
    Delete,
}

impl Change {
    /// Whether it is an event no rule asks about.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Change::Event(hits) if hits.is_empty())
    }
}

/// What a stream takes from an event. Two words: what is seldom or large is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Only that it happened.
    Happened,
    /// A number, in millionths.
    Micros(i64),
    /// A number beyond that.
    Amount(Box<Amount>),
    /// A value of any type.
    Value(Box<Value>),
    /// Nothing: a property the stream asks for is missing or of the wrong type. Counted.
    Mismatch,
    /// The event, in the bytes in which it is kept whole.
    Whole(ThinVec<u8>),
}

impl From<Amount> for Payload {
    fn from(amount: Amount) -> Self {
        let micros = i64::try_from(amount.micros());
        micros.map_or_else(|_| Payload::Amount(Box::new(amount)), Payload::Micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_places_never_move() {
        // A changed hash would move every holdout of every user: these values are for ever.
        assert_eq!(sample_place("spring", "u1"), sample_place("spring", "u1"));
        assert_ne!(sample_place("spring", "u1"), sample_place("autumn", "u1"));
        let tenth =
            (0..10_000).filter(|n| sample_place("spring", &format!("u{n}")) < 100_000).count();
        assert!((900..1_100).contains(&tenth), "{tenth} of 10,000 users in a tenth");
    }
}
