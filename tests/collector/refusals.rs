//! What is not taken, over a real connection: each told by its status, and nothing of it kept.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::common::{Place, Running, counts};
use crate::{BASIC, Live, job, lines_with, post, until};

#[test]
fn every_refusal_has_its_status_and_a_bad_event_is_seen_in_rejected() {
    let place = Place::new();
    job(&place, "emit = \"on_event\"", "log = \"log\"", "");
    let live = Live::start(&place);
    let send = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        post(&format!("{}/v1/{path}", live.url), headers, body).unwrap()
    };
    let long = format!(r#"{{"type":"track","userId":"u","x":"{}"}}"#, "x".repeat(33_000));
    let batch = |events: &[&str]| format!(r#"{{"batch":[{}]}}"#, events.join(","));
    let huge = batch(&vec![&*long; 16]);
    assert_eq!(send("track", &[BASIC], long.as_bytes()).0, 400);
    assert_eq!(send("batch", &[BASIC], huge.as_bytes()).0, 400);
    assert_eq!(send("batch", &[BASIC], b"nonsense").0, 400);
    assert_eq!(send("batch", &[BASIC, ("content-encoding", "gzip")], b"nonsense").0, 400);
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&vec![b' '; 5 << 20]).unwrap();
    let bomb = packer.finish().unwrap();
    assert_eq!(send("batch", &[BASIC, ("content-encoding", "gzip")], &bomb).0, 400);
    assert_eq!(send("batch", &[], b"{\"batch\":[]}").0, 401);
    assert_eq!(send("batch", &[("authorization", "Basic d3Jvbmc6")], b"{\"batch\":[]}").0, 401);
    let pro = r#"{"type":"identify","userId":"u","traits":{"plan":"pro"}}"#;
    let nobody = r#"{"type":"track","event":"e"}"#;
    let deep =
        format!(r#"{{"type":"page","userId":"u","x":{}{}}}"#, "[".repeat(9_999), "]".repeat(9_999));
    let mixed = batch(&[pro, &long, nobody, "7", &deep]);
    let text = ("content-type", "text/plain");
    assert_eq!(send("batch", &[BASIC, text], mixed.as_bytes()).0, 200);
    until("the rejected", || lines_with(&place, "rejected", "\"reason\"") == 4);
    for reason in ["an event may have 32768", "userId: missing", "record: invalid type", "deep"] {
        assert_eq!(lines_with(&place, "rejected", reason), 1, "{}", place.text("rejected"));
    }
    until("the rest", || lines_with(&place, "differences", "\"segment\":\"pro\"") == 1);
    live.stop();
    assert_eq!(counts(&place.path("stats")), [5, 1, 0, 4, 0]);
}

#[test]
fn a_job_that_nobody_could_send_to_is_refused() {
    let place = Place::new();
    job(&place, "", "", "");
    place.run("check --job job.toml").refused_with(&["source[0].log", "log = \"FOLDER\""]);
    job(&place, "", "log = \"log\"", "");
    place.run("check --job job.toml").fine();
    place.run("replay --job job.toml").refused_with(&["rivulet run"]);
    let text = place.text("job.toml").replace("[serve]\nlisten = \"127.0.0.1:0\"\n", "");
    place.write("job.toml", text);
    place.run("check --job job.toml").refused_with(&["serve", "listen"]);
}

#[test]
fn two_runs_do_not_write_one_log() {
    let place = Place::new();
    job(&place, "", "log = \"log\"", "");
    let live = Live::start(&place);
    let other = Running::start(&mut place.command("run job.toml")).end();
    other.refused_with(&["is written by another process"]);
    live.stop();
}
