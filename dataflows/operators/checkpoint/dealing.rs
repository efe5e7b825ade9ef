//! What is read of a checkpoint, dealt out on its way to whom it concerns: to workers, and of each
//! worker to groups of users whose keys are close.
//!
//! Pages are in the order of time, so one user's entries are far apart. To go to each where it
//! stands, and to its user, would be to wait for memory twice an entry. What a group takes up stays
//! near the processor instead, while its entries are looked up, put in order and taken over (the
//! partitioning of a radix join: Manegold, Boncz and Kersten, *Optimizing main-memory join on modern
//! hardware*, 2002). The entries are copied once, from the page that was read to their group: memory
//! that nobody had before is what a restart waits for most.

use serde::{Deserialize, Serialize};

use super::events::EventsHead;
use super::identifiers::stamps;
use super::pages::{keyed, push};
use super::{Collection, Place, Restart, Unreadable};
use crate::codec::Stopped;
use crate::model::{EventTime, Stamp, UserKey};

/// About how many bytes of checkpoints a group has: with the users it makes it fits into what a
/// processor has of its own. Few where tests want many groups.
const GROUP_BYTES: u64 = if cfg!(debug_assertions) { 128 } else { 512 << 10 };
const GROUPS_MAX: u64 = if cfg!(debug_assertions) { 16 } else { 1_024 };
/// The entries of a group lie in chunks of so many bytes: none of them is copied to make room.
const CHUNK_BYTES: usize = 16 << 10;
/// How long a chunk is at first.
const LEAST_BYTES: usize = 512;
/// When a worker has read so many bytes, they are sent: to another process they go in one piece.
const PART_BYTES: usize = if cfg!(debug_assertions) { 1 << 10 } else { 32 << 20 };

/// What concerns one worker of a part of a batch, on its way back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restored {
    /// That worker.
    pub to: usize,
    /// The instant up to which the earlier run had come.
    pub at: EventTime,
    /// Where the first page of it stood.
    pub place: Place,
    /// What its events have in common.
    pub(in crate::operators) head: EventsHead,
    /// The entries, by group.
    pub(in crate::operators) groups: Vec<Group>,
}

/// The entries of a group, each as in a page of users, in the order in which they were read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::operators) struct Group(Vec<Vec<u8>>);

impl Group {
    fn push(&mut self, key: UserKey, content: &[u8]) {
        // A key, its length, and the entry.
        let length = content.len() + 32;
        match self.0.last() {
            Some(last) if last.len() + length <= CHUNK_BYTES => {}
            last => {
                let least = if last.is_some() { CHUNK_BYTES } else { LEAST_BYTES };
                self.0.push(Vec::with_capacity(length.max(least)));
            }
        }
        if let Some(last) = self.0.last_mut() {
            push(last, key, content);
        }
    }

    /// Whom each entry concerns, and the entry.
    ///
    /// # Panics
    /// It is not one that was dealt.
    pub(in crate::operators) fn entries(&self) -> impl Iterator<Item = (UserKey, &[u8])> {
        let all = self.0.iter().flat_map(|chunk| keyed(chunk));
        all.map(|entry| entry.expect("it was written by this process or its like"))
    }
}

/// How the users of a worker are divided into groups.
#[derive(Debug, Clone, Copy)]
pub(in crate::operators) struct Groups {
    count: usize,
    /// How far a key's route is shifted to give its group.
    shift: u32,
}

impl Groups {
    fn of(restart: Restart) -> Self {
        let own = restart.bytes / restart.workers.max(1) as u64;
        let count = (own / GROUP_BYTES).clamp(1, GROUPS_MAX).next_power_of_two();
        Groups { count: count as usize, shift: 64 - count.trailing_zeros() }
    }

    /// In the order of keys.
    fn group(self, user: UserKey) -> usize {
        user.route().checked_shr(self.shift).unwrap_or(0) as usize
    }
}

/// What one worker has read of a checkpoint, for all workers.
#[derive(Debug)]
pub struct Share {
    restart: Restart,
    dealing: Option<Dealing>,
    restored: Vec<Restored>,
    stamps: Vec<Stamp>,
}

impl Share {
    /// Nothing read so far.
    pub fn new(restart: Restart) -> Self {
        Share { restart, dealing: None, restored: Vec::new(), stamps: Vec::new() }
    }

