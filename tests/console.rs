//! The console in a real headless browser, against a running job over a real clickstream. Pictures
//! of what was seen are kept in `target/tmp/screenshots`.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]
#![expect(clippy::print_stdout, reason = "what was measured is told to whoever asks for it")]

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

use serde_json::{Value as Json, json};

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
fn checked(served: &Served, script: &str, time: i64) -> Vec<String> {
    let tick = |time| {
        vec![format!(r#"{{"type":"track","userId":"clock","event":"tick","timestamp":{time}}}"#)]
    };
    checked_while(served, (script, &[]), time, tick).0
}

/// The same, given these settings, while others are sent as time goes on; also what was measured.
fn checked_while(
    served: &Served,
    (script, settings): (&str, &[(&str, u64)]),
    mut time: i64,
    mut meanwhile: impl FnMut(i64) -> Vec<String>,
) -> (Vec<String>, String) {
    let mut running = Running::start(
        Command::new("node")
            .arg(root().join("tests/console").join(script))
            .args([&packages("tests/common/browser.sh"), &served.url])
            .arg(pictures())
            .envs(settings.iter().map(|(name, value)| (*name, value.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let said = Lines::of(running.child.stdout.take().unwrap());
    let errors = Lines::of(running.child.stderr.take().unwrap());
    let (began, mut done, mut measured) = (Instant::now(), Vec::new(), Vec::new());
    let mut heard = |line: String| {
        if let Some(record) = line.strip_prefix("send ") {
            return Some(record.to_owned());
        }
        match line.strip_prefix("done ") {
            Some(name) => done.push(name.to_owned()),
            None => measured.push(line),
        }
        None
    };
    let status = loop {
        while let Some(line) = said.now() {
            if let Some(record) = heard(line) {
                let json: Json = serde_json::from_str(&record).unwrap();
                time = time.max(json["timestamp"].as_i64().unwrap());
                served.send(&[record]);
            }
        }
        if let Some(status) = running.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "{script} hangs");
        time += 10;
        let records = meanwhile(time);
        if !records.is_empty() {
            served.send(&records);
        }
        client::pause();
    };
    let errors: Vec<_> = std::iter::from_fn(|| errors.now()).collect();
    std::iter::from_fn(|| said.now()).for_each(|line| _ = heard(line));
    assert!(status.success(), "after {done:?}: {}", errors.join("\n"));
    let measured = measured.join("\n");
    fs::write(pictures().join(format!("{script}.txt")), &measured).unwrap();
    (done, measured)
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

/// How many users there are where there are many segments.
const USERS: u64 = 10_007;

/// What is asked for in the environment, or what is enough for a test.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// `./run.sh bench console` runs it with 10,000 segments and 5,000 differences a second.
#[test]
fn many_segments_and_differences_do_not_hold_the_page_up() {
    let settings = [
        ("RIVULET_CONSOLE_SEGMENTS", asked("RIVULET_CONSOLE_SEGMENTS", 1_000)),
        ("RIVULET_CONSOLE_RATE", asked("RIVULET_CONSOLE_RATE", 500)),
        ("RIVULET_CONSOLE_SECONDS", asked("RIVULET_CONSOLE_SECONDS", 3)),
    ];
    let [segments, rate, _] = settings.map(|(_, value)| value);
    let place = Place::new();
    place.write("job.toml", JOB);
    let definition = |score| {
        json!({ "id": format!("segment_{score:05}"), "name": format!("Score {score}"),
        "rules": { "attribute": "score", "op": "eq", "value": score } })
    };
    let definitions: Vec<_> = (0..segments).map(definition).collect();
    place.write("segments/all.json", json!(definitions).to_string());
    let served = Served::start(&place);
    let start = dataflows::model::time::parse_time("2026-01-01T00:00:00Z").unwrap();
    let record = |nth: u64, time: i64| {
        let score = (nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % segments;
        let user = format!("user_{}", nth * 7_919 % USERS);
        json!({ "type": "identify", "userId": user, "timestamp": time, "traits": { "score": score } })
            .to_string()
    };
    // At first everyone gets a score. Who has another one leaves a segment and enters one: two
    // differences.
    served.send(&(0..USERS).map(|nth| record(nth, start)).collect::<Vec<_>>());
    let (began, mut sent) = (Instant::now(), USERS);
    let scores = |time| {
        let due = USERS + u64::try_from(began.elapsed().as_millis()).unwrap() * rate / 2_000;
        let records = (sent..due).map(|nth| record(nth, time)).collect();
        sent = due;
        records
    };
    let (done, measured) = checked_while(&served, ("busy.mjs", &settings), start, scores);
    println!("{measured}");
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(served.end(), Some(0));
}
