//! A log of times and short amounts, in words of four bytes.
//!
//! A time is its distance from a base, in milliseconds; an amount is two words of millionths. What
//! is dropped from the front stays in place until it is half of all there is. How many entries there
//! are is told by how many more there is room for: that is few, and fits beside the stream.

use crate::model::{EventTime, StreamId};

/// The log (see the module).
#[derive(Debug)]
pub(super) struct Narrow {
    /// Entries that have been dropped, those that are held, and room for more.
    words: Box<[u32]>,
    /// What distances count from; not after any entry.
    base: EventTime,
    /// Of which events it is.
    stream: StreamId,
    /// For how many entries there is room behind the last.
    room: u16,
    /// How many entries at the front have been dropped; the highest bit says whether they have
    /// amounts.
    gone: u16,
}

/// Set beside the entries that are gone where there are amounts.
const AMOUNTS: u16 = 1 << 15;
/// How many dropped entries there are at most; for no more entries is room made at once.
const GONE_MAX: usize = AMOUNTS as usize - 1;
/// By how many words a log grows at least.
const GROWTH_WORDS: usize = 4;
/// Room for so many words is kept when the log is empty.
const KEPT_WORDS: usize = 16;

impl Narrow {
    /// For times alone.
    pub(super) fn times(stream: StreamId) -> Self {
        Narrow { words: Box::default(), base: 0, stream, room: 0, gone: 0 }
    }

    /// For times and amounts.
    pub(super) fn amounts(stream: StreamId) -> Self {
        Narrow { gone: AMOUNTS, ..Narrow::times(stream) }
    }

    pub(super) fn holds_amounts(&self) -> bool {
        self.gone & AMOUNTS != 0
    }

    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// How many entries at the front have been dropped.
    fn gone(&self) -> usize {
        (self.gone & !AMOUNTS).into()
    }

    /// Words an entry.
    fn width(&self) -> usize {
        if self.holds_amounts() { 3 } else { 1 }
    }

    /// Entries that are held or have been dropped.
    fn all(&self) -> usize {
        self.all_with_room() - usize::from(self.room)
    }

