//! Bytes to records. A record is one JSON object, in the shape of the Segment tracking
//! specification or in one that a [`Mapping`] describes.
//!
//! A record is read in two ways, by two parsers. [`Reader`] is the hot path: it checks the
//! whole line but decodes only what the rules want. [`arrival`] keeps everything and is written for
//! plainness; the oracle judges the engine by it. Both take and refuse the same lines for the same
//! reasons. A reason is one line, `field: what is wrong`, and when several things are wrong it is
//! the first of: size, structure, nesting, kind of record, user, time, id, content.

mod field;
mod full;
mod layout;
mod lean;
mod mapping;
mod names;
mod raw;
mod scan;
mod shape;
mod sixteen;
mod stamp;
mod structure;
mod traceparent;
mod tree;

pub use full::{Members, arrival};
pub use lean::{Parsed, Reader};
pub use mapping::Mapping;
pub use stamp::instant;
pub use structure::{oversize, text};
pub use traceparent::{TRACEPARENT, TraceParent};

/// The longest record that is read.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The longest name of a user.
pub const MAX_USER_BYTES: usize = 1_024;
