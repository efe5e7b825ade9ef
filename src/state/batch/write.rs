//! Entries to a batch.

use bytes::Bytes;
use dataflows::model::EventTime;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    BATCH_VERSION, BLOCK_BYTES, Batch, BatchHeader, ENTRY_BYTES_MAX, FOOTER_BYTES, FOOTER_TAG,
    FRAME_BYTES, MAGIC, PACKED_TAG, PLAIN_TAG, block_sum, is_name,
};
use crate::state::StateError;

/// From so many bytes on, an entry that is not packed is a block of its own, which copies nothing.
const LONG_BYTES: usize = 16 << 10;
/// How hard zstd tries. A checkpoint is written while the stream flows: speed goes first.
const LEVEL: i32 = 1;
/// So much of a batch is packed to see whether the rest is worth it.
const SAMPLE_BYTES: usize = 16 << 10;
/// It is, where no more than so much is left of the sample. Of users of whom nothing is known but who
/// they are, most is a hash: two thirds are left, and to pack them is what a checkpoint costs most.
/// Names and values that repeat come to far less.
const WORTH: f64 = 0.6;

/// Writes a batch, entry by entry. Holds all blocks.
pub struct BatchWriter {
    header: BatchHeader,
    /// Whether blocks are packed; `None` until the first of them tells whether it is worth it.
    packs: Option<bool>,
    /// The plain block that is being filled.
    plain: Vec<u8>,
    /// How many entries it has.
    plain_entries: u32,
    pieces: Vec<Bytes>,
    sum: Xxh3,
    bytes: u64,
    entries: u64,
    blocks: u64,
}

impl BatchWriter {
    /// A batch of this collection, by this worker, about `[lower, upper)` in milliseconds.
    ///
    /// # Panics
    /// If the name is not 1 to 64 small letters, digits, `_` and `-`, or `upper` is before `lower`.
    pub fn new(collection: &str, worker: u32, lower: EventTime, upper: EventTime) -> Self {
        assert!(is_name(collection), "collection {collection:?} has a name files can have");
        assert!(lower <= upper, "a batch ends no earlier than it starts: [{lower}, {upper})");
        let header = BatchHeader { collection: collection.to_owned(), worker, lower, upper };
        let mut writer = BatchWriter {
            header,
            packs: None,
            plain: Vec::new(),
            plain_entries: 0,
            pieces: Vec::new(),
            sum: Xxh3::new(),
            bytes: 0,
            entries: 0,
            blocks: 0,
        };
        writer.push(writer.first());
        writer
    }

    /// Blocks are written as they are, whatever is in them.
    #[must_use]
    pub fn unpacked(self) -> Self {
        BatchWriter { packs: Some(false), ..self }
    }

    /// How many bytes the file has so far, without the block that is being filled.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes an entry; it may be empty.
    ///
    /// # Errors
    /// It is longer than [`ENTRY_BYTES_MAX`], or memory is short.
    pub fn write(&mut self, entry: &[u8]) -> Result<(), StateError> {
        self.is_allowed(entry)?;
        push_length(entry.len(), &mut self.plain);
        self.plain.extend_from_slice(entry);
        self.plain_entries += 1;
        self.entries += 1;
        if self.plain.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// Writes an entry, which need not be copied if it is long.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub fn write_whole(&mut self, entry: Vec<u8>) -> Result<(), StateError> {
        if self.packs != Some(false) || entry.len() < LONG_BYTES {
            return self.write(&entry);
        }
        self.is_allowed(&entry)?;
        if self.plain_entries > 0 {
            self.close_block()?;
        }
        let mut length = Vec::new();
        push_length(entry.len(), &mut length);
        (self.plain_entries, self.entries) = (1, self.entries + 1);
        let plain_length = length.len() + entry.len();
        self.push_block(PLAIN_TAG, plain_length, [length, entry]);
        Ok(())
    }

    fn is_allowed(&self, entry: &[u8]) -> Result<(), StateError> {
        if entry.len() <= ENTRY_BYTES_MAX {
            return Ok(());
        }
        let collection = self.header.collection.clone();
        Err(StateError::Entry { collection, bytes: entry.len() })
    }

    /// The whole batch.
    ///
    /// # Errors
    /// Memory is short.
    pub fn finish(mut self) -> Result<Batch, StateError> {
        if self.plain_entries > 0 {
            self.close_block()?;
        }
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.push(FOOTER_TAG);
        footer.extend(self.entries.to_le_bytes());
        footer.extend(self.blocks.to_le_bytes());
        self.sum.update(&footer);
        let checksum = self.sum.digest();
        footer.extend(checksum.to_le_bytes());
        let bytes = self.bytes + footer.len() as u64;
        self.pieces.push(footer.into());
        let (header, entries, pieces) = (self.header, self.entries, self.pieces);
        Ok(Batch { header, entries, bytes, checksum, pieces })
    }

    fn first(&self) -> Vec<u8> {
        let mut first = MAGIC.to_vec();
        first.extend(BATCH_VERSION.to_le_bytes());
        first.push(self.header.collection.len() as u8); // at most 64
        first.extend(self.header.collection.bytes());
        first.extend(self.header.worker.to_le_bytes());
        first.extend(self.header.lower.to_le_bytes());
        first.extend(self.header.upper.to_le_bytes());
        first.extend(xxh3_64(&first).to_le_bytes());
        first
    }

    fn close_block(&mut self) -> Result<(), StateError> {
        let plain_length = self.plain.len();
        let packs = match self.packs {
            Some(known) => known,
            None => self.is_worth_packing()?,
        };
        self.packs = Some(packs);
        let (tag, bytes) = if packs {
            let packed = self.packed(&self.plain)?;
            self.plain.clear();
            (PACKED_TAG, packed)
        } else {
            let next = Vec::with_capacity(plain_length);
            (PLAIN_TAG, std::mem::replace(&mut self.plain, next))
        };
        self.push_block(tag, plain_length, [bytes]);
        Ok(())
    }

    /// By a sample of the block that is being filled.
    fn is_worth_packing(&self) -> Result<bool, StateError> {
        let sample = &self.plain[..self.plain.len().min(SAMPLE_BYTES)];
        Ok(self.packed(sample)?.len() as f64 <= sample.len() as f64 * WORTH)
    }

    fn packed(&self, plain: &[u8]) -> Result<Vec<u8>, StateError> {
        zstd::bulk::compress(plain, LEVEL).map_err(|cause| StateError::Compress {
            collection: self.header.collection.clone(),
            cause,
        })
    }

    fn push_block<const N: usize>(&mut self, tag: u8, plain: usize, parts: [Vec<u8>; N]) {
        let length: usize = parts.iter().map(Vec::len).sum();
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        frame.push(tag);
        // Both are far below 4 GiB: BLOCK_BYTES_MAX bounds them.
        frame.extend((length as u32).to_le_bytes());
        frame.extend((plain as u32).to_le_bytes());
        frame.extend(self.plain_entries.to_le_bytes());
        frame.extend(block_sum(self.blocks, &frame, &parts).to_le_bytes());
        self.push(frame);
        parts.into_iter().for_each(|part| self.push(part));
        self.plain_entries = 0;
        self.blocks += 1;
    }

    fn push(&mut self, piece: Vec<u8>) {
        self.sum.update(&piece);
        self.bytes += piece.len() as u64;
        self.pieces.push(piece.into());
    }
}

/// Puts the length of an entry behind what is there.
fn push_length(mut length: usize, into: &mut Vec<u8>) {
    while length >= 0x80 {
        into.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
}
