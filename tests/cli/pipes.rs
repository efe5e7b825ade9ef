//! Pipes: slow ones in, broken ones out.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::common::{EVENTS, Lines, Place, Running};

/// Writes lines one by one; after each come differences that end with these, while the pipe stays
/// open, and none is earlier than the one before.
fn converse(flags: &str, talk: &[(&str, &[&str])]) {
    let place = Place::new();
    let words = format!("replay --segments segments.json --events - --format text {flags}");
    let mut running = Running::start(place.command(&words).stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    let lines = Lines::of(running.child.stdout.take().unwrap());
    let mut last = String::new();
    for (line, differences) in talk {
        writeln!(stdin, "{line}").unwrap();
        for difference in *differences {
            let next = lines.next();
            assert!(next.ends_with(difference), "{next}, and not {difference}, after {line}");
            let time = next.split(' ').next().unwrap().to_owned();
            assert!(last <= time, "{next} comes after {last}");
            last = time;
        }
    }
    drop(stdin);
    running.end().fine();
}

#[test]
fn on_event_answers_before_the_next_record() {
    let lines: Vec<_> = EVENTS.lines().collect();
    for workers in [1, 2] {
        converse(
            &format!("--emit on_event --workers {workers}"),
            &[
                (lines[0], &["2026-01-01T00:00:00.000Z + pro u1"]),
                (lines[1], &[]),
                (lines[2], &[]),
                (lines[4], &["2026-01-01T00:00:09.000Z + high_value u1"]),
                // Below the clock by 8 s: late. It may be given out in an instant of its own.
                (lines[5], &[]),
                // Below the greatest time, but within the disorder: applied at once.
                (
                    r#"{"type":"identify","userId":"u2","timestamp":1767225608000,"traits":{"plan":"pro"}}"#,
                    &[" + pro u2"],
                ),
                // And again, in an instant of its own.
                (
                    r#"{"type":"identify","userId":"u2","timestamp":1767225609000,"traits":{"plan":"free"}}"#,
                    &[" - pro u2"],
                ),
            ],
        );
    }
}

#[test]
fn on_watermark_answers_when_the_watermark_passes() {
    let at = |time: u64| format!(r#"{{"type":"page","userId":"u2","timestamp":{time}}}"#);
    let first = EVENTS.lines().next().unwrap();
    for workers in [1, 2] {
        converse(
            &format!("--workers {workers}"),
            &[
                (first, &[]),
                (&at(1_767_225_605_001), &["2026-01-01T00:00:00.000Z + pro u1"]),
                (
                    r#"{"type":"identify","userId":"u1","timestamp":1767225605001,"traits":{"plan":null}}"#,
                    &[],
                ),
                (&at(1_767_225_611_000), &["2026-01-01T00:00:05.001Z - pro u1"]),
            ],
        );
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_keeps_no_other_partition_waiting() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for workers in [1, 2] {
        let words = format!(
            "replay --segments segments.json --events events.jsonl pipe --format text \
             --emit on_event --workers {workers}"
        );
        let mut running = Running::start(&mut place.command(&words));
        let lines = Lines::of(running.child.stdout.take().unwrap());
        assert_eq!(lines.next(), "2026-01-01T00:00:00.000Z + pro u1");
        assert_eq!(lines.next(), "2026-01-01T00:00:09.000Z + high_value u1");
        let mut end = std::fs::File::options().write(true).open(&pipe).unwrap();
        let pro = r#"{"type":"identify","userId":"u9","timestamp":1767225610000,"traits":{"plan":"pro"}}"#;
        writeln!(end, "{pro}").unwrap();
        assert_eq!(lines.next(), "2026-01-01T00:00:10.000Z + pro u9");
        drop(end);
        running.end().fine();
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let place = Place::new();
    place.run("generate --events 20000 --users 3000 --out in.jsonl").fine();
    place.write(
        "segments.json",
        r#"{"id":"s","rules":{"event":"*","aggregate":"count","window":"1s","op":"gt","value":0}}"#,
    );
    for words in [
        "replay --segments segments.json --events in.jsonl",
        "replay --segments segments.json --events in.jsonl --workers 2 --format text",
        "generate --events 100000",
    ] {
        let mut running = Running::start(&mut place.command(words));
        let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        let done = running.end().fine();
        assert!(!line.is_empty());
        assert_eq!(done.stderr, "", "{words}");
    }
}

#[test]
fn a_reader_that_goes_ends_a_replay_whose_input_stays_open() {
    let place = Place::new();
    let words = "replay --segments segments.json --events - --emit on_event";
    let mut running = Running::start(place.command(words).stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    drop(running.child.stdout.take());
    writeln!(stdin, "{}", EVENTS.lines().next().unwrap()).unwrap();
    assert_eq!(running.code(), Some(0));
    let mut said = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn what_is_generated_can_be_piped_into_a_replay() {
    let place = Place::new();
    let mut from = Running::start(&mut place.command("generate --events 5000 --users 100"));
    let stdout = from.child.stdout.take().unwrap();
    let mut command =
        place.command("replay --segments segments.json --events - --out piped --workers 2");
    let done = Running::start(command.stdin(stdout)).end().fine();
    assert!(done.stderr.contains("late 0 + rejected 0"), "{}", done.stderr);
    from.end().fine();
    place.run("generate --events 5000 --users 100 --out in.jsonl").fine();
    place.replay("--events in.jsonl --out plain").fine();
    assert_eq!(place.text("piped"), place.text("plain"));
    assert!(!place.text("plain").is_empty());
}
