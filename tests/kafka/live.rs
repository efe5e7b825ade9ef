//! A run that goes on: idle partitions, new ones, wall time, and its end.

use crate::common::{DIFFERENCES, Place};
use crate::harness::{Broker, eventually};
use crate::{Live, T0, awaits, hosts, job, now, pro, view};

/// Idle soon, so that tests need not wait.
const SOON: &str = "[clock]\nmax_out_of_orderness = \"0s\"\nidle_timeout = \"300ms\"\n\n";

#[test]
fn it_ends_when_told_and_windows_stay_as_they_are() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    let buy = |time, amount| {
        format!(
            r#"{{"type":"track","userId":"u","event":"purchase","timestamp":{time},"properties":{{"amount":{amount}}}}}"#
        )
    };
    broker.send(&topic, 0, &[buy(T0, 400), view("u", T0 + 9_000)]);
    job(&place, broker, &[&topic], "group = \"told\"\n");
    for workers in ["", "--workers 2"] {
        let live = Live::start(&place, workers);
        awaits(&place, "differences", "high_value");
        broker.send(&topic, 0, &[view("u", T0 + 20_000)]);
        assert_eq!(live.stop(), Some(0));
        let lines = place.json_lines("differences");
        assert_eq!(lines.len(), 1, "nobody leaves a window because the run ends: {lines:?}");
        assert!(place.path("stats").exists());
        // What the next run is waited for must not be what this one has written.
        std::fs::remove_file(place.path("differences")).unwrap();
    }
    eventually("what was passed is committed", || {
        broker.committed("told", &topic, 0).is_some_and(|offset| offset >= 2)
    });
}

#[test]
fn an_idle_partition_holds_nobody_back_and_is_late_when_it_is_too_old() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    let time = now();
    broker.send(&topic, 0, &[pro("u", time)]);
    job(&place, broker, &[&topic], SOON);
    let live = Live::start(&place, "");
    awaits(&place, "differences", "\"u\"");
    // All are idle: the watermark follows the wall.
    broker.send(&topic, 1, &[pro("old", T0)]);
    awaits(&place, "late", "\"reason\":\"idle\"");
    broker.send(&topic, 1, &[pro("new", now() + 1_000)]);
    awaits(&place, "differences", "\"new\"");
    assert_eq!(live.stop(), Some(0));
    assert!(!place.text("differences").contains("old"));
    let late = &place.json_lines("late")[0];
    assert_eq!((&late["partition"], &late["offset"]), (&1.into(), &0.into()));
    assert!(late["clock"].as_i64().unwrap() >= time);
}

#[test]
fn a_record_a_year_ahead_is_rejected_and_makes_nobody_late() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    let time = now();
    let ahead = time + 365 * 86_400_000;
    broker.send(&topic, 0, &[view("u", time), pro("seer", ahead), pro("u", time + 1)]);
    job(&place, broker, &[&topic], SOON);
    let live = Live::start(&place, "");
    awaits(&place, "differences", "\"u\"");
    assert_eq!(live.stop(), Some(0));
    let rejected = place.json_lines("rejected");
    assert_eq!(rejected[0]["offset"], 1);
    assert!(rejected[0]["reason"].as_str().unwrap().contains("more than 1h ahead"), "{rejected:?}");
    assert_eq!(place.text("late"), "");
}

#[test]
fn a_new_partition_is_found() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("first", T0)]);
    job(
        &place,
        broker,
        &[&topic],
        "[clock]\nidle_timeout = \"1h\"\nmax_out_of_orderness = \"0s\"\n\n",
    );
    let live = Live::start(&place, "--workers 2");
    broker.send(&topic, 0, &[view("first", T0 + 1_000)]);
    awaits(&place, "differences", "\"first\"");
    broker.grow(&topic, 2);
    let late = T0 + 500; // below the watermark that has gone on
    broker.send(&topic, 1, &[pro("late", late), pro("second", T0 + 2_000), view("x", T0 + 9_000)]);
    let mut time = T0 + 1_000;
    eventually("the new partition is read", || {
        time += 1; // lets out what is late, and leaves what is not
        broker.send(&topic, 0, &[view("first", time)]);
        place.text("late").contains("\"late\"")
    });
    broker.send(&topic, 0, &[view("first", T0 + 9_000)]);
    awaits(&place, "differences", "\"second\"");
    assert_eq!(live.stop(), Some(0));
    assert!(!place.text("differences").contains("\"late\""));
}

#[test]
fn a_broker_that_is_killed_loses_nothing() {
    let (broker, place) = (Broker::new(), Place::new());
    let topic = broker.topic(2);
    for partition in 0..2 {
        broker.send(&topic, partition, &[pro("before", T0), view("before", T0 + 9_000)]);
    }
    let clock = "[clock]\nmax_out_of_orderness = \"0s\"\nidle_timeout = \"1h\"\n\n";
    job(&place, &broker, &[&topic], clock);
    let live = Live::start(&place, "--workers 2");
    awaits(&place, "differences", "\"before\"");
    broker.kill();
    live.says("nothing is lost");
    broker.start();
    for partition in 0..2 {
        broker.send(&topic, partition, &[pro("after", T0 + 10_000), view("after", T0 + 20_000)]);
    }
    awaits(&place, "differences", "\"after\"");
    live.says("answers again");
    assert_eq!(live.stop(), Some(0));
    assert_eq!(place.text("late"), "");
}

#[test]
fn it_ends_when_told_though_nobody_answers() {
    let (broker, place) = (Broker::new(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000)]);
    job(&place, &broker, &[&topic], "group = \"g\"\n");
    let live = Live::start(&place, "");
    awaits(&place, "differences", "\"u\"");
    broker.kill();
    live.says("nothing is lost");
    assert_eq!(live.stop(), Some(0));
    let live = Live::start(&place, "");
    live.says("nothing is lost");
    assert_eq!(live.stop(), Some(0), "before it has read anything");
}

#[test]
fn all_processes_end_when_one_is_told() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    for partition in 0..2 {
        broker.send(&topic, partition, &[pro("u", T0), view("u", T0 + 9_000)]);
    }
    job(&place, broker, &[&topic], "");
    hosts(&place);
    let first = Live::start(&place, "--process 0 --hosts hosts");
    let second = Live::start(&place, "--process 1 --hosts hosts");
    awaits(&place, "differences", "\"u\"");
    assert_eq!(second.stop(), Some(0));
    assert_eq!(first.code(), Some(0));
    assert_eq!(place.json_lines("differences").len(), 1);
}

#[test]
fn a_job_of_files_ends_as_a_replay_does() {
    let place = Place::new();
    let out = "[[sink]]\nkind = \"stdout\"\n";
    place.write(
        "job.toml",
        format!("segments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n{out}"),
    );
    assert_eq!(place.run("run job.toml").fine().stdout, DIFFERENCES);
}
