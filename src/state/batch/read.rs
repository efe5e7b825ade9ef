//! A batch to entries, with everything checked on the way.

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    BATCH_VERSION, BLOCK_BYTES_MAX, BatchHeader, FOOTER_BYTES, FOOTER_TAG, FRAME_BYTES, MAGIC,
    PACKED_TAG, PLAIN_TAG, block_sum, is_name,
};
use crate::state::{Place, StateError};

/// What gives the file piece by piece; nothing, at its end.
type Pieces = Box<dyn FnMut() -> Result<Option<Bytes>, StateError> + Send>;

/// Reads a batch, entry by entry. Holds one piece of the file and one plain block.
pub struct BatchReader {
    name: String,
    header: BatchHeader,
    input: Input,
    plain: Bytes,
    /// Where the next entry of the plain block starts.
    at: usize,
    /// How many entries of it are left.
    left: u32,
    blocks: u64,
    entries: u64,
    /// The sum of the file, once all of it was read and found right.
    checksum: Option<u64>,
}

struct Input {
    pieces: Pieces,
    piece: Bytes,
    /// The sum of what was taken.
    sum: Xxh3,
    /// How many bytes were taken.
    at: u64,
}

impl Input {
    /// The next so many bytes; `None` if there are fewer. What a damaged length asks for is not
    /// set aside before it has come.
    fn take(&mut self, count: usize) -> Result<Option<Bytes>, StateError> {
        while self.piece.is_empty() && count > 0 {
            match (self.pieces)()? {
                Some(piece) => self.piece = piece,
                None => return Ok(None),
            }
        }
        let mut taken = self.piece.split_to(count.min(self.piece.len()));
        if taken.len() < count {
            let mut whole = taken.to_vec();
            while whole.len() < count {
                let Some(piece) = (self.pieces)()? else { return Ok(None) };
                self.piece = piece;
                whole.extend(self.piece.split_to((count - whole.len()).min(self.piece.len())));
            }
            taken = whole.into();
        }
        self.sum.update(&taken);
        self.at += count as u64;
        Ok(Some(taken))
    }

