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
