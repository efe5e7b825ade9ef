//! What survives a crash, and how it comes back.
//!
//! When time comes to a checkpoint, every worker gives out what has changed since the last one, as
//! [`Piece`]s of three collections:
//!
//! - *users*: an [`Image`] of each user who changed in anything but the events held. Of several
//!   images of one user the newest counts.
//! - *events*: each event that entered a window, once, and a mark where a user was erased, or where
//!   what a stream held was worked out anew, which follows. They count in their order, and no longer
//!   than the longest window they entered.
//! - *identifiers*: what tells second copies, for one `dedup_horizon`.
//!
//! A fourth one, *counts*, is of those beside the dataflow that count what comes out of it
//! ([`Counts`]): the dataflow neither gives it out nor takes it back.
//!
//! All else follows from these, the definitions and the instant: windows, sums, alarms and
//! memberships are worked out anew when pieces are restored. So what is written follows what
//! changed, whatever is held; and pieces name users, streams and facts by fingerprints, not by the
//! numbers a worker has for them, so that any number of workers may take them over, in any later
//! run of the same definitions.
//!
//! Where records may come out of order (`on_event`), a checkpoint is of all that took *effect* before
//! its time, and what takes effect later may be older. So the image of a user has, beside that, who
//! set each attribute, the updates a deletion to come may be older than, and the last deletion; and
//! identifiers are needed until nothing within a horizon of them can come.
//!
//! Pieces are made of pages, sequences of entries of some 64 KiB that can be read by themselves.
//! Cost: an event some 25 bytes; a user their name, attributes and totals.

mod counts;
mod events;
mod identifiers;
mod image;
mod merge;
mod pages;
mod recorder;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use counts::{Count, CountKey, Counts, Later, content, counts_piece};
pub(in crate::operators) use events::{EventReader, Told};
pub use identifiers::{Identified, Identifiers, record_identifiers};
pub use image::{Disordered, FactImage, Image, KeptFact, Recent, RecentChange};
pub use merge::{Forget, merge};
pub(in crate::operators) use pages::keyed;
pub use recorder::Recorder;

use crate::codec::Stopped;
use crate::model::{EventTime, Stamp};

/// Whether a dataflow gives out what a later one can go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing is given out: what a replay needs.
    Nothing,
    /// At every checkpoint.
    Checkpoints,
}

/// What a checkpoint is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collection {
    /// The users, but for the events held.
    Users,
    /// The events held.
    Events,
    /// What tells second copies.
    Identifiers,
    /// What others have counted.
    Counts,
}

impl Collection {
    /// All of them.
    pub const ALL: [Collection; 4] =
        [Collection::Users, Collection::Events, Collection::Identifiers, Collection::Counts];
}

/// What one worker's checkpoint adds to a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The number of the checkpoint.
    pub number: u64,
    /// Everything that took effect before this is in this piece or an earlier one.
    pub before: EventTime,
    /// Nothing older than this takes effect after it. Earlier than `before` only where updates may
    /// come out of order.
    pub settled: EventTime,
    /// Of which collection.
    pub collection: Collection,
    /// The instant from which on nothing of it is needed.
    pub until: EventTime,
    /// Its pages.
    pub pages: Vec<Vec<u8>>,
}

/// Whether what is needed until then is needed by a run that goes on from `before`. It starts from
/// the instant just before that: what leaves at `before` is still there, for it is yet to be told.
pub fn is_needed(until: EventTime, before: EventTime) -> bool {
    until >= before
}

/// Where a page stands: what comes later counts after what comes earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Of which collection.
    pub collection: Collection,
    /// In a piece of the checkpoint of this number.
    pub number: u64,
    /// Which one it is of that piece.
    pub page: u64,
}

/// The part of a page that concerns one worker, on its way back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restored {
    /// That worker.
    pub to: usize,
    /// The instant up to which the earlier run had come.
    pub at: EventTime,
    /// Where it stood.
    pub place: Place,
    /// A page.
    pub page: Vec<u8>,
}

/// A page that cannot be read.
#[derive(Debug, Error)]
#[error("a page of {collection:?} cannot be read after {read} of {length} bytes: {cause}")]
pub struct Unreadable {
    collection: Collection,
    read: usize,
    length: usize,
    cause: bincode::Error,
}

impl Unreadable {
    fn new(collection: Collection, page: &[u8], (read, cause): Stopped) -> Self {
        Unreadable { collection, read, length: page.len(), cause }
    }
}

/// What is to be handed to a dataflow for a page.
#[derive(Debug)]
pub enum Handed {
    /// Parts of it, each to a worker.
    Parts(Vec<Restored>),
    /// Identifiers.
    Stamps(Vec<Stamp>),
}

/// Reads a page, for a dataflow of so many workers that goes on after `at`. Of counts it takes
/// nothing.
///
/// # Errors
/// It is not a page of that collection.
pub fn hand_over(
    place: Place,
    page: &[u8],
    (workers, at): (usize, EventTime),
) -> Result<Handed, Unreadable> {
    let collection = place.collection;
    let parts = match collection {
        Collection::Users => pages::deal(page, workers),
        Collection::Events => events::deal(page, workers),
        Collection::Identifiers => {
            return match identifiers::stamps(page, at) {
                Ok(stamps) => Ok(Handed::Stamps(stamps)),
                Err(stopped) => Err(Unreadable::new(collection, page, stopped)),
            };
        }
        Collection::Counts => return Ok(Handed::Parts(Vec::new())),
    };
    let parts = parts.map_err(|stopped| Unreadable::new(collection, page, stopped))?;
    let some = parts.into_iter().enumerate().filter(|(_, page)| !page.is_empty());
    let restored = |(to, page): (usize, Vec<u8>)| Restored { to, at, place, page };
    Ok(Handed::Parts(some.map(restored).collect()))
}

/// The worker of this route, of so many: as timely's exchange has it.
fn worker_of(route: u64, workers: usize) -> usize {
    (route % workers.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_at_the_frontier_is_yet_to_be_told() {
        assert!(is_needed(1_000, 999) && is_needed(1_000, 1_000));
        assert!(!is_needed(1_000, 1_001));
    }
}
