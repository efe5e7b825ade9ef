//! What stands in a file of the log: a header, then frames, one a commit.
//!
//! All numbers are little-endian. A frame is only begun when the one before it is on disk for good,
//! so a frame that is whole proves that all before it had been.
//! ```text
//! file    magic 8 · version u64 · offset of its first record u64 · sum u64
//! frame   magic 8 · offset of its first record u64 · records u32 · bytes u32 · sum u64 · records
//! record  bytes u32 · bytes of the reason u16 · reason · bytes
//! ```
//! A reason tells why a record is to be rejected; a record to be read has none. Sums are XXH3-64 of
//! all else in the header, and of what a frame holds. No record has the magic of a frame in it: it is
//! no UTF-8.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// How long both headers are.
pub(super) const HEADER: usize = 32;
/// The most a frame may hold, in bytes: what is longer was never written.
pub(super) const FRAME_MAX: usize = 64 << 20;
const FILE_MAGIC: [u8; 8] = *b"RivulLog";
const FRAME_MAGIC: [u8; 8] = [0xff, b'f', b'r', b'a', b'm', b'e', 0xfe, 0x0a];
const VERSION: u64 = 1;
/// What comes before the reason and the bytes of a record.
const RECORD_HEADER: usize = 6;

/// The header of a file.
pub(super) fn file_header(first: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8..16].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let sum = xxh3_64(&header[..24]);
    header[24..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Whether a file begins with its header, and is of the version that is known.
#[derive(Debug, PartialEq)]
pub(super) enum FileHeader {
    /// It does: with the offset of its first record.
    First(u64),
    /// It is of another version.
    Version(u64),
    /// It does not.
    Damaged,
}

/// Reads the header of a file.
pub(super) fn read_file_header(bytes: &[u8]) -> FileHeader {
    let Some(header) = bytes.get(..HEADER) else { return FileHeader::Damaged };
    if header[..8] != FILE_MAGIC || number(&header[24..]) != xxh3_64(&header[..24]) {
        return FileHeader::Damaged;
    }
    match number(&header[8..]) {
        VERSION => FileHeader::First(number(&header[16..])),
        other => FileHeader::Version(other),
    }
}

/// A frame that is being put together.
pub(super) struct Draft {
    bytes: Vec<u8>,
    records: u32,
}

impl Draft {
    pub(super) fn new() -> Self {
        Draft { bytes: vec![0; HEADER], records: 0 }
    }

    /// Adds a record, or one that is to be rejected for a reason.
    pub(super) fn push(&mut self, record: &[u8], reason: &str) {
        let reason = &reason.as_bytes()[..reason.len().min(u16::MAX.into())];
        let length = u32::try_from(record.len()).expect("a record is shorter than a request");
        let reason_length = u16::try_from(reason.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&reason_length.to_le_bytes());
        self.bytes.extend_from_slice(reason);
        self.bytes.extend_from_slice(record);
        self.records += 1;
    }

    /// Adds all records of another one.
    pub(super) fn extend(&mut self, other: &Draft) {
        self.bytes.extend_from_slice(&other.bytes[HEADER..]);
        self.records += other.records;
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// How long the frame is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frame, whose first record has this offset.
    pub(super) fn seal(&mut self, first: u64) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - HEADER).expect("a frame has a bound");
        let (header, content) = self.bytes.split_at_mut(HEADER);
        header[..8].copy_from_slice(&FRAME_MAGIC);
        header[8..16].copy_from_slice(&first.to_le_bytes());
        header[16..20].copy_from_slice(&self.records.to_le_bytes());
        header[20..24].copy_from_slice(&length.to_le_bytes());
        let sum = sum(&header[..24], content);
        header[24..].copy_from_slice(&sum.to_le_bytes());
        &self.bytes
    }

    /// Forgets its records, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEADER);
        self.records = 0;
    }
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The offset of its first record.
    pub(super) first: u64,
    /// How many it has.
    pub(super) records: u32,
    /// How many bytes come after the header.
    pub(super) length: usize,
}

/// Reads the header of a frame, whose sum is still to be looked at.
pub(super) fn read_header(bytes: &[u8]) -> Option<Header> {
    let header = bytes.get(..HEADER).filter(|header| header[..8] == FRAME_MAGIC)?;
    let (records, length) = (short(&header[16..]), short(&header[20..]));
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_MAX)?;
    Some(Header { first: number(&header[8..]), records, length })
}

/// The header of the frame that begins here, if all of it is as it was written.
pub(super) fn whole(bytes: &[u8]) -> Option<Header> {
    let header = read_header(bytes)?;
    let content = bytes.get(HEADER..HEADER + header.length)?;
    (number(&bytes[24..]) == sum(&bytes[..24], content)).then_some(header)
}

/// Where in these bytes a whole frame begins, if any does.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    let begins = memchr::memmem::find_iter(bytes, &FRAME_MAGIC);
    begins.into_iter().find(|at| whole(&bytes[*at..]).is_some())
}

/// The next record in what a whole frame holds: its reason, its bytes, and what comes after it.
pub(super) fn next_record(content: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (header, rest) = content.split_at_checked(RECORD_HEADER)?;
    let length = usize::try_from(short(header)).ok()?;
    let reason_length = u16::from_le_bytes([header[4], header[5]]);
    let (reason, rest) = rest.split_at_checked(reason_length.into())?;
    let (record, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(reason).ok()?, record, rest))
}

fn sum(header: &[u8], content: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(header);
    sum.update(content);
    sum.digest()
}

/// The first eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The first four.
fn short(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u64, records: &[(&str, &str)]) -> Vec<u8> {
        let mut draft = Draft::new();
        records.iter().for_each(|(record, reason)| draft.push(record.as_bytes(), reason));
        draft.seal(first).to_vec()
    }

    #[test]
    fn records_come_back_with_their_reasons() {
        let bytes = frame(7, &[("{}", ""), ("", ""), ("x\ny", "too long")]);
        let header = whole(&bytes).unwrap();
        assert_eq!((header.first, header.records), (7, 3));
        let (mut rest, mut found) = (&bytes[HEADER..], Vec::new());
        while let Some((reason, record, more)) = next_record(rest) {
            found.push((reason, record));
            rest = more;
        }
        assert_eq!(found, [("", &b"{}"[..]), ("", b""), ("too long", b"x\ny")]);
        assert!(rest.is_empty());
    }

    #[test]
    fn every_bit_counts() {
        let bytes = frame(7, &[("{\"a\":1}", "")]);
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(whole(&changed), None, "bit {at}");
        }
        (0..bytes.len()).for_each(|end| assert_eq!(whole(&bytes[..end]), None));
        let header = file_header(9);
        assert_eq!(read_file_header(&header), FileHeader::First(9));
        for at in 0..header.len() * 8 {
            let mut changed = header;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(read_file_header(&changed), FileHeader::Damaged, "bit {at}");
        }
    }

    #[test]
    fn a_frame_is_found_behind_damage() {
        let mut bytes = frame(1, &[("a", "")]);
        let second = frame(2, &[("b", "")]);
        let at = bytes.len();
        bytes.extend_from_slice(&second);
        bytes[3] ^= 1;
        assert_eq!(find(&bytes), Some(at));
        bytes[at + 3] ^= 1;
        assert_eq!(find(&bytes), None);
    }
}
