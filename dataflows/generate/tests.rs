//! That cases are what they claim to be: repeatable, valid, of every kind, and worth answering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::catalog::Edit;
use crate::model::{Action, Difference, Sign};
use crate::oracle::answer;
use crate::rule::{Comparison, Filter, MAX_DEPTH, Rule, Selector};

const SEEDS: std::ops::Range<u64> = 0..300;

/// Every definition of a case, of every version.
fn rules(case: &Case) -> Vec<&Rule> {
    let put = case.timeline.edits.iter().filter_map(|edit| match &edit.edit {
        Edit::Put(definition) => Some(definition),
        Edit::Delete(_) => None,
    });
    case.timeline.initial.iter().chain(put).map(|definition| &definition.rule).collect()
}

/// The name of an enum's variant.
fn word(variant: &impl std::fmt::Debug) -> String {
    format!("{variant:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
}

fn note_filter(filter: &Filter, seen: &mut BTreeSet<String>) {
    seen.insert(format!("Filter{}", word(filter)));
    match filter {
        Filter::All(filters) | Filter::Any(filters) => {
            filters.iter().for_each(|filter| note_filter(filter, seen));
        }
        Filter::Not(filter) => note_filter(filter, seen),
        Filter::Property(_, test) => {
            assert!(!test.is_timed(), "filters are timeless");
            seen.insert(word(&test.comparison));
        }
    }
}

fn note_selector(selector: &Selector, seen: &mut BTreeSet<String>) {
    seen.insert(word(&selector.name));
    selector.filter.iter().for_each(|filter| note_filter(filter, seen));
}

fn note(rule: &Rule, seen: &mut BTreeSet<String>) {
    seen.insert(format!("Rule{}", word(rule)));
    match rule {
        Rule::Attribute(condition) => {
            seen.insert(word(&condition.test.comparison));
            seen.insert(format!("held {}", condition.held.is_some()));
            seen.insert(format!("ignore_case {}", condition.test.ignore_case));
        }
        Rule::Aggregate(condition) => {
            let measure = condition.measure.word();
            seen.insert(measure.to_owned());
            seen.insert(format!("{measure} {}", word(&condition.test.comparison)));
            seen.insert(format!(
                "window {}",
                condition
                    .window
                    .map(|w| w > Duration::EXACT_WINDOW)
                    .map_or("none", |long| if long { "long" } else { "exact" })
            ));
            assert!(!condition.test.is_timed(), "totals are compared with constants");
            note_selector(&condition.events, seen);
        }
        Rule::Sequence(sequence) => {
            assert!(sequence.steps.len() >= 2);
            seen.insert(format!("steps {}", sequence.steps.len()));
            sequence.steps.iter().for_each(|step| note_selector(step, seen));
        }
        _ => {}
    }
}

#[test]
fn one_seed_is_one_case() {
    for seed in 0..20 {
        assert_eq!(format!("{:?}", random_case(seed)), format!("{:?}", random_case(seed)));
    }
    assert_ne!(format!("{:?}", random_case(1)), format!("{:?}", random_case(2)));
}

#[test]
fn every_kind_of_rule_comparison_and_measure_appears() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let case = random_case(seed);
        rules(&case).iter().for_each(|rule| rule.walk(&mut |rule| note(rule, &mut seen)));
    }
    let kinds = "All Any Not Segment Everyone Members Sample Attribute Aggregate Sequence";
    let mut expected: Vec<String> = kinds.split(' ').map(|kind| format!("Rule{kind}")).collect();
    let numeric = "Eq Neq In NotIn Gt Gte Lt Lte Between IsNull IsNotNull";
    for measure in "count sum avg min max distinct first last".split(' ') {
        expected.extend(numeric.split(' ').map(|comparison| format!("{measure} {comparison}")));
    }
    let words = "Contains StartsWith EndsWith Matches AnyOf AllOf NoneOf Before After WithinLast \
                 WithinNext FilterAll FilterAny FilterNot FilterProperty Prefix Exact";
    expected.extend(words.split_whitespace().map(str::to_owned));
    let facts = ["held true", "ignore_case true", "window none", "window long", "window exact"];
    expected.extend(facts.into_iter().chain(["steps 3", "steps 4"]).map(str::to_owned));
    let missing: Vec<_> = expected.iter().filter(|word| !seen.contains(*word)).collect();
    assert!(missing.is_empty(), "never made: {missing:?}");
}

