//! The events of one life that an aggregate or a sequence asks for, and what lies in a window.

use std::ops::Range;

use hashbrown::HashMap;

use super::life::Happening;
use crate::model::time::leave_time;
use crate::model::{Amount, Decimal, Duration, EventTime, Value};
use crate::rule::{Measure, Selector, SequenceCondition};

/// What is taken of each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Taken<'a> {
    /// Only that it happened.
    Nothing,
    /// A property that is a number.
    Amount(&'a str),
    /// A property of any type.
    Value(&'a str),
}

impl<'a> Taken<'a> {
    /// What a measure takes.
    pub(crate) fn by(measure: &'a Measure) -> Self {
        match measure {
            Measure::Count => Taken::Nothing,
            Measure::Sum(path) | Measure::Avg(path) | Measure::Min(path) | Measure::Max(path) => {
                Taken::Amount(path.as_str())
            }
            Measure::Distinct(path) | Measure::First(path) | Measure::Last(path) => {
                Taken::Value(path.as_str())
            }
        }
    }
}

/// The events that match a selector and have what is taken of them, in their order. All vectors
/// but `sums` and `unusable` are as long as `times`.
#[derive(Debug, Default)]
pub(crate) struct Stream<'a> {
    /// When they happened, ascending.
    pub times: Vec<EventTime>,
    /// The numbers taken, or none.
    amounts: Vec<Amount>,
    /// At `i`: what the first `i` numbers sum to.
    sums: Vec<Amount>,
    /// The values taken, or none.
    values: Vec<&'a Value>,
    /// For each value, one more than the place of its last occurrence before; 0 for the first.
    after_previous: Vec<usize>,
    /// When events of this name happened that have not what is needed.
    unusable: Vec<EventTime>,
}

/// What an aggregate comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Total {
    /// A value, or nothing.
    Value(Option<Value>),
    /// A mean over at least one number, not divided yet, so that it compares exactly.
    Mean { sum: Amount, count: i64 },
}

