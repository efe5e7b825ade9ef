//! Decisions at once: `emit = "on_event"` against `on_watermark`, on random worlds.
//!
//! Records that come in the order of their times give the same bytes. With disorder, membership is
//! that of the oracle at every time by which all that happened up to it has come, and at the end.
//! So it is after crashes: where partitions come as they did before, the bytes are those of a run
//! that nothing happened to; where they come in another order, each enters and leaves in turn, and
//! membership is right once all has come.
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.
//!
//! Where copies of one record carry different times, the first to come counts, which need not be
//! the earliest; so in disorder copies are exact, and in the partition of the original.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::catalog::Timeline;
use dataflows::clock::{Emit, PartitionClock, Punctuality};
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{
    Pace, Stretch, run, run_crashing, run_crashing_saved, run_retaining, stretches,
};
use dataflows::model::{Arrival, Difference, Duration, EventTime, Sign};
use dataflows::oracle::{Log, answer};

const PACES: [(usize, usize); 6] = [(1, 1), (1, 7), (1, 10_000), (2, 3), (4, 10), (2, 1)];

#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("RIVULET_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => default,
    }
}

fn pace(seed: u64) -> Pace {
    let (workers, block) = PACES[usize::try_from(seed % 6).expect("six fits")];
    Pace { workers, block }
}

/// Offsets in the order of arrival.
fn number(arrivals: &mut [Arrival]) {
    let mut offsets: BTreeMap<u32, u64> = BTreeMap::new();
    for arrival in arrivals {
        let next = offsets.entry(arrival.position.partition).or_default();
        arrival.position.offset = *next;
        *next += 1;
    }
}

/// The case with its records in the order of their times.
fn in_order(seed: u64) -> Case {
    let mut case = random_case(seed);
    case.arrivals.retain(|arrival| arrival.time.is_some());
    case.arrivals.sort_by_key(|arrival| arrival.time);
    number(&mut case.arrivals);
    case
}

/// The case without identifiers, or with exact copies only.
fn in_disorder(seed: u64) -> Case {
    let mut case = random_case(seed);
    if !seed.is_multiple_of(3) {
        case.arrivals.iter_mut().for_each(|arrival| arrival.id = None);
        return case;
    }
    let mut first: BTreeMap<String, Arrival> = BTreeMap::new();
    for arrival in &mut case.arrivals {
        let Some(id) = arrival.id.clone() else { continue };
        *arrival = first.entry(id.to_string()).or_insert_with(|| arrival.clone()).clone();
    }
    let timeless = |arrival: &Arrival| arrival.id.is_some() && arrival.time.is_none();
    case.arrivals.retain(|arrival| !timeless(arrival));
    number(&mut case.arrivals);
    case
}

/// Signs alternate from +1, at most one at a time, and all are in order.
#[track_caller]
fn check_differences(seed: u64, differences: &[Difference]) {
    let mut last: BTreeMap<(&str, &str), &Difference> = BTreeMap::new();
    for difference in differences {
        let before = last.insert((&*difference.segment, &*difference.user), difference);
        let was_in = before.is_some_and(|before| before.sign == Sign::Entered);
        assert_eq!(was_in, difference.sign == Sign::Left, "seed {seed}: {difference}");
        let later = before.is_none_or(|before| before.time < difference.time);
        assert!(later, "seed {seed}: {difference}");
    }
    assert!(differences.is_sorted(), "seed {seed}");
}

fn members(differences: &[Difference], until: EventTime) -> BTreeSet<(&str, &str)> {
    let mut members = BTreeSet::new();
    for difference in differences.iter().filter(|difference| difference.time <= until) {
        let member = (&*difference.segment, &*difference.user);
        match difference.sign {
            Sign::Entered => members.insert(member),
            Sign::Left => members.remove(&member),
        };
    }
    members
}

/// For each record that is on time: when it happened, and where the clock stood before it.
fn on_time(case: &Case) -> Vec<(EventTime, EventTime)> {
    let mut clocks: BTreeMap<u32, PartitionClock> = BTreeMap::new();
    let mut clock = EventTime::MIN;
    let mut times = Vec::new();
    for arrival in &case.arrivals {
        let own = clocks
            .entry(arrival.position.partition)
            .or_insert_with(|| PartitionClock::new(case.clock.max_out_of_orderness));
        if let Punctuality::OnTime(time) = own.observe(arrival.time) {
            times.push((time, clock));
            clock = clock.max(time);
        }
    }
    times
}

/// Whether all that happened up to a time had come when the clock passed it.
fn complete_at(records: &[(EventTime, EventTime)], now: EventTime) -> bool {
    records.iter().all(|(time, clock)| *time > now || *clock <= now)
}

