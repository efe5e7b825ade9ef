//! The last differences there were, in order: from them the past is worked out, and streams are
//! fed. A reader that falls behind what is retained is told so; it holds nobody up.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use dataflows::model::{Difference, EventTime, Sign};

use super::{read, write};

/// Chunks shorter than this are grown instead of beginning another; none is longer than so many
/// times as long, for chunks are forgotten whole.
const CHUNK: usize = 64;
const CHUNK_TIMES_MAX: usize = 64;
/// Longer names end a chunk before that: checkpoints have each whole.
const CHUNK_BYTES: usize = 1 << 20;
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

    /// That of the next difference, which is of this time.
    pub(super) fn of_next(self, time: EventTime) -> Self {
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
    /// Which one the first of them is, of all there have been.
    first: u64,
    count: usize,
    /// All that comes after this is there.
    floor: Place,
    /// The last there has been.
    last: Place,
    saved: Saved,
}

/// What checkpoints have of the chunks.
#[derive(Default)]
struct Saved {
    /// Those from this one up to, and not with, that one; but for what has been forgotten since.
    from: u64,
    to: u64,
    /// From this one on they are new, or have grown.
    changed: u64,
    floor: Option<Place>,
}

/// What is not as it was when this was last asked.
pub(super) struct Changed {
    /// Chunks that are there no longer.
    pub(super) forgotten: Range<u64>,
    /// Those that are new, or have grown.
    pub(super) chunks: Vec<(u64, Arc<Vec<Entry>>)>,
    /// All that comes after this is there, if that was not said before.
    pub(super) floor: Option<Place>,
}

const START: Place = Place { time: EventTime::MIN, number: 0 };

impl Ring {
    pub(super) fn new(retained: usize) -> Self {
        let (chunks, saved) = (VecDeque::new(), Saved::default());
        let kept = Kept { chunks, first: 0, count: 0, floor: START, last: START, saved };
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
        let (mut news, mut numbers) = (news, numbers);
        while !news.is_empty() {
            let mut bytes = 0;
            let fits = |it: &&Difference| {
                bytes += it.user.len();
                bytes <= CHUNK_BYTES
            };
            let count = news.iter().take(longest).take_while(fits).count().max(1);
            let (some, rest) = news.split_at(count);
            let (of_some, of_rest) = numbers.split_at(count);
            self.push_some(some, of_some);
            (news, numbers) = (rest, of_rest);
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn changed(&self) -> Changed {
        let mut kept = write(&self.kept);
        let Kept { chunks, first, floor, saved, .. } = &mut *kept;
        let next = *first + chunks.len() as u64;
        let forgotten = saved.from..saved.to.min(*first);
        let is_changed = |(number, _): &(u64, &Arc<_>)| *number >= saved.changed;
        let numbered = (*first..next).zip(&*chunks).filter(is_changed);
        let chunks = numbered.map(|(number, chunk)| (number, Arc::clone(chunk))).collect();
        let said = Some(*floor).filter(|floor| saved.floor != Some(*floor));
        *saved = Saved { from: *first, to: next, changed: next, floor: Some(*floor) };
        Changed { forgotten, chunks, floor: said }
    }

    /// Goes on from what checkpoints have: these chunks, which follow one another from this one on,
    /// and after this place all there has been.
    pub(super) fn put_back(&self, floor: Place, first: u64, chunks: Vec<Vec<Entry>>) {
        let mut kept = write(&self.kept);
        let next = first + chunks.len() as u64;
        let last = chunks.last().and_then(|chunk| chunk.last()).map_or(floor, |last| last.place);
        *kept = Kept {
            count: chunks.iter().map(Vec::len).sum(),
            chunks: chunks.into_iter().map(Arc::new).collect(),
            first,
            floor,
            last,
            saved: Saved { from: first, to: next, changed: next, floor: Some(floor) },
        };
        kept.forget(self.retained);
    }

    fn push_some(&self, news: &[Difference], numbers: &[u32]) {
        let shortest = CHUNK.min(self.retained / 4);
        let mut kept = write(&self.kept);
        let is_short = |last: &Arc<Vec<Entry>>| {
            let bytes = last.iter().take(shortest).map(|it| it.user.len()).sum::<usize>();
            last.len() < shortest && bytes < CHUNK_BYTES
        };
        let is_short = kept.chunks.back().is_some_and(is_short);
        let grown = if is_short { kept.chunks.pop_back() } else { None };
        // One that is being read stays as it is.
        let mut chunk = grown.map(Arc::unwrap_or_clone).unwrap_or_default();
        let number = kept.first + kept.chunks.len() as u64;
        kept.saved.changed = kept.saved.changed.min(number);
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
        kept.forget(self.retained);
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

impl Kept {
    /// Forgets the oldest chunks without which so many are retained.
    fn forget(&mut self, retained: usize) {
        while let Some(oldest) = self.chunks.front()
            && self.count - oldest.len() >= retained
        {
            self.floor = oldest.last().map_or(self.floor, |last| last.place);
            self.count -= oldest.len();
            self.first += 1;
            self.chunks.pop_front();
        }
    }
}
