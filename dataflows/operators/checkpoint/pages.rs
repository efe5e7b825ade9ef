//! Pages of entries that concern a user: key, length, content, one after the other.

use super::image::{Image, write_bare};
use crate::codec::{Entries, Stopped, write_unsigned};
use crate::model::{EventTime, UserKey};

/// From so many bytes on, a page is full. Soon where tests want many pages.
pub(super) const PAGE_BYTES: usize = if cfg!(debug_assertions) { 256 } else { 64 << 10 };

/// Pages of users being written.
#[derive(Debug, Default)]
pub(super) struct UserPages {
    full: Vec<Vec<u8>>,
    page: Vec<u8>,
}

/// What a page may be longer than full by, mostly: an entry.
const SLACK_BYTES: usize = 512;
/// How long an entry may be for its length to be told in a byte.
const SHORT_BYTES: usize = 250;

impl UserPages {
    /// Puts a user behind what is there; without an image, one who was erased.
    pub(super) fn push(&mut self, key: UserKey, image: Option<&Image>) {
        self.write(key, |page| image.into_iter().for_each(|image| image.write(page)));
    }

    /// Puts a user behind what is there of whom nothing is kept but who they are and since when.
    pub(super) fn push_bare(&mut self, key: UserKey, name: &[u8], since: EventTime) {
        self.write(key, |page| write_bare(name, since, page));
    }

    fn write(&mut self, key: UserKey, image: impl FnOnce(&mut Vec<u8>)) {
        push_written(&mut self.page, key, image);
        if self.page.len() >= PAGE_BYTES {
            self.full.push(std::mem::take(&mut self.page));
        }
    }

    /// All of them.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        self.full.extend(Some(self.page).filter(|page| !page.is_empty()));
        self.full
    }
}

/// Puts an entry behind what is there: whose it is, its length, and what it says.
pub(super) fn push(page: &mut Vec<u8>, key: UserKey, image: &[u8]) {
    page.extend_from_slice(&key.to_bytes());
    write_unsigned(image.len() as u64, page);
    page.extend_from_slice(image);
}

/// Sees to it that a page that is to be filled has room for all of it.
pub(super) fn make_room(page: &mut Vec<u8>) {
    if page.capacity() == 0 {
        page.reserve(PAGE_BYTES + SLACK_BYTES);
    }
}

/// Puts an entry behind what is there: what it says is written right where it stands.
pub(super) fn push_written(page: &mut Vec<u8>, key: UserKey, write: impl FnOnce(&mut Vec<u8>)) {
    make_room(page);
    page.extend_from_slice(&key.to_bytes());
    let place = page.len();
    page.push(0);
    write(page);
    let length = page.len() - place - 1;
    if length <= SHORT_BYTES {
        page[place] = length as u8;
    } else {
        let mut long = Vec::new();
        write_unsigned(length as u64, &mut long);
        page.splice(place..=place, long);
    }
}

/// The entries of a page, each with whom it concerns.
pub(super) fn keyed(
    page: &[u8],
) -> impl Iterator<Item = Result<(UserKey, &[u8]), Stopped>> + use<'_> {
    let mut entries = Entries::new(page);
    std::iter::from_fn(move || {
        if entries.is_empty() {
            return None;
        }
        let mut next = || {
            let key = UserKey::from_bytes(entries.key()?);
            let length = entries.unsigned()?;
            Ok((key, entries.bytes(usize::try_from(length).unwrap_or(usize::MAX))?))
        };
        Some(next())
    })
}
