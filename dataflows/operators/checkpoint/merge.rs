//! Pieces of one collection made into one: what a later one has made void is left out.
//!
//! Cost: every entry is read once and written once; the keys of users are held meanwhile.

use std::collections::{HashMap, HashSet};

use super::events::{EventPage, EventReader, Told, extent};
use super::pages::{PAGE_BYTES, keyed, push};
use super::{Collection, Piece, Unreadable, counts, identifiers};
use crate::codec::Stopped;
use crate::model::{EventTime, StreamId, UserKey};

/// What a merge may leave out beside what is void.
#[derive(Debug, Clone, Copy)]
pub struct Forget {
    /// Events and identifiers of before are needed no more; nor counts whose instant is before.
    pub before: EventTime,
    /// Whether there is nothing older: then nothing is left that anything would make void.
    pub erasures: bool,
}

/// Makes one piece of several of one collection, given in the order of their numbers.
///
/// # Errors
/// One of their pages cannot be read.
pub fn merge(
    collection: Collection,
    pieces: &[Piece],
    forget: Forget,
) -> Result<Piece, Unreadable> {
    let merged = match collection {
        Collection::Users => users(pieces, forget),
        Collection::Events => events(pieces, forget),
        Collection::Identifiers => identifiers::merge(pieces, forget.before),
        Collection::Counts => counts::merge(pieces, forget),
    };
    let pages = merged.map_err(|(page, stopped)| Unreadable::new(collection, page, stopped))?;
    let newest = pieces.iter().map(|piece| (piece.number, piece.before)).max();
    let (number, before) = newest.unwrap_or((0, EventTime::MIN));
    let until = pieces.iter().map(|piece| piece.until).max().unwrap_or(EventTime::MIN);
    let settled = pieces.iter().map(|piece| piece.settled).max().unwrap_or(EventTime::MIN);
    Ok(Piece { number, before, settled, collection, until, pages })
}

/// The pages, or the one at which reading stopped.
pub(super) type Merged<'a> = Result<Vec<Vec<u8>>, (&'a [u8], Stopped)>;

fn pages(pieces: &[Piece]) -> impl DoubleEndedIterator<Item = &[u8]> {
    pieces.iter().flat_map(|piece| &piece.pages).map(Vec::as_slice)
}

fn users(pieces: &[Piece], forget: Forget) -> Merged<'_> {
    let (mut full, mut page) = (Vec::new(), Vec::new());
    let mut seen: HashSet<UserKey> = HashSet::new();
    for read in pages(pieces).rev() {
        let stopped = |stopped| (read, stopped);
        for user in keyed(read) {
            let (key, image) = user.map_err(stopped)?;
            // Of a user who was erased there is nothing but the key.
            if !seen.insert(key) || (forget.erasures && image.is_empty()) {
                continue;
            }
            push(&mut page, key, image);
            if page.len() >= PAGE_BYTES {
                full.push(std::mem::take(&mut page));
            }
        }
    }
    full.extend(Some(page).filter(|page| !page.is_empty()));
    Ok(full)
}

/// The pages of which something is needed: as they are, unless what was erased can be left out, or
/// they are small.
fn events(pieces: &[Piece], forget: Forget) -> Merged<'_> {
    let (mut pages, mut voids): (Vec<&[u8]>, _) = (Vec::new(), false);
    for page in self::pages(pieces) {
        let extent = extent(page).map_err(|stopped| (page, stopped))?;
        voids |= extent.voids;
        // What is made void in a page that is not needed is as old.
        if extent.latest >= forget.before {
            pages.push(page);
        }
    }
    let bytes: usize = pages.iter().map(|page| page.len()).sum();
    let are_small = bytes < pages.len() * PAGE_BYTES / 4;
    if forget.erasures && (voids || are_small) {
        return events_by_user(&pages, forget);
    }
    Ok(pages.into_iter().map(<[u8]>::to_vec).collect())
}

