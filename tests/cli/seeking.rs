//! A job of files that is killed and started again: it goes on in the file, and does not read what
//! stands before.

use std::fs;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::common::{BUSY_SEGMENTS, Place, Running, eventually};

const JOB: &str = "segments = \"segments.json\"\n[state]\npath = \"state\"\ninterval = \"10ms\"\n\
    [clock]\nmax_out_of_orderness = \"9s\"\n\
    [[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n\
    [[sink]]\nkind = \"file\"\npath = \"out.jsonl\"\n\
    [[sink]]\nkind = \"file\"\nof = \"late\"\npath = \"late.jsonl\"\n";

/// The byte from which the newest checkpoint reads on.
fn begins(place: &Place) -> Option<usize> {
    let names = fs::read_dir(place.path("state/manifests")).ok()?;
    // One that is being written has another ending.
    let paths = names.filter_map(|it| Some(it.ok()?.path()));
    let newest = paths.filter(|path| path.extension().is_some_and(|it| it == "json")).max()?;
    let manifest: Json = serde_json::from_str(&fs::read_to_string(newest).ok()?).ok()?;
    usize::try_from(manifest["sources"][0]["start"]["byte"].as_u64()?).ok()
}

/// A place whose job has been killed in the middle of its file, and what a replay gives.
fn killed() -> (Place, String, usize) {
    let place = Place::new();
    place.write("segments.json", BUSY_SEGMENTS);
    let flags = "--users 50 --rate 100 --duplicates 0.02 --jitter 9s --identify 0.05 --seed 7";
    place.run(&format!("generate --events 120000 {flags} --out events.jsonl")).fine();
    let flags = "--events events.jsonl --max-out-of-orderness 9s --late late_once.jsonl";
    place.replay(&format!("{flags} --out once.jsonl")).fine();
    place.write("job.toml", JOB);
    let mut command = place.command("run job.toml --workers 2");
    let mut running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("a checkpoint stands in the file", || begins(&place) > Some(0));
    // Where it has ended just then, there is less to go on with.
    running.child.kill().unwrap();
    running.code();
    let (once, begins) = (place.text("once.jsonl"), begins(&place).unwrap());
    (place, once, begins)
}

#[test]
fn what_stands_before_a_checkpoint_is_not_read_again() {
    let (place, once, begins) = killed();
    // Were it read, each line after it would have another number.
    let mut events = fs::read(place.path("events.jsonl")).unwrap();
    assert!(begins < events.len(), "{begins} of {}", events.len());
    events[..begins - 1].fill(b'\n');
    place.write("events.jsonl", events);
    place.run("run job.toml --workers 1").fine();
    assert_eq!(place.text("out.jsonl"), once);
    assert_eq!(place.text("late.jsonl"), place.text("late_once.jsonl"));
}

#[test]
fn a_file_that_was_changed_before_it_is_refused() {
    let (place, once, begins) = killed();
    let whole = fs::read(place.path("events.jsonl")).unwrap();
    let at = format!("ended before byte {begins}");
    let changed = [b"one more\n", &whole[..]].concat();
    for changed in [&changed[..], &whole[..begins - 2]] {
        place.write("events.jsonl", changed);
        place.run("run job.toml").refused_with(&["events.jsonl has changed", &at, "put it back"]);
    }
    place.write("events.jsonl", whole);
    place.run("run job.toml").fine();
    assert_eq!(place.text("out.jsonl"), once);
}
