//! Windows against plain lists of events.

use super::*;
use crate::model::{Decimal, Path, StreamId, Value};
use crate::operators::matching::{Cuts, NumberTest};
use crate::operators::plan::ConditionId;
use crate::rule::{Comparison, Test};

const MS: Duration = Duration::from_ms(1);
const STREAM: StreamId = StreamId(0);

fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
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
fn plain(events: &[(EventTime, Amount)], measure: &Measure, window: i64, now: i64) -> Aggregated {
    let counts = |(time, _): &&(EventTime, Amount)| now < time + window;
    let amounts: Vec<Amount> = events.iter().filter(counts).map(|(_, amount)| *amount).collect();
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
        let aggregate = Aggregate { stream: STREAM, measure, window };
        let state = &mut (seed * 7 + 1);
        let of_amount = |amount| match aggregate.measure {
            Measure::Count => Entry::Happened,
            _ => Entry::Amount(amount),
        };
        let mut log = Log::for_entry(STREAM, &of_amount(Amount::ZERO));
        let (mut held, mut events, mut now) = (None, Vec::new(), 0_i64);
        for round in 0..200 {
            now += below(state, 3) as i64;
            let time = now - below(state, if seed % 2 == 0 { 1 } else { 12 }) as i64;
            let least = if seed % 5 == 0 { -1 } else { 0 };
            let amount = Amount::whole(below(state, 3) as i64 + least);
            events.push((time, amount));
            let window = held.get_or_insert_with(|| Window::new(&aggregate));
            window.expire(&aggregate, MS, &log, now);
            log.insert(time, &of_amount(amount));
            let counts = time + span > now;
            window.insert(&aggregate, time, &of_amount(amount), counts);
            log.keep(window.len());
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
    let aggregate = Aggregate { stream: STREAM, measure: Measure::Count, window };
    let (cuts, _) = cuts(&["2"]);
    let mut log = Log::for_entry(STREAM, &Entry::Happened);
    let mut held = Window::new(&aggregate);
    for time in 0..100 {
        log.insert(time, &Entry::Happened);
        held.insert(&aggregate, time, &Entry::Happened, true);
    }
    assert_eq!(held.next_change(&aggregate, MS, &log, Some(&cuts)), Some(1_097));
    held.expire(&aggregate, MS, &log, 1_097);
    assert_eq!(held.value(&aggregate, &log), Aggregated::Quantity(Quantity::whole(2)));
    log.keep(held.len());
    assert_eq!(log.len(), 2);
}

/// In whatever order they come, however far apart and however large: a log is the plain list.
#[test]
fn a_log_is_its_entries_in_order_of_time() {
    let spans = [50, 3_000_000_000, 30_000_000_000];
    for (with_amounts, seed) in
        [false, true].into_iter().flat_map(|it| (0..12).map(move |s| (it, s)))
    {
        let state = &mut (seed + 3);
        let span = spans[seed as usize % 3];
        let entry = |micros| match with_amounts {
            true => Entry::Amount(Amount::from_micros(micros)),
            false => Entry::Happened,
        };
        let mut log = Log::for_entry(STREAM, &entry(0));
        let mut plain: Vec<(EventTime, i128)> = Vec::new();
        for round in 0..400_i64 {
            let time = round * span / 100 + below(state, span as u64) as i64;
            let large = seed % 4 == 3 && round == 300;
            let micros = i128::from(below(state, 9)) - 4 + i128::from(large) * (1 << 70);
            log.insert(time, &entry(micros));
            plain.insert(plain.partition_point(|(other, _)| *other <= time), (time, micros));
            if below(state, 3) == 0 {
                let kept = below(state, plain.len() as u64 + 1) as usize;
                log.keep(kept);
                plain.drain(..plain.len() - kept);
            }
            assert_eq!(log.len(), plain.len());
            let held: Vec<_> =
                (0..plain.len() + 2).map(|it| (log.time(it), log.amount(it))).collect();
            for (place, (time, amount)) in held.into_iter().enumerate() {
                let expected = plain.get(place);
                assert_eq!(time, expected.map(|it| it.0), "seed {seed} round {round}");
                let expected = expected.filter(|_| with_amounts);
                assert_eq!(amount.map(Amount::micros), expected.map(|it| it.1), "seed {seed}");
            }
        }
    }
}
