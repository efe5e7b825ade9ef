//! Crashes: whatever is taken over by whichever number of workers, the answer is the oracle's.
//!
//! On failure the seed is printed: `RIVULET_SEED=<seed>` tries only that one.

use dataflows::clock::{ClockSettings, Emit};
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{Pace, Stretch, run_crashing};
use dataflows::oracle::{Log, answer};

/// A number below `bound` that depends on the seed and on which one it is.
fn draw(seed: u64, which: u64, bound: usize) -> usize {
    let mixed =
        (seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 33) as usize % bound.max(1)
}

fn stretches(seed: u64, records: usize) -> Vec<Stretch> {
    let count = 2 + draw(seed, 1, 3) as u64;
    let stretch = |number: u64| {
        let block = 1 + draw(seed, 10 + number, 4);
        let blocks = records / block + 1;
        let mut checkpoints: Vec<usize> = (0..1 + draw(seed, 20 + number, 3) as u64)
            .map(|it| draw(seed, 100 * number + it, blocks))
            .collect();
        checkpoints.sort_unstable();
        Stretch {
            pace: Pace { workers: 1 + draw(seed, 30 + number, 3), block },
            checkpoints,
            merged: draw(seed, 40 + number, 2) == 0,
        }
    };
    (0..count).map(stretch).collect()
}

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
