//! Real servers, written by the program: each difference once in effect, whatever happens.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/server.rs"]
mod server;
#[path = "common/stores.rs"]
mod stores;

#[path = "sinks/postgres.rs"]
mod postgres;
#[path = "sinks/profiles.rs"]
mod profiles;
#[path = "sinks/proof.rs"]
mod proof;
#[path = "sinks/redis.rs"]
mod redis;
#[path = "sinks/webhook.rs"]
mod webhook;

use std::fs;
use std::net::{SocketAddr, TcpListener};

use common::{Place, eventually};
use live::{Fed, Live};

/// A job that reads `whole.jsonl` and writes these sinks; with state, if it is said how often.
pub(crate) fn job(place: &Place, interval: Option<&str>, sinks: &[String]) {
    let clock = "[clock]\nmax_out_of_orderness = \"9s\"\n";
    let state = |every| format!("[state]\npath = \"state\"\ninterval = {every:?}\n");
    let state = interval.map(state).unwrap_or_default();
    let source = "[[source]]\nkind = \"file\"\npath = \"whole.jsonl\"\n";
    let text = format!("segments = \"segments.json\"\n{clock}{state}{source}{}", sinks.concat());
    place.write("job.toml", text);
}

/// That a replay into this sink is refused in words that have all of these, and no password.
pub(crate) fn refused(place: &Place, sink: &str, parts: &[&str]) {
    job(place, None, &[sink.to_owned()]);
    let said = place.run("replay --job job.toml").refused();
    parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} in {said:?}"));
    assert!(!said.contains("hunter"), "{said}");
}

/// That a run waits for the server of a sink, which is nowhere, and ends when it is told to; gives
/// back what it says meanwhile, and where it looks for the server.
pub(crate) fn awaited_in_vain(sink: impl Fn(SocketAddr) -> String) -> (String, SocketAddr) {
    let place = Place::new();
    place.write("whole.jsonl", place.text("events.jsonl"));
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nowhere.local_addr().unwrap();
    drop(nowhere);
    job(&place, None, &[sink(address)]);
    let live = Live::start(&place, "run job.toml");
    let said = live.says("nothing is lost");
    assert_eq!(live.stop(), Some(0));
    (said, address)
}

/// Replays the job up to the last record, while its server is killed and started again so many times.
pub(crate) fn replayed_while_killed(
    place: &Place,
    times: usize,
    position: impl Fn() -> Option<i64>,
    (kill, start): (impl Fn(), impl Fn()),
) {
    let mut fed = Fed::start(place, "replay --job job.toml --until last");
    for _ in 0..times {
        let before = position();
        fed.feed(1_000);
        eventually("more is written", || position() > before);
        kill();
        fed.feed(500);
        fed.live.says("nothing is lost");
        start();
        fed.live.says("is written again");
    }
    assert_eq!(fed.end(), Some(0));
}

/// Runs the job, killed whenever it has written more, by what is stored of it; at last to its end.
pub(crate) fn killed_often(place: &Place, position: impl Fn() -> Option<i64>) {
    let mut kills = 0;
    for _ in 0..6 {
        let before = position();
        let mut live = Live::start(place, "run job.toml");
        let mut has_ended = false;
        eventually("more is written", || {
            has_ended = live.has_ended();
            has_ended || position() > before
        });
        live.kill();
        if has_ended {
            break;
        }
        kills += 1;
    }
    assert!(kills > 1, "it was too quick to be killed");
    place.run("run job.toml").fine();
}

/// Runs the job until it has taken a checkpoint in mid-stream, and kills it. If that came too soon
/// or too late, it is run again from nothing: `forget` empties its server.
pub(crate) fn killed_in_mid_stream(
    place: &Place,
    forget: impl Fn(),
    position: impl Fn() -> Option<i64>,
) {
    let manifests = place.path("state/manifests");
    let has_any = || fs::read_dir(&manifests).is_ok_and(|mut them| them.next().is_some());
    for _ in 0..50 {
        let _ = fs::remove_dir_all(place.path("state"));
        forget();
        let mut live = Live::start(place, "run job.toml");
        eventually("a checkpoint is taken, or it has ended", || has_any() || live.has_ended());
        live.kill();
        let is_taken = !place.run("state state").stdout.is_empty();
        if is_taken && position().is_some_and(|position| position < i64::MAX) {
            return;
        }
    }
    panic!("it was never killed between a checkpoint and the end");
}
