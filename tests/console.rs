//! The console in a real headless browser, against a running job over a real clickstream. Pictures
//! of what was seen are kept in `target/tmp/screenshots`.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

#[path = "common/browser.rs"]
mod browser;
#[path = "serve/client.rs"]
#[expect(dead_code, reason = "a part of it is used here")]
mod client;
mod common;
#[path = "common/kafka.rs"]
mod harness;

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use browser::{packages, pictures, root};
use client::Served;
use common::{Lines, Place, Running};

/// How long all checks of a script may take together.
const DEADLINE: Duration = Duration::from_secs(280);
/// How many records of the clickstream there are.
const RECORDS: usize = 12_000;

/// Records come through standard input, and take effect at once.
const JOB: &str = "segments = \"segments\"\n[clock]\nemit = \"on_event\"\nidle_timeout = \"1h\"\n\
    [[source]]\nkind = \"file\"\npath = \"-\"\n[[sink]]\nkind = \"file\"\npath = \"differences\"\n\
    [serve]\nlisten = \"127.0.0.1:0\"\n";

/// The token `for reading`, hashed.
const TOKEN: &str = "[[serve.token]]\nname = \"reader\"\nscopes = [\"read\"]\n\
    sha256 = \"SHA\"\n";

/// The shop of the fixtures: its definitions, and the first of its records.
fn shop(job: &str) -> (Place, Vec<String>) {
    let place = Place::new();
    place.write("job.toml", job);
    for file in fs::read_dir(root().join("fixtures/segments/ecom")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        place.write(&format!("segments/{name}"), fs::read(file.path()).unwrap());
    }
    let zipped = fs::File::open(root().join("fixtures/clickstreams/ecom_clickstream.jsonl.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(zipped.unwrap()).read_to_string(&mut text).unwrap();
    (place, text.lines().take(RECORDS).map(str::to_owned).collect())
}

/// The event time of a record.
fn time_of(record: &str) -> i64 {
    let json: Json = serde_json::from_str(record).unwrap();
    dataflows::model::time::parse_time(json["timestamp"].as_str().unwrap()).unwrap()
}

/// Runs a script, sends what it says is to be sent, and lets time go on meanwhile: what is saved
/// comes into force only then. The names of the checks that were done.
fn checked(served: &Served, script: &str, mut time: i64) -> Vec<String> {
    let mut running = Running::start(
        Command::new("node")
            .arg(root().join("tests/console").join(script))
            .args([&packages("tests/common/browser.sh"), &served.url])
            .arg(pictures())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let said = Lines::of(running.child.stdout.take().unwrap());
    let errors = Lines::of(running.child.stderr.take().unwrap());
    let (began, mut done, mut measured) = (Instant::now(), Vec::new(), Vec::new());
    let status = loop {
        while let Some(line) = said.now() {
            if let Some(record) = line.strip_prefix("send ") {
                let json: Json = serde_json::from_str(record).unwrap();
                time = time.max(json["timestamp"].as_i64().unwrap());
                served.send(&[record.to_owned()]);
            } else if let Some(name) = line.strip_prefix("done ") {
                done.push(name.to_owned());
            } else {
                measured.push(line);
            }
        }
        if let Some(status) = running.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "it hangs after {done:?}");
        time += 10;
        served.send(&[format!(
            r#"{{"type":"track","userId":"clock","event":"tick","timestamp":{time}}}"#
        )]);
        client::pause();
    };
    let errors: Vec<_> = std::iter::from_fn(|| errors.now()).collect();
    assert!(status.success(), "after {done:?}: {}", errors.join("\n"));
    for line in std::iter::from_fn(|| said.now()) {
        done.extend(line.strip_prefix("done ").map(str::to_owned));
    }
    fs::write(
        pictures().join(format!("{script}.txt")),
        measured.join(
            "
",
        ),
    )
    .unwrap();
    done
}

#[test]
fn every_panel_shows_a_running_job() {
    let (place, records) = shop(JOB);
    let served = Served::start(&place);
    served.send(&records);
    let time = time_of(records.last().unwrap());
    harness::eventually("all is in", || {
        served.get("/v1/segments").fine()["as_of"].as_i64().is_some_and(|as_of| as_of >= time - 1)
    });
    served.send(&[format!(
        r#"{{"type":"track","userId":"clock","event":"tick","timestamp":{}}}"#,
        time + 1
    )]);
    let done = checked(&served, "panels.mjs", time + 1);
    assert_eq!(done.len(), 12, "{done:?}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_token_is_asked_for() {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"for reading");
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let (place, records) = shop(&format!("{JOB}{}", TOKEN.replace("SHA", &hash)));
    let served = Served::start(&place);
    let records = &records[..1_000];
    served.send(records);
    let done = checked(&served, "token.mjs", time_of(records.last().unwrap()));
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(served.end(), Some(0));
}
