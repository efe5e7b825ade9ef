//! Pages of events: what entered windows, in order, and where what stands before is void: all of a
//! user who was erased, or what a stream held that has been worked out anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::pages::{keyed, make_room, push_written};
use crate::codec::{Entries, Short, Stopped, write, write_signed, write_unsigned};
use crate::model::{Amount, EventTime, StreamId, UserKey};
use crate::operators::window::Entry;

/// An event of which nothing but that it happened is kept, as it is written: most of them.
const HAPPENED: u8 = 0;
/// Before an amount.
const AMOUNT: u8 = 1;
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
    /// By the writer's own number, whether a stream is among them.
    named: Vec<bool>,
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

    /// Puts an event behind what is there that happened, and had a number of millionths if there is
    /// one: as [`push`](Self::push) does, in a fraction of the time.
    #[inline]
    pub(super) fn push_short(
        &mut self,
        user: UserKey,
        time: EventTime,
        (stream, micros): (Named, Option<i64>),
    ) {
        let base = *self.base.get_or_insert(time);
        self.name(stream);
        let mut entry = Short::new(user.to_bytes());
        let place = entry.length();
        entry.byte(0); // its length, once it is known
        entry.signed(time - base);
        entry.unsigned(u64::from(stream.0.0) + 1);
        match micros {
            None => entry.byte(HAPPENED),
            Some(micros) => {
                entry.byte(AMOUNT);
                entry.signed(micros);
            }
        }
        entry.set(place, (entry.length() - place - 1) as u8);
        make_room(&mut self.entries);
        entry.end(&mut self.entries);
    }

    fn name(&mut self, (stream, fingerprint): Named) {
        let number = stream.0 as usize;
        if !self.named.get(number).is_some_and(|is_named| *is_named) {
            self.name_first(number, (stream, fingerprint));
        }
    }

    #[inline(never)]
    fn name_first(&mut self, number: usize, (stream, fingerprint): Named) {
        if self.named.len() <= number {
            self.named.resize(number + 1, false);
        }
        self.named[number] = true;
        self.streams.insert(stream.0, fingerprint);
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
        self.named.clear();
        self.entries.clear();
        page
    }
}

/// A page being read. Events are found by their user first, and read when they are asked for.
pub(super) struct EventReader<'a> {
    base: EventTime,
    /// Fingerprints by the number the page has for a stream.
    streams: BTreeMap<u32, u64>,
    page: &'a [u8],
    /// Where the entries begin.
    start: usize,
}

impl<'a> EventReader<'a> {
    pub(super) fn new(page: &'a [u8]) -> Result<Self, Stopped> {
        let mut entries = Entries::new(page);
        let (base, streams) = entries.read()?;
        Ok(EventReader { base, streams, page, start: entries.read_bytes() })
    }

    /// The user of each event, and where the rest of it stands.
    pub(super) fn users(
        &self,
    ) -> impl Iterator<Item = Result<(UserKey, &'a [u8]), Stopped>> + use<'a> {
        keyed(&self.page[self.start..])
    }

    /// What is told by the rest of an event, and when that was. Streams go by their fingerprints.
    pub(super) fn event(&self, rest: &[u8]) -> Result<(EventTime, Told<u64, Entry>), Stopped> {
        let (time, told) = read(self.base, &mut Entries::new(rest))?;
        let fingerprint = |stream| self.streams.get(&stream).copied().unwrap_or_default();
        let told = match told {
            Told::Event(stream, entry) => Told::Event(fingerprint(stream), entry),
            Told::Void(stream) => Told::Void(fingerprint(stream)),
            Told::Erased => Told::Erased,
        };
        Ok((time, told))
    }
}

/// What is told, and when that was, where times count from `base`. Streams go by their numbers.
fn read(
    base: EventTime,
    entries: &mut Entries<'_>,
) -> Result<(EventTime, Told<u32, Entry>), Stopped> {
    let time = base.saturating_add(entries.signed()?);
    let Some(stream) = entries.unsigned()?.checked_sub(1) else {
        return Ok((time, Told::Erased));
    };
    let stream = u32::try_from(stream).unwrap_or(u32::MAX);
    let told = if entries.skip(HAPPENED) {
        Told::Event(stream, Entry::Happened)
    } else if entries.skip(AMOUNT) {
        Told::Event(stream, Entry::Amount(Amount::from_micros(entries.long_signed()?)))
    } else if entries.skip(VOID) {
        Told::Void(stream)
    } else {
        Told::Event(stream, entries.read()?)
    };
    Ok((time, told))
}

/// What events dealt out have in common, page after page of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::operators) struct EventsHead {
    /// What times count from.
    base: Option<EventTime>,
    /// The fingerprints of the streams, in the order of their numbers.
    streams: Vec<u64>,
}

