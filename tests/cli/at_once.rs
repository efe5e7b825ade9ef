//! A job that answers at once (`on_event`) and keeps its state, killed with no warning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::common::{Place, Running, eventually, hosts};

const T0: i64 = 1_767_225_600_000;
const RECORDS: i64 = 30_000;
const SEGMENTS: &str = r#"[
{"id":"looking","rules":{"event":"view","aggregate":"count","window":"10s","op":"gte","value":2}},
{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}},
{"id":"both","rules":{"operator":"AND","conditions":[{"segment":"looking"},{"segment":"pro"}]}},
{"id":"regular","rules":{"event":"view","aggregate":"count","op":"gte","value":9}}]"#;
const JOB: &str = "segments = \"segments.json\"\n[state]\npath = \"state\"\ninterval = \"10ms\"\n\
    [clock]\nemit = \"on_event\"\nmax_out_of_orderness = \"3s\"\n\
    [[source]]\nkind = \"file\"\npath = [\"a.jsonl\", \"b.jsonl\"]\n";
const SINKS: &str = "[[sink]]\nkind = \"file\"\npath = \"out.jsonl\"\n\
    [[sink]]\nkind = \"file\"\nof = \"late\"\npath = \"late.jsonl\"\n";

/// Records out of order, some of them twice; users are erased now and then.
fn records(file: &str, seed: i64) -> String {
    let mut text = String::new();
    for number in 0..RECORDS {
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

/// Who is in which segment then. Time never goes back, and each enters and leaves in turn.
fn members(differences: &[Json], until: i64) -> BTreeSet<(String, String)> {
    let (mut members, mut last) = (BTreeMap::new(), i64::MIN);
    for it in differences {
        let (time, diff) = (it["time"].as_i64().unwrap(), it["diff"].as_i64().unwrap());
        assert!(time >= last, "{it}");
        last = time;
        if time <= until {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            let count = members.entry((text("segment"), text("user"))).or_insert(0);
            *count += diff;
            assert!([0, 1].contains(count), "{it}");
        }
    }
    members.into_iter().filter(|(_, count)| *count == 1).map(|(place, _)| place).collect()
}

fn sorted(place: &Place, name: &str) -> Vec<String> {
    let mut lines: Vec<_> = place.text(name).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The number of the newest checkpoint.
fn newest(place: &Place) -> Option<String> {
    let names = fs::read_dir(place.path("state/manifests")).ok()?;
    names.filter_map(|it| it.ok()?.file_name().into_string().ok()).max()
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_members() {
    let place = Place::new();
    place.write("segments.json", SEGMENTS);
    place.write("a.jsonl", records("a", 1));
    place.write("b.jsonl", records("b", 2));
    place.write("job.toml", format!("{JOB}{SINKS}"));
    let flags = "--events a.jsonl b.jsonl --max-out-of-orderness 3s --late late_once.jsonl";
    place.replay(&format!("{flags} --out once.jsonl")).fine();
    assert!(!place.text("late_once.jsonl").is_empty());
    let mut killed = 0;
    for (life, processes) in [1, 2, 1, 2].into_iter().enumerate() {
        let before = newest(&place);
        let run = format!("run job.toml --workers {}", 1 + life % 2);
        if processes == 2 {
            hosts(&place, 2);
        }
        let start = |process: usize| {
            let more = format!(" --process {process} --hosts hosts");
            let words = if processes == 2 { format!("{run}{more}") } else { run.clone() };
            let mut command = place.command(&words);
            Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
        };
        let mut running: Vec<_> = (0..processes).map(start).collect();
        let mut has_ended = false;
        eventually("there is a checkpoint", || {
            has_ended = running[0].child.try_wait().unwrap().is_some();
            has_ended || newest(&place) > before
        });
        killed += usize::from(!has_ended);
        running.iter_mut().for_each(|it| it.child.kill().unwrap());
        running.into_iter().for_each(|mut it| _ = it.code());
    }
    assert!(killed > 0, "it was too fast to be killed");
    place.run("run job.toml --workers 3").fine();
    let (got, expected) = (place.json_lines("out.jsonl"), place.json_lines("once.jsonl"));
    let last = T0 + RECORDS * 100;
    for until in [last, last + 5_000, i64::MAX] {
        assert_eq!(members(&got, until), members(&expected, until), "{until}");
    }
    assert_eq!(sorted(&place, "late.jsonl"), sorted(&place, "late_once.jsonl"));
}

#[test]
fn what_cannot_be_taken_back_is_refused_by_name() {
    let place = Place::new();
    place.write("a.jsonl", "");
    place.write("b.jsonl", "");
    let sink = "[[sink]]\nkind = \"redis\"\nname = \"cache\"\nurl = \"redis://127.0.0.1:1\"\n";
    place.write("job.toml", format!("{JOB}{sink}"));
    place.run("run job.toml").refused_with(&["cache", "on_event", "on_watermark", "[state]"]);
}
