//! Definitions edited while a job runs.

use std::cell::Cell;
use std::fs;

use serde_json::Value as Json;

use crate::common::{BUSY_SEGMENTS, Place, SEGMENTS};
use crate::harness::{Broker, eventually};
use crate::records::clickstream;
use crate::{Live, T0, awaits, catch_up, hosts, job, now, pro, view};

/// Idle soon, so that time goes on by itself.
const SOON: &str = "[clock]\nmax_out_of_orderness = \"0s\"\nidle_timeout = \"300ms\"\n\n";

/// A list of definitions with more of them.
fn with(definitions: &str, more: &str) -> String {
    format!("{},{more}]", definitions.trim_end().trim_end_matches(']'))
}

fn signup(user: &str, time: i64) -> String {
    format!(r#"{{"type":"track","userId":"{user}","event":"signup","timestamp":{time}}}"#)
}

const KEEN: &str = r#"{"id":"keen","rules":{"attribute":"plan","op":"eq","value":"pro"}}"#;
const SIGNED: &str = r#"{"id":"signed","rules":{"operator":"AND","conditions":[{"segment":"keen"},
    {"event":"signup","aggregate":"count","window":"10m","op":"gte","value":1}]}}"#;

/// Does something, which may come too late for the watermark, until an output has this in it.
fn eventually_in(place: &Place, output: &str, part: &str, again: impl Fn()) {
    eventually(&format!("{part:?} in {output}"), || {
        again();
        place.path(output).exists() && place.text(output).contains(part)
    });
}

/// The lines of an output that is being written.
fn complete_lines(place: &Place, output: &str) -> Vec<Json> {
    let Ok(text) = fs::read_to_string(place.path(output)) else { return Vec::new() };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_edit_takes_effect_in_the_running_job() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", now())]);
    job(&place, broker, &[&topic], SOON);
    let live = Live::start(&place, "--workers 2");
    awaits(&place, "differences", "\"pro\",\"user\":\"u\"");
    // Over the users there are, and over events nobody has asked for.
    place.write("segments.json", with(SEGMENTS, &format!("{KEEN},{SIGNED}")));
    live.says("keen is in force from");
    let said = live.says("signed is in force from");
    assert!(said.contains("complete from"), "{said}");
    awaits(&place, "differences", "\"keen\",\"user\":\"u\",\"diff\":1");
    eventually_in(&place, "differences", "\"signed\",\"user\":\"u\",\"diff\":1", || {
        broker.send(&topic, 0, &[signup("u", now() + 1_000)]);
    });
    // What is wrong is told with its place, and changes nothing.
    place.write("segments.json", with(SEGMENTS, &SIGNED.replace("gte", "greater")));
    let said = live.says("rules.conditions[1].op: found \"greater\"");
    assert!(said.contains("segments.json"), "{said}");
    live.says("what was in force stays");
    place.write("segments.json", with(SEGMENTS, SIGNED));
    let said = live.says("signed");
    assert!(said.contains("keen"), "it refers to what is gone: {said}");
    live.signal("HUP");
    live.says("what was in force stays");
    live.says("what was in force stays");
    eventually_in(&place, "differences", "\"keen\",\"user\":\"v\",\"diff\":1", || {
        broker.send(&topic, 0, &[pro("v", now() + 1_000)]);
    });
    place.write("segments.json", SEGMENTS);
    live.says("signed is deleted from");
    live.says("keen is deleted from");
    for gone in ["\"signed\",\"user\":\"u\"", "\"keen\",\"user\":\"u\"", "\"keen\",\"user\":\"v\""]
    {
        awaits(&place, "differences", &format!("{gone},\"diff\":-1"));
    }
    assert_eq!(live.stop(), Some(0));
    assert_eq!(place.json_lines("differences").len(), 8, "{}", place.text("differences"));
}

#[test]
fn other_processes_are_told_and_late_records_follow() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    for partition in 0..2 {
        broker.send(&topic, partition, &[pro("u", now())]);
    }
    job(&place, broker, &[&topic], SOON);
    hosts(&place);
    let first = Live::start(&place, "--process 0 --hosts hosts");
    let second = Live::start(&place, "--process 1 --hosts hosts");
    awaits(&place, "differences", "\"pro\",\"user\":\"u\"");
    place.write("segments.json", with(SEGMENTS, &format!("{KEEN},{SIGNED}")));
    first.says("signed is in force from");
    for (partition, user) in [(0, "u"), (1, "v")] {
        let of_plan = |time| [pro(user, time), signup(user, time)];
        eventually_in(&place, "differences", &format!("\"signed\",\"user\":\"{user}\""), || {
            broker.send(&topic, partition, &of_plan(now() + 1_000));
        });
        let told = |it: &Json| it["partition"] == partition && it["segments"][0] == "signed";
        eventually("a late record is told with the new segment", || {
            // What comes keeps the partition from being idle, so it must move its clock, too.
            broker.send(&topic, partition, &[signup(user, T0), view(user, now() + 1_000)]);
            complete_lines(&place, "late").iter().any(told)
        });
    }
    assert_eq!(second.stop(), Some(0));
    assert_eq!(first.code(), Some(0));
}

