//! A log of times and short amounts, in words of four bytes.
//!
//! A time is its distance from a base, in milliseconds; an amount is two words of millionths. What
//! is dropped from the front stays in place until it is half of all there is.

use thin_vec::ThinVec;

use crate::model::EventTime;
use crate::operators::memory::thin_bytes;

/// The log (see the module).
#[derive(Debug)]
pub(super) struct Narrow {
    words: ThinVec<u32>,
    /// What distances count from; not after any entry.
    base: EventTime,
    /// How many entries at the front have been dropped.
    gone: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Times,
    Amounts,
}

/// By how many words a log grows at least: what fits beside the allocator's own.
const GROWTH_WORDS: usize = 4;
/// Up to so many words are kept when the log is empty.
const KEPT_WORDS: usize = 16;

impl Narrow {
    /// For times alone.
    pub(super) fn times() -> Self {
        Narrow { words: ThinVec::new(), base: 0, gone: 0, kind: Kind::Times }
    }

    /// For times and amounts.
    pub(super) fn amounts() -> Self {
        Narrow { kind: Kind::Amounts, ..Narrow::times() }
    }

    pub(super) fn holds_amounts(&self) -> bool {
        self.kind == Kind::Amounts
    }

    /// Words an entry.
    fn width(&self) -> usize {
        match self.kind {
            Kind::Times => 1,
            Kind::Amounts => 3,
        }
    }

    pub(super) fn len(&self) -> usize {
        let all = match self.kind {
            Kind::Times => self.words.len(),
            Kind::Amounts => self.words.len() / 3,
        };
        all - self.gone as usize
    }

    fn at(&self, place: usize) -> usize {
        (place + self.gone as usize) * self.width()
    }

    pub(super) fn time(&self, place: usize) -> Option<EventTime> {
        self.words.get(self.at(place)).map(|distance| self.base + EventTime::from(*distance))
    }

    pub(super) fn micros(&self, place: usize) -> Option<i64> {
        if !self.holds_amounts() {
            return None;
        }
        let at = self.at(place);
        let [low, high] = self.words.get(at + 1..at + 3)? else { return None };
        Some(((u64::from(*high) << 32) | u64::from(*low)).cast_signed())
    }

    /// Puts an entry in its place, unless it is too far from the others.
    pub(super) fn insert(&mut self, time: EventTime, micros: i64) -> bool {
        let len = self.len();
        if len == 0 {
            self.words.clear();
            (self.base, self.gone) = (time, 0);
        }
        let Some(distance) = self.distance(time) else { return false };
        let place = match self.words.len().checked_sub(self.width()) {
            Some(last) if self.words[last] > distance => self.place_after(distance),
            _ => len,
        };
        let bits = micros.cast_unsigned();
        let entry = [distance, bits as u32, (bits >> 32) as u32];
        self.make_room();
        let (at, width) = (self.at(place), self.width());
        let end = self.words.len();
        self.words.extend_from_slice(&entry[..width]);
        if at < end {
            self.words[at..].rotate_right(width);
        }
        true
    }

    /// How far a time is from the base, which is moved where that makes it fit.
    fn distance(&mut self, time: EventTime) -> Option<u32> {
        if let Ok(distance) = u32::try_from(time - self.base) {
            return Some(distance);
        }
        let base = self.time(0).map_or(time, |first| first.min(time));
        let last = self.time(self.len().checked_sub(1)?)?;
        u32::try_from(last.max(time) - base).ok()?;
        self.forget_dropped();
        let (by, width) = (self.base - base, self.width());
        for distance in self.words.iter_mut().step_by(width) {
            *distance = u32::try_from(EventTime::from(*distance) + by).ok()?;
        }
        self.base = base;
        u32::try_from(time - base).ok()
    }

    /// Where an entry belongs that is not the last: behind those at its own time.
    fn place_after(&self, distance: u32) -> usize {
        let (mut from, mut until) = (0, self.len());
        while from < until {
            let middle = usize::midpoint(from, until);
            if self.words[self.at(middle)] <= distance { from = middle + 1 } else { until = middle }
        }
        from
    }

    /// Makes room for so many more entries, and not for others.
    pub(super) fn make_room_for(&mut self, more: usize) {
        self.words.reserve_exact(more * self.width());
    }

    fn make_room(&mut self) {
        let (words, capacity) = (self.words.len(), self.words.capacity());
        if words + self.width() <= capacity {
            return;
        }
        if self.gone as usize * self.width() > words / 4 {
            return self.forget_dropped();
        }
        let first = if self.holds_amounts() { 3 * GROWTH_WORDS / 2 } else { GROWTH_WORDS / 2 };
        let more = if capacity == 0 { first } else { GROWTH_WORDS.max(words / 4) };
        self.words.reserve_exact(more);
    }

    pub(super) fn drop_front(&mut self, count: usize) {
        self.gone += u32::try_from(count).expect("a user has fewer than 2^32 events in a window");
        let (gone, words) = (self.at(0), self.words.len());
        if gone * 2 >= words {
            self.forget_dropped();
            let (words, capacity) = (self.words.len(), self.words.capacity());
            if capacity > KEPT_WORDS && words < capacity / 4 {
                self.words.shrink_to_fit();
            }
        }
    }

    fn forget_dropped(&mut self) {
        let gone = self.at(0);
        self.words.drain(..gone);
        self.gone = 0;
    }

    /// The bytes it has asked for.
    pub(super) fn bytes(&self) -> usize {
        thin_bytes(&self.words)
    }
}
