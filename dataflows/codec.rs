//! How what is kept becomes bytes: bincode with short integers, named here and nowhere else.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3;

/// The most bytes one entry may claim to have.
const ENTRY_BYTES_MAX: u64 = 1 << 30;

/// Where reading stopped, and why.
pub(crate) type Stopped = (usize, bincode::Error);

fn options() -> impl Options {
    bincode::DefaultOptions::new().allow_trailing_bytes()
}

/// Puts an entry behind what is there.
pub(crate) fn write<T: Serialize + ?Sized>(entry: &T, into: &mut Vec<u8>) {
    options().serialize_into(into, entry).expect("what is kept in memory can be written there");
}

/// Puts a number behind what is there, as [`write`] does: the shorter the smaller. It takes a fraction
/// of the time that writing by its type does.
pub(crate) fn write_unsigned(number: u64, into: &mut Vec<u8>) {
    match u16::try_from(number) {
        Ok(short @ 0..=250) => into.push(short as u8),
        Ok(short) => {
            let [low, high] = short.to_le_bytes();
            into.extend_from_slice(&[251, low, high]);
        }
        Err(_) => match u32::try_from(number) {
            Ok(middling) => {
                into.push(252);
                into.extend_from_slice(&middling.to_le_bytes());
            }
            Err(_) => {
                into.push(253);
                into.extend_from_slice(&number.to_le_bytes());
            }
        },
    }
}

/// The same of a number that may be below zero: small ones are written as small ones.
pub(crate) fn write_signed(number: i64, into: &mut Vec<u8>) {
    write_unsigned(folded(number), into);
}

/// Small numbers, whatever their sign, as small ones.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// A short entry, put together where it is copied from in one go: of what there is much of, to ask for
/// room number by number would be most of the work.
pub(crate) struct Short {
    bytes: [u8; Short::BYTES_MAX],
    length: usize,
}

impl Short {
    /// A key, and what five numbers come to at most, and the eight bytes the last one is written as.
    const BYTES_MAX: usize = 72;

    /// One that begins with the 16 bytes of a key.
    #[inline]
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let mut bytes = [0; Short::BYTES_MAX];
        bytes[..16].copy_from_slice(&key);
        Short { bytes, length: 16 }
    }

    /// How long it is so far.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Puts a byte behind what is there.
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Puts another byte in place of one that is there.
    pub(crate) fn set(&mut self, place: usize, byte: u8) {
        self.bytes[place] = byte;
    }

    /// Puts a number behind what is there, as [`write_unsigned`] does.
    #[inline]
    pub(crate) fn unsigned(&mut self, number: u64) {
        let (tag, length) = match number {
            0..=250 => return self.byte(number as u8),
            251..=0xffff => (251, 2),
            0x1_0000..=0xffff_ffff => (252, 4),
            _ => (253, 8),
        };
        self.byte(tag);
        self.bytes[self.length..self.length + 8].copy_from_slice(&number.to_le_bytes());
        self.length += length;
    }

    /// The same of a number that may be below zero.
    #[inline]
    pub(crate) fn signed(&mut self, number: i64) {
        self.unsigned(folded(number));
    }

    /// Puts it behind other entries.
    #[inline]
    pub(crate) fn end(&self, into: &mut Vec<u8>) {
        let end = into.len() + self.length;
        into.extend_from_slice(&self.bytes); // of a length that is known beforehand
        into.truncate(end);
    }
}

