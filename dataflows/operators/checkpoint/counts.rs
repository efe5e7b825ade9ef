//! Pages of counts: what someone beside the dataflow has counted by stretches of time, such as
//! sketches. The dataflow knows nothing of it; it is kept with what the dataflow keeps, as of the
//! same instant, so that what is computed again after a crash is counted once.
//!
//! An entry is content under a [`CountKey`]; of several of one key the newest counts. It is of use up
//! to its own instant, or until it is erased.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::merge::{Forget, Merged};
use super::pages::keyed;
use super::pages::{PAGE_BYTES, push};
use super::{Collection, Piece, Unreadable, is_needed};
use crate::codec::{Entries, Stopped, fingerprint, write, write_signed};
use crate::model::{EventTime, UserKey};

/// What an entry is about: what was counted, and which stretch of time, or part, it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CountKey {
    /// A fingerprint of what was counted, and how.
    pub what: u64,
    /// Which part of it.
    pub part: i64,
}

impl CountKey {
    /// The part of what this stands for, in any run.
    pub fn of<T: Serialize + ?Sized>(what: &T, part: i64) -> Self {
        CountKey { what: fingerprint(what), part }
    }

    // Entries stand in pages as users do: by 16 bytes.
    fn as_user(self) -> UserKey {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.what.to_be_bytes());
        bytes[8..].copy_from_slice(&self.part.to_be_bytes());
        UserKey::from_bytes(bytes)
    }

    fn from_user(key: UserKey) -> Self {
        let number = u128::from_be_bytes(key.to_bytes());
        CountKey { what: (number >> 64) as u64, part: number as u64 as i64 }
    }
}

/// What makes the bytes of an entry, when there is time to.
pub type Later = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// An entry to be kept.
pub struct Count {
    /// What it is about.
    pub key: CountKey,
    /// The instant from which on it is of no use.
    pub until: EventTime,
    /// What is to be kept; nothing, where what was is to be forgotten.
    pub content: Option<Later>,
}

/// The content of an entry, for [`Counts::read`].
pub fn content<T: Serialize + ?Sized>(content: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(content, &mut bytes);
    bytes
}

/// The piece of these, counted of all that took effect before a time.
pub fn counts_piece((number, before): (u64, EventTime), counts: Vec<Count>) -> Piece {
    let (mut full, mut page, mut entry) = (Vec::new(), Vec::new(), Vec::new());
    let mut until = EventTime::MIN;
    for count in counts {
        entry.clear();
        if let Some(content) = count.content {
            write_signed(count.until, &mut entry);
            entry.extend(content());
        }
        until = until.max(count.until);
        push(&mut page, count.key.as_user(), &entry);
        if page.len() >= PAGE_BYTES {
            full.push(std::mem::take(&mut page));
        }
    }
    full.extend(Some(page).filter(|page| !page.is_empty()));
    let collection = Collection::Counts;
    Piece { number, before, settled: before, collection, until, pages: full }
}

/// What an earlier run had counted.
#[derive(Debug, Default)]
pub struct Counts(HashMap<CountKey, (EventTime, Vec<u8>)>);

impl Counts {
    /// Takes in a page. Pages come in the order of their checkpoints, for a run that goes on from
    /// `before`.
    ///
    /// # Errors
    /// It is not a page of counts.
    pub fn take(&mut self, page: &[u8], before: EventTime) -> Result<(), Unreadable> {
        let unreadable = |stopped| Unreadable::new(Collection::Counts, page, stopped);
        for entry in keyed(page) {
            let (key, entry) = entry.map_err(unreadable)?;
            let key = CountKey::from_user(key);
            match until(entry).map_err(unreadable)? {
                Some((until, content)) if is_needed(until, before) => {
                    self.0.insert(key, (until, content.to_vec()));
                }
                _ => _ = self.0.remove(&key),
            }
        }
        Ok(())
    }

    /// The content of an entry, as [`content`] wrote it; `None` if there is none such.
    pub fn read<T: DeserializeOwned>(&self, key: CountKey) -> Option<T> {
        Entries::new(self.bytes(key)?).read().ok()
    }

    /// The content of an entry.
    pub fn bytes(&self, key: CountKey) -> Option<&[u8]> {
        self.0.get(&key).map(|(_, content)| content.as_slice())
    }

