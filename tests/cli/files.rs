//! Files that are missing, full or not what they should be: exit 2, with the path and what to do.

use std::fs;

use crate::common::{DIFFERENCES, Place};

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let place = Place::new();
    place.write("folder/x.jsonl", "");
    place.replay("--events nothing.jsonl").refused_with(&["cannot open nothing.jsonl", "check"]);
    place.replay("--events folder").refused_with(&["folder is a directory", "name the files"]);
    let said = place.run("replay --segments none.json --events events.jsonl");
    said.refused_with(&["none.json: cannot be read", "check"]);
    place
        .replay("--events events.jsonl --changes none.jsonl")
        .refused_with(&["none.jsonl: cannot be read", "check"]);
    place.run("replay --job none.toml").refused_with(&["none.toml"]);
    place.write("events.jsonl.gz", "this is no gzip");
    place
        .replay("--events events.jsonl.gz")
        .refused_with(&["events.jsonl.gz is not valid gzip", "fetch it again"]);
    place.write("events.jsonl.zst", "this is no zstd");
    place.replay("--events events.jsonl.zst").refused_with(&["is not valid zstd"]);
}

#[test]
fn hosts_files_are_checked() {
    let place = Place::new();
    let replay = |process| place.replay(&format!("--events events.jsonl {process} --hosts hosts"));
    replay("--process 0").refused_with(&["hosts file hosts", "check"]);
    place.write("hosts", "# ours\nlocalhost\n");
    replay("--process 0").refused_with(&["hosts: line 2", "localhost", "host:port, such as"]);
    place.write("hosts", "localhost:70000\n");
    replay("--process 0").refused_with(&["localhost:70000"]);
    place.write("hosts", "\n");
    replay("--process 0").refused_with(&["hosts names no process", "host:port"]);
    place.write("hosts", "localhost:2101\n");
    replay("--process 1").refused_with(&["--process 1", "names 1 host, counted from 0"]);
    replay("").refused_with(&["--process"]);
    assert_eq!(replay("--process 0").fine().stdout, DIFFERENCES); // a cluster of one
}

#[test]
fn outputs_that_cannot_be_made_are_named() {
    let place = Place::new();
    for flag in ["--out", "--late", "--rejected", "--stats"] {
        place
            .replay(&format!("--events events.jsonl {flag} no/such/file"))
            .refused_with(&["cannot create no/such/file", "folder exists"]);
    }
    place
        .run("generate --events 10 --out no/such/file")
        .refused_with(&["cannot write no/such/file", "folder"]);
}

#[test]
fn outputs_overwrite_nothing_that_is_read() {
    let place = Place::new();
    let before = place.text("events.jsonl");
    for file in ["events.jsonl", "./events.jsonl", "segments.json"] {
        place.replay(&format!("--events events.jsonl --out {file}")).refused_with(&[
            file,
            "overwrite",
            "choose another",
        ]);
    }
    place
        .replay("--events events.jsonl --late same --rejected ./same")
        .refused_with(&["--late and --rejected both go to ./same"]);
    assert_eq!(place.text("events.jsonl"), before);
    place.replay("--events events.jsonl --late /dev/null --rejected /dev/null").fine();
}

#[test]
fn a_full_disk_is_told() {
    if !fs::exists("/dev/full").unwrap_or(false) {
        return; // only Linux has it
    }
    let place = Place::new();
    for flag in ["--out", "--late", "--rejected", "--stats"] {
        let done = place.replay(&format!("--events events.jsonl {flag} /dev/full"));
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains("cannot write /dev/full: make room"), "{}", done.stderr);
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.command("replay --segments segments.json --events events.jsonl");
    let done = crate::common::Running::start(command.stdout(full)).end();
    done.refused_with(&["cannot write standard output: make room"]);
    place.run("generate --events 100 --out /dev/full").refused_with(&["cannot write /dev/full"]);
    // So much that it fails in the midst of the run, with several workers.
    place.run("generate --events 20000 --users 3000 --out in.jsonl").fine();
    place.write(
        "segments.json",
        r#"{"id":"s","rules":{"event":"*","aggregate":"count","window":"1s","op":"gt","value":0}}"#,
    );
    let done = place.replay("--events in.jsonl --out /dev/full --workers 2");
    done.refused_with(&["cannot write /dev/full"]);
}
