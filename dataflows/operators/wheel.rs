//! The expiry wheel: things to be handed out when event time reaches them.
//!
//! Buckets of 64 milliseconds; a bucket is put in order when it is opened. Keeping what lies in the
//! future here, in front of every arrangement, is what makes windows cheap: an arrangement would
//! merge all of it again each time the frontier moves.
//!
//! Cost: O(1) to insert within [`NEAR_BUCKETS`] of what is held, O(log buckets) beyond; O(1) to
//! take out. Memory is what is held, and a list for each bucket in between.
//! Source of the idea: Varghese and Lauck, *Hashed and Hierarchical Timing Wheels* (1987), here
//! with an ordered map behind the ring, since event time jumps.

use std::collections::{BTreeMap, VecDeque};

use crate::model::EventTime;

/// The width of a bucket as a power of two, in milliseconds: 64 ms.
const BUCKET_BITS: u32 = 6;
const BUCKET_MS: usize = 1 << BUCKET_BITS;
/// How many buckets in a row are kept in a ring: 17 minutes.
const NEAR_BUCKETS: usize = 16_384;
/// How many empty lists are kept to be used again.
const SPARE_LISTS: usize = 32;
/// For how many more a list makes room at least, where things last.
const LEAST_MORE: usize = 4;

/// How far into the bucket something falls due, and what.
type Item<T> = (u8, T);
type Bucket<T> = Vec<Item<T>>;

/// Things that fall due at an instant.
#[derive(Debug)]
pub struct Wheel<T> {
    /// Buckets in a row, from the number `base` on.
    near: VecDeque<Bucket<T>>,
    base: EventTime,
    /// Buckets that were out of the ring's reach. Of a bucket that is in both places, what is here
    /// was put in earlier.
    far: BTreeMap<EventTime, Bucket<T>>,
    /// What the opened bucket held; `None` where it has been taken out.
    opened: Vec<Option<T>>,
    /// When each of these falls due, and its place among them, latest first. What comes for an
    /// instant for which much waits already, as in a restart, goes in at an end, which costs nothing
    /// in a deque.
    order: VecDeque<(EventTime, u32)>,
    /// The number of the opened bucket; earlier ones are empty.
    opened_bucket: EventTime,
    spare: Vec<Bucket<T>>,
    /// Whether most lie here long.
    lasts: bool,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Wheel {
            near: VecDeque::new(),
            base: 0,
            far: BTreeMap::new(),
            opened: Vec::new(),
            order: VecDeque::new(),
            opened_bucket: EventTime::MIN,
            spare: Vec::new(),
            lasts: false,
        }
    }
}

impl<T> Wheel<T> {
    /// One for what lies long: nearly all is in lists that have stopped growing. They make room for
    /// a quarter more, where a `Vec` makes room for as many again.
    pub fn lasting() -> Self {
        Wheel { lasts: true, ..Wheel::default() }
    }

