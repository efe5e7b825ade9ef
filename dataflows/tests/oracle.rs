//! The dataflow against the from-scratch oracle, on random worlds.
//!
//! Every seed gives definitions, a log and settings; whatever the number of workers and the size of
//! blocks, the differences must be the same as those recomputed from the whole log. On failure the
//! seed is printed: `RIVULET_SEED=<seed>` tries only that one.

use dataflows::generate::random_case;
use dataflows::in_memory::{Pace, run};
use dataflows::oracle::answer;

#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("RIVULET_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => default,
    }
}

#[test]
fn the_dataflow_agrees_with_the_oracle() {
    for seed in seeds(0..600) {
        let case = random_case(seed);
        let expected = answer(&case.log());
        let paces = [(1, 1), (1, 7), (1, 10_000), (2, 3), (4, 10)];
        let (workers, block) = paces[usize::try_from(seed % 5).unwrap()];
        let got = run(&case.log(), Pace { workers, block });
        for (index, (got, expected)) in
            got.differences.iter().zip(&expected.differences).enumerate()
        {
            assert_eq!(got, expected, "difference {index} of seed {seed}, {workers} workers");
        }
        assert_eq!(got, expected, "seed {seed}, {workers} workers, blocks of {block}");
    }
}
