//! All that is kept of one user, but for the events held.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::{Entries, Stopped};
use crate::model::{AttributeKey, EventTime, Value};
use crate::operators::held::HeldImage;
use crate::operators::sequence::Progress;
use crate::operators::window::Total;

/// A user, by names that any run understands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    /// The name in every output.
    pub name: Arc<str>,
    /// Since when the user exists.
    pub since: EventTime,
    /// The attributes ever set; null where one was taken away.
    pub attributes: Vec<(AttributeKey, Value)>,
    /// What is kept for facts.
    pub facts: Vec<(KeptFact, FactImage)>,
}

impl Image {
    /// An image from its bytes; of a user who was erased there are none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Stopped> {
        if bytes.is_empty() {
            return Ok(None);
        }
        Entries::new(bytes).read().map(Some)
    }
}

/// A fact, whatever number a run has for it. What was kept for an earlier one, from another time on,
/// is of no use to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeptFact {
    /// What it is.
    pub fingerprint: u64,
    /// Events count that are later than this.
    pub from: EventTime,
}

/// What is kept of a fact.
#[derive(Debug, Serialize, Deserialize)]
pub enum FactImage {
    /// Since when an attribute is what it is.
    Held(HeldImage),
    /// Of an aggregate since the beginning.
    Total(Box<Total>),
    /// Of a sequence.
    Sequence(Box<Progress>),
}
