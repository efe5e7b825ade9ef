//! Killed, of a sudden: the program, the broker, and the program by another of its kind.

use crate::common::Place;
use crate::harness::{Broker, eventually};
use crate::{
    Live, by_user, check, clickstream, from_topic, job, new_name, segments_after, segments_in,
    to_topic,
};

/// A clickstream in a topic, and a job that writes its differences; what is to come of it, but for
/// what the watermark does not pass.
fn busy(place: &Place, broker: &Broker, events: usize) -> (Vec<String>, [String; 3]) {
    let expected = clickstream(place, events);
    let topic = broker.topic(1);
    let names = [topic.clone(), new_name(broker, "diffs"), new_name(broker, "users")];
    let more = format!("users_topic = {:?}\npartitions = 2\n", names[2]);
    let sink = to_topic(broker, "differences", &names[1], &more);
    job(place, &from_topic(broker, &topic), &[sink]);
    (expected, names)
}

/// All records, and one so much later that every window empties.
fn send_all(place: &Place, broker: &Broker, topic: &str) {
    send(place, broker, topic, 0..usize::MAX);
    send_last(broker, topic);
}

fn send(place: &Place, broker: &Broker, topic: &str, range: std::ops::Range<usize>) {
    let text = place.text("whole.jsonl");
    let lines = text.lines().skip(range.start).take(range.end - range.start);
    broker.send(topic, 0, &lines.collect::<Vec<_>>());
}

fn send_last(broker: &Broker, topic: &str) {
    let times = [1_767_312_000_000_i64, 1_767_312_100_000];
    let last = times.map(|time| format!(r#"{{"type":"x","userId":"z","timestamp":{time}}}"#));
    let page = last.map(|line| line.replace("\"x\"", "\"page\""));
    broker.send(topic, 0, &page);
}

/// Where the moments come from at which the program is killed.
const SEED: u64 = 7;

/// Random numbers from a seed (xorshift).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_gives_each_difference_once() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (expected, [topic, diffs, users]) = busy(&place, broker, 6_000);
    let mut random = Seeded(SEED);
    let (mut sent, step) = (0, 1_000);
    for life in 0..6 {
        let live = Live::start(&place, "run job.toml");
        if life > 0 {
            // It has to come so far that it writes, and is killed while it may be writing.
            let before = broker.read(&diffs).len();
            send(&place, broker, &topic, sent..sent + step);
            sent += step;
            eventually("more is written", || broker.read(&diffs).len() > before);
            let more = broker.read(&diffs).len() + usize::try_from(random.below(40)).unwrap();
            let half = sent + usize::try_from(random.below(step as u64 / 2)).unwrap();
            send(&place, broker, &topic, sent..half);
            sent = half;
            eventually("some more is written", || {
                broker.read(&diffs).len() >= more.min(before + 60) || random.below(4) == 0
            });
        } else {
            live.says("running"); // killed while it begins
        }
        live.kill();
    }
    send(&place, broker, &topic, sent..usize::MAX);
    send_last(broker, &topic);
    let live = Live::start(&place, "run job.toml");
    eventually("all is written", || broker.read(&diffs).len() >= expected.len());
    assert_eq!(live.stop(), Some(0));
    check(&broker.read(&diffs), &expected);
    assert_eq!(segments_in(&broker.read(&users)), segments_after(&expected));
}

#[test]
fn a_broker_that_is_killed_loses_and_doubles_nothing() {
    let (broker, place) = (Broker::new(), Place::new());
    let (expected, [topic, diffs, users]) = busy(&place, &broker, 2_000);
    let live = Live::start(&place, "run job.toml");
    send(&place, &broker, &topic, 0..1_000);
    eventually("some is written", || !broker.read(&diffs).is_empty());
    broker.kill();
    live.says("nothing is lost");
    broker.start();
    send(&place, &broker, &topic, 1_000..usize::MAX);
    send_last(&broker, &topic);
    eventually("all is written", || broker.read(&diffs).len() >= expected.len());
    assert_eq!(live.stop(), Some(0));
    check(&broker.read(&diffs), &expected);
    assert_eq!(segments_in(&broker.read(&users)), segments_after(&expected));
}

#[test]
fn of_two_processes_the_older_one_ends() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (expected, [topic, diffs, _]) = busy(&place, broker, 1_000);
    let older = Live::start(&place, "run job.toml");
    send(&place, broker, &topic, 0..500);
    eventually("the older one writes", || !broker.read(&diffs).is_empty());
    let newer = Live::start(&place, "run job.toml");
    newer.says("running");
    let group = format!("rivulet.job.{diffs}");
    let position = || broker.committed(&group, &diffs, 0);
    // The position alone is renewed by the older one now and then: so it learns of it either way.
    assert!(position().is_some());
    send(&place, broker, &topic, 500..usize::MAX);
    send_last(broker, &topic);
    let said = older.says("another process writes it");
    assert!(said.contains(&diffs), "{said}");
    assert_eq!(older.code(), Some(2));
    eventually("the newer one goes on", || broker.read(&diffs).len() >= expected.len());
    assert_eq!(newer.stop(), Some(0));
    check(&broker.read(&diffs), &expected);
}

#[test]
fn a_run_that_is_told_to_stop_has_delivered_what_it_has_read() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (expected, [topic, diffs, users]) = busy(&place, broker, 1_000);
    send_all(&place, broker, &topic);
    place.run("run job.toml --until caught-up --workers 2").fine();
    check(&broker.read(&diffs), &expected);
    assert_eq!(by_user(expected.iter().cloned()).len(), by_user_count(&broker.read(&users)));
}

fn by_user_count(seen: &[crate::harness::Seen]) -> usize {
    seen.iter().map(|it| &it.key).collect::<std::collections::BTreeSet<_>>().len()
}