impl EventsHead {
    /// The fingerprints of the streams, in the order of their numbers.
    pub(in crate::operators) fn streams(&self) -> &[u64] {
        &self.streams
    }

    /// What is told by the rest of an event dealt out.
    pub(in crate::operators) fn event(
        &self,
        rest: &[u8],
    ) -> Result<(EventTime, Told<u32, Entry>), Stopped> {
        read(self.base.unwrap_or_default(), &mut Entries::new(rest))
    }

    /// The number of a stream.
    fn number(&mut self, fingerprint: u64) -> u64 {
        let known = self.streams.iter().position(|known| *known == fingerprint);
        let place = known.unwrap_or_else(|| {
            self.streams.push(fingerprint);
            self.streams.len() - 1
        });
        place as u64
    }

    /// Takes a page apart: each event goes to `to`, and can be read there by this head. All of them
    /// have been read once.
    pub(super) fn deal(
        &mut self,
        page: &[u8],
        mut to: impl FnMut(UserKey, &[u8]),
    ) -> Result<(), Stopped> {
        let reader = EventReader::new(page)?;
        let base = *self.base.get_or_insert(reader.base);
        let streams = reader.streams.iter().map(|(old, it)| (u64::from(*old), self.number(*it)));
        let streams: SmallVec<[(u64, u64); 8]> = streams.collect();
        let mut dealt = Vec::new();
        for event in reader.users() {
            let (user, rest) = event?;
            let mut entries = Entries::new(rest);
            let time = reader.base.saturating_add(entries.signed()?);
            dealt.clear();
            write_signed(time.saturating_sub(base), &mut dealt);
            let stream = match entries.unsigned()?.checked_sub(1) {
                None => 0,
                Some(old) => match streams.iter().find(|(it, _)| *it == old) {
                    Some((_, new)) => new + 1,
                    None => 1 + self.number(0), // as one that nobody asks for
                },
            };
            write_unsigned(stream, &mut dealt);
            dealt.extend_from_slice(entries.rest());
            self.event(&dealt)?;
            to(user, &dealt);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_happened_is_written_in_a_byte() {
        let mut written = Vec::new();
        write(&Entry::Happened, &mut written);
        assert_eq!(written, [HAPPENED]);
        written.clear();
        write(&Entry::Amount(Amount::whole(0)), &mut written);
        assert_eq!(written, [AMOUNT, 0]);
    }

    #[test]
    fn a_short_event_is_written_as_any_other() {
        let (mut short, mut long) = (EventPage::default(), EventPage::default());
        let user = UserKey::of("u");
        for (time, number) in [(70_000, 3), (70_001, 300), (5, 3), (EventTime::MAX / 2, 70_000)] {
            let stream = (StreamId(number), 33);
            for micros in [None, Some(0), Some(-1), Some(19_990_000), Some(i64::MIN)] {
                short.push_short(user, time, (stream, micros));
                let amount = |micros: i64| Entry::Amount(Amount::from_micros(micros.into()));
                let entry = micros.map_or(Entry::Happened, amount);
                long.push(user, time, Told::Event(stream, &entry));
            }
        }
        assert_eq!(short.finish(), long.finish());
        assert!(short.finish().is_empty());
    }

    #[test]
    fn what_is_void_is_told_from_every_entry() {
        let position = crate::model::Position { partition: 0, offset: 0 };
        let entries = [
            Entry::Amount(Amount::whole(7)),
            Entry::Amount(Amount::from_micros(-Amount::LIMIT_MICROS)),
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
    #[test]
    fn pages_of_a_batch_are_dealt_out_as_one() {
        let (user, other) = (UserKey::of("u"), UserKey::of("v"));
        let happened = Entry::Happened;
        let mut head = EventsHead::default();
        let mut dealt: Vec<(UserKey, Vec<u8>)> = Vec::new();
        // A stream may have another number in the next page.
        for (base, number) in [(100_000, 3), (70, 5)] {
            let mut page = EventPage::default();
            page.push(user, base, Told::Event((StreamId(number), 33), &happened));
            page.push(other, base + 1, Told::Event((StreamId(number + 1), 44), &happened));
            page.push(user, base - 9, Told::Void((StreamId(number), 33)));
            page.push(other, base, Told::Erased);
            head.deal(&page.finish(), |user, rest| dealt.push((user, rest.to_vec()))).unwrap();
        }
        assert_eq!(head.streams(), [33, 44]);
        let read: Vec<_> =
            dealt.iter().map(|(user, rest)| (*user, head.event(rest).unwrap())).collect();
        let told = |base: EventTime| {
            [
                (user, (base, Told::Event(0, Entry::Happened))),
                (other, (base + 1, Told::Event(1, Entry::Happened))),
                (user, (base - 9, Told::Void(0))),
                (other, (base, Told::Erased)),
            ]
        };
        assert_eq!(read, [told(100_000), told(70)].concat());
    }
}
