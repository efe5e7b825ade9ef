//! A reader that hangs in the middle of its input: what has been read until then is in checkpoints
//! all the same, and what comes later is in later ones.
//!
//! The input is a pipe, which hangs as a file of a network does whose server is away. No job keeps
//! state with one, since it cannot be read again; nothing is read again here.

use std::fmt::Write as _;
use std::io::Write as _;

use dataflows::clock::Emit;
use object_store::memory::InMemory;

use super::super::*;
use crate::definitions::load;
use crate::sink::Sink;
use crate::state::{Manifest, Store};

const START: EventTime = 1_767_225_600_000;
/// How many records there are between two silences.
const RECORDS: i64 = 200;
/// How long anything may take before it counts as hung.
const DEADLINE: WallDuration = WallDuration::from_secs(60);
const SEGMENTS: &str = r#"[{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}}]"#;

/// Records of a second each, from this one on.
fn records(user: &str, from: i64) -> String {
    let mut text = String::new();
    for second in from..from + RECORDS {
        let (time, plan) = (START + second * 1_000, ["pro", "free"][(second % 2) as usize]);
        let traits = format!(r#""traits":{{"plan":"{plan}"}}"#);
        let who = format!(r#""userId":"{user}","timestamp":{time}"#);
        writeln!(text, r#"{{"type":"identify",{who},{traits}}}"#).unwrap();
    }
    text
}

/// The newest checkpoint, once it has all before a time.
fn await_checkpoint(store: &Store, before: EventTime) -> Manifest {
    let began = Instant::now();
    loop {
        let newest = store.latest().unwrap().manifest;
        if let Some(manifest) = newest.filter(|it| it.frontier >= before) {
            return manifest;
        }
        assert!(began.elapsed() < DEADLINE, "no checkpoint while the reader hangs");
        std::thread::park_timeout(WallDuration::from_millis(1));
    }
}

#[test]
fn checkpoints_go_on_while_a_reader_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("segments.json"), SEGMENTS).unwrap();
    std::fs::write(path("whole.jsonl"), records("a", 0)).unwrap();
    let pipe = path("hangs.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let store = Store::over(Arc::new(InMemory::new())).unwrap();

    let run = of(&store, &[path("whole.jsonl"), pipe.clone()], &path("segments.json"));
    let outputs = Outputs {
        differences: vec![(Sink::file(&path("out")).unwrap(), Form::Text)],
        sources: run.inputs.iter().map(|it| Origin::File(it.path.clone())).collect(),
        ..Outputs::default()
    };
    let running = std::thread::spawn(move || super::super::run(run, outputs).map(|_| ()));
    // Opened for both, it waits for nobody.
    let mut writer = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    for silence in 0..3 {
        let first = silence * RECORDS;
        writer.write_all(records("b", first).as_bytes()).unwrap();
        // All that has been written is read, and the reader hangs.
        let last = START + (first + RECORDS - 1) * 1_000;
        let manifest = await_checkpoint(&store, last);
        let of_pipe = manifest.sources.iter().find(|it| it.source.ends_with("hangs.jsonl"));
        let read = u64::try_from(first + RECORDS).unwrap();
        assert_eq!(of_pipe.map(|it| (it.read_to, it.start)), Some((read, None)), "{silence}");
    }
    drop(writer);
    running.join().unwrap().unwrap();
    let differences = std::fs::read_to_string(path("out")).unwrap();
    assert_eq!(differences.lines().count(), usize::try_from(4 * RECORDS).unwrap());
}

/// A running job over these inputs, with a checkpoint whenever there can be one.
fn of(store: &Store, inputs: &[PathBuf], segments: &std::path::Path) -> Run {
    let clock = ClockSettings {
        max_out_of_orderness: Duration::default(),
        // What hangs is not taken for idle.
        idle_timeout: Duration::from_ms(3_600_000),
        emit: Emit::OnWatermark,
        ..ClockSettings::default()
    };
    let timeline = Timeline::accept(load(segments).unwrap().catalog, Vec::new()).0;
    let names: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
    let mut resumed = Resumed::find_in(store.clone(), 2, "a job".to_owned()).unwrap();
    let Start { timeline, edits, go_on, recalled } = resumed.start(&timeline, &names, &clock);
    let interval = WallDuration::ZERO;
    let file = |path: &PathBuf| InputFile { path: path.clone(), mapping: Mapping::default() };
    Run {
        inputs: inputs.iter().map(file).collect(),
        timeline: Arc::new(timeline),
        clock,
        attributes: Vec::new(),
        retain: None,
        cluster: Cluster::single(2),
        live: Some(super::live()),
        state: Some(Kept { resumed, interval, go_on, edits, recalled }),
    }
}