/// Events user by user, each user's in their order, without what is void.
fn events_by_user<'a>(pages: &[&'a [u8]], forget: Forget) -> Merged<'a> {
    let mut readers = Vec::with_capacity(pages.len());
    let mut entries = Vec::new();
    for (index, &page) in pages.iter().enumerate() {
        let reader = EventReader::new(page).map_err(|stopped| (page, stopped))?;
        for event in reader.users() {
            let (user, rest) = event.map_err(|stopped| (page, stopped))?;
            entries.push((user, index, rest));
        }
        readers.push(reader);
    }
    entries.sort_by_key(|(user, _, _)| *user);
    let mut numbers: HashMap<u64, StreamId> = HashMap::new();
    let (mut full, mut page) = (Vec::new(), EventPage::default());
    for own in entries.chunk_by(|left, right| left.0 == right.0) {
        let mut kept = Vec::new();
        for (_, index, rest) in own {
            let (time, event) =
                readers[*index].event(rest).map_err(|stopped| (pages[*index], stopped))?;
            match event {
                Told::Erased => kept.clear(),
                Told::Void(stream) => kept.retain(|(_, (other, _))| *other != stream),
                Told::Event(stream, entry) if time >= forget.before => {
                    kept.push((time, (stream, entry)));
                }
                Told::Event(..) => {}
            }
        }
        let Some((user, _, _)) = own.first() else { continue };
        for (time, event) in &kept {
            let (fingerprint, entry) = event;
            let next = StreamId(numbers.len() as u32);
            let number = *numbers.entry(*fingerprint).or_insert(next);
            page.push(*user, *time, Told::Event((number, *fingerprint), entry));
        }
        if page.bytes() >= PAGE_BYTES {
            full.push(page.finish());
        }
    }
    let last = page.finish();
    full.extend(Some(last).filter(|page| !page.is_empty()));
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::window::Entry;

    /// A page of events at these times, of so many users in turn; at 0, one is erased.
    fn page(users: &[&str], times: &[EventTime]) -> Vec<u8> {
        let mut page = EventPage::default();
        for (user, time) in users.iter().cycle().zip(times) {
            let event = Told::Event((StreamId(3), 33), &Entry::Happened);
            page.push(UserKey::of(user), *time, if *time == 0 { Told::Erased } else { event });
        }
        page.finish()
    }

    fn merged(pages: Vec<Vec<u8>>, forget: Forget) -> Vec<Vec<u8>> {
        let collection = Collection::Events;
        let piece = Piece { number: 1, before: 0, settled: 0, collection, until: 0, pages };
        merge(collection, &[piece], forget).unwrap().pages
    }

    #[test]
    fn a_page_goes_over_as_it_is_or_not_at_all() {
        let times: Vec<_> = (1..=100).collect();
        let (old, new) = (page(&["a", "b"], &times[..50]), page(&["a"], &times[50..]));
        for erasures in [false, true] {
            let both = |before| merged(vec![old.clone(), new.clone()], Forget { before, erasures });
            assert_eq!(both(50), [old.clone(), new.clone()]);
            assert_eq!(both(51), std::slice::from_ref(&new));
            assert!(both(101).is_empty());
        }
    }

    #[test]
    fn of_who_was_erased_nothing_is_left() {
        let pages = vec![page(&["a", "b"], &[1; 40]), page(&["a"], &[0]), page(&["a"], &[2])];
        let forget = Forget { before: EventTime::MIN, erasures: true };
        let kept = merged(pages.clone(), forget).concat();
        let count = |user| {
            let key = UserKey::of(user).to_bytes();
            kept.windows(key.len()).filter(|bytes| **bytes == key).count()
        };
        assert_eq!((count("a"), count("b")), (1, 20));
        // Older ones may stand elsewhere.
        assert_eq!(merged(pages.clone(), Forget { erasures: false, ..forget }), pages);
    }

    #[test]
    fn of_what_was_worked_out_anew_only_that_is_left() {
        let user = UserKey::of("a");
        let [one, other] = [(StreamId(1), 11), (StreamId(2), 22)];
        let mut page = EventPage::default();
        let happened = |stream| Told::Event(stream, &Entry::Happened);
        for (time, told) in [
            (1, happened(one)),
            (2, happened(other)),
            (9, Told::Void(one)),
            (1, happened(one)),
            (3, happened(one)),
        ] {
            page.push(user, time, told);
        }
        let forget = Forget { before: EventTime::MIN, erasures: true };
        let [merged] = &merged(vec![page.finish()], forget)[..] else { panic!("one is enough") };
        let reader = EventReader::new(merged).unwrap();
        let read = reader.users().map(|event| reader.event(event.unwrap().1).unwrap());
        let event = |time, stream| (time, Told::Event(stream, Entry::Happened));
        assert!(read.eq([event(2, 22), event(1, 11), event(3, 11)]));
    }
}
