//! Pages of events: what entered windows, in order, and where users were erased.

use std::collections::BTreeMap;

use super::worker_of;
use crate::codec::{Entries, Stopped, write};
use crate::model::{EventTime, StreamId, UserKey};
use crate::operators::window::Entry;

/// An event a window holds, or that the user was erased after those before.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::operators) struct Held {
    /// Whose.
    pub user: UserKey,
    /// When it happened.
    pub time: EventTime,
    /// The fingerprint of its stream, and what that took; `None` where the user was erased.
    pub event: Option<(u64, Entry)>,
}

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct EventPage {
    /// What times count from.
    base: Option<EventTime>,
    /// By the writer's own number, the streams named in it.
    streams: BTreeMap<u32, u64>,
    entries: Vec<u8>,
}

impl EventPage {
    /// Puts an event behind what is there. The stream is given by the writer's number for it and
    /// its fingerprint.
    pub(super) fn push(
        &mut self,
        user: UserKey,
        time: EventTime,
        event: Option<(StreamId, u64, &Entry)>,
    ) {
        let base = *self.base.get_or_insert(time);
        self.entries.extend_from_slice(&user.to_bytes());
        write(&(time - base), &mut self.entries);
        match event {
            Some((stream, fingerprint, entry)) => {
                self.streams.entry(stream.0).or_insert(fingerprint);
                write(&(stream.0 + 1), &mut self.entries);
                write(entry, &mut self.entries);
            }
            None => write(&0_u32, &mut self.entries),
        }
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// The page; empty if nothing was put into it.
    pub(super) fn finish(self) -> Vec<u8> {
        let Some(base) = self.base else { return Vec::new() };
        let mut page = Vec::with_capacity(self.entries.len() + 16 * self.streams.len() + 16);
        write(&(base, self.streams), &mut page);
        page.extend_from_slice(&self.entries);
        page
    }
}

/// The events of a page, in order.
pub(in crate::operators) fn held(
    page: &[u8],
) -> Result<impl Iterator<Item = Result<Held, Stopped>> + use<'_>, Stopped> {
    let mut entries = Entries::new(page);
    let (base, streams): (EventTime, BTreeMap<u32, u64>) = entries.read()?;
    Ok(std::iter::from_fn(move || {
        if entries.is_empty() {
            return None;
        }
        let mut next = || {
            let user = UserKey::from_bytes(entries.key()?);
            let time = base.saturating_add(entries.read()?);
            let event = match entries.read::<u32>()?.checked_sub(1) {
                None => None,
                Some(stream) => {
                    let fingerprint = streams.get(&stream).copied().unwrap_or_default();
                    Some((fingerprint, entries.read()?))
                }
            };
            Ok(Held { user, time, event })
        };
        Some(next())
    }))
}

pub(super) fn deal(page: &[u8], workers: usize) -> Result<Vec<Vec<u8>>, Stopped> {
    let mut numbers = BTreeMap::new();
    let mut parts: Vec<EventPage> =
        std::iter::repeat_with(EventPage::default).take(workers).collect();
    for event in held(page)? {
        let Held { user, time, event } = event?;
        let event = event.as_ref().map(|(fingerprint, entry)| {
            let next = numbers.len() as u32;
            (StreamId(*numbers.entry(*fingerprint).or_insert(next)), *fingerprint, entry)
        });
        parts[worker_of(user.route(), workers)].push(user, time, event);
    }
    Ok(parts.into_iter().map(EventPage::finish).collect())
}
