//! The users of each segment, in bytewise order, and its definition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use dataflows::model::{Difference, EventTime, Sign};
use dataflows::operators::checkpoint::{Count, CountKey, Counts, Later, content};
use dataflows::rule::Definition;
use hashbrown::HashMap;

use super::drift::Drifting;
use super::sizes::{STEPS_MAX, Sizes, Step, Volatility};
use super::{lock, read, write};

/// All segments there are or have been, each with a number that stays its own. A clone is the same.
#[derive(Default, Clone)]
pub(super) struct Segments(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    numbers: BTreeMap<Arc<str>, u32>,
    segments: Vec<Arc<Segment>>,
}

/// A segment.
#[derive(Debug)]
pub struct Segment {
    /// Its id.
    pub id: Arc<str>,
    number: u32,
    in_force: RwLock<Option<InForce>>,
    members: RwLock<Members>,
    size: AtomicUsize,
    sizes: Mutex<Sizes>,
}

#[derive(Debug)]
struct Members {
    users: BTreeSet<Arc<str>>,
    /// All up to this time is in.
    up_to: EventTime,
}

/// A definition that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// What it is.
    pub definition: Arc<Definition>,
    /// Since when; from the start, if no time is said.
    pub since: Option<EventTime>,
    /// From when on its answers are exact, if that is not since the start.
    pub complete_from: Option<EventTime>,
}

/// A page of a segment's users.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Those after this one; from the first on, if there is none.
    pub after: Option<Arc<str>>,
    /// At most so many.
    pub limit: usize,
    /// What was otherwise at the time that is asked for: who was in then, and who was not.
    pub(super) otherwise: BTreeMap<Arc<str>, bool>,
}

impl Page {
    /// At most so many, after this one.
    pub fn new(after: Option<&str>, limit: usize) -> Self {
        Page { after: after.map(Into::into), limit, otherwise: BTreeMap::new() }
    }
}

impl Segments {
    /// The numbers of the segments of differences, new ones for those not known yet.
    pub(super) fn numbered(&self, due: &[Difference]) -> Vec<u32> {
        let mut numbers: HashMap<&Arc<str>, u32> = HashMap::new();
        let number = |it: &'_ Difference| self.number(&it.segment);
        due.iter().map(|it| *numbers.entry(&it.segment).or_insert_with(|| number(it))).collect()
    }

    /// The number of a segment, a new one for one that is not known yet.
    pub(super) fn number(&self, id: &Arc<str>) -> u32 {
        if let Some(number) = read(&self.0).numbers.get(id) {
            return *number;
        }
        let mut known = write(&self.0);
        let next = u32::try_from(known.segments.len()).unwrap_or(u32::MAX);
        let number = *known.numbers.entry(Arc::clone(id)).or_insert(next);
        if number == next {
            known.segments.push(Arc::new(Segment::new(Arc::clone(id), number)));
        }
        number
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Segment>> {
        let known = read(&self.0);
        let number = known.numbers.get(id)?;
        known.segments.get(usize::try_from(*number).ok()?).cloned()
    }

    fn numbered_by(&self, number: u32) -> Option<Arc<Segment>> {
        read(&self.0).segments.get(usize::try_from(number).ok()?).cloned()
    }

    pub(super) fn name(&self, number: u32) -> Arc<str> {
        self.numbered_by(number).map(|segment| Arc::clone(&segment.id)).unwrap_or_default()
    }

    /// The ids of these, in bytewise order.
    pub(super) fn names(&self, numbers: &[u32]) -> Vec<Arc<str>> {
        let known = read(&self.0);
        let segment = |number: &u32| known.segments.get(usize::try_from(*number).ok()?);
        let mut names: Vec<_> =
            numbers.iter().filter_map(segment).map(|it| Arc::clone(&it.id)).collect();
        drop(known);
        names.sort_unstable();
        names
    }

    pub(super) fn after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Segment>> {
        let known = read(&self.0);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = known.numbers.range::<str, _>((from, Bound::Unbounded));
        let segments =
            ids.filter_map(|(_, number)| known.segments.get(usize::try_from(*number).ok()?));
        segments.filter(|it| it.in_force().is_some()).take(limit).cloned().collect()
    }

    pub(super) fn define(&self, in_force: InForce) {
        let number = self.number(&in_force.definition.id);
        if let Some(segment) = self.numbered_by(number) {
            *write(&segment.in_force) = Some(in_force);
            lock(&segment.sizes).touch();
        }
    }

    pub(super) fn undefine(&self, id: &str) {
        if let Some(segment) = self.get(id) {
            *write(&segment.in_force) = None;
            lock(&segment.sizes).touch();
        }
    }

    /// How large those have been whose history is not as it was when this was last asked, as of the
    /// instant before a time.
    pub(super) fn counts(&self, before: EventTime) -> Vec<Count> {
        let segments = read(&self.0).segments.clone();
        segments.iter().filter_map(|it| it.counts(before)).collect()
    }

    /// Those in force have been as large as an earlier run has kept.
    pub(super) fn restore(&self, counts: &Counts) {
        for segment in self.after(None, usize::MAX) {
            if let Some(sizes) = counts.read(segment.key()) {
                *lock(&segment.sizes) = sizes;
            }
        }
    }

    /// Applies differences; a segment takes all of its own at once. Those before a time are no news.
    pub(super) fn apply(
        &self,
        due: &[Difference],
        numbers: &[u32],
        (before, up_to): (EventTime, EventTime),
    ) {
        let mut order: Vec<_> = numbers.iter().copied().zip(0_usize..).collect();
        order.sort_unstable();
        for same in order.chunk_by(|left, right| left.0 == right.0) {
            let segment = same.first().and_then(|(number, _)| self.numbered_by(*number));
            let Some(segment) = segment else { continue };
            let mut members = write(&segment.members);
            let mut sizes = lock(&segment.sizes);
            for (_, index) in same {
                let Difference { time, user, sign, .. } = &due[*index];
                match sign {
                    Sign::Entered => _ = members.users.insert(Arc::clone(user)),
                    Sign::Left => _ = members.users.remove(user),
                }
                if *time < before {
                    sizes.begin(members.users.len());
                } else {
                    sizes.change(*time, *sign, members.users.len());
                }
            }
            members.up_to = up_to;
            segment.size.store(members.users.len(), Ordering::Release);
        }
    }
}

impl Segment {
    fn new(id: Arc<str>, number: u32) -> Self {
        let members = Members { users: BTreeSet::new(), up_to: EventTime::MIN };
        Segment {
            id,
            number,
            in_force: RwLock::default(),
            members: RwLock::new(members),
            size: AtomicUsize::new(0),
            sizes: Mutex::default(),
        }
    }

