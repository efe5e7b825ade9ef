//! Segment's own clients, unchanged, told of another host.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Place, Running, counts};
use crate::{KEY, Live, job, lines_with, until};

/// Where the clients are; fetched, if they are not there yet.
fn clients() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/common/clients.sh");
    let done = Command::new("bash").arg(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "Segment's clients are not there");
    String::from_utf8(done.stdout).unwrap().trim().into()
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/collector/clients").join(name)
}

/// A job that gives out at once.
fn at_once(place: &Place) {
    job(place, "emit = \"on_event\"\nmax_out_of_orderness = \"5m\"", "log = \"log\"", "");
}

/// Runs a client to its end.
fn run(command: &mut Command) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = Running::start(command).end();
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
}

/// What each client sends: who is pro, spends 120, looks at a page and a screen, and two that
/// are rejected where groups and aliases are not known.
fn took_effect(place: &Place, user: &str) {
    for segment in ["pro", "high_value"] {
        let part = format!("\"segment\":\"{segment}\",\"user\":\"{user}\",\"diff\":1");
        until(&part, || lines_with(place, "differences", &part) == 1);
    }
}

fn ends_well(place: &Place, live: Live, sent: u64) {
    live.stop();
    let [read, applied, late, rejected, duplicate] = counts(&place.path("stats"));
    let said = format!("{}{}", place.text("late"), place.text("rejected"));
    assert_eq!((read, late, duplicate), (sent, 0, 0), "{said}");
    assert!(applied >= sent - rejected, "{said}");
    for line in place.json_lines("rejected") {
        let record = line["record"].as_str().unwrap();
        let is_known =
            record.contains("\"type\":\"group\"") || record.contains("\"type\":\"alias\"");
        assert!(is_known && line["source"] == "http /v1", "{line}");
    }
}

#[test]
fn python() {
    let (clients, place) = (clients(), Place::new());
    at_once(&place);
    let live = Live::start(&place);
    for (user, more) in [("py", None), ("packed", Some("gzip"))] {
        let mut client = Command::new(clients.join("python/bin/python"));
        run(client.arg(script("python.py")).args([&live.url, KEY, user]).args(more));
        took_effect(&place, user);
    }
    ends_well(&place, live, 14);
}

#[test]
fn node() {
    let (clients, place) = (clients(), Place::new());
    at_once(&place);
    let live = Live::start(&place);
    let mut client = Command::new("node");
    run(client.arg(script("node.mjs")).arg(&clients).args([&live.url, KEY, "node"]));
    took_effect(&place, "node");
    ends_well(&place, live, 7);
}

#[test]
fn browser() {
    let (clients, place) = (clients(), Place::new());
    at_once(&place);
    let live = Live::start(&place);
    for (user, more) in [("single", None), ("batched", Some("batching"))] {
        let mut client = Command::new("node");
        let client = client.arg(script("browser.mjs")).arg(&clients);
        run(client.args([&live.url, KEY, user]).args(more));
        took_effect(&place, user);
        let left = format!("\"segment\":\"high_value\",\"user\":\"{user}-leaving\",\"diff\":1");
        until("the beacon", || lines_with(&place, "differences", &left) == 1);
    }
    ends_well(&place, live, 16);
}

#[test]
fn a_client_with_another_key_is_told() {
    let (clients, place) = (clients(), Place::new());
    at_once(&place);
    let live = Live::start(&place);
    let mut client = Command::new(clients.join("python/bin/python"));
    let client = client.arg(script("python.py")).args([&live.url, "other", "py"]);
    let client = client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = Running::start(client).end();
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("write key") && done.stderr.contains("401"), "{}", done.stderr);
    ends_well(&place, live, 0);
}
