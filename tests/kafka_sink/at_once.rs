//! A job that answers at once (`on_event`), keeps its state and writes topics, killed with no warning:
//! what a consumer has seen stands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::common::Place;
use crate::disorder::{T0, check_order, killed_when, members, two_files};
use crate::harness::{Broker, Seen, eventually};
use crate::{Live, from_topic, new_name, segments_in, to_topic};

const RECORDS: i64 = 15_000;
/// So many records of each partition come at once.
const STEP: usize = 100;
const CLOCK: &str =
    "[clock]\nemit = \"on_event\"\nmax_out_of_orderness = \"3s\"\nidle_timeout = \"1h\"\n";
/// Most of what is given out is in no checkpoint.
const STATE: &str = "[state]\npath = \"state\"\ninterval = \"2s\"\n";

fn json(seen: &[Seen]) -> Vec<Json> {
    seen.iter().map(|it| serde_json::from_str(it.value()).unwrap()).collect()
}

/// Where records stood, in order.
fn places(late: &[Json]) -> Vec<(u64, u64)> {
    let place = |it: &Json| (it["partition"].as_u64().unwrap(), it["offset"].as_u64().unwrap());
    let mut places: Vec<_> = late.iter().map(place).collect();
    places.sort_unstable();
    places
}

fn lines_left(parts: &[Vec<&str>; 2], sent: usize) -> bool {
    parts.iter().all(|lines| lines.len() > sent)
}

#[test]
fn killed_at_any_moment_a_topic_has_each_difference_once() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (expected, expected_late) = two_files(&place, RECORDS);
    let all_came = T0 + RECORDS * 100;
    let topic = broker.topic(2);
    let [diffs, late, users] = ["diffs", "late", "users"].map(|what| new_name(broker, what));
    let more = format!("users_topic = {users:?}\npartitions = 2\n");
    let sinks =
        [to_topic(broker, "differences", &diffs, &more), to_topic(broker, "late", &late, "")];
    let source = from_topic(broker, &topic);
    let head = format!("segments = \"segments.json\"\n{CLOCK}{STATE}");
    place.write("job.toml", format!("{head}{source}{}", sinks.concat()));
    let texts = ["a.jsonl", "b.jsonl"].map(|name| place.text(name));
    let parts = texts.each_ref().map(|text| text.lines().collect::<Vec<_>>());
    let mut sent = 0;
    let mut send = |count: usize| {
        for (partition, lines) in (0..).zip(&parts) {
            let (from, to) = (lines.len().min(sent), lines.len().min(sent + count));
            broker.send(&topic, partition, &lines[from..to]);
        }
        sent += count;
        lines_left(&parts, sent)
    };
    for (life, processes) in [1, 2, 1, 2, 1, 2].into_iter().enumerate() {
        // It must have written more, and is killed while there is more to be read.
        let before = broker.read(&diffs).len();
        let (who, more) = ((processes, 1 + life % 3), (life % 2) * 200);
        let has_come = || {
            let has_come = broker.read(&diffs).len() > before + more;
            assert!(send(STEP), "more records are needed");
            has_come
        };
        assert!(killed_when(&place, who, has_come));
    }
    // Told to end, though it may not have done again yet what was given out before.
    let live = Live::start(&place, "run job.toml");
    live.says("running");
    assert_eq!(live.stop(), Some(0));
    send(usize::MAX / 2);
    let pro = |user: &str, time: i64, partition: i32| {
        let plan = r#""traits":{"plan":"pro"}"#;
        let line = format!(r#"{{"type":"identify","userId":"{user}","timestamp":{time},{plan}}}"#);
        broker.send(&topic, partition, &[line]);
    };
    (0..2).for_each(|partition| pro(&format!("last{partition}"), all_came, partition));
    let live = Live::start(&place, "run job.toml --workers 2");
    let has_entered = |user: &str| broker.read(&diffs).iter().any(|it| it.key == user);
    eventually("all has come", || has_entered("last0") && has_entered("last1"));
    // Time passes when something later comes.
    let last = all_came + 60_000;
    pro("end", last, 0);
    pro("end", last + 1_000, 0);
    eventually("time has passed", || has_entered("end"));
    assert_eq!(live.stop(), Some(0));
    let seen = broker.read(&diffs);
    for partition in 0..2 {
        let of: Vec<_> = seen.iter().filter(|it| it.partition == partition).cloned().collect();
        check_order(&json(&of));
    }
    let got = json(&seen);
    // One partition may have been read some seconds before the other.
    for until in [all_came + 9_000, last - 1] {
        let mut own = members(&got, until);
        own.retain(|(_, user)| user.starts_with('u'));
        assert_eq!(own, members(&expected, until), "{until}");
    }
    let mut by_user: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (segment, user) in members(&got, i64::MAX) {
        by_user.entry(user).or_default().insert(segment);
    }
    assert_eq!(segments_in(&broker.read(&users)), by_user);
    assert_eq!(places(&json(&broker.read(&late))), places(&expected_late));
    place.run("run job.toml --until caught-up").fine();
    assert_eq!(broker.read(&diffs).len(), seen.len(), "all of it was given before");
}
