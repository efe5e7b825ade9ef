//! `state`: the list of checkpoints, and what is said of damaged ones.

use std::fs;

use rivulet::ingest::Took;
use rivulet::state::{BatchWriter, Location, Manifest, SourcePosition, Store};
use serde_json::Value as Json;

use crate::common::Place;

/// A folder whose `state` has two checkpoints.
fn place() -> (Place, String) {
    let place = Place::new();
    let store = Store::create(&Location::Folder(place.path("state"))).unwrap();
    let mut path = String::new();
    for number in 1..=2 {
        let mut writer = BatchWriter::new("users", 0, 0, 1_767_225_600_000);
        writer.write(format!("of {number}").as_bytes()).unwrap();
        let entry = store.put_batch(number, &writer.finish().unwrap()).unwrap();
        path.clone_from(&entry.path);
        let source = SourcePosition {
            source: "events.jsonl".into(),
            partition: 0,
            offset: 100 * number,
            clock: None,
            read_to: 100 * number,
            start: None,
        };
        let manifest = Manifest {
            number,
            frontier: 1_767_225_600_000,
            taken_at: "2026-01-02T03:04:05.000Z".into(),
            sources: vec![source],
            batches: vec![entry],
            ..Manifest::default()
        };
        store.commit(&manifest).unwrap();
    }
    (place, path)
}

const JOB: &str =
    "segments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n";

#[test]
fn checkpoints_are_listed_newest_first() {
    let (place, _) = place();
    let done = place.run("state state").fine();
    assert_eq!(done.stderr, "");
    let lines: Vec<_> = done.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "checkpoint 2, taken 2026-01-02T03:04:05.000Z, holds all before 2026-01-01T00:00:00.000Z"
    );
    assert!(lines[1].starts_with("  users: 1 page in 1 batch, "), "{lines:?}");
    assert_eq!(lines[2], "  source events.jsonl, partition 0: next is 200");
    assert!(lines[3].starts_with("checkpoint 1, ") && lines.len() == 6, "{lines:?}");

    place.write("job.toml", format!("state = \"state\"\n{JOB}"));
    let done = place.run("state --job job.toml --check --json").fine();
    assert_eq!(done.stderr, "2 checkpoints of 2 batches: all whole\n");
    let first: Json = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["number"], &first["frontier"]),
        (&2.into(), &"2026-01-01T00:00:00.000Z".into())
    );
    assert_eq!(first["collections"]["users"]["pages"], 1);
    assert_eq!(first["sources"][0]["offset"], 200);
    assert_eq!(first["wrong"], Json::Array(vec![]));
}

#[test]
fn a_check_tells_what_is_damaged_and_where() {
    let (place, path) = place();
    let file = place.path("state").join(&path);
    let mut bytes = fs::read(&file).unwrap();
    bytes[60] ^= 4;
    fs::write(&file, bytes).unwrap();
    assert_eq!(place.run("state state").fine().stderr, "", "nothing was looked at");
    let done = place.run("state state --check");
    assert_eq!(done.code, Some(1), "{done:?}");
    let expected = format!("checkpoint 2: state/{path} is damaged in block 0, from byte 44");
    assert!(done.stderr.starts_with(&expected), "{done:?}");
    assert!(done.stderr.contains("go on from another checkpoint"), "{done:?}");
    assert!(done.stderr.ends_with("2 checkpoints: 1 fault\n"), "{done:?}");

    let manifest = place.text("state/manifests/0000000001.json").replace("100", "101");
    place.write("state/manifests/0000000001.json", manifest);
    let done = place.run("state state --json").fine();
    assert!(done.stderr.contains("checkpoint 1: state/manifests/0000000001.json is damaged"));
    let last: Json = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    assert!(last["wrong"][0].as_str().unwrap().contains("checksum"), "{last}");
    assert_eq!(place.run("state state --check").code, Some(1));
}

#[test]
fn what_is_no_state_is_told() {
    let place = Place::new();
    place.run("state none").refused_with(&["there is no state at none", "check the path"]);
    place.run("state gs://bucket/x").refused_with(&["gs://bucket/x", "s3://bucket/prefix"]);
    place.run("state").refused_with(&["PATH", "--help"]);
    place.write("job.toml", JOB);
    place.run("state --job job.toml").refused_with(&["state = \"state\"", "job.toml"]);
    fs::create_dir(place.path("empty")).unwrap();
    let done = place.run("state empty --check").fine();
    assert_eq!((&*done.stdout, &*done.stderr), ("", "empty holds no checkpoint\n"));
    assert_eq!(fs::read_dir(place.path("empty")).unwrap().count(), 0, "looking writes nothing");
}

#[test]
fn a_replay_says_that_it_keeps_no_state() {
    let place = Place::new();
    place.write("job.toml", format!("state = \"state\"\n{JOB}"));
    let done = place.run("replay --job job.toml").fine();
    assert_eq!(done.stdout, crate::common::DIFFERENCES);
    let first = done.stderr.lines().next().unwrap();
    assert_eq!(first, "a replay keeps no state: it reads all and starts from nothing");
    assert!(!place.path("state").exists());
}

