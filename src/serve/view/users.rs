//! The segments of each user, in shards: whoever asks waits for one of them at most.

use std::hash::BuildHasher as _;
use std::sync::{Arc, RwLock};

use dataflows::model::{Difference, EventTime, Sign};
use hashbrown::hash_map::RawEntryMut;
use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;

use super::{read, write};

/// How many shards there are: one that grows moves its users while those who ask it wait, so each
/// is to have few.
const SHARDS: usize = 256;

/// The numbers of segments.
pub(super) type Numbers = SmallVec<[u32; 4]>;

/// The segments of all users.
pub(super) struct Users {
    /// By which a user's shard is found, and its place there.
    hasher: DefaultHashBuilder,
    shards: Box<[RwLock<Shard>]>,
}

struct Shard {
    /// Who is in any segment.
    users: HashMap<Arc<str>, Numbers, DefaultHashBuilder>,
    /// All up to this time is in.
    up_to: EventTime,
}

impl Default for Users {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        let shard = || {
            let users = HashMap::with_hasher(hasher);
            RwLock::new(Shard { users, up_to: EventTime::MIN })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Users { hasher, shards }
    }
}

impl Users {
    /// Where a user is: the hash, and the shard by its middle bits, for maps go by both ends.
    fn place(&self, user: &str) -> (u64, usize) {
        let hash = self.hasher.hash_one(user);
        let shard = usize::try_from((hash >> 32) & 0xffff).unwrap_or(0) % SHARDS;
        (hash, shard)
    }

    /// The segments of a user, and up to which time they are known.
    pub(super) fn get(&self, user: &str) -> (Numbers, EventTime) {
        let (hash, shard) = self.place(user);
        let shard = read(&self.shards[shard]);
        let found = shard.users.raw_entry().from_hash(hash, |name| **name == *user);
        (found.map(|(_, numbers)| numbers.clone()).unwrap_or_default(), shard.up_to)
    }

    /// Applies differences, with the numbers of their segments; a shard takes all of its own at
    /// once.
    pub(super) fn apply(&self, due: &[Difference], numbers: &[u32], up_to: EventTime) {
        let place = |(index, it): (usize, &Difference)| {
            let (hash, shard) = self.place(&it.user);
            (shard, index, hash)
        };
        let mut places: Vec<_> = due.iter().enumerate().map(place).collect();
        places.sort_unstable();
        for same in places.chunk_by(|left, right| left.0 == right.0) {
            let Some((shard, ..)) = same.first() else { continue };
            let mut shard = write(&self.shards[*shard]);
            for (_, index, hash) in same {
                shard.apply(&due[*index], numbers[*index], *hash);
            }
            shard.up_to = up_to;
        }
    }
}

impl Shard {
    fn apply(&mut self, difference: &Difference, number: u32, hash: u64) {
        let user = &difference.user;
        let entry = self.users.raw_entry_mut().from_hash(hash, |name| name == user);
        match (entry, difference.sign) {
            (RawEntryMut::Occupied(mut entry), Sign::Entered) => {
                let numbers = entry.get_mut();
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            (RawEntryMut::Occupied(mut entry), Sign::Left) => {
                entry.get_mut().retain(|it| *it != number);
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
            (RawEntryMut::Vacant(entry), Sign::Entered) => {
                entry.insert_hashed_nocheck(
                    hash,
                    Arc::clone(user),
                    SmallVec::from_slice(&[number]),
                );
            }
            (RawEntryMut::Vacant(_), Sign::Left) => {}
        }
    }
}