    /// The keys there are, in no order.
    pub fn keys(&self) -> impl Iterator<Item = CountKey> {
        self.0.keys().copied()
    }
}

/// The instant and the content of an entry; nothing of what was erased.
fn until(entry: &[u8]) -> Result<Option<(EventTime, &[u8])>, Stopped> {
    if entry.is_empty() {
        return Ok(None);
    }
    let mut entries = Entries::new(entry);
    let until = entries.signed()?;
    Ok(Some((until, &entry[entries.read_bytes()..])))
}

/// The newest of each key that is of use.
pub(super) fn merge(pieces: &[Piece], forget: Forget) -> Merged<'_> {
    let (mut full, mut page, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for read in pieces.iter().flat_map(|piece| &piece.pages).rev() {
        let stopped = |stopped| (read.as_slice(), stopped);
        // Of one page, too, the last counts.
        let entries: Vec<_> = keyed(read).collect::<Result<_, _>>().map_err(stopped)?;
        for (key, entry) in entries.into_iter().rev() {
            let is_void = match until(entry).map_err(stopped)? {
                Some((until, _)) => !is_needed(until, forget.before),
                None => forget.erasures,
            };
            if !seen.insert(key) || is_void {
                continue;
            }
            push(&mut page, key, entry);
            if page.len() >= PAGE_BYTES {
                full.push(std::mem::take(&mut page));
            }
        }
    }
    full.extend(Some(page).filter(|page| !page.is_empty()));
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_EVER: EventTime = EventTime::MAX;

    fn key(what: &str, part: i64) -> CountKey {
        CountKey::of(what, part)
    }

    fn piece(number: u64, counts: &[(&str, i64, EventTime, Option<u64>)]) -> Piece {
        let count = |(what, part, until, number): &(&str, i64, EventTime, Option<u64>)| Count {
            key: key(what, *part),
            until: *until,
            content: number.map(|number| -> Later { Box::new(move || content(&number)) }),
        };
        counts_piece((number, number as i64 * 100), counts.iter().map(count).collect())
    }

    fn taken(pieces: &[Piece], before: EventTime) -> Vec<(i64, u64)> {
        let mut counts = Counts::default();
        for page in pieces.iter().flat_map(|piece| &piece.pages) {
            counts.take(page, before).unwrap();
        }
        let mut all: Vec<_> =
            counts.keys().map(|key| (key.part, counts.read(key).unwrap())).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_newest_of_each_counts_as_long_as_it_is_of_use_merged_or_not() {
        let pieces = [
            piece(1, &[("a", -1, FOR_EVER, Some(1)), ("a", 2, 250, Some(2))]),
            piece(2, &[("a", -1, FOR_EVER, Some(3)), ("b", 3, FOR_EVER, Some(4))]),
            piece(3, &[("b", 3, FOR_EVER, None), ("a", i64::MIN, 400, Some(5))]),
        ];
        assert_eq!(pieces.each_ref().map(|it| it.until), [FOR_EVER, FOR_EVER, FOR_EVER]);
        assert_eq!(taken(&pieces[..2], 200), [(-1, 3), (2, 2), (3, 4)]);
        let all = [(i64::MIN, 5), (-1, 3)];
        assert_eq!(taken(&pieces, 300), all);
        let merge = |pieces: &[Piece], erasures| {
            super::super::merge(Collection::Counts, pieces, Forget { before: 300, erasures })
                .unwrap()
        };
        assert_eq!(taken(&[merge(&pieces, true)], 300), all);
        // What is merged is the newest; what it erases stands before it.
        let newest = merge(&pieces[1..], false);
        assert_eq!(taken(&[pieces[0].clone(), newest], 300), all);
        let newest = merge(&pieces[2..], false);
        assert_eq!(taken(&[pieces[0].clone(), pieces[1].clone(), newest], 300), all);
        assert_eq!(taken(&[merge(&pieces, true)], 401), [(-1, 3)]);
        assert_eq!(merge(&pieces, true).pages.concat().len(), 2 * 16 + 2 + 9 + 1 + 3 + 1);
    }

    #[test]
    fn other_bytes_are_told() {
        let mut counts = Counts::default();
        assert!(counts.take(&[1; 20], 0).is_err());
        assert!(counts.read::<u64>(key("a", 1)).is_none());
    }
}