#[test]
fn a_job_whose_disk_is_full_ends_with_that_and_the_next_goes_on() {
    const STATE: &str = "[state]\npath = \"state\"\ninterval = \"20ms\"\n";
    let place = Place::new();
    place.write(
        "segments.json",
        r#"{"id":"looking","rules":{"event":"page_view","aggregate":"count","window":"1h","op":"gte","value":1}}"#,
    );
    place.run("generate --events 20000 --users 5000 --seed 3 --out events.jsonl").fine();
    let to = "[[sink]]\nkind = \"file\"\npath = \"differences\"\n";
    place.write("job.toml", format!("{JOB}{to}{STATE}"));
    place.write("replay.toml", format!("{JOB}{}", to.replace("differences", "replayed")));
    place.run("replay --job replay.toml").fine();
    // Files may be no longer than 2 KiB: what was decided fits, batches do not. Without the trap the
    // system would end the process, which a full disk does not.
    let program = env!("CARGO_BIN_EXE_rivulet");
    let small = format!("trap '' XFSZ; ulimit -f 2; exec {program} run job.toml");
    place.write("job.toml", place.text("job.toml").replace(to, ""));
    let mut command = std::process::Command::new("bash");
    let full = crate::common::Running::start(
        command
            .args(["-c", &small])
            .current_dir(place.path("."))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped()),
    );
    let full = full.end();
    assert_eq!(full.code, Some(2), "{}", full.stderr);
    for part in ["no checkpoint can be written to state", "make room"] {
        assert!(full.stderr.contains(part), "{part} in {}", full.stderr);
    }
    place.write("job.toml", format!("{JOB}{to}{STATE}"));
    place.run("run job.toml").fine();
    assert_eq!(place.text("differences"), place.text("replayed"));
}

/// What a process has written down of records from the 95th on, ten in each of three files.
fn chronicle(place: &Place) -> Vec<String> {
    let store = Store::open(&Location::Folder(place.path("state"))).unwrap();
    let mut chronicle = store.chronicle(0, &[]);
    let mut paths = Vec::new();
    for from in 95..125 {
        let at = 1_767_225_600_000 + i64::try_from(from).unwrap();
        let took = Took { partition: 0, from, next: from + 1, steps: vec![(from, at)] };
        let path = chronicle.append(&serde_json::to_vec(&[took]).unwrap()).unwrap();
        if from % 10 == 4 {
            chronicle.turn();
            paths.push(path);
        }
    }
    paths
}

#[test]
fn the_chronicle_is_listed_and_checked() {
    let (place, _) = place();
    let paths = chronicle(&place);
    let done = place.run("state state --check").fine();
    assert_eq!(done.stderr, "2 checkpoints of 2 batches: all whole\n");
    let lines: Vec<_> = done.stdout.lines().skip(6).collect();
    let expected = "of records that took effect from 2026-01-01T00:00:00.095Z to \
                    2026-01-01T00:00:00.124Z";
    let [first, second] = lines[..] else { panic!("{lines:?}") };
    assert!(first.starts_with("chronicle: 30 writes in 3 files, ") && first.ends_with(expected));
    assert_eq!(second, "  partition of index 0: records from 95, next is 125");
    let done = place.run("state state --json").fine();
    let last: Json = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    let partitions = serde_json::json!([{"index": 0, "from": 95, "next": 125}]);
    assert_eq!(last["chronicle"]["partitions"], partitions);
    assert_eq!(last["chronicle"]["wrong"], Json::Array(vec![]));

    // Whoever was killed in the midst of it has told nobody.
    let file = |place_of: usize| place.path("state").join(&paths[place_of]);
    let whole = fs::read(file(2)).unwrap();
    fs::write(file(2), &whole[..whole.len() - 5]).unwrap();
    let done = place.run("state state --check").fine();
    assert!(done.stderr.contains(&format!("{} is torn from byte", paths[2])), "{done:?}");
    assert!(done.stdout.contains("chronicle: 29 writes in 3 files"), "{done:?}");
    fs::write(file(2), whole).unwrap();
}

#[test]
fn a_check_tells_what_is_damaged_or_missing_of_the_chronicle() {
    let (place, _) = place();
    let paths = chronicle(&place);
    let file = |place_of: usize| place.path("state").join(&paths[place_of]);
    let wrong = |parts: &[&str]| {
        let done = place.run("state state --check");
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(parts.iter().all(|part| done.stderr.contains(part)), "{parts:?} {done:?}");
        assert!(done.stderr.ends_with("2 checkpoints: 1 fault\n"), "{done:?}");
    };
    let whole = fs::read(file(1)).unwrap();
    for byte in [0, 9, 13, 17, 24, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        fs::write(file(1), damaged).unwrap();
        wrong(&[&paths[1], "is damaged in block", "put it back from a copy"]);
    }
    // One that is cut short, and was gone on from.
    fs::write(file(1), &whole[..whole.len() - 5]).unwrap();
    wrong(&[&paths[1], "is damaged in block 9"]);
    let needed =
        |from: u64| format!("it begins with record {from} only, and checkpoint 1 needs it");
    fs::remove_file(file(1)).unwrap();
    wrong(&["of events.jsonl, partition 0, ", &needed(115), "from record 100 on"]);
    fs::write(file(1), whole).unwrap();
    fs::remove_file(file(0)).unwrap();
    wrong(&[&needed(105)]);
    place.write("job.toml", format!("state = \"state\"\n{JOB}"));
    assert_eq!(place.run("state --job job.toml --check").code, Some(1));
    assert_eq!(place.run("state state").fine().code, Some(0), "it was not asked");
    fs::remove_dir_all(place.path("state/chronicle")).unwrap();
    place.run("state state --check").fine();
}
