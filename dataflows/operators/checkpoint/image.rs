//! All that is kept of one user, but for the events held.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::{Entries, Stopped, write, write_signed, write_unsigned};
use crate::model::{AttributeKey, EventTime, Payload, Position, Value};
use crate::operators::attributes::Writer;
use crate::operators::held::HeldImage;
use crate::operators::sequence::Progress;
use crate::operators::window::Total;

/// A user, by names that any run understands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    /// The name in every output.
    pub name: Arc<str>,
    /// Since when the user exists; [`GONE`] of one who does not, and of whom something is kept.
    pub since: EventTime,
    /// The attributes ever set; null where one was taken away.
    pub attributes: Vec<(AttributeKey, Value)>,
    /// What is kept for facts.
    pub facts: Vec<(KeptFact, FactImage)>,
    /// What is kept beside that where updates may come out of order. It stands behind the rest, if
    /// there is anything.
    #[serde(skip)]
    pub disorder: Option<Disordered>,
}

/// Since when one exists who was erased.
pub(super) const GONE: EventTime = EventTime::MAX;

/// What updates to come may be older than.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Disordered {
    /// By the place of an attribute in the image, who set it.
    pub writers: Vec<(usize, Writer)>,
    /// Updates that a deletion to come may be older than.
    pub recent: Vec<Recent>,
    /// The last deletion.
    pub erased: Option<Writer>,
}

/// An update, by names that any run understands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recent {
    /// Its time.
    pub time: EventTime,
    /// Where it stood.
    pub position: Position,
    /// What happened.
    pub change: RecentChange,
}

/// What such an update says.
#[derive(Debug, Serialize, Deserialize)]
pub enum RecentChange {
    /// Something happened: the fingerprint of each stream that takes something from it, and what.
    Event(Vec<(u64, Payload)>),
    /// Attributes were set.
    Attributes(Vec<(AttributeKey, Value)>),
}

impl Disordered {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.writers.is_empty() && self.recent.is_empty() && self.erased.is_none()
    }
}

impl Image {
    /// An image from its bytes; of a user who was erased there are none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Stopped> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut entries = Entries::new(bytes);
        let mut image = match Self::read_short(&mut entries) {
            Some(image) => image,
            None => {
                entries = Entries::new(bytes);
                entries.read()?
            }
        };
        if !entries.is_empty() {
            image.disorder = Some(entries.read()?);
        }
        Ok(Some(image))
    }

    /// One of a user of whom nothing is known but that they exist, as it is of most: that takes a
    /// fraction of the time that reading by its type does.
    fn read_short(entries: &mut Entries<'_>) -> Option<Self> {
        let length = usize::try_from(entries.unsigned().ok()?).ok()?;
        let name = std::str::from_utf8(entries.bytes(length).ok()?).ok()?.into();
        let since = entries.signed().ok()?;
        let (attributes, facts) = (Vec::new(), Vec::new());
        let is_all = entries.skip(0) && entries.skip(0);
        is_all.then_some(Image { name, since, attributes, facts, disorder: None })
    }

    /// Puts its bytes behind what is there.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        write(self, into);
        self.disorder.iter().for_each(|disorder| write(disorder, into));
    }
}

/// Puts behind what is there the bytes of an image of who a user is, and since when, and nothing else:
/// what most users have, where segments are about events.
pub(super) fn write_bare(name: &[u8], since: EventTime, into: &mut Vec<u8>) {
    write_unsigned(name.len() as u64, into);
    into.extend_from_slice(name);
    write_signed(since, into);
    into.extend_from_slice(&[0; 2]); // no attributes, no facts
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_little_is_written_as_any_other() {
        for (name, since) in [("", 0), ("u1", 1_767_225_600_123), (&"n".repeat(300), -1)] {
            let (attributes, facts) = (Vec::new(), Vec::new());
            let image = Image { name: name.into(), since, attributes, facts, disorder: None };
            let (mut whole, mut bare) = (Vec::new(), Vec::new());
            image.write(&mut whole);
            write_bare(name.as_bytes(), since, &mut bare);
            assert_eq!(whole, bare);
        }
    }
}