    /// Holds `item` until `due`.
    pub fn insert(&mut self, due: EventTime, item: T) {
        let bucket = due >> BUCKET_BITS;
        if bucket <= self.opened_bucket && !self.order.is_empty() {
            let place = self.order.partition_point(|(other, _)| *other > due);
            self.order.insert(place, (due, index(self.opened.len())));
            self.opened.push(Some(item));
            return;
        }
        let place = self.place(bucket);
        let list = match place.and_then(|place| self.near.get_mut(place)) {
            Some(list) => list,
            None => self.far.entry(bucket).or_default(),
        };
        if list.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *list = spare;
        }
        if self.lasts && list.len() == list.capacity() {
            list.reserve_exact(LEAST_MORE.max(list.len() / 4));
        }
        list.push((within(due), item));
    }

    /// Holds many items at once, each until it is due: every list is looked for once and made as
    /// long as it is to be.
    pub fn extend(&mut self, mut items: Vec<(EventTime, T)>)
    where
        T: Copy,
    {
        items.sort_by_key(|(due, _)| *due);
        let bucket = |item: &(EventTime, T)| item.0 >> BUCKET_BITS;
        for mut same in items.chunk_by(|left, right| bucket(left) == bucket(right)) {
            while let Some(((due, item), others)) = same.split_first() {
                self.insert(*due, *item);
                same = others;
                // There is a list now, unless the bucket is open.
                if let Some(list) = self.list(*due >> BUCKET_BITS) {
                    list.reserve_exact(others.len());
                    list.extend(others.iter().map(|(due, item)| (within(*due), *item)));
                    break;
                }
            }
        }
    }

    /// The list of a bucket that is not opened.
    fn list(&mut self, bucket: EventTime) -> Option<&mut Bucket<T>> {
        if bucket <= self.opened_bucket && !self.order.is_empty() {
            return None;
        }
        let place = usize::try_from(bucket - self.base).ok();
        match place.filter(|place| *place < self.near.len()) {
            Some(place) => self.near.get_mut(place),
            None => self.far.get_mut(&bucket),
        }
    }

    /// Where a bucket stands in the ring, which is made to reach it if that is not too far.
    fn place(&mut self, bucket: EventTime) -> Option<usize> {
        if self.near.is_empty() {
            self.base = bucket;
        }
        if let Ok(place) = usize::try_from(bucket - self.base) {
            if place < self.near.len() {
                return Some(place);
            }
            if place < NEAR_BUCKETS {
                self.near.resize_with(place + 1, Vec::new);
                return Some(place);
            }
            return None;
        }
        let before = usize::try_from(self.base - bucket).ok()?;
        if before + self.near.len() > NEAR_BUCKETS {
            return None;
        }
        (0..before).for_each(|_| self.near.push_front(Vec::new()));
        self.base = bucket;
        Some(0)
    }

    /// The earliest instant at which something falls due.
    #[inline]
    pub fn next_due(&mut self) -> Option<EventTime> {
        match self.order.back() {
            Some((due, _)) => Some(*due),
            None if self.near.is_empty() && self.far.is_empty() => None,
            None => self.open_next(),
        }
    }

    /// Opens the next bucket; gives back what `next_due` does.
    #[inline(never)]
    fn open_next(&mut self) -> Option<EventTime> {
        while self.near.front().is_some_and(Vec::is_empty) {
            self.near.pop_front();
            self.base += 1;
        }
        let far = self.far.first_key_value().map(|(bucket, _)| *bucket);
        let near = (!self.near.is_empty()).then_some(self.base);
        let bucket = near.into_iter().chain(far).min()?;
        self.opened.clear();
        self.order.clear();
        self.opened_bucket = bucket;
        let mut lists = [None, None];
        if far == Some(bucket) {
            lists[0] = self.far.pop_first().map(|(_, list)| list);
        }
        if near == Some(bucket) {
            lists[1] = self.near.pop_front();
            self.base += 1;
        }
        let items = || lists.iter().flatten().flatten();
        put_in_order(&mut self.order, bucket << BUCKET_BITS, || items().map(|(at, _)| *at));
        lists.into_iter().flatten().for_each(|list| self.open(list));
        self.order.back().map(|(due, _)| *due)
    }

    /// Moves what a list holds to what is opened.
    fn open(&mut self, mut list: Bucket<T>) {
        self.opened.extend(list.drain(..).map(|(_, item)| Some(item)));
        if self.spare.len() < SPARE_LISTS {
            self.spare.push(list);
        }
    }

    /// What is held of the bucket that was opened last, and which bucket that is.
    pub fn opened(&self) -> (EventTime, impl Iterator<Item = &T> + Clone) {
        (self.opened_bucket, self.opened.iter().flatten())
    }

    /// Takes out what falls due at exactly the earliest instant, if that is `at`, in the order it
    /// was put in.
    pub fn take_due(&mut self, at: EventTime, into: &mut Vec<T>) {
        if self.next_due() != Some(at) {
            return;
        }
        while let Some((due, place)) = self.order.back()
            && *due == at
        {
            into.extend(self.opened[*place as usize].take());
            self.order.pop_back();
        }
    }

    /// What falls due at exactly the earliest instant, if that is `at`, in the order it was put in.
    pub fn due(&mut self, at: EventTime) -> impl Iterator<Item = &T> {
        self.next_due();
        let due = self.order.iter().rev().take_while(move |(due, _)| *due == at);
        due.filter_map(|(_, place)| self.opened[*place as usize].as_ref())
    }

    /// Lets go of the same.
    pub fn pass(&mut self, at: EventTime) {
        while self.order.back().is_some_and(|(due, _)| *due == at) {
            self.order.pop_back();
        }
    }

    /// How many things are held.
    pub fn len(&self) -> usize {
        let buckets = self.near.iter().chain(self.far.values());
        self.order.len() + buckets.map(Vec::len).sum::<usize>()
    }

    /// The bytes it takes.
    pub fn bytes(&self) -> usize {
        let lists = self.near.iter().chain(self.far.values()).chain(&self.spare);
        let items = lists.map(|list| list.capacity() * size_of::<Item<T>>());
        let opened = self.opened.capacity() * size_of::<Option<T>>();
        let order = self.order.capacity() * size_of::<(EventTime, u32)>();
        let empty = self.near.capacity() + self.far.len() + self.spare.capacity();
        items.sum::<usize>() + opened + order + empty * size_of::<Bucket<T>>()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Puts what a bucket holds that begins at `start` in order, by counting how much falls due at each
/// of its instants.
fn put_in_order<I: DoubleEndedIterator<Item = u8>>(
    order: &mut VecDeque<(EventTime, u32)>,
    start: EventTime,
    dues: impl Fn() -> I,
) {
    let (mut counts, mut all) = ([0_u32; BUCKET_MS], 0);
    for due in dues() {
        counts[usize::from(due) % BUCKET_MS] += 1;
        all += 1;
    }
    let mut sum = 0;
    for count in counts.iter_mut().rev() {
        sum += std::mem::replace(count, sum);
    }
    order.resize(all, (start, 0));
    for (number, due) in (0..all).rev().zip(dues().rev()) {
        let place = &mut counts[usize::from(due) % BUCKET_MS];
        order[*place as usize] = (start + EventTime::from(due), index(number));
        *place += 1;
    }
}

/// How far into its bucket an instant is.
fn within(due: EventTime) -> u8 {
    (due & (BUCKET_MS as EventTime - 1)) as u8
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 things fall due within 64 ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel<u32>) -> Vec<(EventTime, u32)> {
        let mut out = Vec::new();
        while let Some(due) = wheel.next_due() {
            let mut taken = Vec::new();
            wheel.take_due(due, &mut taken);
            out.extend(taken.into_iter().map(|item| (due, item)));
        }
        out
    }

    #[test]
    fn hands_out_in_order_of_time_then_of_insertion() {
        let mut wheel = Wheel::default();
        for (due, item) in [(500, 1), (-3, 2), (500, 3), (70, 4), (-3, 5)] {
            wheel.insert(due, item);
        }
        assert_eq!(wheel.len(), 5);
        assert_eq!(drain(&mut wheel), [(-3, 2), (-3, 5), (70, 4), (500, 1), (500, 3)]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn takes_insertions_into_the_opened_bucket() {
        let mut wheel = Wheel::default();
        wheel.insert(10, 1);
        wheel.insert(30, 2);
        assert_eq!(wheel.next_due(), Some(10));
        wheel.insert(20, 3);
        wheel.insert(10, 4);
        wheel.insert(5, 5); // behind what is opened: handed out next
        assert_eq!(drain(&mut wheel), [(5, 5), (10, 1), (10, 4), (20, 3), (30, 2)]);
    }

    #[test]
    fn only_what_is_due_is_taken() {
        let mut wheel = Wheel::default();
        wheel.insert(10, 1);
        let mut taken = Vec::new();
        wheel.take_due(9, &mut taken);
        assert!(taken.is_empty());
        wheel.take_due(10, &mut taken);
        assert_eq!(taken, [1]);
    }

    #[test]
    fn hands_out_in_order_however_far_apart() {
        let mut wheel = Wheel::default();
        let mut expected: Vec<(EventTime, u32)> = Vec::new();
        let far = BUCKET_MS as EventTime * NEAR_BUCKETS as EventTime;
        let mut state = 7_u64;
        for number in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as EventTime;
            let due = match random % 4 {
                0 => random % 100,
                1 => random % (3 * far),
                2 => -(random % far),
                _ => far - random % 1_000,
            };
            wheel.insert(due, number);
            expected.push((due, number));
            if number % 50 == 0 {
                let due = wheel.next_due().unwrap();
                let mut taken = Vec::new();
                wheel.take_due(due, &mut taken);
                let first = expected.iter().map(|(due, _)| *due).min();
                assert_eq!(first, Some(due));
                let same: Vec<u32> =
                    expected.iter().filter(|it| it.0 == due).map(|it| it.1).collect();
                assert_eq!(taken, same);
                expected.retain(|it| it.0 != due);
            }
        }
        assert_eq!(wheel.len(), expected.len());
        expected.sort_by_key(|(due, _)| *due);
        assert_eq!(drain(&mut wheel), expected);
    }
    #[test]
    fn many_at_once_come_out_as_one_by_one() {
        let dues =
            (0..5_000).map(|number: u32| EventTime::from(number.wrapping_mul(2_654_435_769)));
        let items: Vec<_> = dues.map(|due| due % 3_000_000 - 1_000).zip(0..).collect();
        let (mut wheel, mut other) = (Wheel::default(), Wheel::default());
        for wheel in [&mut wheel, &mut other] {
            wheel.insert(-5_000, 9_999);
            wheel.insert(-990, 9_998);
            assert_eq!(wheel.next_due(), Some(-5_000)); // which opens a bucket
        }
        items.iter().for_each(|(due, item)| other.insert(*due, *item));
        wheel.extend(items);
        assert_eq!(drain(&mut wheel), drain(&mut other));
    }
}