    fn is_at_end(&mut self) -> Result<bool, StateError> {
        while self.piece.is_empty() {
            match (self.pieces)()? {
                Some(piece) => self.piece = piece,
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

impl BatchReader {
    /// Reads a file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// Its header is damaged, it is no batch, or one of another version.
    pub fn of_bytes(name: &str, bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut all = Some(bytes.into());
        Self::new(name.to_owned(), Box::new(move || Ok(all.take())))
    }

    pub(in crate::state) fn new(name: String, pieces: Pieces) -> Result<Self, StateError> {
        let mut input = Input { pieces, piece: Bytes::new(), sum: Xxh3::new(), at: 0 };
        let header = header(&name, &mut input)?;
        let (plain, at, left, blocks, entries) = (Bytes::new(), 0, 0, 0, 0);
        let checksum = None;
        Ok(BatchReader { name, header, input, plain, at, left, blocks, entries, checksum })
    }

    /// What the batch is about.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// How many entries were given.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The sum in the footer, once [`next`](Self::next) has given `None`.
    pub fn checksum(&self) -> Option<u64> {
        self.checksum
    }

    /// The next entry; `None` once all were given and the footer bears them out.
    ///
    /// # Errors
    /// The file is damaged or cannot be read. What was given before was right.
    #[expect(clippy::should_implement_trait, reason = "an entry lives until the next is asked for")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, StateError> {
        while self.left == 0 {
            if self.checksum.is_some() || !self.open_block()? {
                return Ok(None);
            }
        }
        let place = Place::Block(self.blocks - 1, self.input.at);
        let Some((start, end)) = entry(&self.plain, self.at) else {
            return Err(self.damaged(place, "an entry is longer than its block"));
        };
        self.at = end;
        self.left -= 1;
        self.entries += 1;
        if self.left == 0 && self.at != self.plain.len() {
            return Err(self.damaged(place, "more bytes than entries"));
        }
        Ok(Some(&self.plain[start..end]))
    }

    /// Reads the next block; false at the footer.
    fn open_block(&mut self) -> Result<bool, StateError> {
        let start = self.input.at;
        let place = Place::Block(self.blocks, start);
        let Some(tag) = self.input.take(1)? else {
            return Err(self.damaged(Place::Footer(start), "it was cut short"));
        };
        match tag[0] {
            PACKED_TAG | PLAIN_TAG => {}
            FOOTER_TAG => return self.footer(start).map(|()| false),
            _ => return Err(self.damaged(place, "neither a block nor the footer starts here")),
        }
        let Some(frame) = self.input.take(FRAME_BYTES - 1)? else {
            return Err(self.damaged(place, "it was cut short"));
        };
        let [packed, plain, entries] = [0, 4, 8].map(|at| number(&frame, at, u32::from_le_bytes));
        let Some(bytes) = self.input.take(packed as usize)? else {
            return Err(self.damaged(place, "it was cut short, or its length is wrong"));
        };
        let covered = [&tag[..], &frame[..12]].concat();
        if block_sum(self.blocks, &covered, &[&bytes]) != number(&frame, 12, u64::from_le_bytes) {
            return Err(self.damaged(place, "its checksum is not that of its bytes"));
        }
        if plain as usize > BLOCK_BYTES_MAX || entries == 0 {
            return Err(self.damaged(place, "its lengths are beyond the format's bounds"));
        }
        self.plain = if tag[0] == PLAIN_TAG {
            bytes
        } else {
            let unpacked = zstd::bulk::decompress(&bytes, plain as usize);
            unpacked.map_err(|_| self.damaged(place, "it does not unpack"))?.into()
        };
        if self.plain.len() != plain as usize {
            return Err(self.damaged(place, "it does not unpack to its length"));
        }
        (self.at, self.left) = (0, entries);
        self.blocks += 1;
        Ok(true)
    }

    /// Reads the rest of the footer, which starts at this byte.
    fn footer(&mut self, start: u64) -> Result<(), StateError> {
        let place = Place::Footer(start);
        let counts = self.input.take(16)?;
        let sum = self.input.sum.digest();
        let (Some(counts), Some(stated)) = (counts, self.input.take(8)?) else {
            return Err(self.damaged(place, "it was cut short"));
        };
        if number(&stated, 0, u64::from_le_bytes) != sum {
            return Err(self.damaged(place, "the checksum of the file is not that of its bytes"));
        }
        let [entries, blocks] = [0, 8].map(|at| number(&counts, at, u64::from_le_bytes));
        if (entries, blocks) != (self.entries, self.blocks) {
            return Err(self.damaged(place, "its counts are not those of the file"));
        }
        if !self.input.is_at_end()? {
            return Err(self.damaged(Place::Footer(start), "more follows it"));
        }
        self.checksum = Some(sum);
        Ok(())
    }

    fn damaged(&self, place: Place, what: &str) -> StateError {
        damaged(&self.name, place, what)
    }
}

fn damaged(name: &str, place: Place, what: &str) -> StateError {
    StateError::Damaged { name: name.to_owned(), place, what: what.to_owned() }
}

fn header(name: &str, input: &mut Input) -> Result<BatchHeader, StateError> {
    let cut = || damaged(name, Place::Header, "it was cut short");
    let fixed = input.take(MAGIC.len())?.ok_or_else(cut)?;
    if fixed[..] != MAGIC[..] {
        return Err(damaged(name, Place::Header, "it does not start as a batch does"));
    }
    let version = input.take(2)?.ok_or_else(cut)?;
    let found = number(&version, 0, u16::from_le_bytes);
    if !(1..=BATCH_VERSION).contains(&found) {
        let (found, known) = (found.into(), BATCH_VERSION.into());
        return Err(StateError::Version { name: name.to_owned(), found, known });
    }
    let length = input.take(1)?.ok_or_else(cut)?;
    let rest = input.take(usize::from(length[0]) + 20)?.ok_or_else(cut)?;
    let covered = [&fixed[..], &version, &length, &rest].concat();
    let stated = input.take(8)?.ok_or_else(cut)?;
    if number(&stated, 0, u64::from_le_bytes) != xxh3_64(&covered) {
        return Err(damaged(name, Place::Header, "its checksum is not that of its bytes"));
    }
    let (collection, numbers) = rest.split_at(usize::from(length[0]));
    let collection = String::from_utf8_lossy(collection).into_owned();
    if !is_name(&collection) {
        return Err(damaged(name, Place::Header, "its collection has no proper name"));
    }
    Ok(BatchHeader {
        collection,
        worker: number(numbers, 0, u32::from_le_bytes),
        lower: number(numbers, 4, i64::from_le_bytes),
        upper: number(numbers, 12, i64::from_le_bytes),
    })
}

/// Where the entry lies whose length stands at this place of a plain block.
fn entry(plain: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut length = 0usize;
    for (index, byte) in plain.get(at..)?.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let start = at + index + 1;
            let end = start.checked_add(length)?;
            return (end <= plain.len()).then_some((start, end));
        }
    }
    None
}

/// The number at this place. The caller has seen to it that the bytes are there.
fn number<const N: usize, T>(bytes: &[u8], at: usize, of: fn([u8; N]) -> T) -> T {
    let mut exact = [0; N];
    exact.copy_from_slice(&bytes[at..at + N]);
    of(exact)
}

/// What a footer says: the number of entries, and the sum. `None` if these bytes are none.
pub(in crate::state) fn tail_sum(tail: &[u8]) -> Option<(u64, u64)> {
    if tail.len() != FOOTER_BYTES || tail[0] != FOOTER_TAG {
        return None;
    }
    let [entries, sum] = [1, 17].map(|at| number(tail, at, u64::from_le_bytes));
    Some((entries, sum))
}
