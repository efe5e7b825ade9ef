//! What is noted of a line between its reading and its turn; what can be found in the chunk again is
//! noted as a place in it.

use std::sync::Arc;

use dataflows::model::{Change, EventTime, MessageKey, UserKey};

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