/// The frontier of the newest checkpoint.
fn frontier(place: &Place) -> i64 {
    let Ok(manifests) = fs::read_dir(place.path("state/manifests")) else { return i64::MIN };
    let names = manifests.map(|it| it.unwrap().path());
    let newest = names.filter(|it| it.extension().is_some_and(|it| it == "json")).max();
    // It may be tidied away meanwhile.
    let text = newest.and_then(|it| fs::read_to_string(it).ok());
    let json: Option<Json> = text.and_then(|it| serde_json::from_str(&it).ok());
    json.and_then(|it| it["frontier"].as_i64()).unwrap_or(i64::MIN)
}

/// The time behind these words.
fn time_in(said: &str, words: &str) -> i64 {
    let after = said.split(words).nth(1).unwrap_or_else(|| panic!("{words:?} in {said:?}"));
    let text = after.split([';', ' ', '\n']).next().unwrap();
    dataflows::model::time::parse_time(text).unwrap()
}

/// Killed after an edit, a job gives what a replay gives in which the definitions change at the
/// times at which they came into force; of the new ones, from the time on from which they are
/// complete.
#[test]
fn a_job_that_is_killed_repeats_its_edits() {
    const NEW: [&str; 3] = [
        r#"{"id":"carting","rules":{"event":"add_to_cart","aggregate":"count","window":"9s","op":"gte","value":1}}"#,
        r#"{"id":"viewing","rules":{"event":"page_view","aggregate":"count","window":"4s","op":"gte","value":1}}"#,
        r#"{"id":"wanting","rules":{"operator":"AND","conditions":[{"segment":"carting"},{"segment":"viewing"}]}}"#,
    ];
    let (broker, place) = (Broker::shared(), Place::new());
    let (_, least) = clickstream(&place, broker);
    let topic = broker.topic(4);
    job(&place, broker, &[&topic], "");
    let text = place.text("job.toml");
    place.write("job.toml", format!("{text}\n[state]\npath = \"state\"\ninterval = \"10ms\"\n"));
    let parts: Vec<Vec<String>> = (0..4)
        .map(|it| place.text(&format!("{it}.jsonl")).lines().map(str::to_owned).collect())
        .collect();
    let sent = Cell::new(0);
    let send = |count: usize| {
        let end = sent.get() + count;
        for (partition, lines) in (0..).zip(&parts) {
            broker.send(
                &topic,
                partition,
                &lines[sent.get().min(lines.len())..end.min(lines.len())],
            );
        }
        sent.set(end);
    };
    send(200);
    let live = Live::start(&place, "--workers 2");
    eventually("there is a checkpoint", || frontier(&place) > i64::MIN);
    place.write("segments.json", with(BUSY_SEGMENTS, &NEW.join(",")));
    let mut said = Vec::new();
    eventually("all are in force", || {
        send(1);
        said.extend(live.has_said("is in force from"));
        said.len() == NEW.len()
    });
    let times: Vec<i64> = said.iter().map(|it| time_in(it, "is in force from ")).collect();
    let complete: i64 = said[..2].iter().map(|it| time_in(it, "complete from ")).max().unwrap();
    eventually("a checkpoint has them", || {
        send(1);
        frontier(&place) > times[2]
    });
    live.kill();
    send(usize::MAX / 2);
    let done = catch_up(&place, "--workers 3");
    assert!(done.stderr.contains("going on from checkpoint"), "{}", done.stderr);
    assert!(!done.stderr.contains("is in force from"), "known already: {}", done.stderr);
    let changes: Vec<_> = times
        .iter()
        .zip(NEW)
        .map(|(time, it)| format!("{{\"time\":{time},\"put\":{it}}}"))
        .collect();
    place.write("changes.jsonl", changes.join("\n"));
    place.write("segments.json", BUSY_SEGMENTS);
    place
        .replay("--events 0.jsonl 1.jsonl 2.jsonl 3.jsonl --changes changes.jsonl --out whole")
        .fine();
    let of = |name: &str| -> Vec<Json> {
        let is_new = |it: &Json| NEW.iter().any(|new| new.contains(&format!("{}", it["segment"])));
        let counts = |it: &Json| {
            let time = it["time"].as_i64().unwrap();
            time < least && (!is_new(it) || time > complete)
        };
        place.json_lines(name).into_iter().filter(counts).collect()
    };
    let (got, expected) = (of("differences"), of("whole"));
    for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(got, expected, "difference {number}; {said:?}");
    }
    assert_eq!(got.len(), expected.len());
    let new = got.iter().filter(|it| it["segment"] == "wanting").count();
    assert!(new > 20, "only {new} differences of the new definitions can be compared; {said:?}");
}