    fn all_with_room(&self) -> usize {
        if self.holds_amounts() { self.words.len() / 3 } else { self.words.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.all() - self.gone()
    }

    fn at(&self, place: usize) -> usize {
        (place + self.gone()) * self.width()
    }

    /// The words of all entries, without the room behind them.
    fn entries(&self) -> &[u32] {
        &self.words[..self.words.len() - usize::from(self.room) * self.width()]
    }

    pub(super) fn time(&self, place: usize) -> Option<EventTime> {
        let distance = self.entries().get(self.at(place))?;
        Some(self.base + EventTime::from(*distance))
    }

    pub(super) fn micros(&self, place: usize) -> Option<i64> {
        if !self.holds_amounts() {
            return None;
        }
        let at = self.at(place);
        let [low, high] = self.entries().get(at + 1..at + 3)? else { return None };
        Some(((u64::from(*high) << 32) | u64::from(*low)).cast_signed())
    }

    /// Puts an entry in its place, unless it is too far from the others.
    pub(super) fn insert(&mut self, time: EventTime, micros: i64) -> bool {
        let len = self.len();
        if len == 0 {
            self.forget_dropped();
            self.base = time;
        }
        let Some(distance) = self.distance(time) else { return false };
        let place = match len.checked_sub(1) {
            Some(last) if self.words[self.at(last)] > distance => self.place_after(distance),
            _ => len,
        };
        self.make_room();
        let bits = micros.cast_unsigned();
        let entry = [distance, bits as u32, (bits >> 32) as u32];
        let (at, end, width) = (self.at(place), self.at(len), self.width());
        if at < end {
            self.words.copy_within(at..end, at + width);
        }
        self.words[at..at + width].copy_from_slice(&entry[..width]);
        self.room -= 1;
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
        let (by, width, end) = (self.base - base, self.width(), self.at(self.len()));
        for distance in self.words[..end].iter_mut().step_by(width) {
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

    /// Makes room for so many more entries, or at first for as many as there may be room for.
    pub(super) fn make_room_for(&mut self, more: usize) {
        let more = more.min(GONE_MAX);
        if more > usize::from(self.room) {
            self.resize(self.all() + more);
        }
    }

    /// Makes room for one more entry, and as a rule for some.
    fn make_room(&mut self) {
        if self.room > 0 {
            return;
        }
        let all = self.all();
        if self.gone() > all / 4 {
            return self.forget_dropped();
        }
        let least = if self.holds_amounts() { GROWTH_WORDS / 2 } else { GROWTH_WORDS };
        let more = if all == 0 { 2 } else { least.max(all / 4).min(GONE_MAX) };
        self.resize(all + more);
    }

    /// Makes it as long as that, with its room.
    fn resize(&mut self, all_with_room: usize) {
        let (all, width) = (self.all(), self.width());
        let mut words = std::mem::take(&mut self.words).into_vec();
        let words_wanted = all_with_room * width;
        words.reserve_exact(words_wanted.saturating_sub(words.len()));
        words.resize(words_wanted, 0);
        self.words = words.into_boxed_slice();
        self.room = u16::try_from(all_with_room - all).expect("room is made for few entries");
    }

    pub(super) fn drop_front(&mut self, mut count: usize) {
        while count > 0 {
            let some = count.min(GONE_MAX - self.gone());
            self.gone += some as u16;
            count -= some;
            if self.gone() * 2 >= self.all() || self.gone() == GONE_MAX {
                self.forget_dropped();
            }
        }
        let (all, room) = (self.all(), self.all_with_room());
        if room * self.width() > KEPT_WORDS && all < room / 4 {
            self.resize(all);
        }
    }

    fn forget_dropped(&mut self) {
        let (gone, end) = (self.gone(), self.all() * self.width());
        if gone == 0 {
            return;
        }
        self.words.copy_within(gone * self.width()..end, 0);
        let room = usize::from(self.room) + gone;
        self.gone &= AMOUNTS;
        match u16::try_from(room) {
            Ok(room) => self.room = room,
            Err(_) => {
                let all = self.all_with_room() - room;
                self.shorten(all);
            }
        }
    }

    /// Gives back all room behind so many entries.
    fn shorten(&mut self, all: usize) {
        let end = all * self.width();
        let mut words = std::mem::take(&mut self.words).into_vec();
        words.truncate(end);
        (self.words, self.room) = (words.into_boxed_slice(), 0);
    }

    /// The bytes it has asked for.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that more is dropped at once than is noted, and out of order.
    #[test]
    fn it_holds_what_a_list_would() {
        for amounts in [false, true] {
            let stream = StreamId(7);
            let mut log = if amounts { Narrow::amounts(stream) } else { Narrow::times(stream) };
            let (mut list, mut seed): (Vec<(EventTime, i64)>, u64) = (Vec::new(), 3);
            for round in 0..120_000_i64 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let random = (seed >> 33).cast_signed();
                let late = if random % 5_000 == 0 { random % 100 } else { 0 };
                let (time, micros) = (10 * round - late, random);
                assert!(log.insert(time, micros));
                let place = list.partition_point(|(other, _)| *other <= time);
                list.insert(place, (time, micros));
                if random % 10 == 0 {
                    let dropped = (random as usize % 20).min(list.len());
                    list.drain(..dropped);
                    log.drop_front(dropped);
                }
                if round % 50_000 == 49_999 {
                    let dropped = list.len() - 10;
                    list.drain(..dropped);
                    log.drop_front(dropped);
                }
                assert_eq!(log.len(), list.len());
                let place = random as usize % (list.len() + 1);
                assert_eq!(log.time(place), list.get(place).map(|entry| entry.0));
                let micros = list.get(place).filter(|_| amounts).map(|entry| entry.1);
                assert_eq!(log.micros(place), micros);
            }
            assert_eq!((log.holds_amounts(), log.stream()), (amounts, stream));
            log.drop_front(log.len());
            assert!(log.len() == 0 && log.bytes() <= 4 * KEPT_WORDS + 12);
        }
    }
}
