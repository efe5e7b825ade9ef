//! Crashes: whatever is taken over by whichever number of workers, the answer is the oracle's.
//!
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.

use dataflows::clock::{ClockSettings, Emit};
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{run_crashing, stretches};
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
