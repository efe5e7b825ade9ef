//! Processes of which one has little or nothing to read: it holds nobody up, and nobody runs away
//! from it.

use std::fs;

use crate::common::Place;
use crate::harness::{Broker, eventually};
use crate::recovery::{keep, newest};
use crate::{Live, T0, awaits, catch_up, hosts, job, pro, view};

/// Nobody is ever idle.
const NEVER_IDLE: &str = "[clock]\nmax_out_of_orderness = \"0s\"\nidle_timeout = \"1h\"\n\n";
/// Idle at once.
const IDLE: &str = "[clock]\nmax_out_of_orderness = \"0s\"\nidle_timeout = \"1ms\"\n\n";

fn both(place: &Place, flags: &str) -> [Live; 2] {
    hosts(place);
    [0, 1].map(|it| Live::start(place, &format!("--process {it} --hosts hosts {flags}")))
}

/// Before which time all is in the newest checkpoint.
fn kept_before(place: &Place) -> i64 {
    let name = format!("state/manifests/{:010}.json", newest(place));
    let Ok(text) = fs::read_to_string(place.path(&name)) else { return i64::MIN };
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["frontier"].as_i64().unwrap()
}

#[test]
fn a_process_without_partitions_takes_part_in_checkpoints_edits_and_the_end() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000)]);
    job(&place, broker, &[&topic], NEVER_IDLE);
    keep(&place, "10ms");
    let [first, second] = both(&place, "");
    awaits(&place, "differences", "\"u\"");
    eventually("there is a checkpoint of all", || kept_before(&place) == T0 + 9_000);
    place.write(
        "segments.json",
        r#"[{"id":"basic","rules":{"attribute":"plan","op":"eq","value":"pro"}}]"#,
    );
    let mut time = T0 + 9_000;
    eventually("the edit is in force", || {
        time += 1_000;
        broker.send(&topic, 0, &[view("u", time)]);
        place.text("differences").contains("basic")
    });
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.code(), Some(0));
}

#[test]
fn a_partition_that_is_new_to_a_process_without_any_is_not_late() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 1_000)]);
    job(&place, broker, &[&topic], NEVER_IDLE);
    let [first, second] = both(&place, "");
    awaits(&place, "differences", "\"u\"");
    broker.grow(&topic, 2);
    let old = pro("old", T0 + 500); // below what all have come to
    broker.send(&topic, 1, &[old, pro("w", T0 + 100_000), view("w", T0 + 200_000)]);
    let mut time = T0 + 1_000;
    eventually("the new partition is read", || {
        time += 1; // lets out what is late, and leaves what is not
        broker.send(&topic, 0, &[view("u", time)]);
        place.text("late").contains("\"old\"")
    });
    broker.send(&topic, 0, &[view("u", T0 + 200_000)]);
    awaits(&place, "differences", "\"w\"");
    assert_eq!(place.json_lines("late").len(), 1);
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.code(), Some(0));
}

#[test]
fn an_idle_process_follows_the_others_and_not_the_wall() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    // The wall is far ahead of all of this, and the first partition is never idle.
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 1_000)]);
    job(&place, broker, &[&topic], IDLE);
    place.write("job.toml", place.text("job.toml").replace("\"1ms\"", "\"2s\""));
    let [first, second] = both(&place, "");
    let mut time = T0 + 1_000;
    let mut busy = || {
        time += 1;
        broker.send(&topic, 0, &[view("u", time)]);
    };
    eventually("what is before the others' time comes out though one is idle", || {
        busy();
        place.path("differences").exists() && place.text("differences").contains("\"u\"")
    });
    broker.send(&topic, 1, &[pro("w", T0 + 600_000), view("w", T0 + 700_000)]);
    broker.send(&topic, 0, &[view("u", T0 + 700_000)]);
    awaits(&place, "differences", "\"w\"");
    assert_eq!(place.text("late"), "");
    assert_eq!(second.stop(), Some(0));
    assert_eq!(first.code(), Some(0));
}

#[test]
fn a_checkpoint_does_not_wait_for_a_partition_that_is_silent() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    broker.send(&topic, 1, &[view("w", T0 + 5_000)]);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 1_000)]);
    job(&place, broker, &[&topic], NEVER_IDLE);
    keep(&place, "10ms");
    let [first, second] = both(&place, "");
    eventually("there is a checkpoint of the beginning", || kept_before(&place) == T0 + 1_000);
    // The first goes on, far beyond where the second stands.
    let mut time = T0 + 100_000;
    eventually("there is one of all that both have come to", || {
        time += 1_000;
        broker.send(&topic, 0, &[pro("v", time), view("u", time)]);
        kept_before(&place) == T0 + 5_000
    });
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.code(), Some(0));
}

#[test]
fn an_empty_partition_does_not_keep_what_is_caught_up_from_coming_out() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000)]);
    job(&place, broker, &[&topic], NEVER_IDLE);
    catch_up(&place, "");
    let expected = place.text("differences");
    assert!(expected.contains("\"u\""));
    keep(&place, "1h");
    let done = both(&place, "--until caught-up");
    done.into_iter().for_each(|it| assert_eq!(it.code(), Some(0)));
    assert_eq!(place.text("differences"), expected);
    assert_eq!(kept_before(&place), T0 + 9_000);
}
