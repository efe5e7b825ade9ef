//! The file format of a batch: entries in blocks, each with its checksum.
//!
//! ```text
//! header   "RIVBATCH", version u16, name's length u8, name, worker u32, lower i64, upper i64, sum
//! block    'B' or 'P', length u32, plain length u32, entries u32, sum, bytes: packed (zstd) or plain
//! footer   'F', entries u64, blocks u64, sum
//! ```
//! Numbers are little-endian. Every sum is an XXH3-64: the header's of the header before it, a
//! block's of its number and all of it but the sum, the footer's of the whole file before it. A
//! plain block is a row of whole entries, each behind its length as a varint (LEB128). Blocks are
//! packed where that makes them much smaller, which is tried on a part of the first. Version 1 had
//! packed blocks only.

mod read;
mod write;

use bytes::Bytes;
use dataflows::model::EventTime;
use xxhash_rust::xxh3::Xxh3;

pub use read::BatchReader;
pub(super) use read::tail_sum;
pub use write::BatchWriter;

/// The version of the format that is written. Those before it are read, too.
pub const BATCH_VERSION: u16 = 2;
/// Longest entry, in bytes.
pub const ENTRY_BYTES_MAX: usize = 1 << 28;
/// A plain block is closed once it is so long.
const BLOCK_BYTES: usize = 256 << 10;
/// What a plain block can come to: just short of full, and then the longest entry.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + ENTRY_BYTES_MAX + 5;
/// Longest name of a collection, in bytes.
const NAME_BYTES_MAX: usize = 64;
const MAGIC: &[u8; 8] = b"RIVBATCH";
const PACKED_TAG: u8 = b'B';
const PLAIN_TAG: u8 = b'P';
const FOOTER_TAG: u8 = b'F';
/// How long a block's frame is: the tag, three lengths, the sum.
const FRAME_BYTES: usize = 1 + 4 + 4 + 4 + 8;
/// How long the footer is.
pub(super) const FOOTER_BYTES: usize = 1 + 8 + 8 + 8;

/// What a batch is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHeader {
    /// The name of its collection: of small letters, digits, `_` and `-`.
    pub collection: String,
    /// The worker that wrote it.
    pub worker: u32,
    /// Event time from which on it tells what happened, in milliseconds.
    pub lower: EventTime,
    /// Event time before which it does.
    pub upper: EventTime,
}

/// A whole batch, ready to be put.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What it is about.
    pub header: BatchHeader,
    /// How many entries it has.
    pub entries: u64,
    /// How many bytes, as a file.
    pub bytes: u64,
    /// The sum in its footer.
    pub checksum: u64,
    /// The file, in pieces.
    pub(super) pieces: Vec<Bytes>,
}

impl Batch {
    /// The file, in one piece. Copies all of it.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// Whether a collection may be called so.
fn is_name(name: &str) -> bool {
    let is_sign = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_sign)
}

/// The sum of a block: of its number, its frame up to the sum, and its bytes, in any parts.
fn block_sum(number: u64, frame: &[u8], bytes: &[impl AsRef<[u8]>]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&number.to_le_bytes());
    sum.update(frame);
    bytes.iter().for_each(|part| sum.update(part.as_ref()));
    sum.digest()
}
