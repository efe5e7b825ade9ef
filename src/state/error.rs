//! What can go wrong with state, what to do about it, and whether trying again helps.

use std::fmt;

use thiserror::Error;

/// Where in a file something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In what comes before the blocks.
    Header,
    /// In this block, counted from 0, which starts at this byte.
    Block(u64, u64),
    /// In what comes after the blocks, which starts at this byte.
    Footer(u64),
    /// In the file as such.
    Whole,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header => f.write_str(" in its header"),
            Place::Block(block, byte) => write!(f, " in block {block}, from byte {byte}"),
            Place::Footer(byte) => write!(f, " in its footer, at byte {byte}"),
            Place::Whole => Ok(()),
        }
    }
}

/// What a system or server says, in its own words: those of the last in a chain of causes, which
/// the others only repeat.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Reason(pub String);

/// What keeps state from being written or read.
#[derive(Debug, Error)]
pub enum StateError {
    /// What is to name a place does not.
    #[error("state {text:?}: {reason}")]
    Location {
        /// What was said.
        text: String,
        /// What is wrong, and what to say.
        reason: String,
    },
    /// There is no such folder.
    #[error("there is no state at {place}: check the path; a job that writes state makes it")]
    Absent {
        /// The folder.
        place: String,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {place} for state: check that the one it is in may be written")]
    Create {
        /// The folder.
        place: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The object store's client cannot be made.
    #[error("cannot use {place}: check the endpoint, region and keys of [state]")]
    Client {
        /// The place.
        place: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Someone else committed.
    #[error(
        "another process writes this state: checkpoint {number} of {place} is not of this one; stop \
         one of the two, or give this job a [state] path of its own"
    )]
    Taken {
        /// The place.
        place: String,
        /// The newest checkpoint there.
        number: u64,
    },
    /// This very process committed something else under this number.
    #[error("checkpoint {number} of {place} was committed before: take the next number")]
    Committed {
        /// The place.
        place: String,
        /// The number.
        number: u64,
    },
    /// There is no room.
    #[error("no room to write {name}: make room there, or lower keep in [state]")]
    Full {
        /// The file.
        name: String,
        /// What the system says.
        #[source]
        cause: Reason,
    },
    /// It may not be read or written.
    #[error(
        "may not {doing} {name}: check who owns it, or the keys of [state] and what they allow"
    )]
    Denied {
        /// What was being done.
        doing: &'static str,
        /// The file.
        name: String,
        /// What the system says.
        #[source]
        cause: Reason,
    },
    /// It is not there.
    #[error("{name} is missing: put it back from a copy, or go on from another checkpoint")]
    Gone {
        /// The file.
        name: String,
    },
    /// The system, the network or the server fails.
    #[error("cannot {doing} {name}: check that the place can be reached, and try again")]
    Trouble {
        /// What was being done.
        doing: &'static str,
        /// The file.
        name: String,
        /// Whether the same may succeed when tried again.
        transient: bool,
        /// What the system says.
        #[source]
        cause: Reason,
    },
    /// Its bytes are not those that were written.
    #[error(
        "{name} is damaged{place}: {what}; put it back from a copy, or go on from another checkpoint"
    )]
    Damaged {
        /// The file.
        name: String,
        /// Where.
        place: Place,
        /// What is wrong there.
        what: String,
    },
    /// Its bytes are as they were written, and say what this version does not understand.
    #[error("{name} cannot be used: {reason}; start anew with another place for state")]
    Content {
        /// The file.
        name: String,
        /// What is not understood.
        reason: String,
    },
    /// It is the state of another job.
    #[error(
        "{place} is the state of another job ({found}); this one is: {wanted}. Put back what was \
         changed, or give this job a [state] path of its own"
    )]
    OtherJob {
        /// The place.
        place: String,
        /// What the job is.
        wanted: String,
        /// What the job was that wrote it.
        found: String,
    },
    /// It was written by another version of Rivulet.
    #[error("{name} has format {found}, this version reads {known}: {}", remedy(*.found, *.known))]
    Version {
        /// The file.
        name: String,
        /// Its format.
        found: u64,
        /// The one this version knows.
        known: u64,
    },
    /// An entry is too long to be read back.
    #[error(
        "an entry of {bytes} bytes does not fit into collection {collection:?}: at most {}; split it",
        super::ENTRY_BYTES_MAX
    )]
    Entry {
        /// The collection.
        collection: String,
        /// How long it is.
        bytes: usize,
    },
    /// It cannot be compressed.
    #[error("cannot compress collection {collection:?}: give the process more memory")]
    Compress {
        /// The collection.
        collection: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

fn remedy(found: u64, known: u64) -> &'static str {
    if found > known {
        "it was written by a newer Rivulet; use that one, or start from an empty [state] path"
    } else {
        "it was written by an older Rivulet; use that one, or start from an empty [state] path"
    }
}

impl StateError {
    /// Whether the same may succeed when tried again a little later, with nobody's help: the
    /// network or the server failed. What retries there are for a single request have been made.
    pub fn is_transient(&self) -> bool {
        matches!(self, StateError::Trouble { transient: true, .. })
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        matches!(self, StateError::Full { .. })
    }

    /// Whether it is about this one file, so that another checkpoint may be whole: it is damaged
    /// or missing.
    pub fn is_damage(&self) -> bool {
        matches!(self, StateError::Damaged { .. } | StateError::Gone { .. })
    }
}