    /// Reads a page. The pages of one batch come in their order; of counts nothing is taken.
    ///
    /// # Errors
    /// It is not a page of that collection.
    pub fn page(&mut self, place: Place, page: &[u8]) -> Result<(), Unreadable> {
        match place.collection {
            Collection::Users | Collection::Events => {
                if !self.dealing.as_ref().is_some_and(|dealing| dealing.takes(place)) {
                    self.end_part();
                }
                let restart = self.restart;
                let dealing = self.dealing.get_or_insert_with(|| Dealing::new(place, restart));
                dealing.page(page, restart)
            }
            Collection::Identifiers => {
                self.stamps.extend(stamps(page, self.restart.at)?);
                Ok(())
            }
            Collection::Counts => Ok(()),
        }
    }

    /// Nothing more is read.
    pub(crate) fn finish(mut self) -> (Vec<Restored>, Vec<Stamp>) {
        self.end_part();
        (self.restored, self.stamps)
    }

    fn end_part(&mut self) {
        if let Some(dealing) = self.dealing.take() {
            self.restored.extend(dealing.finish(self.restart));
        }
    }
}

/// A part of a batch that is being read.
#[derive(Debug)]
struct Dealing {
    groups: Groups,
    /// Where the first page stood of what it has.
    place: Place,
    /// How many bytes there are.
    bytes: usize,
    head: EventsHead,
    /// Of each worker.
    parts: Vec<Vec<Group>>,
}

impl Dealing {
    fn new(place: Place, restart: Restart) -> Self {
        let (head, parts) = (EventsHead::default(), vec![Vec::new(); restart.workers]);
        Dealing { groups: Groups::of(restart), place, bytes: 0, head, parts }
    }

    /// Whether a page may come to what has been read.
    fn takes(&self, place: Place) -> bool {
        let of = |place: Place| (place.collection, place.number);
        of(place) == of(self.place) && place.page > self.place.page && self.bytes < PART_BYTES
    }

    fn page(&mut self, page: &[u8], Restart { workers, .. }: Restart) -> Result<(), Unreadable> {
        let Dealing { groups, parts, head, .. } = self;
        let deal = |user: UserKey, content: &[u8]| {
            let part = &mut parts[worker_of(user.route(), workers)];
            if part.is_empty() {
                part.resize_with(groups.count, Group::default);
            }
            part[groups.group(user)].push(user, content);
        };
        let dealt = match self.place.collection {
            Collection::Events => head.deal(page, deal),
            _ => users(page, deal),
        };
        self.bytes += page.len();
        dealt.map_err(|stopped| Unreadable::new(self.place.collection, page, stopped))
    }

    fn finish(self, Restart { at, .. }: Restart) -> impl Iterator<Item = Restored> {
        let Dealing { place, head, parts, .. } = self;
        let some = parts.into_iter().enumerate().filter(|(_, groups)| !groups.is_empty());
        some.map(move |(to, groups)| Restored { to, at, place, head: head.clone(), groups })
    }
}

fn users(page: &[u8], mut to: impl FnMut(UserKey, &[u8])) -> Result<(), Stopped> {
    for user in keyed(page) {
        let (key, image) = user?;
        to(key, image);
    }
    Ok(())
}

/// The worker of this route, of so many: as timely's exchange has it.
fn worker_of(route: u64, workers: usize) -> usize {
    (route % workers.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_entry_comes_to_its_worker_and_its_group_in_order() {
        let restart = Restart { workers: 3, at: 9, bytes: 4_000 };
        let users: Vec<_> = (0..50).map(|number| UserKey::of(&format!("u{number}"))).collect();
        let mut share = Share::new(restart);
        for number in 0..8_u8 {
            let mut page = Vec::new();
            users.iter().for_each(|user| push(&mut page, *user, &[number; 40]));
            let place = Place { collection: Collection::Users, number: 1, page: number.into() };
            share.page(place, &page).unwrap();
        }
        let (restored, _) = share.finish();
        assert!(restored.len() > restart.workers, "much is sent in several parts");
        let mut told: HashMap<UserKey, Vec<u8>> = HashMap::new();
        for part in &restored {
            for (number, group) in part.groups.iter().enumerate() {
                for (user, content) in group.entries() {
                    assert_eq!(worker_of(user.route(), restart.workers), part.to);
                    assert_eq!(Groups::of(restart).group(user), number);
                    told.entry(user).or_default().push(content[0]);
                }
            }
        }
        let all: Vec<u8> = (0..8).collect();
        assert!(users.iter().all(|user| told.get(user) == Some(&all)));
    }
}
