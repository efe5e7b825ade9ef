//! The last differences there were, in order: from them the past is worked out, and streams are
//! fed. A reader that falls behind what is retained is told so; it holds nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use dataflows::model::{Difference, EventTime, Sign};

use super::{read, write};

/// Chunks shorter than this are grown instead of beginning another; none is longer than so many
/// times as long, for chunks are forgotten whole.
const CHUNK: usize = 64;
const CHUNK_TIMES_MAX: usize = 64;
/// How many differences are handed out at a time, about.
const HANDED_OUT: usize = 512;

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// The number of its segment.
    pub segment: u32,
    /// Whom it concerns.
    pub user: Arc<str>,
    /// Whether they entered.
    pub sign: Sign,
}

/// A place among the differences: a time, and how many differences of that time are before or
/// there. The same in every run that gives out the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The time.
    pub time: EventTime,
    /// The number among the differences of that time, from 1.
    pub number: u32,
}

impl Place {
    /// After all differences of this time.
    pub fn after(time: EventTime) -> Self {
        Place { time, number: u32::MAX }
    }

    fn of_next(self, time: EventTime) -> Self {
        let number = if time == self.time { self.number.saturating_add(1) } else { 1 };
        Place { time, number }
    }
}

/// What is asked for is retained no longer; what comes after this place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone(pub Place);

pub(super) struct Ring {
    retained: usize,
    kept: RwLock<Kept>,
}

struct Kept {
    chunks: VecDeque<Arc<Vec<Entry>>>,
    count: usize,
    /// All that comes after this is there.
    floor: Place,
    /// The last there has been.
    last: Place,
}

const START: Place = Place { time: EventTime::MIN, number: 0 };

impl Ring {
    pub(super) fn new(retained: usize) -> Self {
        let kept = Kept { chunks: VecDeque::new(), count: 0, floor: START, last: START };
        Ring { retained, kept: RwLock::new(kept) }
    }

    /// What was before this time is not known.
    pub(super) fn begin(&self, before: EventTime) {
        if before > EventTime::MIN {
            let mut kept = write(&self.kept);
            kept.floor = Place::after(before - 1);
            kept.last = kept.floor;
        }
    }

    /// Adds differences, with the numbers of their segments.
    pub(super) fn push(&self, news: &[Difference], numbers: &[u32]) {
        let longest = (self.retained / CHUNK_TIMES_MAX).clamp(CHUNK / 4, CHUNK * CHUNK_TIMES_MAX);
        for (news, numbers) in news.chunks(longest).zip(numbers.chunks(longest)) {
            self.push_some(news, numbers);
        }
    }

    fn push_some(&self, news: &[Difference], numbers: &[u32]) {
        let shortest = CHUNK.min(self.retained / 4);
        let mut kept = write(&self.kept);
        let is_short = kept.chunks.back().is_some_and(|last| last.len() < shortest);
        let grown = if is_short { kept.chunks.pop_back() } else { None };
        // One that is being read stays as it is.
        let mut chunk = grown.map(Arc::unwrap_or_clone).unwrap_or_default();
        for (difference, segment) in news.iter().zip(numbers) {
            let place = kept.last.of_next(difference.time);
            kept.last = place;
            chunk.push(Entry {
                place,
                segment: *segment,
                user: Arc::clone(&difference.user),
                sign: difference.sign,
            });
        }
        kept.chunks.push_back(Arc::new(chunk));
        kept.count += news.len();
        while let Some(first) = kept.chunks.front()
            && kept.count - first.len() >= self.retained
        {
            let (count, last) = (first.len(), first.last().map(|it| it.place));
            kept.chunks.pop_front();
            kept.count -= count;
            kept.floor = last.unwrap_or(kept.floor);
        }
    }

    pub(super) fn newest(&self) -> Place {
        read(&self.kept).last
    }

    /// Some of what comes after a place, and the place after them.
    pub(super) fn after(&self, place: Place) -> Result<(Vec<Entry>, Place), Gone> {
        let mut some: Vec<Entry> = Vec::new();
        for chunk in self.chunks(place)? {
            let from = chunk.partition_point(|entry| entry.place <= place);
            some.extend(chunk[from..].iter().take(HANDED_OUT).cloned());
            if some.len() >= HANDED_OUT {
                break;
            }
        }
        let end = some.last().map_or(place, |last| last.place);
        Ok((some, end))
    }

    /// The chunks in which something comes after a place. They are read without holding up anyone.
    pub(super) fn chunks(&self, place: Place) -> Result<Vec<Arc<Vec<Entry>>>, Gone> {
        let kept = read(&self.kept);
        if place < kept.floor {
            return Err(Gone(kept.floor));
        }
        let is_over = |chunk: &Arc<Vec<Entry>>| chunk.last().is_none_or(|it| it.place <= place);
        let from = kept.chunks.partition_point(is_over);
        Ok(kept.chunks.range(from..).cloned().collect())
    }
}
