//! Trailing windows over one user's events.
//!
//! Every user keeps one [`Log`] a stream, in order of time, however many conditions read it. A
//! [`Window`] is a cursor into the log (the first event that still counts) and what has been added
//! up from there on; it moves when it is looked at, and at the alarm it asks for. It asks for one
//! only at the instant at which a comparison can change by events leaving
//! ([`Window::next_change`]), so a user far above a threshold costs nothing until they come near.
//!
//! Cost per event and window: amortised O(1) (`distinct`: one look-up). State: 8 bytes a held
//! event where only its time is asked for, 24 with an amount, more with a value; released when the
//! longest window of the stream has moved past.

use std::collections::{HashMap, HashSet, VecDeque};

use super::matching::Cuts;
use crate::model::time::leave_time;
use crate::model::{Amount, Duration, EventTime, Position, StreamId, Value};
use crate::rule::Measure;

/// An aggregate a rule asks about, whatever it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// Over which events.
    pub stream: StreamId,
    /// What is computed.
    pub measure: Measure,
    /// For how long an event counts; `None` for ever.
    pub window: Option<Duration>,
}

/// A numeric value of an aggregate: `sum / count`, kept apart so that means compare exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// In millionths.
    pub sum: i128,
    /// 1 for everything but means.
    pub count: i64,
}

impl Quantity {
    fn of(amount: Amount) -> Self {
        Quantity { sum: amount.micros(), count: 1 }
    }

    fn whole(count: u64) -> Self {
        Quantity { sum: i128::from(count) * 1_000_000, count: 1 }
    }

    /// How it compares with a bound in millionths.
    pub fn compare(self, bound: i128) -> std::cmp::Ordering {
        self.sum.cmp(&(bound * i128::from(self.count)))
    }
}

/// The value of an aggregate over a user's events.
#[derive(Debug, Clone, PartialEq)]
pub enum Aggregated {
    /// Over no events, where that has no value.
    Missing,
    /// A number.
    Quantity(Quantity),
    /// A value of any type.
    Value(Value),
}

/// What one event adds to a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Only that it happened.
    Happened,
    /// A number.
    Amount(Amount),
    /// A value, and where its event stood.
    Value(Position, Value),
}

/// One user's events of one stream, in order of time (values: then of position).
#[derive(Debug)]
pub struct Log {
    /// How many have been dropped from the front: entries are numbered from the beginning.
    first: u64,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Happened(VecDeque<EventTime>),
    Amounts(VecDeque<(EventTime, Amount)>),
    Values(VecDeque<(EventTime, Position, Value)>),
}

