//! Definitions saved while the stream flows: from the instant at which one comes into force, the
//! answer is what the oracle gives for a definition put at that instant.

use std::sync::Arc;

use dataflows::catalog::{Catalog, Edit, TimedEdit, Timeline};
use dataflows::generate::random_case;
use dataflows::in_memory::{Pace, run_saving};
use dataflows::oracle::{Log, answer};
use dataflows::rule::Definition;

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
        let (got, in_force) = run_saving(&log, Pace { workers, block }, &definitions);
        assert_eq!(in_force.len(), definitions.len());
        let put = in_force.iter().zip(&definitions);
        let edits = put.map(|(time, it)| TimedEdit { time: *time, edit: Edit::Put(it.clone()) });
        let timeline = Timeline { initial: initial.clone(), edits: edits.collect() };
        let expected = answer(&Log { timeline: &timeline, ..log });
        let differences = got.differences.iter().zip(&expected.differences).enumerate();
        for (index, (got, expected)) in differences {
            assert_eq!(got, expected, "difference {index} of seed {seed}, {workers} workers");
        }
        assert_eq!(got, expected, "seed {seed}, {workers} workers");
        tried += definitions.len();
    }
    assert!(tried > 500, "only {tried} definitions were saved");
}
