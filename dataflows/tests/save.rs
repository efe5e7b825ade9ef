//! Definitions saved while the stream flows: from the instant at which one comes into force, the
//! answer is what the oracle gives for a definition put at that instant.

use std::sync::Arc;

use dataflows::catalog::{Catalog, Timeline};
use dataflows::generate::random_case;
use dataflows::in_memory::{Pace, run_retaining};
use dataflows::model::Duration;
use dataflows::oracle::{Log, answer};
use dataflows::rule::Definition;
use dataflows::streams::Streams;

/// Rules that are in force already, as new segments and in place of others: what they ask is
/// known since the beginning. Segments at even places give way, rules at odd ones stay.
fn saved(initial: &[Arc<Definition>], seed: u64) -> Vec<Arc<Definition>> {
    let half = initial.len() / 2;
    let at =
        |number: u64, odd: usize| &initial[usize::try_from(number).unwrap_or(0) % half * 2 + odd];
    let mut catalog: Vec<_> = initial.to_vec();
    let mut saved = Vec::new();
    for number in 0..6 {
        let rule = at(seed / 3 + number * 7, 1).rule.clone();
        let id = match number % 2 {
            0 => at(seed + number * 5, 0).id.clone(),
            _ => format!("new {number}").into(),
        };
        let definition = Arc::new(Definition { id, name: None, description: None, rule });
        let mut next: Vec<_> =
            catalog.iter().filter(|other| other.id != definition.id).cloned().collect();
        next.push(definition.clone());
        // Some would refer to themselves.
        if Catalog::new(next.clone()).is_ok() {
            catalog = next;
            saved.push(definition);
        }
    }
    saved
}

/// Runs the log and saves these on the way; the oracle is told when each came into force, and which
/// events it sees.
fn check(seed: u64, log: &Log<'_>, pace: Pace, definitions: &[Arc<Definition>]) {
    check_retaining(seed, log, pace, definitions, None);
}

fn check_retaining(
    seed: u64,
    log: &Log<'_>,
    pace: Pace,
    definitions: &[Arc<Definition>],
    retain: Option<Duration>,
) {
    let (got, in_force) = run_retaining(log, pace, definitions, retain);
    assert_eq!(in_force.len(), definitions.len());
    let timeline = Timeline { initial: log.timeline.initial.clone(), edits: in_force };
    let expected = answer(&Log { timeline: &timeline, ..*log });
    let differences = got.differences.iter().zip(&expected.differences).enumerate();
    for (index, (got, expected)) in differences {
        assert_eq!(got, expected, "difference {index} of seed {seed}, {pace:?}");
    }
    assert_eq!(got, expected, "seed {seed}, {pace:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("RIVULET_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => default,
    }
}

/// For how long events are retained.
const SPANS_MS: [i64; 6] = [1, 1_000, 60_000, 3_600_000, 86_400_000, 400 * 86_400_000];

#[test]
fn a_saved_definition_looks_back_at_what_is_retained() {
    let (mut tried, mut looked_back) = (0, 0);
    for seed in seeds(0..160) {
        let case = random_case(seed);
        let Some((initial, later)) = case.parted(seed) else { continue };
        let timeline = Timeline { initial, edits: Vec::new() };
        let log = Log { timeline: &timeline, retain: None, ..case.log() };
        let (workers, block) = [(1, 1), (2, 3), (1, 5), (3, 2)][(seed % 4) as usize];
        let span = SPANS_MS[(seed / 4 % 6) as usize];
        let pace = Pace { workers, block };
        check_retaining(seed, &log, pace, &later, Some(Duration::from_ms(span)));
        tried += later.len();
        looked_back += later.len() * usize::from(span >= 60_000);
    }
    assert!(tried > 200 && looked_back > 100, "only {tried} were saved, of which {looked_back}");
}

#[test]
fn a_saved_definition_may_ask_for_events_nobody_asked_for() {
    let (mut tried, mut asked) = (0, 0);
    for seed in 0..300 {
        let case = random_case(seed);
        let Some((initial, later)) = case.parted(seed) else { continue };
        let timeline = Timeline { initial, edits: Vec::new() };
        let mut streams = Streams::of(&timeline);
        let known = streams.len();
        later.iter().for_each(|it| streams.add_rule(&it.rule));
        asked += streams.len() - known;
        let log = Log { timeline: &timeline, retain: None, ..case.log() };
        let (workers, block) = [(1, 1), (2, 3), (1, 5), (3, 2)][(seed % 4) as usize];
        check(seed, &log, Pace { workers, block }, &later);
        tried += later.len();
    }
    assert!(tried > 500 && asked > 300, "only {tried} were saved, which ask for {asked} streams");
}

#[test]
fn a_saved_definition_is_as_one_put_when_it_comes_into_force() {
    let mut tried = 0;
    for seed in 0..300 {
        let case = random_case(seed);
        let initial = &case.timeline.initial;
        if initial.len() < 2 {
            continue;
        }
        let timeline = Timeline { initial: initial.clone(), edits: Vec::new() };
        let log = Log { timeline: &timeline, retain: None, ..case.log() };
        let definitions = saved(initial, seed);
        let (workers, block) = [(1, 1), (2, 3), (1, 5), (3, 2)][(seed % 4) as usize];
        check(seed, &log, Pace { workers, block }, &definitions);
        tried += definitions.len();
    }
    assert!(tried > 500, "only {tried} definitions were saved");
}
