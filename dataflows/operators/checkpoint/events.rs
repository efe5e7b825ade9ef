//! Pages of events: what entered windows, in order, and where what stands before is void: all of a
//! user who was erased, or what a stream held that has been worked out anew.

use std::collections::BTreeMap;

use super::pages::{keyed, push, push_written};
use super::worker_of;
use crate::codec::{Entries, Stopped, write, write_signed, write_unsigned};
use crate::model::{EventTime, StreamId, UserKey};
use crate::operators::window::Entry;

/// An event of which nothing but that it happened is kept, as it is written: most of them.
const HAPPENED: u8 = 0;
/// What stands in place of an event where what the stream held before is void: no entry is written
/// so.
const VOID: u8 = 250;

/// What a page tells of a user.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::operators) enum Told<S, E> {
    /// The user was erased.
    Erased,
    /// What the stream held before is void.
    Void(S),
    /// The stream took this.
    Event(S, E),
}

/// A stream as pages are written: the writer's own number for it, and its fingerprint.
pub(super) type Named = (StreamId, u64);

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct EventPage {
    /// What times count from.
    base: Option<EventTime>,
    /// By the writer's own number, the streams named in it.
    streams: BTreeMap<u32, u64>,
    /// The one that was named last.
    last: Option<u32>,
    entries: Vec<u8>,
}

impl EventPage {
    /// Puts what is told behind what is there.
    pub(super) fn push(&mut self, user: UserKey, time: EventTime, told: Told<Named, &Entry>) {
        let base = *self.base.get_or_insert(time);
        if let Told::Event(stream, _) | Told::Void(stream) = told {
            self.name(stream);
        }
        push_written(&mut self.entries, user, |into| {
            write_signed(time - base, into);
            match told {
                Told::Event((stream, _), entry) => {
                    write_unsigned(u64::from(stream.0) + 1, into);
                    match entry {
                        Entry::Happened => into.push(HAPPENED),
                        entry => write(entry, into),
                    }
                }
                Told::Void((stream, _)) => {
                    write_unsigned(u64::from(stream.0) + 1, into);
                    into.push(VOID);
                }
                Told::Erased => write_unsigned(0, into),
            }
        });
    }

    fn name(&mut self, (stream, fingerprint): Named) {
        if self.last != Some(stream.0) {
            self.last = Some(stream.0);
            self.streams.entry(stream.0).or_insert(fingerprint);
        }
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// The page; empty if nothing was put into it. The next one begins.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let Some(base) = self.base.take() else { return Vec::new() };
        let mut page = Vec::with_capacity(self.entries.len() + 16 * self.streams.len() + 16);
        write(&(base, &self.streams), &mut page);
        page.extend_from_slice(&self.entries);
        self.streams.clear();
        self.last = None;
        self.entries.clear();
        page
    }
}

/// A page being read. Events are found by their user first, and read when they are asked for.
pub(in crate::operators) struct EventReader<'a> {
    base: EventTime,
    /// Fingerprints by the number the page has for a stream.
    streams: BTreeMap<u32, u64>,
    page: &'a [u8],
    /// Where the entries begin.
    start: usize,
}

impl<'a> EventReader<'a> {
    pub(in crate::operators) fn new(page: &'a [u8]) -> Result<Self, Stopped> {
        let mut entries = Entries::new(page);
        let (base, streams) = entries.read()?;
        Ok(EventReader { base, streams, page, start: entries.read_bytes() })
    }

    /// How many bytes its events take up.
    pub(in crate::operators) fn bytes(&self) -> usize {
        self.page.len() - self.start
    }

    /// The user of each event, and where the rest of it stands.
    pub(in crate::operators) fn users(
        &self,
    ) -> impl Iterator<Item = Result<(UserKey, &'a [u8]), Stopped>> + use<'a> {
        keyed(&self.page[self.start..])
    }

    /// What is told by the rest of an event, and when that was. Streams go by their fingerprints.
    pub(in crate::operators) fn event(
        &self,
        rest: &[u8],
    ) -> Result<(EventTime, Told<u64, Entry>), Stopped> {
        let mut entries = Entries::new(rest);
        let time = self.base.saturating_add(entries.signed()?);
        let Some(stream) = entries.unsigned()?.checked_sub(1) else {
            return Ok((time, Told::Erased));
        };
        let stream = u32::try_from(stream).unwrap_or(u32::MAX);
        let fingerprint = self.streams.get(&stream).copied().unwrap_or_default();
        let told = if entries.skip(HAPPENED) {
            Told::Event(fingerprint, Entry::Happened)
        } else if entries.skip(VOID) {
            Told::Void(fingerprint)
        } else {
            Told::Event(fingerprint, entries.read()?)
        };
        Ok((time, told))
    }
}

/// What the entries of a page have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The time of the latest.
    pub(super) latest: EventTime,
    /// Whether anything was made void there.
    pub(super) voids: bool,
}

/// Reads no more of a page than it must.
pub(super) fn extent(page: &[u8]) -> Result<Extent, Stopped> {
    let reader = EventReader::new(page)?;
    let mut extent = Extent { latest: EventTime::MIN, voids: false };
    for event in reader.users() {
        let (_, rest) = event?;
        let mut entries = Entries::new(rest);
        extent.latest = extent.latest.max(reader.base.saturating_add(entries.signed()?));
        extent.voids |= entries.unsigned()? == 0 || entries.skip(VOID);
    }
    Ok(extent)
}

pub(super) fn deal(page: &[u8], workers: usize) -> Result<Vec<Vec<u8>>, Stopped> {
    let reader = EventReader::new(page)?;
    let mut parts = vec![Vec::new(); workers];
    for event in reader.users() {
        let (user, rest) = event?;
        reader.event(rest)?;
        let part = &mut parts[worker_of(user.route(), workers)];
        if part.is_empty() {
            part.extend_from_slice(&page[..reader.start]);
        }
        push(part, user, rest);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_happened_is_written_in_a_byte() {
        let mut written = Vec::new();
        write(&Entry::Happened, &mut written);
        assert_eq!(written, [HAPPENED]);
    }

    #[test]
    fn what_is_void_is_told_from_every_entry() {
        let position = crate::model::Position { partition: 0, offset: 0 };
        let entries = [
            Entry::Amount(crate::model::Amount::whole(7)),
            Entry::Value(position, crate::model::Value::Null),
            Entry::Whole(position, Default::default()),
        ];
        let (user, stream) = (UserKey::of("u"), (StreamId(2), 22));
        let mut page = EventPage::default();
        page.push(user, 5, Told::Void(stream));
        page.push(user, 6, Told::Erased);
        entries.iter().for_each(|entry| page.push(user, 7, Told::Event(stream, entry)));
        let page = page.finish();
        assert_eq!(extent(&page).unwrap(), Extent { latest: 7, voids: true });
        let reader = EventReader::new(&page).unwrap();
        let read = reader.users().map(|event| reader.event(event.unwrap().1).unwrap());
        let voided = [(5, Told::Void(22)), (6, Told::Erased)];
        let events = entries.into_iter().map(|entry| (7, Told::Event(22, entry)));
        assert!(read.eq(voided.into_iter().chain(events)));
    }
}
