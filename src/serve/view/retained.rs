//! The last differences over a restart: how checkpoints have the ring, and how it comes back.
//!
//! Each of its chunks is an entry of its own, written when there is something new in it and erased
//! once it is forgotten; one more says after which place all there has been is there. So what is
//! written follows what has changed, and a run that goes on finds those that took effect before the
//! checkpoint: it will give out the others itself, in the same places.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dataflows::model::{EventTime, Sign};
use dataflows::operators::checkpoint::{Count, CountKey, Counts, Later, content};
use serde::{Deserialize, Serialize};

use super::ring::{Entry, Place, Ring};
use super::segments::Segments;

/// Of what form the entries are: those of another are not read.
const FORM: u32 = 1;
/// The part that says from where on they are all there. Chunks are those from 0 on.
const FLOOR: i64 = -1;

/// A chunk, as it is kept.
#[derive(Serialize, Deserialize)]
struct Chunk {
    /// The place of its first difference, and how many of its time are before or there.
    begins: (EventTime, u32),
    /// The segments it names.
    segments: Vec<Arc<str>>,
    /// Of each difference how much later than the one before it is; the place of its segment among
    /// those, twice, and one more where somebody left; and who.
    changes: Vec<(u64, u32, Arc<str>)>,
}

fn key(part: i64) -> CountKey {
    CountKey::of(&("differences", FORM), part)
}

/// What has changed since this was last asked, as of the instant before a time.
pub(super) fn counts(ring: &Ring, segments: &Segments, before: EventTime) -> Vec<Count> {
    let changed = ring.changed();
    let mut counts = Vec::new();
    let mut count = |part, content: Option<Later>| {
        let until = content.as_ref().map_or(before, |_| EventTime::MAX);
        counts.push(Count { key: key(part), until, content });
    };
    if let Some(Place { time, number }) = changed.floor {
        count(FLOOR, Some(Box::new(move || content(&(time, number)))));
    }
    let part = |number| i64::try_from(number).unwrap_or(i64::MAX);
    changed.forgotten.for_each(|number| count(part(number), None));
    for (number, chunk) in changed.chunks {
        let segments = segments.clone();
        count(part(number), Some(Box::new(move || content(&written(&chunk, &segments)))));
    }
    counts
}

fn written(chunk: &[Entry], segments: &Segments) -> Chunk {
    let (mut places, mut ids) = (HashMap::new(), Vec::new());
    let begins = chunk.first().map_or((EventTime::MIN, 0), |it| (it.place.time, it.place.number));
    let mut time = begins.0;
    let change = |entry: &Entry| {
        let later = entry.place.time.abs_diff(time);
        time = entry.place.time;
        let place = *places.entry(entry.segment).or_insert_with(|| {
            ids.push(segments.name(entry.segment));
            ids.len() as u32 - 1 // a chunk has far fewer differences
        });
        (later, place * 2 + u32::from(entry.sign == Sign::Left), Arc::clone(&entry.user))
    };
    let changes = chunk.iter().map(change).collect();
    Chunk { begins, segments: ids, changes }
}

/// Puts back what an earlier run has kept of all before a time, if it has. Whether that can be read.
pub(super) fn restore(
    ring: &Ring,
    segments: &Segments,
    counts: &Counts,
    before: EventTime,
) -> bool {
    let Some((time, number)) = counts.read(key(FLOOR)) else { return true };
    let what = key(FLOOR).what;
    let parts = counts.keys().filter(|it| it.what == what).map(|it| it.part);
    let mut parts: Vec<_> = parts.filter(|part| *part != FLOOR).collect();
    parts.sort_unstable();
    let floor = Place { time, number };
    let mut reading = Reading { segments, users: HashSet::new(), last: floor };
    let mut chunks = Vec::with_capacity(parts.len());
    let first = parts.first().copied().unwrap_or(0);
    for (part, expected) in parts.into_iter().zip(first..) {
        let chunk = (part == expected).then(|| counts.read(key(part))).flatten();
        let Some(chunk) = chunk.and_then(|chunk| reading.read(chunk)) else { return false };
        chunks.push(chunk);
    }
    let is_before = reading.last.time < before;
    if is_before {
        ring.put_back(floor, first.unsigned_abs(), chunks);
    }
    is_before
}

/// Chunks on their way back.
struct Reading<'a> {
    segments: &'a Segments,
    /// Who was named by now: once each.
    users: HashSet<Arc<str>>,
    last: Place,
}

impl Reading<'_> {
    /// The differences of a chunk that follows what has been read; nothing, if it does not.
    fn read(&mut self, chunk: Chunk) -> Option<Vec<Entry>> {
        let ids = chunk.segments.iter().map(|id| self.segments.number(id));
        let numbers: Vec<_> = ids.collect();
        let (mut time, number) = chunk.begins;
        let mut first = Some(Place { time, number });
        let mut entries = Vec::with_capacity(chunk.changes.len());
        for (later, segment, user) in chunk.changes {
            time = time.checked_add_unsigned(later)?;
            let place = first.take().unwrap_or_else(|| self.last.of_next(time));
            if place <= self.last {
                return None;
            }
            self.last = place;
            let sign = if segment % 2 == 0 { Sign::Entered } else { Sign::Left };
            let segment = *numbers.get(usize::try_from(segment / 2).ok()?)?;
            entries.push(Entry { place, segment, user: self.user(user), sign });
        }
        Some(entries)
    }

    fn user(&mut self, name: Arc<str>) -> Arc<str> {
        if let Some(known) = self.users.get(&name) {
            return Arc::clone(known);
        }
        self.users.insert(Arc::clone(&name));
        name
    }
}
