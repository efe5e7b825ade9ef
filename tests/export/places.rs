//! Where exports go: object stores, and places that do not take them.

use std::process::{Command, Stdio};

use crate::common::{Place, Running, eventually};
use crate::live::{Live, clickstream};
use crate::s3::{KEY, Server};
use crate::{difference, differences, files, job, manifests, read};

#[test]
fn an_object_store_holds_what_a_folder_would() {
    let (place, server) = (Place::new(), Server::start());
    let replayed = differences(&clickstream(&place, 1_000));
    let to = format!(
        "endpoint = \"http://{}\"\nregion = \"us-east-1\"\naccess_key = \"rivulet\"\n\
         secret_key = \"${{KEY}}\"\nallow_http = true\n",
        server.address
    );
    let log = format!("of = \"differences\"\nto = \"s3://shop/a/log\"\nevery = \"5ms\"\n{to}");
    let users =
        format!("name = \"u\"\nof = \"users\"\nto = \"s3://shop/a/u\"\nevery = \"20s\"\n{to}");
    job(&place, None, &[&log, &users]);
    server.fail(2, 503); // which passes
    Running::start(place.command("replay --job job.toml").env("KEY", KEY)).end().fine();
    let folder = server.file("a/log");
    let rows = read(&folder, "differences", "parquet");
    let mut expected = replayed.clone();
    expected.sort();
    assert_eq!(rows.iter().map(difference).collect::<Vec<_>>(), expected);
    assert!(!manifests(&server.file("a/u")).is_empty());
    let before = files(&folder);
    Running::start(place.command("replay --job job.toml").env("KEY", KEY)).end().fine();
    assert_eq!(files(&folder), before, "it goes on from the last manifest");
    let wrong = Running::start(place.command("replay --job job.toml").env("KEY", "wrong")).end();
    wrong.refused_with(&["export export", "may not", "s3://shop/a/log", "keys"]);
}

#[test]
fn a_place_that_cannot_be_used_is_told_with_what_to_do() {
    let place = Place::new();
    clickstream(&place, 200);
    job(&place, None, &["of = \"users\"\nto = \"events.jsonl/out\""]);
    place.run("replay --job job.toml").refused_with(&[
        "export export: cannot make the folder",
        "events.jsonl/out",
        "check that it may be written",
    ]);
    job(&place, None, &["of = \"users\"\nto = \"out\"\nevery = \"20s\""]);
    place.run("replay --job job.toml").fine();
    job(&place, None, &["of = \"users\"\nto = \"out\"\nformat = \"csv\"\nevery = \"20s\""]);
    place.run("replay --job job.toml").refused_with(&[
        "out/_progress.json is of job \"job\"",
        "users as parquet",
        "not of job",
        "give this export a place of its own",
    ]);
    job(&place, None, &["of = \"differences\"\nto = \"log\"\nname = \"a\""]);
    place.run("replay --job job.toml").fine();
    place.write("log/_manifests/0000000001.json", "{");
    place.run("replay --job job.toml").refused_with(&["log/_manifests/0000000001.json is damaged"]);
}

/// A folder that is full is waited for: nothing is lost, and nothing is there by halves.
#[test]
fn a_full_folder_is_told_and_waited_for() {
    let place = Place::new();
    let replayed = differences(&clickstream(&place, 6_000));
    let log = "of = \"differences\"\nto = \"log\"\nformat = \"jsonl\"\nevery = \"60s\"";
    job(&place, None, &[log]);
    let text = place.text("job.toml").replace("\"diffs.jsonl\"", "\"/dev/null\"");
    place.write("job.toml", text);
    // No file may be longer than 8 KiB, as if there were no more room.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" run job.toml";
    let program = env!("CARGO_BIN_EXE_rivulet");
    let mut command = Command::new("bash");
    command.args(["-c", limited, program]).current_dir(place.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let live = Live::begin(&mut command);
    let said = live.says("no room to write");
    assert!(said.contains("make room there") && said.contains("nothing is lost"), "{said}");
    eventually("nothing is there", || manifests(&place.path("log")).is_empty());
    live.kill();
    place.run("run job.toml").fine();
    let found: Vec<_> = manifests(&place.path("log"))
        .iter()
        .flat_map(|(_, rows)| rows.iter().map(difference).collect::<Vec<_>>())
        .collect();
    assert_eq!(found, replayed);
}
