//! The events of a user as they are listed, on random worlds: as many as the windows count, and
//! none that never came.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::catalog::Timeline;
use dataflows::generate::{Case, random_case};
use dataflows::in_memory::{Pace, run_asking};
use dataflows::model::{Action, EventTime};
use dataflows::rule::Definition;
use dataflows::rule::parse::definition;
use dataflows::segmentation::{Ask, Question, Reply, Told};
use serde_json::{Value as Json, json};

/// How long events are looked back at.
const WINDOW_MS: i64 = 400;

/// How many events came of each user, name and time, if they said one.
fn happened(case: &Case) -> BTreeMap<(Arc<str>, Arc<str>, Option<EventTime>), u64> {
    let mut all = BTreeMap::new();
    for arrival in &case.arrivals {
        if let Action::Event { name, .. } = &arrival.action {
            *all.entry((arrival.user.clone(), name.clone(), arrival.time)).or_insert(0) += 1;
        }
    }
    all
}

/// A segment for every name, of those who did that so often, beside those of the case.
fn counting(case: &mut Case, names: &BTreeSet<Arc<str>>) {
    let count = |name: &Arc<str>| {
        let rules = json!({
            "event": name, "aggregate": "count", "window": format!("{WINDOW_MS}ms"),
            "op": "gte", "value": 1,
        });
        Arc::new(definition(&json!({ "id": segment(name), "rules": rules })).unwrap())
    };
    case.timeline.initial.extend(names.iter().map(count));
    let initial: Vec<Arc<Definition>> = case.timeline.initial.clone();
    case.timeline = Timeline { initial, edits: Vec::new() };
}

fn segment(name: &str) -> String {
    format!("counts {name}")
}

fn told(replies: &[Reply], number: u64) -> Option<Json> {
    let own = replies.iter().filter(|reply| reply.number == number);
    let mut texts = own.filter_map(|reply| match &reply.told {
        Told::Explained(text) | Told::Listed(text) => Some(text),
        Told::Counted(_) | Told::Unknown => None,
    });
    texts.next().map(|text| serde_json::from_str(text).unwrap())
}

#[test]
fn as_many_are_listed_as_windows_count() {
    let mut tried = 0;
    for seed in 0..60 {
        let mut case = random_case(seed);
        let happened = happened(&case);
        let names: BTreeSet<_> = happened.keys().map(|(_, name, _)| name.clone()).collect();
        let users: BTreeSet<_> = happened.keys().map(|(user, ..)| user.clone()).collect();
        counting(&mut case, &names);
        let definitions = case.timeline.initial.clone();
        let in_force = |id: &str| definitions.iter().find(|it| *it.id == *id).cloned();
        let last = happened.keys().filter_map(|(_, _, time)| *time).max().unwrap_or_default();
        let (mut questions, mut asked) = (Vec::new(), Vec::new());
        for at in [last, last - WINDOW_MS / 2, last - WINDOW_MS] {
            for user in &users {
                for name in &names {
                    let listing = Ask::Events {
                        user: user.clone(),
                        since: Some(at - WINDOW_MS + 1),
                        last: None,
                        before: None,
                        limit: 10_000,
                    };
                    let why = Ask::Explain { user: user.clone(), segment: segment(name).into() };
                    for ask in [listing, why] {
                        let question = Question::new(asked.len() as u64, ask, in_force);
                        asked.push((at + 1, question));
                    }
                    questions.push((at, user, name, asked.len() as u64 - 2));
                }
            }
        }
        let pace = Pace { workers: 1 + (seed % 2) as usize, block: 1 + (seed % 5) as usize };
        let (_, replies) = run_asking(&case.log(), pace, asked);
        for (at, user, name, number) in questions {
            let (listed, why) = (told(&replies, number), told(&replies, number + 1));
            let (Some(listed), Some(why)) = (listed, why) else { continue };
            let counted = why["tree"]["children"][0]["value"].as_u64().unwrap();
            let events = listed["events"].as_array().unwrap().iter();
            let mut all = 0;
            for event in events.filter(|it| it["event"] == **name) {
                let (time, count) = (event["time"].as_i64().unwrap(), &event["count"]);
                // Those that say no time take that of their partition.
                let came = [Some(time), None].map(|it| (user.clone(), name.clone(), it));
                let most: u64 = came.iter().filter_map(|it| happened.get(it)).sum();
                assert!(count.as_u64() <= Some(most), "{event} of {user}, seed {seed}");
                all += count.as_u64().unwrap();
            }
            assert_eq!(all, counted, "{name} of {user} at {at}, seed {seed}: {listed:#}");
            tried += u64::from(counted > 0);
        }
    }
    assert!(tried > 200, "only {tried} had events");
}
