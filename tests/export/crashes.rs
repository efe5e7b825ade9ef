//! Killed again and again: no manifest names what is not there, and all comes out once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use crate::common::{Place, eventually};
use crate::live::{Live, clickstream};
use crate::{Difference, Members, difference, differences, files, job, manifests, members};

const LOG: &str =
    "name = \"log\"\nof = \"differences\"\nto = \"log\"\nformat = \"jsonl\"\nevery = \"5ms\"";
const PICTURES: &str =
    "name = \"p\"\nof = \"users\"\nto = \"p\"\nformat = \"jsonl\"\nevery = \"20s\"";
const CHANGED: &str = "name = \"c\"\nof = \"users\"\nto = \"c\"\nformat = \"jsonl\"\nevery = \"5s\"\nwhen_changed = \"40%\"";

/// The differences that the manifests of a log name: they follow one another without gaps.
fn log(folder: &Path) -> Vec<Difference> {
    let mut all = Vec::new();
    let (mut number, mut frontier) = (0, Json::Null);
    for (manifest, rows) in manifests(folder) {
        number += 1;
        assert_eq!((&manifest["number"], &manifest["from"]), (&Json::from(number), &frontier));
        frontier = manifest["frontier"].clone();
        all.extend(rows.iter().map(difference));
    }
    all
}

/// Segments and rows of pictures, by their time.
type Pictures = BTreeMap<i64, (Json, Vec<Json>)>;

/// What pictures say.
fn pictures(folder: &Path) -> Pictures {
    let found = manifests(folder).into_iter();
    found
        .map(|(it, rows)| (it["as_of"].as_i64().unwrap(), (it["segments"].clone(), rows)))
        .collect()
}

fn rows_of(rows: &[Json]) -> Members {
    let text = |row: &Json, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "segment"), text(row, "user"))).collect()
}

#[test]
fn killed_often_all_is_there_once() {
    let place = Place::new();
    let replayed = differences(&clickstream(&place, 12_000));
    let exports = [LOG, PICTURES, CHANGED];
    // What comes of it when nothing happens.
    job(&place, None, &exports);
    place.run("replay --job job.toml").fine();
    assert_eq!(log(&place.path("log")), replayed);
    let expected = ["p", "c"].map(|name| pictures(&place.path(name)));
    for (as_of, (_, rows)) in &expected[0] {
        assert_eq!(rows_of(rows), members(&replayed, *as_of), "{as_of}");
    }
    assert!(expected.iter().all(|it| it.len() > 5), "{} {}", expected[0].len(), expected[1].len());

    job(&place, Some("50ms"), &exports);
    let is_killed = (0..50).any(|_| {
        for name in ["log", "p", "c", "state"] {
            let _ = std::fs::remove_dir_all(place.path(name));
        }
        lives(&place, &replayed, &expected) > 1
    });
    assert!(is_killed, "it was always too quick to be killed");
    place.run("run job.toml").fine();
    assert_eq!(log(&place.path("log")), replayed);
    for (name, expected) in ["p", "c"].iter().zip(&expected) {
        assert_eq!(&pictures(&place.path(name)), expected, "{name}");
    }
    // Nothing is left that no manifest names.
    let named: usize = manifests(&place.path("log"))
        .iter()
        .map(|(manifest, _)| 1 + manifest["files"].as_array().unwrap().len())
        .sum();
    assert_eq!(files(&place.path("log")).len(), named);
}

/// Runs the job some times, killed whenever it has written more; how often that was. After each life
/// what is there is how it begins.
fn lives(place: &Place, replayed: &[Difference], expected: &[Pictures; 2]) -> usize {
    for kills in 0..6 {
        let before = files(&place.path("log/_manifests")).len();
        let mut live = Live::start(place, "run job.toml");
        let mut has_ended = false;
        eventually("more is written", || {
            has_ended = live.has_ended();
            has_ended || files(&place.path("log/_manifests")).len() > before
        });
        live.kill();
        let there = log(&place.path("log"));
        assert_eq!(there, replayed[..there.len()]);
        for (name, expected) in ["p", "c"].iter().zip(expected) {
            for (as_of, picture) in pictures(&place.path(name)) {
                assert_eq!(Some(&picture), expected.get(&as_of), "{name} {as_of}");
            }
        }
        if has_ended {
            return kills;
        }
    }
    6
}

#[test]
fn what_a_torn_export_has_left_is_cleared_away() {
    let place = Place::new();
    let replayed = differences(&clickstream(&place, 1_000));
    job(&place, None, &[LOG, PICTURES]);
    // As if it had been killed before the first manifest.
    for torn in ["log/date=2026-01-01/0000000001-0.jsonl", "log/date=2026-01-02/0000000001-0.jsonl"]
    {
        place.write(torn, "{torn");
    }
    place.write("log/date=2026-01-01/0000000001-0.jsonl#1", "{half");
    place.write("p/snapshot=2026-01-01T00-00-20.000Z/7.jsonl", "{torn");
    place.run("replay --job job.toml").fine();
    assert_eq!(log(&place.path("log")), replayed);
    let left: Vec<_> = files(&place.path("log"))
        .into_iter()
        .chain(files(&place.path("p")))
        .filter(|path| std::fs::read_to_string(path).unwrap().starts_with("{torn"))
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
    assert!(!place.path("log/date=2026-01-01/0000000001-0.jsonl#1").exists());
    // All of it is there: the same again writes nothing.
    let before = files(&place.path("log"));
    place.run("replay --job job.toml").fine();
    assert_eq!(files(&place.path("log")), before);
}

#[test]
fn an_export_that_is_new_in_a_job_begins_with_who_is_in_then() {
    let place = Place::new();
    let replayed = differences(&clickstream(&place, 24_000));
    let other = LOG.replace("log", "other");
    job(&place, Some("20ms"), &[&other]);
    let is_killed = (0..50).any(|_| {
        for name in ["other", "state"] {
            let _ = std::fs::remove_dir_all(place.path(name));
        }
        let live = Live::start(&place, "run job.toml");
        eventually("a checkpoint is taken", || !files(&place.path("state/manifests")).is_empty());
        live.kill();
        let last = manifests(&place.path("other")).pop();
        let is_over = last.is_none_or(|(last, _)| last["frontier"] == i64::MAX);
        !is_over && !place.run("state state").stdout.is_empty()
    });
    assert!(is_killed, "it was always too quick to be killed");
    job(&place, Some("20ms"), &[LOG, PICTURES]);
    place.run("run job.toml").fine();
    let pictures = pictures(&place.path("p"));
    assert!(pictures.len() > 2, "{}", pictures.len());
    for (as_of, (_, rows)) in pictures {
        assert_eq!(rows_of(&rows), members(&replayed, as_of), "{as_of}");
    }
    // Differences are those since the checkpoint.
    let log = log(&place.path("log"));
    assert!(!log.is_empty() && replayed.ends_with(&log), "{} of {}", log.len(), replayed.len());
}