/// Reads entries one after the other.
pub(crate) struct Entries<'a> {
    page: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(crate) fn new(page: &'a [u8]) -> Self {
        Entries { page, rest: page }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes have been read.
    pub(crate) fn read_bytes(&self) -> usize {
        self.page.len() - self.rest.len()
    }

    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, Stopped> {
        let read = self.read_bytes();
        let limited = options().with_limit(ENTRY_BYTES_MAX);
        limited.deserialize_from(&mut self.rest).map_err(|cause| (read, cause))
    }

    /// A number, as it is written: the shorter the smaller. That is nearly all of what there is much
    /// of, and takes a fraction of the time that reading by its type does.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Stopped> {
        let (number, rest) = match self.rest {
            [byte @ 0..=250, rest @ ..] => (u64::from(*byte), rest),
            [251, low, high, rest @ ..] => (u16::from_le_bytes([*low, *high]).into(), rest),
            [252, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]).into(), rest),
            [253, rest @ ..] => match rest.split_first_chunk() {
                Some((word, rest)) => (u64::from_le_bytes(*word), rest),
                None => return self.read(),
            },
            _ => return self.read(),
        };
        self.rest = rest;
        Ok(number)
    }

    /// A number that may be below zero: small ones are written as small ones.
    pub(crate) fn signed(&mut self) -> Result<i64, Stopped> {
        let folded = self.unsigned()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// A number that may be long, and nearly never is; written like any that may be below zero.
    pub(crate) fn long_signed(&mut self) -> Result<i128, Stopped> {
        match self.rest {
            [254 | 255, ..] => self.read(),
            _ => self.signed().map(i128::from),
        }
    }

    /// Goes past a byte, if it is what comes.
    pub(crate) fn skip(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// So many bytes as they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Stopped> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            let cause = bincode::ErrorKind::SizeLimit;
            return Err((self.read_bytes(), Box::new(cause)));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// The 16 bytes of a key.
    pub(crate) fn key(&mut self) -> Result<[u8; 16], Stopped> {
        let mut key = [0; 16];
        key.copy_from_slice(self.bytes(16)?);
        Ok(key)
    }
}

/// What stands for something for ever, in any run: 64 bits of XXH3 of its bytes.
pub(crate) fn fingerprint<T: Serialize + ?Sized>(thing: &T) -> u64 {
    let mut bytes = Vec::new();
    write(thing, &mut bytes);
    xxh3::xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands behind the key of a short entry that comes behind others.
    fn short(put: impl Fn(&mut Short)) -> Vec<u8> {
        let (mut entry, mut page) = (Short::new([7; 16]), vec![1; 3]);
        put(&mut entry);
        entry.end(&mut page);
        assert_eq!((page.len(), page[2], page[3]), (3 + entry.length(), 1, 7));
        page.split_off(3 + 16)
    }

    #[test]
    fn the_longest_short_entry_has_room() {
        let longest = short(|it| {
            it.byte(1);
            (0..4).for_each(|_| it.unsigned(u64::MAX));
        });
        assert_eq!(longest.len(), 1 + 4 * 9);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let edges = [0, 1, 125, 126, 250, 251, 252, 255, 1 << 15, u64::from(u16::MAX), 1 << 16];
        for number in edges.into_iter().chain([u64::from(u32::MAX), 1 << 32, u64::MAX]) {
            let (mut page, mut by_hand) = (Vec::new(), Vec::new());
            write(&number, &mut page);
            write_unsigned(number, &mut by_hand);
            assert_eq!(page, by_hand);
            assert_eq!(short(|it| it.unsigned(number)), page);
            assert_eq!(Entries::new(&page).unsigned().ok(), Some(number));
            for end in 0..page.len() {
                assert!(Entries::new(&page[..end]).unsigned().is_err());
            }
            for number in [number as i64, (number as i64).wrapping_neg()] {
                (page, by_hand) = Default::default();
                write(&number, &mut page);
                write_signed(number, &mut by_hand);
                assert_eq!(page, by_hand);
                assert_eq!(short(|it| it.signed(number)), page);
                let mut entries = Entries::new(&page);
                assert_eq!(entries.signed().ok(), Some(number));
                assert!(entries.is_empty());
                for long in [number.into(), i128::from(number) << 60, i128::from(number) << 40] {
                    page.clear();
                    write(&long, &mut page);
                    let mut entries = Entries::new(&page);
                    assert_eq!(entries.long_signed().ok(), Some(long));
                    assert!(entries.is_empty());
                }
            }
        }
    }
}
