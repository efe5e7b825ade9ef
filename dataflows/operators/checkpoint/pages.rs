//! Pages of entries that concern a user: key, length, content, one after the other.

use super::image::Image;
use crate::codec::{Entries, Stopped, write_unsigned};
use crate::model::UserKey;

/// From so many bytes on, a page is full. Soon where tests want many pages.
pub(super) const PAGE_BYTES: usize = if cfg!(debug_assertions) { 256 } else { 64 << 10 };

/// Pages of users being written.
#[derive(Debug, Default)]
pub(super) struct UserPages {
    full: Vec<Vec<u8>>,
    page: Vec<u8>,
    image: Vec<u8>,
}

impl UserPages {
    /// Puts a user behind what is there; without an image, one who was erased.
    pub(super) fn push(&mut self, key: UserKey, image: Option<&Image>) {
        self.image.clear();
        image.into_iter().for_each(|image| image.write(&mut self.image));
        push(&mut self.page, key, &self.image);
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
