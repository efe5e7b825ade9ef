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
    write_unsigned(((number << 1) ^ (number >> 63)) as u64, into);
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

    /// Goes past a byte, if it is what comes.
    pub(crate) fn skip(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
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

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let edges = [0, 1, 125, 126, 250, 251, 252, 255, 1 << 15, u64::from(u16::MAX), 1 << 16];
        for number in edges.into_iter().chain([u64::from(u32::MAX), 1 << 32, u64::MAX]) {
            let (mut page, mut by_hand) = (Vec::new(), Vec::new());
            write(&number, &mut page);
            write_unsigned(number, &mut by_hand);
            assert_eq!(page, by_hand);
            assert_eq!(Entries::new(&page).unsigned().ok(), Some(number));
            for end in 0..page.len() {
                assert!(Entries::new(&page[..end]).unsigned().is_err());
            }
            for number in [number as i64, (number as i64).wrapping_neg()] {
                (page, by_hand) = Default::default();
                write(&number, &mut page);
                write_signed(number, &mut by_hand);
                assert_eq!(page, by_hand);
                let mut entries = Entries::new(&page);
                assert_eq!(entries.signed().ok(), Some(number));
                assert!(entries.is_empty());
            }
        }
    }
}
