//! The OpenAPI document held against the running server, by Schemathesis from PyPI.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{JOB, Served, pause, place, pypi, sets};
use crate::common::Place;
use crate::sketches::{SKETCHES, event};

/// How long it may take, all of it: a first time it is installed.
const DEADLINE: Duration = Duration::from_secs(280);

/// What a document cannot say: rules are checked by more than a schema, and segments laid over one
/// another are to be different ones, and of what is counted or was seen one is to be named; only so many exports are
/// written at a time. And a stream does not end.
const CONFIG: &str = r#"
[[operations]]
include-name = "PUT /v1/segments/{id}"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/check"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/estimate"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "GET /v1/overlap"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "GET /v1/distinct"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "GET /v1/names"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/exports"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "GET /v1/diffs"
enabled = false
"#;

/// Holds the document against the server, so many operations of it; meanwhile does something now
/// and then.
fn holds(
    place: &Place,
    served: &Served,
    more: &[&str],
    operations: usize,
    mut meanwhile: impl FnMut(),
) {
    let program = pypi("schemathesis", "4.32.5").join("schemathesis");
    place.write("schemathesis.toml", CONFIG);
    let said = std::fs::File::create(place.path("said")).unwrap();
    let mut child = Command::new(program)
        .args(["--config-file", "schemathesis.toml", "run"])
        .args(more)
        .arg(format!("{}/openapi.json", served.url))
        .args(["--max-examples", "10", "--seed", "1", "--no-color"])
        .args(["--generation-database", "none"])
        .current_dir(place.path(""))
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("it hangs: {}", place.text("said"));
        }
        meanwhile();
        pause();
    };
    let said = place.text("said");
    assert!(status.success(), "{said}");
    assert!(said.contains(&format!("{operations} selected")), "{said}");
    served.get("/healthz").fine();
}

#[test]
fn the_server_does_what_its_document_says() {
    let place = place(&format!("{JOB}exports = \"asked\"\n{SKETCHES}"));
    let served = Served::start(&place);
    served.send(&[
        sets("u1", 0, "plan", "pro"),
        event("u1", 5, "buy", ""),
        event("u1", 6, "page", r#","properties":{"path":"/"}"#),
        sets("u2", 10, "country", "DE"),
    ]);
    served.await_segments("u2", &["de"]);
    let mut time = 1_000;
    holds(&place, &served, &[], 26, || {
        // Time goes on, so that what is saved comes into force.
        time += 10;
        served.send(&[sets("clock", time, "tick", "x")]);
    });
    assert_eq!(served.end(), Some(0));
}

#[test]
fn so_does_the_collector_where_there_is_one() {
    let source = "kind = \"http\"\nlog = \"log\"";
    let place = place(&JOB.replace("kind = \"file\"\npath = \"-\"", source));
    let served = Served::start(&place);
    let paths = "^/v1/(track|identify|page|screen|group|alias|batch)$";
    holds(&place, &served, &["--include-path-regex", paths], 7, || {});
    assert_eq!(served.end(), Some(0));
}
