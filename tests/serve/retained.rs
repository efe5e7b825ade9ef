//! A segment saved in a running job looks back at the events that are retained, also those of before
//! a restart.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;

use crate::client::{Answer, START, Served, pause, place, sets};
use crate::common::Place;
use crate::harness::{Broker, eventually};
use crate::sketches::event;

const HOUR_MS: i64 = 3_600_000;

/// A job over a topic, whose time goes on by its records alone.
struct Job {
    broker: &'static Broker,
    topic: String,
    place: Place,
    /// So many milliseconds after the start.
    time: AtomicI64,
}

impl Job {
    fn new(state: &str) -> Self {
        let broker = Broker::shared();
        let topic = broker.topic(1);
        let place = place(&format!(
            "segments = \"segments\"\n[clock]\nidle_timeout = \"1h\"\nmax_out_of_orderness = \"0s\"\n\
             [[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n[[sink]]\n\
             kind = \"file\"\npath = \"differences\"\n[state]\npath = \"state\"\n\
             interval = \"20ms\"\n{state}\n[serve]\nlisten = \"127.0.0.1:0\"\n",
            broker.address()
        ));
        Job { broker, topic, place, time: AtomicI64::new(1_000) }
    }

    fn send(&self, records: &[String]) {
        self.broker.send(&self.topic, 0, records);
    }

    fn tick(&self) {
        let time = self.time.fetch_add(10, Ordering::Relaxed);
        self.send(&[sets("clock", time, "tick", "x")]);
    }

    /// Waits until a user is in exactly these, while time goes on.
    fn await_segments(&self, served: &Served, user: &str, expected: &[&str]) {
        eventually(&format!("{user} is in {expected:?}"), || {
            self.tick();
            served.segments_of(user) == expected
        });
    }

    /// Saves a segment, while time goes on.
    fn save(&self, served: &Served, id: &str, rules: &serde_json::Value) -> Answer {
        let text = json!({ "rules": rules }).to_string();
        let path = format!("/v1/segments/{id}?wait_ms=25000");
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| served.ask("PUT", &path, &[], &text));
            while !asking.is_finished() {
                self.tick();
                pause();
            }
            asking.join().unwrap()
        });
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer
    }

    /// Waits for a checkpoint that has all there is by now.
    fn await_checkpoint(&self, served: &Served) {
        let as_of = || served.get("/readyz").json["as_of"].as_i64().unwrap();
        let newest = || {
            let names = std::fs::read_dir(self.place.path("state/manifests")).into_iter().flatten();
            names.map(|it| it.unwrap().file_name()).max()
        };
        let (before, seen, mut later) = (newest(), as_of(), 0);
        eventually("there are checkpoints", || {
            self.tick();
            later += usize::from(newest() != before);
            later > 3 && as_of() > seen
        });
    }
}

fn buys(user: &str, after_ms: i64, amount: i64) -> String {
    event(user, after_ms, "buy", &format!(r#","properties":{{"amount":{amount}}}"#))
}

#[test]
fn a_saved_segment_looks_back_over_restarts() {
    let job = Job::new("retain = \"24h\"");
    job.send(&[
        buys("u1", 0, 30),
        event("u3", 5, "shop.view", ""),
        buys("u1", 10, 50),
        buys("u2", 20, 30),
        event("u3", 30, "shop.pay", r#","properties":{"card":"visa"}"#),
    ]);
    let served = Served::start(&job.place);
    served.await_ready();
    job.tick();
    served.await_segments("u1", &[]);
    let spent = json!({
        "event": "buy", "aggregate": "sum", "property": "amount", "window": "1h", "op": "gte",
        "value": 80,
    });
    job.save(&served, "spenders", &spent);
    assert_eq!(served.segments_of("u1"), ["spenders"]);
    assert!(served.segments_of("u2").is_empty());
    job.await_checkpoint(&served);
    served.kill();
    let served = Served::start_with(&job.place, "--workers 2");
    served.await_ready();
    served.await_segments("u1", &["spenders"]);
    // What happened before it was killed is retained, whole.
    let paid = json!({ "event": "shop.*", "aggregate": "last", "property": "card",
        "op": "eq", "value": "visa" });
    job.save(&served, "paid", &paid);
    assert_eq!(served.segments_of("u3"), ["paid"]);
    let then = json!({ "sequence": [{ "event": "shop.view" }, { "event": "shop.pay" }],
        "within": "1m", "window": "1h" });
    job.save(&served, "then", &then);
    assert_eq!(served.segments_of("u3"), ["paid", "then"]);
    // One more event counts with those of before: and all leave when it is time.
    let time = job.time.load(Ordering::Relaxed);
    job.send(&[buys("u2", time, 50)]);
    job.await_segments(&served, "u2", &["spenders"]);
    served.kill();
    job.time.store(2 * HOUR_MS, Ordering::Relaxed);
    job.tick();
    job.tick();
    let served = Served::start(&job.place);
    served.await_ready();
    served.await_segments("u1", &[]);
    served.await_segments("u2", &[]);
    served.await_segments("u3", &["paid"]);
    assert_eq!(served.end(), Some(0));
    let lines = job.place.json_lines("differences");
    let of = |segment: &str, user: &str| -> Vec<(i64, i64)> {
        let own = lines.iter().filter(|it| it["segment"] == segment && it["user"] == user);
        own.map(|it| (it["time"].as_i64().unwrap(), it["diff"].as_i64().unwrap())).collect()
    };
    let left = |segment, user| of(segment, user).last().copied();
    assert_eq!(left("spenders", "u1"), Some((START + HOUR_MS, -1)));
    assert_eq!(left("spenders", "u2"), Some((START + HOUR_MS + 20, -1)));
    assert_eq!(left("then", "u3"), Some((START + HOUR_MS + 30, -1)));
    assert_eq!(of("spenders", "u1").len(), 2);
}

#[test]
fn where_nothing_is_retained_a_saved_segment_counts_from_now_on() {
    let job = Job::new("");
    job.send(&[buys("u1", 0, 90)]);
    let served = Served::start(&job.place);
    served.await_ready();
    job.tick();
    let spent = json!({
        "event": "buy", "aggregate": "count", "window": "1h", "op": "gte", "value": 1,
    });
    let answer = job.save(&served, "buyers", &spent);
    assert!(served.segments_of("u1").is_empty(), "{}", answer.json);
    let time = job.time.load(Ordering::Relaxed);
    job.send(&[buys("u1", time, 90)]);
    job.await_segments(&served, "u1", &["buyers"]);
    assert_eq!(served.end(), Some(0));
}
