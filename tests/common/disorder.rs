//! Records out of order in two partitions, for jobs that answer at once (`on_event`), and what is to
//! come of them: however they are read, each user enters and leaves in turn, and once all has come,
//! those are in a segment who should be.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::common::{Place, Running, eventually, hosts};

pub(crate) const T0: i64 = 1_767_225_600_000;
pub(crate) const SEGMENTS: &str = r#"[
{"id":"looking","rules":{"event":"view","aggregate":"count","window":"10s","op":"gte","value":2}},
{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}},
{"id":"both","rules":{"operator":"AND","conditions":[{"segment":"looking"},{"segment":"pro"}]}},
{"id":"regular","rules":{"event":"view","aggregate":"count","op":"gte","value":9}}]"#;

/// Records out of order, some of them twice; users are erased now and then.
pub(crate) fn records(file: &str, seed: i64, count: i64) -> String {
    let mut text = String::new();
    for number in 0..count {
        let mixed = (number + seed * 1_000_003).wrapping_mul(0x09e3_779b_97f4_a7c1_i64);
        let drawn = (mixed ^ (mixed >> 29)).wrapping_mul(0x0bf5_8476_d1ce_4e5b_i64) >> 33 & 0xffff;
        let time = T0 + number * 100 - drawn % 3_500;
        let what = match drawn % 23 {
            0 => r#""type":"delete""#.to_owned(),
            1..4 => r#""type":"identify","traits":{"plan":"pro"}"#.to_owned(),
            4 | 5 => r#""type":"identify","traits":{"plan":"free"}"#.to_owned(),
            _ => r#""type":"track","event":"view""#.to_owned(),
        };
        let user = drawn % 41;
        let line = format!(
            "{{\"messageId\":\"{file}{number}\",\"userId\":\"u{user}\",\"timestamp\":{time},{what}}}\n"
        );
        text += &line.repeat(if drawn % 10 == 0 { 2 } else { 1 });
    }
    text
}

/// Who is in which segment then. Each enters and leaves in turn.
pub(crate) fn members(differences: &[Json], until: i64) -> BTreeSet<(String, String)> {
    let mut members = BTreeMap::new();
    for it in differences {
        if it["time"].as_i64().unwrap() <= until {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            let count = members.entry((text("segment"), text("user"))).or_insert(0);
            *count += it["diff"].as_i64().unwrap();
            assert!([0, 1].contains(count), "{it}");
        }
    }
    members.into_iter().filter(|(_, count)| *count == 1).map(|(place, _)| place).collect()
}

/// That time never goes back.
pub(crate) fn check_order<'a>(differences: impl IntoIterator<Item = &'a Json>) {
    let mut last = i64::MIN;
    for it in differences {
        let time = it["time"].as_i64().unwrap();
        assert!(time >= last, "{it}");
        last = time;
    }
}

/// Two files of them, and what a replay says: of differences, and of what is late.
pub(crate) fn two_files(place: &Place, count: i64) -> (Vec<Json>, Vec<Json>) {
    place.write("segments.json", SEGMENTS);
    place.write("a.jsonl", records("a", 1, count));
    place.write("b.jsonl", records("b", 2, count));
    let flags = "--events a.jsonl b.jsonl --max-out-of-orderness 3s --late late_once.jsonl";
    place.replay(&format!("{flags} --out once.jsonl")).fine();
    let late = place.json_lines("late_once.jsonl");
    assert!(!late.is_empty());
    (place.json_lines("once.jsonl"), late)
}

/// Starts the job, in so many processes of so many workers, and kills it without a word as soon as
/// it has come so far; whether it was killed before it ended by itself.
pub(crate) fn killed_when(
    place: &Place,
    (processes, workers): (usize, usize),
    mut has_come: impl FnMut() -> bool,
) -> bool {
    let run = format!("run job.toml --workers {workers}");
    if processes > 1 {
        hosts(place, processes);
    }
    let start = |process: usize| {
        let more = format!(" --process {process} --hosts hosts");
        let words = if processes > 1 { format!("{run}{more}") } else { run.clone() };
        let mut command = place.command(&words);
        Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    let mut running: Vec<_> = (0..processes).map(start).collect();
    let mut has_ended = false;
    eventually("it has come so far", || {
        has_ended = running[0].child.try_wait().unwrap().is_some();
        has_ended || has_come()
    });
    running.iter_mut().for_each(|it| it.child.kill().unwrap());
    running.into_iter().for_each(|mut it| _ = it.code());
    !has_ended
}
