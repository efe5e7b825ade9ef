//! Several processes over loopback give the bytes that one gives.
//!
//! Every process reads its share of the partitions; all that comes out comes out on process 0.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use std::path::Path;

use common::{BUSY_SEGMENTS, Place, Running, counts, hosts};

/// A clickstream in two partitions with late records, records that are not understood, and second
/// copies; or, for `on_event`, in order.
fn events(place: &Place, in_order: bool) {
    place.write("segments.json", BUSY_SEGMENTS);
    let jitter = if in_order { "0ms" } else { "9s" }; // the clock allows 5 s
    let flags = "--events 2000 --users 60 --rate 20 --duplicates 0.05 --identify 0.05";
    place.run(&format!("generate {flags} --jitter {jitter} --out whole.jsonl")).fine();
    let whole = place.text("whole.jsonl");
    let mut parts = [String::new(), String::new()];
    for (number, line) in whole.lines().enumerate() {
        let part = &mut parts[number % 2];
        part.push_str(line);
        part.push('\n');
        if number % 50 < 2 {
            part.push_str("{\"type\":\"track\",\n");
        }
    }
    place.write("a.jsonl", &parts[0]);
    place.write("b.jsonl", &parts[1]);
}

const FILES: [&str; 3] = ["diffs", "late", "rejected"];

fn flags(to: &str) -> String {
    let files = format!("--out {to}/diffs --late {to}/late --rejected {to}/rejected");
    format!("replay --segments segments.json {files} --stats {to}/stats")
}

fn check(in_order: bool, inputs: &str, more: &str) {
    let place = Place::new();
    events(&place, in_order);
    place.write("one/.keep", "");
    place.run(&format!("{} --events {inputs} {more}", flags("one"))).fine();
    let expected = FILES.map(|file| place.text(&format!("one/{file}")));
    let expected_counts = counts(&place.path("one/stats"));
    assert!(expected[0].lines().count() > 50, "the differences show something");
    let [_, _, late, rejected, duplicate] = expected_counts;
    assert!(rejected > 0 && (in_order || duplicate + late > 0), "{expected_counts:?}");

    for (processes, workers) in [(2, 1), (2, 2), (3, 1)] {
        hosts(&place, processes);
        let to = |process| format!("{processes}x{workers}-{process}");
        let children: Vec<_> = (0..processes)
            .map(|process| {
                let to = to(process);
                place.write(&format!("{to}/.keep"), "");
                let words = format!(
                    "{} --events {inputs} {more} --workers {workers} --process {process} --hosts hosts",
                    flags(&to)
                );
                Running::start(&mut place.command(&words))
            })
            .collect();
        for (process, child) in children.into_iter().enumerate() {
            let done = child.end().fine();
            assert_eq!(done.stdout, "", "process {process}");
            if process > 0 {
                assert_eq!(written(&place.path(&to(process))), [".keep"]);
                assert_eq!(own(&done.stderr), "", "process {process}");
            }
        }
        for (file, expected) in FILES.iter().zip(&expected) {
            let got = place.text(&format!("{}/{file}", to(0)));
            assert!(got == *expected, "{file} of {processes} processes, {workers} workers each");
        }
        assert_eq!(counts(&place.path(&to(0)).join("stats")), expected_counts);
    }
}

fn written(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    std::fs::read_dir(folder).unwrap().map(name).collect()
}

#[test]
fn two_partitions() {
    check(false, "a.jsonl b.jsonl", "");
}

#[test]
fn one_partition() {
    check(false, "whole.jsonl a.jsonl", "--max-out-of-orderness 8s");
    check(false, "a.jsonl", "");
}

#[test]
fn on_event_in_order() {
    check(true, "a.jsonl", "--emit on_event");
}

#[test]
fn other_processes_report_what_they_cannot_read() {
    let place = Place::new();
    hosts(&place, 2);
    let words = "replay --segments segments.json --events events.jsonl none.jsonl --hosts hosts";
    let first = Running::start(&mut place.command(&format!("{words} --process 0")));
    let second = Running::start(&mut place.command(&format!("{words} --process 1")));
    second.end().refused_with(&["cannot open none.jsonl"]);
    drop(first); // it waits for the other to come back
}

/// What was said but for that it waits for the others.
fn own(said: &str) -> String {
    said.lines().filter(|line| !line.starts_with("waiting for process")).collect()
}