#[test]
fn in_order_the_bytes_are_those_of_the_watermark() {
    for seed in seeds(0..400) {
        let mut case = in_order(seed);
        let expected = answer(&case.log());
        case.clock.emit = Emit::OnEvent;
        let got = run(&case.log(), pace(seed));
        assert_eq!(got, expected, "seed {seed}");
    }
}

#[test]
fn membership_is_right_wherever_all_has_come() {
    for seed in seeds(0..400) {
        let mut case = in_disorder(seed);
        let expected = answer(&case.log()).differences;
        case.clock.emit = Emit::OnEvent;
        let got = run(&case.log(), pace(seed)).differences;
        check_differences(seed, &got);
        let records = on_time(&case);
        let instants: BTreeSet<EventTime> =
            expected.iter().chain(&got).map(|difference| difference.time).collect();
        for now in instants.into_iter().filter(|now| complete_at(&records, *now)) {
            assert_eq!(members(&got, now), members(&expected, now), "seed {seed} at {now}");
        }
        let end = EventTime::MAX;
        assert_eq!(members(&got, end), members(&expected, end), "seed {seed} at the end");
    }
}

#[test]
fn a_crash_changes_nothing_where_the_partitions_come_as_before() {
    for seed in seeds(0..80) {
        let mut case = in_disorder(seed);
        case.clock.emit = Emit::OnEvent;
        let expected = run(&case.log(), pace(seed)).differences;
        let stretches = stretches(seed, case.arrivals.len());
        let got = run_crashing(&case.log(), &stretches);
        for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got, expected, "difference {index} of seed {seed}: {stretches:?}");
        }
        assert_eq!(got.len(), expected.len(), "seed {seed}: {stretches:?}");
    }
}

#[test]
fn membership_is_right_after_a_crash_in_whatever_order_the_partitions_come() {
    for seed in seeds(0..80) {
        let mut case = in_disorder(seed);
        let expected = answer(&case.log()).differences;
        let last = on_time(&case).into_iter().map(|(time, _)| time).max();
        let all_have_come = last.unwrap_or(EventTime::MIN);
        case.clock.emit = Emit::OnEvent;
        let mut stretches = stretches(seed, case.arrivals.len());
        for (number, stretch) in (0..).zip(&mut stretches) {
            stretch.order = Some(seed.wrapping_mul(31) + number);
        }
        let got = run_crashing(&case.log(), &stretches);
        check_differences(seed, &got);
        let instants = expected.iter().chain(&got).map(|difference| difference.time);
        let instants: BTreeSet<EventTime> =
            instants.chain([all_have_come]).filter(|time| *time >= all_have_come).collect();
        for now in instants {
            assert_eq!(members(&got, now), members(&expected, now), "seed {seed} at {now}");
        }
    }
}

#[test]
fn a_saved_definition_looks_back_at_what_is_retained() {
    let (mut saved, mut compared) = (0, 0);
    for seed in seeds(0..80) {
        let mut case = in_disorder(seed);
        case.clock.emit = Emit::OnEvent;
        let Some((initial, later)) = case.parted(seed) else { continue };
        let begun = Timeline { initial, edits: Vec::new() };
        let log = Log { timeline: &begun, retain: None, ..case.log() };
        let retain = Duration::from_ms([1_000, 60_000, 400 * 86_400_000][(seed % 3) as usize]);
        let (got, edits) = run_retaining(&log, pace(seed), &later, Some(retain));
        let got = got.differences;
        check_differences(seed, &got);
        let timeline = Timeline { initial: begun.initial.clone(), edits };
        let log = Log { timeline: &timeline, ..log };
        let expected = answer(&log).differences;
        let records = on_time(&case);
        let instants: BTreeSet<EventTime> =
            expected.iter().chain(&got).map(|difference| difference.time).collect();
        for now in instants.into_iter().filter(|now| complete_at(&records, *now)) {
            assert_eq!(members(&got, now), members(&expected, now), "seed {seed} at {now}");
            compared += 1;
        }
        saved += later.len();
        // Repeated, it is the same to the byte, and so it is over crashes.
        let whole = Stretch { pace: pace(seed), checkpoints: vec![], merged: false, order: None };
        let expected = run_crashing_saved(&log, &[whole], retain);
        let got = run_crashing_saved(&log, &stretches(seed, case.arrivals.len()), retain);
        assert_eq!(got, expected, "seed {seed}");
    }
    assert!(saved > 100 && compared > 250, "only {saved} were saved and {compared} compared");
}