impl<'a> Stream<'a> {
    /// The stream of these events.
    pub(crate) fn new(events: &[Happening<'a>], selector: &Selector, taken: Taken<'_>) -> Self {
        let mut stream = Stream { sums: vec![Amount::ZERO], ..Stream::default() };
        let mut places: HashMap<&Value, usize> = HashMap::new();
        for event in events {
            let (matches, mismatch) = selects(selector, event);
            if mismatch {
                stream.unusable.push(event.time);
            }
            if !matches {
                continue;
            }
            match taken {
                Taken::Nothing => {}
                Taken::Amount(path) => match amount(event.properties.at(path)) {
                    Some(amount) => stream.push_amount(amount),
                    None => {
                        stream.unusable.push(event.time);
                        continue;
                    }
                },
                Taken::Value(path) => match event.properties.at(path) {
                    Some(value) => {
                        stream.values.push(value);
                        let previous = places.insert(value, stream.values.len());
                        stream.after_previous.push(previous.unwrap_or(0));
                    }
                    None => {
                        stream.unusable.push(event.time);
                        continue;
                    }
                },
            }
            stream.times.push(event.time);
        }
        stream
    }

    fn push_amount(&mut self, amount: Amount) {
        let before = self.sums.last().copied().unwrap_or_default();
        self.sums.push(before.plus(amount));
        self.amounts.push(amount);
    }

    /// The places of the events that count at `now` and are later than `after`.
    pub(crate) fn window(
        &self,
        now: EventTime,
        after: EventTime,
        window: Option<Duration>,
        granularity: Duration,
    ) -> Range<usize> {
        counting(&self.times, now, after, window, granularity)
    }

    /// Whether an event counts at `now` that lacks what is needed.
    pub(crate) fn mismatch(
        &self,
        now: EventTime,
        after: EventTime,
        window: Option<Duration>,
        granularity: Duration,
    ) -> bool {
        !counting(&self.unusable, now, after, window, granularity).is_empty()
    }

    /// What the measure comes to over the events of this range.
    pub(crate) fn total(&self, measure: &Measure, range: Range<usize>) -> Total {
        let count = whole(range.len());
        let amounts = self.amounts.get(range.clone()).unwrap_or_default();
        let values = self.values.get(range.clone()).unwrap_or_default();
        let number = |amount: Amount| Value::Number(amount.to_decimal());
        Total::Value(match measure {
            Measure::Count => Some(Value::Number(Decimal::from(count))),
            Measure::Sum(_) => Some(number(self.sum(&range))),
            Measure::Avg(_) if count > 0 => return Total::Mean { sum: self.sum(&range), count },
            Measure::Avg(_) => None,
            Measure::Min(_) => amounts.iter().min().map(|least| number(*least)),
            Measure::Max(_) => amounts.iter().max().map(|greatest| number(*greatest)),
            Measure::Distinct(_) => {
                // A value is new in the range iff it did not occur before within it.
                let before = self.after_previous.get(range.clone()).unwrap_or_default();
                let new = before.iter().filter(|after_previous| **after_previous <= range.start);
                Some(Value::Number(Decimal::from(whole(new.count()))))
            }
            Measure::First(_) => values.first().map(|value| (*value).clone()),
            Measure::Last(_) => values.last().map(|value| (*value).clone()),
        })
    }

    fn sum(&self, range: &Range<usize>) -> Amount {
        let until = |place: usize| self.sums.get(place).copied().unwrap_or_default();
        until(range.end).minus(until(range.start))
    }
}

/// The places of the times that count at `now` and are later than `after`. Leave times are in the
/// order of the times, so both ends of the range can be searched for.
fn counting(
    times: &[EventTime],
    now: EventTime,
    after: EventTime,
    window: Option<Duration>,
    granularity: Duration,
) -> Range<usize> {
    let happened = times.partition_point(|time| *time <= now);
    let left = window.map_or(0, |window| {
        times.partition_point(|time| leave_time(*time, window, granularity) <= now)
    });
    let unseen = times.partition_point(|time| *time <= after);
    left.max(unseen).min(happened)..happened
}

/// Whether an event is meant, and whether a property that had to be looked at was of a wrong type.
fn selects(selector: &Selector, event: &Happening<'_>) -> (bool, bool) {
    if !selector.name.matches(event.name) {
        return (false, false);
    }
    selector.filter.as_ref().map_or((true, false), |filter| filter.holds(event.properties))
}

fn amount(value: Option<&Value>) -> Option<Amount> {
    match value {
        Some(Value::Number(number)) => number.to_amount(),
        _ => None,
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A sequence that happened in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The latest time its first event can have.
    pub first: EventTime,
    /// The time of its last event.
    pub last: EventTime,
}

/// The ways the sequence was completed, ascending, one for each time of a last event. Of all ways
/// to the same last event the one that began latest is the shortest, and sees the least far back:
/// if it does not do, none does.
pub(crate) fn completions(
    events: &[Happening<'_>],
    sequence: &SequenceCondition,
) -> Vec<Completion> {
    // How the steps so far were completed: for each time of a last event, the latest beginning.
    let mut so_far: Vec<Completion> = Vec::new();
    for (place, step) in sequence.steps.iter().enumerate() {
        let mut times = Stream::new(events, step, Taken::Nothing).times;
        times.dedup();
        so_far = times
            .into_iter()
            .filter_map(|last| match place {
                0 => Some(Completion { first: last, last }),
                _ => {
                    let before = so_far.partition_point(|way| way.last < last);
                    let latest = so_far.get(..before)?.last()?; // beginnings ascend with the ends
                    Some(Completion { first: latest.first, last })
                }
            })
            .collect();
    }
    so_far.retain(|way| way.last - way.first <= sequence.within.ms());
    so_far
}
