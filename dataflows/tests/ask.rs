//! Questions about users, on random worlds: an estimate that looks at everyone is the size, and an
//! explanation is what the judge says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::catalog::{Edit, Timeline};
use dataflows::clock::Emit;
use dataflows::explain::{Count, count_members, explain};
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{Pace, run_asking};
use dataflows::model::{Difference, EventTime};
use dataflows::oracle::Log;
use dataflows::rule::Definition;
use dataflows::segmentation::{Ask, Counted, Question, Reply, Told, referred_first};
use serde_json::Value as Json;

const PACES: [(usize, usize); 4] = [(1, 1), (2, 3), (1, 10_000), (3, 2)];

fn pace(seed: u64) -> Pace {
    let (workers, block) = PACES[(seed % 4) as usize];
    Pace { workers, block }
}

/// The definitions in force at the end of a millisecond.
fn in_force(timeline: &Timeline, at: EventTime) -> BTreeMap<Arc<str>, Arc<Definition>> {
    let mut all: BTreeMap<_, _> =
        timeline.initial.iter().map(|it| (it.id.clone(), it.clone())).collect();
    for edit in timeline.edits.iter().filter(|edit| edit.time <= at) {
        match &edit.edit {
            Edit::Put(definition) => _ = all.insert(definition.id.clone(), definition.clone()),
            Edit::Delete(id) => _ = all.remove(id),
        }
    }
    all
}

/// Some instants of a case, with what it is asked about then.
fn instants(case: &Case, seed: u64) -> Vec<EventTime> {
    let times: BTreeSet<_> = case.arrivals.iter().filter_map(|arrival| arrival.time).collect();
    let times: Vec<_> = times.into_iter().collect();
    let place = |number: u64| (seed * 7 + number * 13) as usize % times.len();
    (0..3).map(|number| times[place(number)] + (seed % 3) as i64).collect()
}

/// How many are in each segment at the end of a millisecond.
fn sizes(differences: &[Difference], at: EventTime) -> BTreeMap<(&str, &str), i64> {
    let mut members = BTreeMap::new();
    for it in differences.iter().filter(|it| it.time <= at) {
        *members.entry((&*it.segment, &*it.user)).or_insert(0) += i64::from(it.sign.diff());
    }
    members.retain(|_, count| *count != 0);
    members
}

fn counted(replies: &[Reply], number: u64, at: EventTime) -> Counted {
    let mut all = Counted::NOTHING;
    for reply in replies.iter().filter(|reply| reply.number == number) {
        assert_eq!(reply.at, at);
        let Told::Counted(counted) = &reply.told else { panic!("{reply:?}") };
        all.add(counted);
    }
    all
}

#[test]
fn an_estimate_of_everyone_is_the_size() {
    let mut tried = 0;
    for seed in 0..60 {
        let case = random_case(seed);
        let mut questions = Vec::new();
        for at in instants(&case, seed) {
            let rules = in_force(&case.timeline, at);
            for definition in rules.values() {
                let ask = Ask::Estimate { rule: definition.rule.clone(), share: u64::MAX };
                let number = questions.len() as u64;
                let question = Question::new(number, ask, |id| rules.get(id).cloned());
                questions.push((at, definition.id.clone(), question));
            }
        }
        let asked = questions.iter().map(|(at, _, it)| (at + 1, it.clone())).collect();
        let (differences, replies) = run_asking(&case.log(), pace(seed), asked);
        assert_eq!(replies.len(), questions.len() * pace(seed).workers, "seed {seed}");
        for (at, id, question) in &questions {
            let found = counted(&replies, question.number, *at);
            let size = sizes(&differences, *at).keys().filter(|(it, _)| **it == **id).count();
            let rule = &question.ask;
            assert_eq!(found.matches, size as u64, "{id} at {at} of seed {seed}: {rule:?}");
            assert_eq!(found.sampled, found.users, "seed {seed}");
            tried += 1;
        }
    }
    assert!(tried > 300, "only {tried} were asked about");
}

#[test]
fn a_sample_is_the_same_for_the_judge() {
    let mut tried = 0;
    for seed in 0..60 {
        let mut case = random_case(seed);
        case.timeline.edits.clear();
        if case.clock.emit == Emit::OnEvent {
            continue; // what comes later may change the past there
        }
        let share = [u64::MAX, u64::MAX / 2, u64::MAX / 5][(seed % 3) as usize];
        let rules = in_force(&case.timeline, 0);
        let mut questions = Vec::new();
        for at in instants(&case, seed) {
            for definition in rules.values() {
                let ask = Ask::Estimate { rule: definition.rule.clone(), share };
                let number = questions.len() as u64;
                let question = Question::new(number, ask, |id| rules.get(id).cloned());
                questions.push((at, definition, question));
            }
        }
        let asked = questions.iter().map(|(at, _, it)| (at + 1, it.clone())).collect();
        let (_, replies) = run_asking(&case.log(), pace(seed), asked);
        for (at, definition, question) in &questions {
            let Counted { users, sampled, matches, .. } = counted(&replies, question.number, *at);
            let expected = count_members(&case.log(), definition, *at, |_| share);
            assert_eq!(Count { users, sampled, matches }, expected, "seed {seed} at {at}");
            tried += 1;
        }
    }
    assert!(tried > 150, "only {tried} were asked about");
}