impl Log {
    /// An empty log for events like this one.
    pub fn for_entry(entry: &Entry) -> Self {
        let entries = match entry {
            Entry::Happened => Entries::Happened(VecDeque::new()),
            Entry::Amount(_) => Entries::Amounts(VecDeque::new()),
            Entry::Value(..) => Entries::Values(VecDeque::new()),
        };
        Log { first: 0, entries }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        match &self.entries {
            Entries::Happened(times) => times.len(),
            Entries::Amounts(entries) => entries.len(),
            Entries::Values(entries) => entries.len(),
        }
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number the next entry at the end would have.
    pub fn end(&self) -> u64 {
        self.first + self.len() as u64
    }

    /// Puts an entry in its place; gives back its number. Later entries move up by one.
    pub fn insert(&mut self, time: EventTime, entry: &Entry) -> u64 {
        let place = match (&mut self.entries, entry) {
            (Entries::Happened(times), Entry::Happened) => {
                insert_sorted(times, time, |other| *other <= time)
            }
            (Entries::Amounts(entries), Entry::Amount(amount)) => {
                insert_sorted(entries, (time, *amount), |(other, _)| *other <= time)
            }
            (Entries::Values(entries), Entry::Value(position, value)) => {
                let new = (time, *position, value.clone());
                insert_sorted(entries, new, |(other, at, _)| (*other, *at) <= (time, *position))
            }
            _ => unreachable!("a stream takes the same kind of thing from every event"),
        };
        self.first + place as u64
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    /// The time of an entry.
    pub fn time(&self, number: u64) -> Option<EventTime> {
        let place = self.place(number)?;
        match &self.entries {
            Entries::Happened(times) => times.get(place).copied(),
            Entries::Amounts(entries) => entries.get(place).map(|(time, _)| *time),
            Entries::Values(entries) => entries.get(place).map(|(time, _, _)| *time),
        }
    }

    fn amount(&self, number: u64) -> Option<Amount> {
        match &self.entries {
            Entries::Amounts(entries) => entries.get(self.place(number)?).map(|entry| entry.1),
            _ => None,
        }
    }

    fn value(&self, number: u64) -> Option<&Value> {
        match &self.entries {
            Entries::Values(entries) => entries.get(self.place(number)?).map(|entry| &entry.2),
            _ => None,
        }
    }

    /// Drops the entries before `number`.
    pub fn release(&mut self, number: u64) {
        let past = number.min(self.end()).saturating_sub(self.first);
        let count = usize::try_from(past).unwrap_or(0);
        match &mut self.entries {
            Entries::Happened(times) => drop_front(times, count),
            Entries::Amounts(entries) => drop_front(entries, count),
            Entries::Values(entries) => drop_front(entries, count),
        }
        self.first += past;
    }
}

fn insert_sorted<E>(entries: &mut VecDeque<E>, entry: E, before: impl Fn(&E) -> bool) -> usize {
    if entries.back().is_none_or(&before) {
        entries.push_back(entry);
        return entries.len() - 1;
    }
    let place = entries.partition_point(before);
    entries.insert(place, entry);
    place
}

fn drop_front<E>(entries: &mut VecDeque<E>, count: usize) {
    entries.drain(..count);
    if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 {
        entries.shrink_to(entries.len() * 2);
    }
}

/// One window of one user: where in the log it begins, and what is added up from there.
#[derive(Debug)]
pub struct Window {
    /// The number of the first entry that counts.
    cursor: u64,
    sums: Sums,
}

#[derive(Debug)]
enum Sums {
    /// Counts and the ends of the log need nothing beside the cursor.
    Cursor,
    /// The sum, and how many of the amounts in it are below zero.
    Sum { sum: Amount, negative: u64 },
    /// Candidates for the extreme, by time: each is more extreme than all after it. Of equal ones
    /// the latest stays. (Sliding-window extremes by a monotonic queue.)
    Extreme(VecDeque<(EventTime, Amount)>),
    /// How often each value occurs.
    Distinct(HashMap<Value, u64>),
}

/// How many entries [`Window::next_change`] looks ahead before it settles for looking again later.
const LOOK_AHEAD: u64 = 64;

impl Window {
    /// A window that begins at this entry of the log and holds nothing yet.
    pub fn new(aggregate: &Aggregate, cursor: u64) -> Self {
        let sums = match aggregate.measure {
            Measure::Count | Measure::First(_) | Measure::Last(_) => Sums::Cursor,
            Measure::Sum(_) | Measure::Avg(_) => Sums::Sum { sum: Amount::ZERO, negative: 0 },
            Measure::Min(_) | Measure::Max(_) => Sums::Extreme(VecDeque::new()),
            Measure::Distinct(_) => Sums::Distinct(HashMap::new()),
        };
        Window { cursor, sums }
    }

    /// The number of the first entry that counts.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Takes note of entry `number`, just put into the log; `counts` says whether it is in the
    /// window. The window must have been expired up to now before.
    pub fn insert(
        &mut self,
        aggregate: &Aggregate,
        number: u64,
        time: EventTime,
        entry: &Entry,
        counts: bool,
    ) {
        if !counts {
            // It stands before all that counts; they have moved up by one.
            self.cursor += 1;
            return;
        }
        match (&mut self.sums, entry) {
            (Sums::Sum { sum, negative }, Entry::Amount(amount)) => {
                *sum = sum.plus(*amount);
                *negative += u64::from(*amount < Amount::ZERO);
            }
            (Sums::Extreme(queue), Entry::Amount(amount)) => {
                insert_extreme(queue, time, *amount, is_max(aggregate));
            }
            (Sums::Distinct(values), Entry::Value(_, value)) => {
                *values.entry(value.clone()).or_default() += 1;
            }
            _ => {}
        }
        debug_assert!(number >= self.cursor, "an entry that counts stands behind the cursor");
    }

    /// Moves past everything that has left by `now`.
    pub fn expire(
        &mut self,
        aggregate: &Aggregate,
        granularity: Duration,
        log: &Log,
        now: EventTime,
    ) {
        let Some(window) = aggregate.window else { return };
        while let Some(time) = log.time(self.cursor) {
            if leave_time(time, window, granularity) > now {
                break;
            }
            match &mut self.sums {
                Sums::Cursor => {}
                Sums::Sum { sum, negative } => {
                    let amount = log.amount(self.cursor).unwrap_or_default();
                    *sum = sum.minus(amount);
                    *negative -= u64::from(amount < Amount::ZERO);
                }
                Sums::Extreme(queue) => {
                    while queue.front().is_some_and(|(front, _)| *front <= time) {
                        queue.pop_front();
                    }
                }
                Sums::Distinct(values) => {
                    if let Some(value) = log.value(self.cursor) {
                        forget(values, value);
                    }
                }
            }
            self.cursor += 1;
        }
    }

    /// What the aggregate is, as of the last expiry.
    pub fn value(&self, aggregate: &Aggregate, log: &Log) -> Aggregated {
        let count = log.end().saturating_sub(self.cursor);
        let quantity = match (&aggregate.measure, &self.sums) {
            (Measure::Count, _) => Quantity::whole(count),
            (Measure::Sum(_), Sums::Sum { sum, .. }) => Quantity::of(*sum),
            (Measure::Distinct(_), Sums::Distinct(values)) => Quantity::whole(values.len() as u64),
            _ if count == 0 => return Aggregated::Missing,
            (Measure::Avg(_), Sums::Sum { sum, .. }) => {
                Quantity { sum: sum.micros(), count: i64::try_from(count).unwrap_or(i64::MAX) }
            }
            (Measure::First(_), _) => return value_of(log.value(self.cursor)),
            (Measure::Last(_), _) => return value_of(log.value(log.end() - 1)),
            (_, Sums::Extreme(queue)) => match queue.front() {
                Some((_, amount)) => Quantity::of(*amount),
                None => return Aggregated::Missing,
            },
            _ => return Aggregated::Missing,
        };
        Aggregated::Quantity(quantity)
    }

    /// Whether events that come last can only put off what [`Window::next_change`] said, unless
    /// they cross a cut: true of sums in which nothing is below zero.
    pub fn only_falls_later(&self) -> bool {
        matches!(self.sums, Sums::Sum { negative: 0, .. })
    }

    /// An instant before which no comparison with `cuts` can change by events leaving, and at
    /// which it is worth looking again: the next crossing of a cut where that is known, else the
    /// next leave, else the time at which everything has left.
    pub fn next_change(
        &self,
        aggregate: &Aggregate,
        granularity: Duration,
        log: &Log,
        cuts: Option<&Cuts>,
    ) -> Option<EventTime> {
        let window = aggregate.window?;
        let last = log.end().checked_sub(1).filter(|last| *last >= self.cursor)?;
        let entry = match (&self.sums, cuts) {
            (Sums::Cursor, Some(cuts)) => {
                let count = last + 1 - self.cursor;
                match cuts.at_or_below(Quantity::whole(count)) {
                    Some(bound) => {
                        // Above the bound it takes as many leaves as it is above; on it, one.
                        let below =
                            count - u64::try_from(bound / 1_000_000).unwrap_or(0).min(count);
                        self.cursor + below.max(1) - 1
                    }
                    None => last,
                }
            }
            (Sums::Sum { sum, negative: 0 }, Some(cuts)) if !is_mean(aggregate) => {
                match cuts.at_or_below(Quantity::of(*sum)) {
                    Some(bound) => self.until_at_most(log, bound, last),
                    None => last,
                }
            }
            (Sums::Extreme(queue), _) => {
                let front = queue.front()?;
                return Some(leave_time(front.0, window, granularity));
            }
            _ => self.cursor,
        };
        let time = log.time(entry.min(last))?;
        Some(leave_time(time, window, granularity))
    }

    /// The entry by whose leaving the sum of amounts, none of them below zero, comes down to the
    /// bound; or the last one looked at.
    fn until_at_most(&self, log: &Log, bound: i128, last: u64) -> u64 {
        let Sums::Sum { sum, .. } = &self.sums else { return self.cursor };
        let mut left = sum.micros();
        let limit = last.min(self.cursor + LOOK_AHEAD);
        for number in self.cursor..limit {
            let amount = log.amount(number).unwrap_or_default().micros();
            left -= amount;
            if left <= bound && amount != 0 {
                return number;
            }
        }
        limit
    }
}

fn is_max(aggregate: &Aggregate) -> bool {
    matches!(aggregate.measure, Measure::Max(_))
}

fn is_mean(aggregate: &Aggregate) -> bool {
    matches!(aggregate.measure, Measure::Avg(_))
}

fn value_of(value: Option<&Value>) -> Aggregated {
    value.map_or(Aggregated::Missing, |value| Aggregated::Value(value.clone()))
}

fn forget(values: &mut HashMap<Value, u64>, value: &Value) {
    if let Some(count) = values.get_mut(value) {
        *count -= 1;
        if *count == 0 {
            values.remove(value);
        }
    }
}

fn insert_extreme(
    queue: &mut VecDeque<(EventTime, Amount)>,
    time: EventTime,
    amount: Amount,
    max: bool,
) {
    let as_extreme = |a: Amount, b: Amount| if max { a >= b } else { a <= b };
    let place = queue.partition_point(|(other, _)| *other <= time);
    if queue.get(place).is_some_and(|(_, later)| as_extreme(*later, amount)) {
        return; // a later one outlasts it
    }
    let outlasted =
        queue.iter().take(place).rev().take_while(|(_, own)| as_extreme(amount, *own)).count();
    queue.drain(place - outlasted..place);
    queue.insert(place - outlasted, (time, amount));
}

/// An aggregate since the beginning, of one user.
#[derive(Debug, Default)]
pub struct Total {
    count: u64,
    sum: Amount,
    extreme: Option<Amount>,
    values: HashSet<Value>,
    end: Option<(EventTime, Position, Value)>,
}

impl Total {
    /// Takes note of an event.
    pub fn insert(&mut self, aggregate: &Aggregate, time: EventTime, entry: &Entry) {
        self.count += 1;
        match (&aggregate.measure, entry) {
            (Measure::Sum(_) | Measure::Avg(_), Entry::Amount(amount)) => {
                self.sum = self.sum.plus(*amount);
            }
            (Measure::Min(_), Entry::Amount(amount)) => {
                self.extreme = Some(self.extreme.map_or(*amount, |least| least.min(*amount)));
            }
            (Measure::Max(_), Entry::Amount(amount)) => {
                self.extreme = Some(self.extreme.map_or(*amount, |most| most.max(*amount)));
            }
            (Measure::Distinct(_), Entry::Value(_, value)) if !self.values.contains(value) => {
                self.values.insert(value.clone());
            }
            (Measure::First(_) | Measure::Last(_), Entry::Value(position, value)) => {
                let first = matches!(aggregate.measure, Measure::First(_));
                let replaces = self.end.as_ref().is_none_or(|(standing, at, _)| {
                    ((time, *position) < (*standing, *at)) == first
                });
                if replaces {
                    self.end = Some((time, *position, value.clone()));
                }
            }
            _ => {}
        }
    }

    /// What the aggregate is.
    pub fn value(&self, aggregate: &Aggregate) -> Aggregated {
        let quantity = match &aggregate.measure {
            Measure::Count => Quantity::whole(self.count),
            Measure::Sum(_) => Quantity::of(self.sum),
            Measure::Distinct(_) => Quantity::whole(self.values.len() as u64),
            Measure::Avg(_) if self.count > 0 => {
                let count = i64::try_from(self.count).unwrap_or(i64::MAX);
                Quantity { sum: self.sum.micros(), count }
            }
            Measure::Avg(_) => return Aggregated::Missing,
            Measure::Min(_) | Measure::Max(_) => match self.extreme {
                Some(amount) => Quantity::of(amount),
                None => return Aggregated::Missing,
            },
            Measure::First(_) | Measure::Last(_) => {
                return value_of(self.end.as_ref().map(|(_, _, value)| value));
            }
        };
        Aggregated::Quantity(quantity)
    }
}

/// What an aggregate is over no events.
pub fn blank(measure: &Measure) -> Aggregated {
    match measure {
        Measure::Count | Measure::Sum(_) | Measure::Distinct(_) => {
            Aggregated::Quantity(Quantity::whole(0))
        }
        _ => Aggregated::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decimal, Path};
    use crate::operators::matching::NumberTest;
    use crate::operators::plan::ConditionId;
    use crate::rule::{Comparison, Test};

    const MS: Duration = Duration::from_ms(1);

    fn below(state: &mut u64, bound: u64) -> u64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % bound
    }

    fn cuts(bounds: &[&str]) -> (Cuts, Vec<NumberTest>) {
        let test = |bound: &&str| Comparison::Gt(Value::Number(Decimal::parse(bound).unwrap()));
        let tests: Vec<_> = bounds.iter().map(|it| NumberTest::new(&Test::new(test(it)))).collect();
        let mut cuts = Cuts::default();
        (0..).zip(&tests).for_each(|(id, test)| cuts.add(ConditionId(id), test));
        (cuts, tests)
    }

    /// Events of one user as a plain list, and what a measure comes to over those that count.
    fn plain(
        events: &[(EventTime, Amount)],
        measure: &Measure,
        window: i64,
        now: i64,
    ) -> Aggregated {
        let counts = |(time, _): &&(EventTime, Amount)| now < time + window;
        let amounts: Vec<Amount> =
            events.iter().filter(counts).map(|(_, amount)| *amount).collect();
        let sum = amounts.iter().fold(Amount::ZERO, |sum, amount| sum.plus(*amount));
        let or_missing = |amount: Option<&Amount>| {
            amount.map_or(Aggregated::Missing, |it| Aggregated::Quantity(Quantity::of(*it)))
        };
        Aggregated::Quantity(match measure {
            Measure::Count => Quantity::whole(amounts.len() as u64),
            Measure::Sum(_) => Quantity::of(sum),
            Measure::Min(_) => return or_missing(amounts.iter().min()),
            Measure::Max(_) => return or_missing(amounts.iter().max()),
            _ if amounts.is_empty() => return Aggregated::Missing,
            _ => Quantity { sum: sum.micros(), count: amounts.len() as i64 },
        })
    }

    fn truths(tests: &[NumberTest], value: &Aggregated) -> Vec<bool> {
        let quantity = match value {
            Aggregated::Quantity(quantity) => Some(*quantity),
            _ => None,
        };
        tests.iter().map(|test| test.holds(quantity)).collect()
    }

    /// Events in any order: values are those of the plain list, and no comparison changes by
    /// itself before the instant that was asked for.
    #[test]
    fn values_are_right_and_no_change_comes_before_its_alarm() {
        let path = Path::new("amount");
        let measures = [Measure::Count, Measure::Sum(path.clone()), Measure::Avg(path.clone())];
        let measures = measures.into_iter().chain([Measure::Min(path.clone()), Measure::Max(path)]);
        let (cuts, tests) = cuts(&["-1", "0", "0.5", "1", "2.5", "4", "70", "71"]);
        for (measure, seed) in measures.flat_map(|it| (0..15).map(move |seed| (it.clone(), seed))) {
            let span = [5, 30, 300][seed as usize % 3];
            let window = Some(Duration::from_ms(span));
            let aggregate = Aggregate { stream: StreamId(0), measure, window };
            let state = &mut (seed * 7 + 1);
            let of_amount = |amount| match aggregate.measure {
                Measure::Count => Entry::Happened,
                _ => Entry::Amount(amount),
            };
            let mut log = Log::for_entry(&of_amount(Amount::ZERO));
            let (mut held, mut events, mut now) = (None, Vec::new(), 0_i64);
            for round in 0..200 {
                now += below(state, 3) as i64;
                let time = now - below(state, if seed % 2 == 0 { 1 } else { 12 }) as i64;
                let least = if seed % 5 == 0 { -1 } else { 0 };
                let amount = Amount::whole(below(state, 3) as i64 + least);
                events.push((time, amount));
                let window = held.get_or_insert_with(|| Window::new(&aggregate, log.end()));
                window.expire(&aggregate, MS, &log, now);
                let number = log.insert(time, &of_amount(amount));
                let counts = time + span > now;
                window.insert(&aggregate, number, time, &of_amount(amount), counts);
                log.release(window.cursor());
                let value = window.value(&aggregate, &log);
                let expected = |now| plain(&events, &aggregate.measure, span, now);
                assert_eq!(value, expected(now), "{aggregate:?} seed {seed} at {now}");
                let alarm = window.next_change(&aggregate, MS, &log, Some(&cuts));
                let leaves: Vec<_> = events.iter().map(|(time, _)| time + span).collect();
                let before = |it: &EventTime| *it > now && alarm.is_none_or(|alarm| *it < alarm);
                for later in leaves.into_iter().filter(before).filter(|_| round % 9 == 0) {
                    let same = truths(&tests, &expected(later)) == truths(&tests, &value);
                    assert!(same, "{aggregate:?} seed {seed}: {later} is before {alarm:?}");
                }
            }
        }
    }

    #[test]
    fn far_above_a_threshold_the_alarm_is_far_ahead() {
        let window = Some(Duration::from_ms(1_000));
        let aggregate = Aggregate { stream: StreamId(0), measure: Measure::Count, window };
        let (cuts, _) = cuts(&["2"]);
        let mut log = Log::for_entry(&Entry::Happened);
        let mut held = Window::new(&aggregate, 0);
        for time in 0..100 {
            let number = log.insert(time, &Entry::Happened);
            held.insert(&aggregate, number, time, &Entry::Happened, true);
        }
        assert_eq!(held.next_change(&aggregate, MS, &log, Some(&cuts)), Some(1_097));
        held.expire(&aggregate, MS, &log, 1_097);
        assert_eq!(held.value(&aggregate, &log), Aggregated::Quantity(Quantity::whole(2)));
        log.release(held.cursor());
        assert_eq!(log.len(), 2);
    }
}
