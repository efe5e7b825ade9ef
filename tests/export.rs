//! Exports: what readers of tables find is what a replay says, whatever happens in between.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/s3.rs"]
mod s3;

#[path = "export/crashes.rs"]
mod crashes;
#[path = "export/now.rs"]
mod now;
#[path = "export/places.rs"]
mod places;
#[path = "export/readers.rs"]
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use common::{Place, Running};

/// Time, segment, user, +1 or -1.
pub(crate) type Difference = (i64, String, String, i64);

/// Who is in which segment.
pub(crate) type Members = BTreeSet<(String, String)>;

/// A job of these exports over `whole.jsonl`, which writes its differences to `diffs.jsonl`, too.
pub(crate) fn job(place: &Place, state: Option<&str>, exports: &[&str]) {
    let state = state.map(|every| format!("[state]\npath = \"state\"\ninterval = {every:?}\n"));
    let exports: String = exports.iter().map(|it| format!("[[export]]\n{it}\n")).collect();
    let text = format!(
        "segments = \"segments.json\"\n[clock]\nmax_out_of_orderness = \"9s\"\n{}\
         [[source]]\nkind = \"file\"\npath = \"whole.jsonl\"\n\
         [[sink]]\nkind = \"file\"\npath = \"diffs.jsonl\"\n{exports}",
        state.unwrap_or_default()
    );
    place.write("job.toml", text);
}

/// A row of JSON as a difference.
pub(crate) fn difference(line: &Json) -> Difference {
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    (line["time"].as_i64().unwrap(), text("segment"), text("user"), line["diff"].as_i64().unwrap())
}

/// What lines of differences say.
pub(crate) fn differences(lines: &[String]) -> Vec<Difference> {
    lines.iter().map(|line| difference(&serde_json::from_str(line).unwrap())).collect()
}

/// Who is in which segment after all differences up to a time.
pub(crate) fn members(differences: &[Difference], as_of: i64) -> Members {
    let mut members = Members::new();
    for (_, segment, user, diff) in differences.iter().filter(|it| it.0 <= as_of) {
        let member = (segment.clone(), user.clone());
        let changed = if *diff > 0 { members.insert(member) } else { members.remove(&member) };
        assert!(changed);
    }
    members
}

/// All manifests below a folder, in order, each with the rows of the files it names, which are whole.
pub(crate) fn manifests(folder: &Path) -> Vec<(Json, Vec<Json>)> {
    let mut found = Vec::new();
    let is_manifest = |path: &Path| {
        path.ends_with("manifest.json")
            || path.parent().unwrap().ends_with("_manifests")
                && path.extension().is_some_and(|it| it == "json")
    };
    for path in files(folder).into_iter().filter(|path| is_manifest(path)) {
        let Ok(text) = std::fs::read(&path) else { continue };
        let manifest: Json = serde_json::from_slice(&text).unwrap();
        let mut rows = Vec::new();
        for file in manifest["files"].as_array().unwrap() {
            let path = folder.join(file["path"].as_str().unwrap());
            let bytes =
                std::fs::read(&path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
            let sum: String = Sha256::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
            assert_eq!(file["sha256"], sum.as_str(), "{}", path.display());
            assert_eq!(file["bytes"], bytes.len());
            if manifest["format"] == "jsonl" {
                let lines = std::str::from_utf8(&bytes).unwrap().lines();
                let of_file: Vec<Json> =
                    lines.map(|it| serde_json::from_str(it).unwrap()).collect();
                assert_eq!(file["rows"], of_file.len());
                rows.extend(of_file);
            }
        }
        found.push((manifest, rows));
    }
    found
}

/// All files below a folder, in order; half-written ones among them.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// What DuckDB and pandas, who must agree, find in the files of one format below a folder.
pub(crate) fn read(folder: &Path, of: &str, format: &str) -> Vec<Json> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let script = tests.join("common/tables.sh");
        let done = Command::new("bash").arg(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(done.status.success(), "DuckDB and pandas are not there");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    });
    let mut command = Command::new(python);
    command.arg(tests.join("export/read.py")).arg(folder).args([of, format]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = Running::start(&mut command).end();
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The members in rows, by the name of their picture.
pub(crate) fn by_picture(rows: &[Json]) -> BTreeMap<String, Members> {
    let mut pictures: BTreeMap<String, Members> = BTreeMap::new();
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let of = pictures.entry(text("snapshot")).or_default();
        assert!(of.insert((text("segment"), text("user"))), "{row}");
    }
    pictures
}
