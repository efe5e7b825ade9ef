//! The golden cases: one behaviour a folder of `fixtures/cases`, the same bytes whatever the number
//! of workers and the order of arrival.
//!
//! Every case runs with 1, 2 and 4 workers, with its records as written, shuffled within the
//! disorder its clock allows, one record at a time, and all at once. `UPDATE=1` rewrites the
//! expected differences from the plainest run; review the change as a change of behaviour.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::catalog::Timeline;
use dataflows::in_memory::{Pace, run as run_in_memory};
use dataflows::model::{Arrival, Position};
use dataflows::oracle::{Answer, Log, answer};
use rivulet::definitions::{load, load_changes};
use rivulet::job::{Input, Job};
use rivulet::run::{Cluster, Form, InputFile, Outputs, Run};
use rivulet::sink::Sink;
use rivulet::source::file::FilePartition;
use rivulet::{format, run};
use serde_json::Value as Json;

struct Case {
    name: String,
    folder: PathBuf,
    job: Job,
    timeline: Arc<Timeline>,
    inputs: Vec<InputFile>,
    /// Whether shuffling may change the result.
    is_ordered: bool,
}

fn cases() -> Vec<Case> {
    let mut folders: Vec<_> = fs::read_dir(root().join("fixtures/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let only = std::env::var("CASE").unwrap_or_default();
    folders.iter().map(|folder| case(folder)).filter(|case| case.name.contains(&only)).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn case(folder: &Path) -> Case {
    let text = fs::read_to_string(folder.join("job.toml")).unwrap();
    assert!(text.starts_with("# "), "{}: the first line says what it shows", folder.display());
    let job = Job::load(&folder.join("job.toml")).unwrap();
    let catalog = load(&job.segments).unwrap().catalog;
    let edits = job.changes.as_ref().map(|path| load_changes(path).unwrap().edits);
    let edits = edits.unwrap_or_default().into_iter().map(|(_, edit)| edit).collect();
    let (timeline, _) = Timeline::accept(catalog, edits);
    let mut inputs = Vec::new();
    for source in &job.sources {
        for input in &source.inputs {
            let Input::File(path) = input else { panic!("cases read files") };
            inputs.push(InputFile { path: path.clone(), mapping: source.mapping.clone() });
        }
    }
    Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        job,
        timeline: Arc::new(timeline),
        inputs,
        is_ordered: text.contains("# arrival order matters"),
    }
}

impl Case {
    fn expected(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("expected.diff")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let plain = lines.map(|line| line.split("   #").next().unwrap_or_default().trim_end());
        plain.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn lines_of(&self, file: &str) -> Option<Vec<Json>> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        Some(lines.map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Every record that is understood, in the order of its partition.
    fn arrivals(&self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for (partition, input) in (0..).zip(&self.inputs) {
            let mut file = FilePartition::open(&input.path).unwrap();
            while let Some(chunk) = file.next_chunk(1 << 20).unwrap() {
                for line in chunk.lines() {
                    let position = Position { partition, offset: line.offset };
                    arrivals.extend(format::arrival(&input.mapping, position, line.bytes));
                }
            }
        }
        arrivals
    }

    fn log<'a>(&'a self, arrivals: &'a [Arrival]) -> Log<'a> {
        Log { arrivals, timeline: &self.timeline, clock: self.job.clock, retain: self.job.retain }
    }
}

fn lines(answer: &Answer) -> Vec<String> {
    answer.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn the_oracle_gives_what_is_expected() {
    for case in cases() {
        let arrivals = case.arrivals();
        let got = lines(&answer(&case.log(&arrivals)));
        assert_eq!(got, case.expected(), "case {}", case.name);
    }
}

#[test]
fn the_dataflow_gives_the_same_whatever_the_workers_and_the_arrival() {
    for case in cases() {
        let expected = case.expected();
        let arrivals = case.arrivals();
        let mut orders = vec![("as written", arrivals.clone())];
        if !case.is_ordered {
            for seed in 1..=2 {
                orders.push(("shuffled", shuffled(&case, &arrivals, seed)));
            }
        }
        for (order, arrivals) in &orders {
            for workers in [1, 2, 4] {
                for block in [1, 3, usize::MAX] {
                    let got = run_in_memory(&case.log(arrivals), Pace { workers, block });
                    let how = format!("case {}, {order}, {workers} workers, {block}", case.name);
                    assert_eq!(lines(&got), expected, "{how}");
                }
            }
        }
    }
}

/// Another order of arrival in which no record of a partition overtakes another by more than the
/// disorder, and records of one time keep their order. Offsets are given anew.
fn shuffled(case: &Case, arrivals: &[Arrival], seed: u64) -> Vec<Arrival> {
    let disorder = u64::try_from(case.job.clock.max_out_of_orderness.ms()).unwrap();
    let mut partitions: BTreeMap<u32, Vec<(i64, Arrival)>> = BTreeMap::new();
    let mut state = seed;
    for arrival in arrivals {
        let time = arrival.time.expect("records without a time depend on the order of arrival");
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = (state >> 33) % (disorder + 1);
        let due = time + i64::try_from(delay).unwrap();
        partitions.entry(arrival.position.partition).or_default().push((due, arrival.clone()));
    }
    let mut shuffled = Vec::new();
    for (_, mut records) in partitions {
        let offsets: Vec<_> = records.iter().map(|(_, arrival)| arrival.position).collect();
        records.sort_by_key(|(due, _)| *due);
        // Records of one time stand in the order in which they were written.
        let mut by_time: BTreeMap<i64, Vec<Arrival>> = BTreeMap::new();
        let mut written: Vec<_> = records.iter().map(|(_, arrival)| arrival.clone()).collect();
        written.sort_by_key(|arrival| arrival.position);
        for arrival in written.into_iter().rev() {
            by_time.entry(arrival.time.unwrap()).or_default().push(arrival);
        }
        for ((_, arrival), position) in records.iter().zip(offsets) {
            let next = by_time.get_mut(&arrival.time.unwrap()).unwrap().pop().unwrap();
            shuffled.push(Arrival { position, ..next });
        }
    }
    shuffled
}

#[test]
fn the_program_gives_the_same_and_accounts_for_every_record() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        for workers in [1, 2, 4] {
            let path = |name: &str| folder.path().join(name);
            let outputs = Outputs {
                differences: vec![(Sink::file(&path("diffs")).unwrap(), Form::Text)],
                late: vec![Sink::file(&path("late")).unwrap()],
                rejected: vec![Sink::file(&path("rejected")).unwrap()],
                ..Outputs::default()
            };
            let run = Run {
                inputs: case.inputs.clone(),
                timeline: case.timeline.clone(),
                clock: case.job.clock,
                attributes: Vec::new(),
                retain: case.job.retain,
                cluster: Cluster::single(workers),
                live: None,
                state: None,
            };
            let (summary, _) = run::run(run, outputs).unwrap();
            let text = fs::read_to_string(path("diffs")).unwrap();
            if std::env::var_os("UPDATE").is_some() && workers == 1 {
                fs::write(case.folder.join("expected.diff"), &text).unwrap();
            }
            let got: Vec<&str> = text.lines().collect();
            assert_eq!(got, case.expected(), "case {}, {workers} workers", case.name);
            check_counts(&case, &summary);
            check_late(&case, &path("late"));
            check_rejected(&case, &path("rejected"));
        }
    }
}

fn check_counts(case: &Case, summary: &run::Summary) {
    let tally = &summary.tally;
    let counts = BTreeMap::from([
        ("read", summary.read()),
        ("applied", tally.applied),
        ("late", tally.late),
        ("rejected", tally.rejected),
        ("duplicate", tally.duplicate),
    ]);
    for expected in case.lines_of("expected.counts").unwrap_or_default() {
        for (name, expected) in expected.as_object().unwrap() {
            assert_eq!(counts[name.as_str()], expected.as_u64().unwrap(), "{}: {name}", case.name);
        }
    }
}

fn written(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn check_late(case: &Case, path: &Path) {
    let Some(expected) = case.lines_of("expected.late") else { return };
    let got = written(path);
    assert_eq!(got.len(), expected.len(), "{}: late", case.name);
    for (got, expected) in got.iter().zip(&expected) {
        for (name, expected) in expected.as_object().unwrap() {
            assert_eq!(got[name], *expected, "{}: {name} of {got}", case.name);
        }
    }
}

fn check_rejected(case: &Case, path: &Path) {
    let Some(expected) = case.lines_of("expected.rejected") else { return };
    let mut got = written(path);
    got.sort_by_key(|line| (line["partition"].as_u64(), line["offset"].as_u64()));
    assert_eq!(got.len(), expected.len(), "{}: rejected", case.name);
    for (got, expected) in got.iter().zip(&expected) {
        let place = |line: &Json| (line["partition"].as_u64(), line["offset"].as_u64());
        assert_eq!(place(got), place(expected), "{}", case.name);
        let reason = |line: &Json| line["reason"].as_str().unwrap().to_lowercase();
        assert!(reason(got).contains(&reason(expected)), "{}: {got}", case.name);
    }
}
