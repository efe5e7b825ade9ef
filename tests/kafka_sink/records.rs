//! What is written: the differences of a replay, in order, with key and headers; the segments of
//! users; what is late or rejected.

use serde_json::{Value as Json, json};

use crate::common::{EVENTS, Place};
use crate::harness::{Broker, eventually};
use crate::{
    Live, check, clickstream, from_file, from_topic, job, new_name, segments_after, segments_in,
    to_topic,
};

#[test]
fn a_consumer_sees_the_differences_of_a_replay() {
    let (broker, place) = (Broker::shared(), Place::new());
    let expected = clickstream(&place, 2_000);
    let (topic, users) = (new_name(broker, "diffs"), new_name(broker, "users"));
    let more = format!(
        "users_topic = {users:?}\npartitions = 3\n[sink.kafka]\ncompression.type = \"zstd\"\n"
    );
    job(&place, &from_file("whole.jsonl"), &[to_topic(broker, "differences", &topic, &more)]);
    let done = place.run("replay --job job.toml --workers 2").fine();
    assert!(!done.stderr.contains("topic "), "{}", done.stderr);
    assert_eq!(done.stdout, "", "a topic takes the place of standard output");
    let seen = broker.read(&topic);
    check(&seen, &expected);
    for record in &seen {
        let json: Json = serde_json::from_str(record.value()).unwrap();
        assert_eq!(json["user"], *record.key);
        assert_eq!(json["segment"], record.header("segment"));
        assert_eq!(json["diff"].to_string(), record.header("diff"));
        assert_eq!(json["time"].to_string(), record.header("time"));
    }
    let partitions: std::collections::BTreeSet<_> = seen.iter().map(|it| it.partition).collect();
    assert_eq!((partitions.len(), broker.partitions(&users)), (3, 3));
    assert_eq!(broker.setting(&users, "cleanup.policy"), "compact");
    assert_eq!(broker.setting(&topic, "cleanup.policy"), "delete");
    // All windows are empty at the end of a replay.
    let of_users = broker.read(&users);
    assert!(!of_users.is_empty() && segments_in(&of_users).is_empty());
    // All has been made final: again, nothing is given.
    place.run("replay --job job.toml").fine();
    assert_eq!(broker.read(&topic), seen);
    assert_eq!(broker.read(&users), of_users);
}

#[test]
fn a_replay_until_a_time_goes_on_from_there() {
    let (broker, place) = (Broker::shared(), Place::new());
    let expected = clickstream(&place, 1_000);
    let (topic, users) = (new_name(broker, "diffs"), new_name(broker, "users"));
    let more = format!("users_topic = {users:?}\n");
    job(&place, &from_file("whole.jsonl"), &[to_topic(broker, "differences", &topic, &more)]);
    let time =
        |line: &String| serde_json::from_str::<Json>(line).unwrap()["time"].as_i64().unwrap();
    let middle = time(&expected[expected.len() / 2]);
    place.run(&format!("replay --job job.toml --until {middle}")).fine();
    let half: Vec<_> = expected.iter().filter(|line| time(line) <= middle).cloned().collect();
    check(&broker.read(&topic), &half);
    assert_eq!(segments_in(&broker.read(&users)), segments_after(&half));
    assert!(!segments_after(&half).is_empty());
    place.run("replay --job job.toml --until last").fine();
    let until_last = broker.read(&topic).len();
    assert!(half.len() < until_last && until_last < expected.len());
    place.run("replay --job job.toml").fine();
    let values: Vec<_> = broker.read(&topic).iter().map(|it| it.value().to_owned()).collect();
    assert!(values == expected, "in one partition the order is that of a file");
    assert!(segments_in(&broker.read(&users)).is_empty());
}

#[test]
fn what_is_late_or_rejected_has_topics_of_its_own() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &EVENTS.lines().collect::<Vec<_>>());
    let sinks = ["late", "rejected"].map(|of| (of, new_name(broker, of)));
    let written = sinks.clone().map(|(of, name)| to_topic(broker, of, &name, ""));
    let text = from_topic(broker, &topic);
    let file = "[[sink]]\nkind = \"file\"\npath = \"differences\"\n".to_owned();
    job(&place, &text, &[written.concat(), file]);
    let early = place.text("job.toml").replace("\"9s\"", "\"5s\"");
    place.write("job.toml", early);
    let live = Live::start(&place, "run job.toml");
    let read = |of: usize| broker.read(&sinks[of].1);
    // A record more lets the watermark pass the others.
    let later = r#"{"type":"page","userId":"u9","timestamp":1767225660000}"#;
    broker.send(&topic, 0, &[later]);
    eventually("both are written", || read(0).len() == 1 && read(1).len() == 1);
    assert_eq!(live.stop(), Some(0));
    for _ in 0..2 {
        let (late, rejected) = (&read(0)[0], &read(1)[0]);
        assert_eq!((&late.key, &rejected.key), (&format!("{topic}:0"), &format!("{topic}:0")));
        let json = |value: &str| serde_json::from_str::<Json>(value).unwrap();
        assert_eq!(json(late.value())["offset"], json!(5));
        assert_eq!(json(rejected.value())["record"], "nonsense");
        // Again, from the earliest offset: nothing is given twice.
        place.run("run job.toml --until caught-up").fine();
        assert_eq!((read(0).len(), read(1).len()), (1, 1));
    }
}
