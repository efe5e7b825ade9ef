//! What ends a job, because going on would lose records unseen; and what does not begin.

use crate::common::Place;
use crate::harness::Broker;
use crate::{Live, T0, awaits, job, pro, view};

#[test]
fn a_topic_that_is_deleted_ends_the_job() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000)]);
    job(&place, broker, &[&topic], "");
    let live = Live::start(&place, "");
    awaits(&place, "differences", "\"u\"");
    broker.delete(&topic);
    let said = live.says("was deleted");
    assert!(said.contains(&topic) && said.contains("offset 2 of partition 0"), "{said}");
    assert_eq!(live.code(), Some(2));
}

#[test]
fn an_offset_that_is_gone_ends_the_job() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    let group = format!("of {topic}");
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000), view("u", T0 + 19_000)]);
    broker.commit(&group, &topic, 0, 1);
    broker.forget(&topic, 0, 2);
    job(&place, broker, &[&topic], &format!("group = {group:?}\nstart = \"committed\"\n"));
    let done = place.run("run job.toml --until caught-up");
    done.refused_with(&[&topic, "partition 0", "offset 1", "2 to 3", "earliest", "retention.ms"]);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let (broker, place) = (Broker::shared(), Place::new());
    job(&place, broker, &["nowhere"], "");
    place.run("run job.toml").refused_with(&["topic nowhere is not there", "create it"]);
}

#[test]
fn settings_go_to_librdkafka_and_come_back_refused() {
    let (broker, place) = (Broker::shared(), Place::new());
    job(&place, broker, &["t"], "[source.kafka]\nsecurity.protocol = \"tsl\"\n");
    for verb in ["run job.toml", "check --job job.toml"] {
        place.run(verb).refused_with(&["security.protocol", "tsl", "[source.kafka]"]);
    }
    job(&place, broker, &["t"], "[source.kafka]\ngroup.id = \"g\"\n");
    place.run("check --job job.toml").refused_with(&["group.id", "say group"]);
    place.run("replay --job job.toml").refused();
}

#[test]
fn a_replay_names_the_verb_for_topics() {
    let (broker, place) = (Broker::shared(), Place::new());
    job(&place, broker, &["t"], "");
    place.run("replay --job job.toml").refused_with(&["rivulet run job.toml"]);
}
