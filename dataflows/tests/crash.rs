//! Crashes: whatever is taken over by whichever number of workers, the answer is the oracle's.
//!
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.

use dataflows::catalog::Timeline;
use dataflows::clock::{ClockSettings, Emit};
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{Pace, run_crashing, run_crashing_saved, run_retaining, stretches};
use dataflows::model::Duration;
use dataflows::oracle::{Log, answer};

fn check(seed: u64, case: &Case) {
    let clock = ClockSettings { emit: Emit::OnWatermark, ..case.clock };
    let log = Log { clock, ..case.log() };
    let stretches = stretches(seed, case.arrivals.len());
    let got = run_crashing(&log, &stretches);
    let expected = answer(&log).differences;
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(got, expected, "difference {index} of seed {seed}: {stretches:?}");
    }
    assert_eq!(got.len(), expected.len(), "seed {seed}: {stretches:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn what_is_taken_over_gives_the_same_answer() {
    let told = std::env::var("RIVULET_SEED").ok().and_then(|seed| seed.parse().ok());
    if let Some(seed) = told {
        return check(seed, &random_case(seed));
    }
    (0..400).for_each(|seed| check(seed, &random_case(seed)));
}

/// For how long events are retained.
const SPANS_MS: [i64; 4] = [1_000, 60_000, 3_600_000, 400 * 86_400_000];

/// Segments that were saved, and looked back at retained events, whatever is repeated of that.
fn check_saved(seed: u64, case: &Case) -> usize {
    let clock = ClockSettings { emit: Emit::OnWatermark, ..case.clock };
    let Some((initial, later)) = case.parted(seed) else { return 0 };
    let begun = Timeline { initial, edits: Vec::new() };
    let log = Log { timeline: &begun, clock, retain: None, ..case.log() };
    let retain = Duration::from_ms(SPANS_MS[(seed % 4) as usize]);
    let pace = Pace { workers: 1 + (seed / 4 % 2) as usize, block: 1 + (seed % 3) as usize };
    let (answered, edits) = run_retaining(&log, pace, &later, Some(retain));
    let timeline = Timeline { initial: begun.initial.clone(), edits };
    let log = Log { timeline: &timeline, ..log };
    let stretches = stretches(seed, case.arrivals.len());
    let got = run_crashing_saved(&log, &stretches, retain);
    for (index, (got, expected)) in got.iter().zip(&answered.differences).enumerate() {
        assert_eq!(got, expected, "difference {index} of seed {seed}: {stretches:?}");
    }
    assert_eq!(got.len(), answered.differences.len(), "seed {seed}: {stretches:?}");
    assert_eq!(got, answer(&log).differences, "seed {seed}");
    later.len()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn what_was_saved_looks_back_as_far_as_before() {
    let told = std::env::var("RIVULET_SEED").ok().and_then(|seed| seed.parse().ok());
    if let Some(seed) = told {
        check_saved(seed, &random_case(seed));
        return;
    }
    let saved: usize = (0..80).map(|seed| check_saved(seed, &random_case(seed))).sum();
    assert!(saved > 100, "only {saved} were saved");
}
