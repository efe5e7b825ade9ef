//! What is noted of a line between its reading and its turn; what can be found in the chunk again is
//! noted as a place in it.

use std::sync::Arc;

use dataflows::model::{Change, EventTime, MessageKey, UserKey};

use crate::format::Mapping;

/// A record that was understood.
pub(super) struct Understood {
    pub(super) user: UserKey,
    pub(super) name: Name,
    pub(super) time: Option<EventTime>,
    pub(super) id: Option<MessageKey>,
    pub(super) change: Change,
}

/// The name of a user.
pub(super) enum Name {
    /// As it stands in the chunk.
    Written(Span),
    /// Where it is written in another way than it is.
    Decoded(Arc<str>),
}

impl Name {
    pub(super) fn shared(self, chunk: &[u8]) -> Arc<str> {
        match self {
            Name::Written(span) => String::from_utf8_lossy(span.bytes(chunk)).into(),
            Name::Decoded(name) => name,
        }
    }
}

/// A piece of a chunk's bytes.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from: u32,
    length: u32,
}

impl Span {
    /// The place of `part` in `whole`, of which it is a slice.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let from = part.as_ptr() as usize - whole.as_ptr() as usize;
        let within = |number| u32::try_from(number).expect("a chunk is below 4 GiB");
        Span { from: within(from), length: within(part.len()) }
    }

    pub(super) fn bytes(self, whole: &[u8]) -> &[u8] {
        &whole[self.from as usize..][..self.length as usize]
    }
}

/// A line of a chunk, read.
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) line: Span,
    pub(super) content: Result<Understood, String>,
}

/// The records of a chunk as they were read, for whoever looks at some of them.
pub struct Shown<'a> {
    pub(super) records: &'a [Record],
    pub(super) chunk: &'a [u8],
}

impl<'a> Shown<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// One of them as it came, if it was understood.
    pub fn get(&self, place: usize) -> Option<&'a [u8]> {
        let record = self.records.get(place).filter(|it| it.content.is_ok())?;
        Some(record.line.bytes(self.chunk))
    }
}

/// Is shown all records, and looks at few: a worker waits meanwhile.
pub trait Onlooker: Send + Sync {
    /// These have been read.
    fn look(&self, mapping: &Mapping, shown: &Shown<'_>);
}
