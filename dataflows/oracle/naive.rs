//! The judge judged: what it finds by searching and summing ahead, found again by looking at every
//! event and every way through a sequence; and at instants it did not think of.

use std::collections::BTreeSet;

use super::applied::applied;
use super::definitions::Definitions;
use super::facts::Facts;
use super::life::{Happening, Life, lives};
use super::*;
use crate::explain::explain;
use crate::generate::{Case, random_case};
use crate::model::time::leave_time;
use crate::model::{Amount, Decimal, Position, Value};
use crate::rule::{AggregateCondition, Measure, Rule, Selector, SequenceCondition, Test};

fn matches(selector: &Selector, event: &Happening<'_>) -> bool {
    selector.name.matches(event.name)
        && selector.filter.as_ref().is_none_or(|filter| filter.holds(event.properties).0)
}

fn whole(count: usize) -> Value {
    Value::Number(Decimal::from(i64::try_from(count).unwrap()))
}

fn total(condition: &AggregateCondition, counting: &[&Happening<'_>]) -> Option<Value> {
    let path = condition.measure.property().map_or("", |path| path.as_str());
    let values: Vec<&Value> = counting.iter().filter_map(|e| e.properties.at(path)).collect();
    let amounts: Vec<Amount> = values
        .iter()
        .filter_map(|value| match value {
            Value::Number(number) => number.to_amount(),
            _ => None,
        })
        .collect();
    let number = |amount: Amount| Value::Number(amount.to_decimal());
    match condition.measure {
        Measure::Count => Some(whole(counting.len())),
        Measure::Sum(_) => Some(number(amounts.into_iter().fold(Amount::ZERO, Amount::plus))),
        Measure::Avg(_) => None, // has its own tests
        Measure::Min(_) => amounts.into_iter().min().map(number),
        Measure::Max(_) => amounts.into_iter().max().map(number),
        Measure::Distinct(_) => Some(whole(values.into_iter().collect::<BTreeSet<_>>().len())),
        Measure::First(_) => values.first().map(|value| (*value).clone()),
        Measure::Last(_) => values.last().map(|value| (*value).clone()),
    }
}

/// Whether the steps can be taken by events later than `from` and than the one before, the last of
/// them in time and still in its window.
fn way(
    sequence: &SequenceCondition,
    step: usize,
    events: &[&Happening<'_>],
    first: Option<EventTime>,
    from: EventTime,
    now: EventTime,
) -> bool {
    let Some(selector) = sequence.steps.get(step) else {
        return first.is_some_and(|first| from - first <= sequence.within.ms())
            && now < from + sequence.window.ms();
    };
    events.iter().any(|event| {
        let first = first.or(Some(event.time));
        event.time > from
            && matches(selector, event)
            && way(sequence, step + 1, events, first, event.time, now)
    })
}

fn check_leaf(rule: &Rule, life: &Life<'_>, facts: &Facts<'_>, case: &Case, now: EventTime) {
    let found = facts.at(now).holds(rule);
    let happened = life.events.iter().filter(|event| event.time <= now);
    let expected = match rule {
        Rule::Aggregate(condition) if !matches!(condition.measure, Measure::Avg(_)) => {
            let stays = |event: &&Happening<'_>| {
                condition.window.is_none_or(|window| {
                    now < leave_time(event.time, window, case.clock.granularity)
                })
            };
            let meant = |event: &&Happening<'_>| matches(&condition.events, event);
            let counting: Vec<_> = happened.filter(stays).filter(meant).collect();
            Test::holds(&condition.test, total(condition, &counting).as_ref()).holds()
        }
        Rule::Sequence(sequence) => {
            let events: Vec<_> = happened.collect();
            way(sequence, 0, &events, None, EventTime::MIN, now)
        }
        _ => return,
    };
    assert_eq!(found, expected, "{rule:?} at {now}");
}

#[test]
fn every_window_and_sequence_is_what_all_its_events_say() {
    for seed in 1_000..1_060 {
        let case = random_case(seed);
        let log = Log { retain: None, ..case.log() };
        let definitions = Definitions::new(log.timeline, None);
        for (user, records) in applied(&log).by_user() {
            for life in lives(&records) {
                let facts = Facts::new(user, &life, &definitions, log.clock.granularity);
                for now in facts.instants().iter().step_by(7) {
                    for leaf in definitions.leaves() {
                        check_leaf(leaf, &life, &facts, &case, *now);
                    }
                }
            }
        }
    }
}

/// The membership after these differences, and when it changes next.
fn replayed(
    differences: &[Difference],
    user: &str,
    segment: &str,
    at: EventTime,
) -> (bool, Option<EventTime>) {
    let own = |d: &&Difference| *d.user == *user && *d.segment == *segment;
    let mut before = differences.iter().filter(own).take_while(|d| d.time <= at);
    let next = differences.iter().filter(own).find(|d| d.time > at);
    (before.by_ref().last().is_some_and(|d| d.sign == Sign::Entered), next.map(|d| d.time))
}

/// The log as if nothing had come and nothing been edited after this time.
fn cut(case: &Case, at: EventTime) -> Case {
    let mut cut = case.clone();
    cut.timeline.edits.retain(|edit| edit.time <= at);
    let records = applied(&case.log()).records;
    let early = records.into_iter().filter(|record| record.time <= at);
    cut.arrivals =
        early.map(|record| Arrival { time: Some(record.time), ..record.arrival.clone() }).collect();
    cut.clock.max_out_of_orderness = Duration::MAX;
    cut.clock.dedup_horizon = Duration::from_ms(0);
    cut
}

#[test]
fn explanations_agree_with_the_differences_at_any_instant() {
    let mut members = 0;
    let mut changes = 0;
    for seed in 2_000..2_060 {
        let case = random_case(seed);
        let whole = answer(&case.log());
        let middle = case.arrivals.get(case.arrivals.len() / 2).and_then(|a| a.time).unwrap_or(0);
        let times = whole.differences.iter().step_by(whole.differences.len() / 6 + 1);
        let times = times.flat_map(|d| [d.time - 1, d.time, d.time + 1]).chain([middle]);
        for at in times.collect::<BTreeSet<_>>() {
            let cut = cut(&case, at);
            let truncated = answer(&cut.log());
            for (n, definition) in case.timeline.initial.iter().enumerate() {
                let arrival = &case.arrivals[n * 7 % case.arrivals.len()];
                let (user, segment) = (&*arrival.user, &*definition.id);
                let Some(told) = explain(&case.log(), user, segment, at) else { continue };
                let (member, _) = replayed(&whole.differences, user, segment, at);
                let (_, next) = replayed(&truncated.differences, user, segment, at);
                assert_eq!(told.member, member, "seed {seed}: {user} in {segment} at {at}\n{told}");
                assert_eq!(told.next_change, next, "seed {seed}: {user} at {at}\n{told}");
                members += usize::from(member);
                changes += usize::from(next.is_some());
            }
        }
    }
    assert!(members > 500 && changes > 200, "{members} members, {changes} changes to come");
}

#[test]
fn the_order_of_partitions_does_not_matter() {
    for seed in 3_000..3_060 {
        let case = random_case(seed);
        let mut apart = case.clone();
        apart.arrivals.sort_by_key(|arrival| arrival.position);
        assert_eq!(answer(&apart.log()), answer(&case.log()), "seed {seed}");
        let place = |arrival: &Arrival| {
            let Position { partition, offset } = arrival.position;
            (offset, std::cmp::Reverse(partition))
        };
        apart.arrivals.sort_by_key(place);
        assert_eq!(answer(&apart.log()), answer(&case.log()), "seed {seed}");
    }
}