/// How deep the references of a segment go. Fails on a cycle and on what is not there.
fn depth(in_force: &BTreeMap<Arc<str>, &Rule>, id: &str, above: usize) -> usize {
    assert!(above < MAX_DEPTH, "a cycle through {id}");
    let rule = in_force.get(id).unwrap_or_else(|| panic!("no segment {id}"));
    let deeper = rule.references().into_iter().map(|id| 1 + depth(in_force, id, above + 1));
    deeper.max().unwrap_or(0)
}

#[test]
fn definitions_are_valid_at_every_moment() {
    let mut deepest = 0;
    let mut deletions = 0;
    for seed in SEEDS {
        let case = random_case(seed);
        let initial = case.timeline.initial.iter();
        let mut in_force: BTreeMap<Arc<str>, &Rule> =
            initial.map(|definition| (Arc::clone(&definition.id), &definition.rule)).collect();
        let mut check = |in_force: &BTreeMap<Arc<str>, &Rule>| {
            let depths = in_force.keys().map(|id| depth(in_force, id, 0));
            deepest = depths.max().unwrap_or(0).max(deepest);
        };
        check(&in_force);
        assert!(case.timeline.edits.is_sorted_by_key(|edit| edit.time), "seed {seed}");
        for edit in &case.timeline.edits {
            match &edit.edit {
                Edit::Put(put) => drop(in_force.insert(Arc::clone(&put.id), &put.rule)),
                Edit::Delete(id) => {
                    deletions += 1;
                    assert!(in_force.remove(id).is_some(), "seed {seed} deletes {id}");
                }
            }
            check(&in_force);
        }
    }
    assert!(deepest >= 4, "references only {deepest} deep");
    assert!(deletions > 100, "{deletions} deletions");
}

#[test]
fn records_are_in_the_order_of_their_partitions() {
    for seed in SEEDS {
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        for arrival in &random_case(seed).arrivals {
            let next = next.entry(arrival.position.partition).or_default();
            assert!(arrival.position.offset >= *next, "seed {seed}");
            *next = arrival.position.offset + 1;
        }
    }
}

/// Signs alternate from +1, at most one at a time, and all are in order.
fn check_differences(seed: u64, differences: &[Difference]) {
    assert!(differences.is_sorted(), "seed {seed}");
    let mut last: BTreeMap<(&str, &str), &Difference> = BTreeMap::new();
    for difference in differences {
        let before = last.insert((&*difference.segment, &*difference.user), difference);
        let was_in = before.is_some_and(|before| before.sign == Sign::Entered);
        assert_eq!(was_in, difference.sign == Sign::Left, "seed {seed}: {difference}");
        let later = before.is_none_or(|before| before.time < difference.time);
        assert!(later, "seed {seed}: {difference}");
    }
}

#[test]
fn answers_are_not_trivial_and_keep_their_word() {
    let (mut both_signs, mut late, mut duplicate, mut deleted) = (0, 0, 0, 0);
    for seed in SEEDS {
        let case = random_case(seed);
        let answer = answer(&case.log());
        check_differences(seed, &answer.differences);
        let read = answer.applied + answer.late + answer.duplicate;
        assert_eq!(usize::try_from(read), Ok(case.arrivals.len()), "seed {seed}");
        let has = |sign| answer.differences.iter().filter(|d| d.sign == sign).count() > 3;
        both_signs += usize::from(has(Sign::Entered) && has(Sign::Left));
        late += usize::from(answer.late > 0);
        duplicate += usize::from(answer.duplicate > 0);
        deleted += usize::from(case.arrivals.iter().any(|a| a.action == Action::Delete));
    }
    let shares = [both_signs, late, duplicate, deleted];
    assert!(shares.iter().all(|share| *share > 150), "of 300 cases only {shares:?}");
}

#[test]
fn constants_are_as_the_parser_would_leave_them() {
    let lower = |value: &crate::model::Value| match value {
        crate::model::Value::Text(text) => **text == text.to_lowercase(),
        _ => true,
    };
    for seed in SEEDS {
        for rule in rules(&random_case(seed)) {
            rule.walk(&mut |rule| {
                let Rule::Attribute(condition) = rule else { return };
                let folded = match &condition.test.comparison {
                    _ if !condition.test.ignore_case => true,
                    Comparison::Eq(value) | Comparison::Contains(value) => lower(value),
                    Comparison::In(values) | Comparison::AnyOf(values) => values.iter().all(lower),
                    Comparison::StartsWith(part) => **part == part.to_lowercase(),
                    _ => true,
                };
                assert!(folded, "seed {seed}: {rule:?}");
            });
        }
    }
}
