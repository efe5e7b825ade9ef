//! What ends a job that cannot write, and what does not begin.

use crate::common::Place;
use crate::harness::{Broker, eventually};
use crate::{Live, from_file, from_topic, job, new_name, to_topic};

#[test]
fn a_topic_that_cannot_be_made_is_named() {
    let (broker, place) = (Broker::shared(), Place::new());
    let sink = to_topic(broker, "differences", "no such name", "");
    job(&place, &from_file("events.jsonl"), &[sink]);
    place.run("replay --job job.toml").refused_with(&["topic no such name", "create it"]);
}

#[test]
fn a_topic_that_may_not_be_written_ends_the_job() {
    let rules = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                 allow.everyone.if.no.acl.found=true\n";
    let (broker, place) = (Broker::new_with(rules), Place::new());
    let topic = broker.topic(1);
    broker.forbid_writing(&topic);
    let sink = to_topic(&broker, "differences", &topic, "");
    job(&place, &from_file("events.jsonl"), &[sink]);
    let done = place.run("replay --job job.toml");
    done.refused_with(&[&topic, "may not be written", "rivulet.job."]);
}

#[test]
fn a_record_that_is_too_long_is_told_with_the_remedy() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = new_name(broker, "rejected");
    let sink = to_topic(broker, "rejected", &topic, "");
    place.write("events.jsonl", format!("\"{}\"\n", "x".repeat(1_200_000)));
    job(&place, &from_file("events.jsonl"), &[sink]);
    let done = place.run("replay --job job.toml");
    done.refused_with(&[&topic, "message.max.bytes", "max.message.bytes"]);
}

#[test]
fn a_topic_that_is_deleted_ends_the_job() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, diffs) = (broker.topic(1), broker.topic(1));
    let pro = |user: &str, time: i64| {
        format!(
            r#"{{"type":"identify","userId":"{user}","timestamp":{time},"traits":{{"plan":"pro"}}}}"#
        )
    };
    broker.send(&topic, 0, &[pro("a", 1_767_225_600_000), pro("b", 1_767_225_700_000)]);
    job(&place, &from_topic(broker, &topic), &[to_topic(broker, "differences", &diffs, "")]);
    let live = Live::start(&place, "run job.toml");
    eventually("one is written", || broker.read(&diffs).len() == 1);
    broker.delete(&diffs);
    broker.send(&topic, 0, &[pro("c", 1_767_225_800_000)]);
    let said = live.says("was deleted");
    assert!(said.contains(&diffs), "{said}");
    assert_eq!(live.code(), Some(2));
}

#[test]
fn settings_come_back_refused() {
    let (broker, place) = (Broker::shared(), Place::new());
    let more = "[sink.kafka]\ncompression.type = \"zip\"\n";
    job(&place, &from_file("events.jsonl"), &[to_topic(broker, "differences", "t", more)]);
    for verb in ["replay --job job.toml", "check --job job.toml"] {
        place.run(verb).refused_with(&["compression", "zip", "[sink.kafka]"]);
    }
}

#[test]
fn a_run_that_waits_for_its_brokers_ends_when_told() {
    let place = Place::new();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nowhere.local_addr().unwrap();
    drop(nowhere);
    let sink = format!(
        "[[sink]]\nkind = \"kafka\"\nbrokers = \"{address}\"\ntopic = \"t\"\n[sink.kafka]\n\
         socket.timeout.ms = 1000\n"
    );
    job(&place, &from_file("events.jsonl"), &[sink]);
    let live = Live::start(&place, "run job.toml");
    live.says("trying again");
    assert_eq!(live.stop(), Some(0));
}