    /// By what its history is kept.
    fn key(&self) -> CountKey {
        CountKey::of(&("sizes", &*self.id, STEPS_MAX), 0)
    }

    /// What is to be kept of its history, if that has changed; nothing, once it is deleted and empty.
    fn counts(&self, before: EventTime) -> Option<Count> {
        let sizes = lock(&self.sizes).changed()?;
        let stays = self.in_force().is_some() || self.size() > 0;
        let (until, later): (_, Later) = (EventTime::MAX, Box::new(move || content(&sizes)));
        let (until, content) = if stays { (until, Some(later)) } else { (before, None) };
        Some(Count { key: self.key(), until, content })
    }

    /// How many are in it.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    /// The steps of its history that end after a time, the oldest first.
    pub fn sizes_since(&self, since: EventTime) -> Vec<Step> {
        lock(&self.sizes).since(since)
    }

    /// Who entered and left of late, as of a time.
    pub fn volatility(&self, as_of: EventTime) -> Volatility {
        lock(&self.sizes).volatility(as_of, self.size())
    }

    /// Whether its size is not what it usually is, as of a time.
    pub fn drifting(&self, as_of: EventTime) -> Option<Drifting> {
        lock(&self.sizes).drifting(as_of)
    }

    /// Its definition, unless it is deleted.
    pub fn in_force(&self) -> Option<InForce> {
        read(&self.in_force).clone()
    }

    /// By which differences name it.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Up to which time its members are known, and how many they are.
    pub(super) fn standing(&self) -> (EventTime, usize) {
        let members = read(&self.members);
        (members.up_to, members.users.len())
    }

    /// A page of its users, and up to which time they are known.
    pub(super) fn page(&self, page: &Page) -> (Vec<Arc<str>>, EventTime) {
        let from = page.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let members = read(&self.members);
        let was_out = |user: &&Arc<str>| page.otherwise.get(*user) != Some(&false);
        let mut there = members
            .users
            .range::<Arc<str>, _>((from.as_ref(), Bound::Unbounded))
            .filter(was_out)
            .peekable();
        let mut were = page
            .otherwise
            .range::<Arc<str>, _>((from.as_ref(), Bound::Unbounded))
            .filter_map(|(user, was_in)| was_in.then_some(user))
            .peekable();
        let mut users = Vec::new();
        while users.len() < page.limit {
            let next = match (there.peek(), were.peek()) {
                (Some(one), Some(other)) if one == other => {
                    were.next();
                    there.next()
                }
                (Some(one), Some(other)) if one < other => there.next(),
                (_, Some(_)) => were.next(),
                (Some(_), None) => there.next(),
                (None, None) => break,
            };
            users.extend(next.cloned());
        }
        (users, members.up_to)
    }
}