#[test]
fn rules_that_are_not_in_force_are_estimated_from_what_is_held() {
    let (mut exact, mut partly) = (0, 0);
    for seed in 0..60 {
        let mut case = random_case(seed);
        case.timeline.edits.clear();
        if case.clock.emit == Emit::OnEvent {
            continue; // what comes later may change the past there
        }
        let rules = in_force(&case.timeline, 0);
        let is_kept = |number: usize| (number + seed as usize).is_multiple_of(2);
        let mut initial: Vec<Arc<Definition>> = Vec::new();
        for (number, definition) in referred_first(&case.timeline.initial).into_iter().enumerate() {
            let is_there = |id: &Arc<str>| initial.iter().any(|it| it.id == *id);
            if is_kept(number) && definition.rule.references().into_iter().all(is_there) {
                initial.push(definition);
            }
        }
        let timeline = Timeline { initial, edits: Vec::new() };
        let mut questions = Vec::new();
        for at in instants(&case, seed) {
            for definition in rules.values() {
                let ask = Ask::Estimate { rule: definition.rule.clone(), share: u64::MAX };
                let number = questions.len() as u64;
                let question = Question::new(number, ask, |id| rules.get(id).cloned());
                questions.push((at, definition, question));
            }
        }
        let asked = questions.iter().map(|(at, _, it)| (at + 1, it.clone())).collect();
        let log = Log { timeline: &timeline, ..case.log() };
        let (_, replies) = run_asking(&log, pace(seed), asked);
        for (at, definition, question) in &questions {
            let found = counted(&replies, question.number, *at);
            if found.sees_after > EventTime::MIN {
                assert!(found.complete_from > *at, "{found:?} at {at}");
                partly += 1;
                continue;
            }
            let expected = count_members(&case.log(), definition, *at, |_| u64::MAX);
            let Count { users, matches, .. } = expected;
            let rule = &definition.rule;
            assert_eq!((found.users, found.matches), (users, matches), "{seed} {at}: {rule:?}");
            exact += 1;
        }
    }
    assert!(exact > 200 && partly > 50, "{exact} were exact, {partly} were not");
}

/// Without what only the whole log tells: which events were of the wrong type. And numbers as they
/// are, however they are written.
fn comparable(mut node: Json) -> Json {
    if let Some(members) = node.as_object_mut() {
        members.remove("mismatch");
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(|value| *value = comparable(value.take()));
    }
    if let Some(items) = node.as_array_mut() {
        items.iter_mut().for_each(|item| *item = comparable(item.take()));
    }
    node
}

#[test]
fn an_explanation_is_what_the_judge_says() {
    let mut tried = 0;
    for seed in 0..80 {
        let case = random_case(seed);
        if case.clock.emit == Emit::OnEvent {
            continue; // what comes later may change the past there
        }
        let users: BTreeSet<_> = case.arrivals.iter().map(|it| it.user.clone()).collect();
        let mut questions = Vec::new();
        for at in instants(&case, seed) {
            let rules = in_force(&case.timeline, at);
            for (user, segment) in users.iter().zip(rules.keys().cycle()) {
                let ask = Ask::Explain { user: user.clone(), segment: segment.clone() };
                let number = questions.len() as u64;
                let question = Question::new(number, ask, |id| rules.get(id).cloned());
                questions.push((at, user, segment.clone(), question));
            }
        }
        let asked = questions.iter().map(|(at, _, _, it)| (at + 1, it.clone())).collect();
        let (_, replies) = run_asking(&case.log(), pace(seed), asked);
        for (at, user, segment, question) in &questions {
            let expected = explain(&case.log(), user, segment, *at).unwrap();
            let own = replies.iter().filter(|reply| reply.number == question.number);
            let told = own.filter_map(|reply| match &reply.told {
                Told::Explained(text) => Some(serde_json::from_str::<Json>(text).unwrap()),
                _ => None,
            });
            let told: Vec<_> = told.collect();
            assert_eq!(told.len(), usize::from(expected.exists), "{user} at {at} of seed {seed}");
            for told in told {
                let expected_json = comparable(serde_json::to_value(&expected).unwrap());
                assert_eq!(
                    comparable(told),
                    expected_json,
                    "{user} in {segment} at {at} of seed {seed}:\n{expected}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "only {tried} were explained");
}
