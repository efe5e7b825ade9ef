//! Whatever stands in a file of records: every record ends in exactly one count, in its place,
//! with a reason, and the good ones beside it are still answered.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use common::{Place, counts};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const GOOD: &str = r#"{"type":"identify","userId":"good","timestamp":"2026-01-01T00:00:00Z","traits":{"plan":"pro"}}"#;
const ENTERED: &str = r#"{"time":1767225600000,"segment":"pro","user":"good","diff":1}"#;

/// Replays these bytes: the counts, the differences, and what was rejected.
fn replayed(bytes: &[u8]) -> ([u64; 5], Vec<String>, Vec<Json>) {
    let place = Place::new();
    place.write("in.jsonl", bytes);
    let flags = "--events in.jsonl --rejected rejected --late late --stats stats --workers 2";
    let done = place.replay(flags).fine();
    let counts = counts(&place.path("stats"));
    let rejected = place.json_lines("rejected");
    assert_eq!(rejected.len() as u64, counts[3]);
    assert_eq!(place.json_lines("late").len() as u64, counts[2]);
    for line in &rejected {
        let reason = line["reason"].as_str().unwrap();
        assert!(!reason.is_empty() && !reason.contains('\n') && reason.len() < 300, "{reason:?}");
    }
    (counts, done.stdout.lines().map(str::to_owned).collect(), rejected)
}

/// That these bytes, as the second of three lines, are rejected for this reason.
fn rejects(line: &[u8], reason: &str) -> Json {
    let bytes = [b"\n", line, b"\n", GOOD.as_bytes()].concat();
    let (counts, differences, mut rejected) = replayed(&bytes);
    assert_eq!(counts, [2, 1, 0, 1, 0], "{reason}");
    assert_eq!(differences, [ENTERED]);
    let line = rejected.remove(0);
    assert_eq!((&line["offset"], &line["partition"]), (&json!(1), &json!(0)));
    let said = line["reason"].as_str().unwrap();
    assert!(said.contains(reason), "{said:?} does not say {reason:?}");
    line
}

#[test]
fn what_is_not_a_record_is_rejected_with_its_reason() {
    let record = |line: &str, reason: &str| {
        assert_eq!(rejects(line.as_bytes(), reason)["record"], json!(line));
    };
    record(r#"{"type":"identify","userId":"u""#, "not JSON: EOF");
    record("[1,2]", "list where an object is needed");
    record("\"text\"", "text where an object is needed");
    record("{}{}", "trailing characters");
    record("{\"type\":\"delete\",\"userId\":\"u\"}\0", "not JSON");
    record("\0\0\0", "not JSON");
    record(r#"{"type":"delete","userId":["u"]}"#, "userId: ");
    record(r#"{"type":"delete","userId":1.5}"#, "userId: ");
    record(r#"{"type":"delete","userId":""}"#, "userId: ");
    record(r#"{"type":"delete"}"#, "userId: missing");
    record(r#"{"type":"remove","userId":"u"}"#, "type: ");
    record(r#"{"userId":"u"}"#, "type");
    record(r#"{"type":"track","userId":"u","event":7}"#, "event: ");
    record(r#"{"type":"identify","userId":"u","traits":[1]}"#, "traits: ");
    record(r#"{"type":"delete","userId":"u","timestamp":true}"#, "timestamp: ");
    record(r#"{"type":"delete","userId":"u","timestamp":"yesterday"}"#, "timestamp: ");
    record(r#"{"type":"delete","userId":"u","timestamp":1e400}"#, "timestamp");
    record(r#"{"type":"delete","userId":"u","timestamp":99999999999999999999}"#, "timestamp");
    record(r#"{"type":"delete","userId":"u","timestamp":"0000-01-01T00:00:00Z"}"#, "timestamp: ");
    record(r#"{"type":"delete","userId":"u","timestamp":"10001-01-01T00:00:00Z"}"#, "timestamp: ");
    let beyond = r#"{"type":"delete","userId":"u","timestamp":253433923200000}"#;
    record(beyond, "timestamp: year 10001 is beyond 9999");
    let deep = format!(r#"{{"type":"track","x":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    record(&deep, "nested deeper than 64");
    let user = "u".repeat(2_000);
    record(&format!(r#"{{"type":"delete","userId":"{user}"}}"#), "userId: ");
}

#[test]
fn what_is_not_text_is_given_back_in_base64() {
    let line = rejects(b"{\"userId\":\"\xff\xfe\"}", "not UTF-8 after 11 bytes");
    assert_eq!(line["record_base64"], json!("eyJ1c2VySWQiOiL//iJ9"));
    assert_eq!(line.get("record"), None);
}

#[test]
fn lines_of_many_megabytes_are_rejected_with_their_length() {
    for (length, kept) in [(10 << 20, 10 << 20), (20 << 20, 16 << 20)] {
        let line = rejects(&vec![b'x'; length], &format!("record of {length} bytes is beyond"));
        assert_eq!(line["record"].as_str().unwrap().len(), kept);
    }
}

#[test]
fn odd_but_good_records_are_applied() {
    for line in [
        r#"{"type":"identify","userId":"good","timestamp":"2026-01-01T00:00:00Z","traits":{"plan":"pro"},"sentAt":[{}],"":null}"#,
        r#" {"type":"identify","userId":"bad","userId":"good","timestamp":1767225600000,"traits":{"plan":"free","plan":"pro"}}  "#,
        r#"{"type":"identify","userId":"g\u006fod","timestamp":1767225600000,"traits":{"plan":"pro","n":1e400}}"#,
    ] {
        let (counts, differences, rejected) = replayed(line.as_bytes());
        let applied = ([1, 1, 0, 0, 0], &[ENTERED.to_owned()][..]);
        assert_eq!((counts, &*differences), applied, "{line}: {rejected:?}");
    }
}

#[test]
fn files_of_any_shape_are_read() {
    let good = GOOD.as_bytes();
    let one = [1, 1, 0, 0, 0];
    for (bytes, counts) in [
        (Vec::new(), [0; 5]),
        (b"\n \t\r\n\r\n\n".to_vec(), [0; 5]),
        (b"\xef\xbb\xbf".to_vec(), [0; 5]),
        (good.to_vec(), one),
        ([good, b"\r\n"].concat(), one),
        ([b"\xef\xbb\xbf", good, b"\n"].concat(), one),
        ([b"\r\n\r\n", good, b"\r\n\r\n"].concat(), one),
    ] {
        let (got, differences, _) = replayed(&bytes);
        assert_eq!(got, counts, "{bytes:?}");
        assert_eq!(differences.len() as u64, counts[1]);
    }
    // A mark that is not at the start is no mark.
    rejects(b"\xef\xbb\xbf{}", "not JSON");
}

#[test]
fn the_ends_of_time_are_in() {
    let at = |user: &str, time: &str| {
        format!(
            "{{\"type\":\"identify\",\"userId\":\"{user}\",\"timestamp\":\"{time}\",\"traits\":{{\"plan\":\"pro\"}}}}\n"
        )
    };
    let times = [
        at("a", "0001-01-01T00:00:00Z"),
        GOOD.to_owned() + "\n",
        at("z", "9999-12-31T23:59:59.999Z"),
    ];
    let (counts, differences, _) = replayed(times.concat().as_bytes());
    assert_eq!(counts, [3, 3, 0, 0, 0]);
    let expected = [
        r#"{"time":-62135596800000,"segment":"pro","user":"a","diff":1}"#,
        ENTERED,
        r#"{"time":253402300799999,"segment":"pro","user":"z","diff":1}"#,
    ];
    assert_eq!(differences, expected);
    // After the last year everything is late, and nothing is lost.
    let (counts, differences, _) =
        replayed([at("z", "9999-12-31T23:59:59.999Z"), GOOD.to_owned()].concat().as_bytes());
    assert_eq!((counts, differences.len()), ([2, 1, 1, 0, 0], 1));
}

#[test]
fn definitions_that_cannot_be_read_are_placed() {
    let place = Place::new();
    let deep = |open: &str, close: &str| {
        let n = 100_000;
        format!("{{\"id\":\"a\",\"rules\":{}1{}}}", open.repeat(n), close.repeat(n))
    };
    let not = "{\"operator\":\"NOT\",\"conditions\":[";
    for (bytes, parts) in [
        (b"[{\"id\":\"a\",\n \"rules\"".to_vec(), ["line 2 column 8", "not JSON: EOF"]),
        (b"{\"id\":\"\xff\"}".to_vec(), ["not UTF-8 after 7 bytes", "save it as UTF-8"]),
        (Vec::new(), ["line 1 column 0", "not JSON: EOF"]),
        (b"\0".to_vec(), ["line 1 column 1", "not JSON"]),
        (deep("[", "]").into(), ["line 1 column", "nested deeper than"]),
        (deep(not, "]}").into(), ["line 1 column", "nested deeper than"]),
        (deep("[", "").into(), ["line 1 column", "nested deeper than"]),
        (b"7".to_vec(), ["found 7", "an object of id"]),
    ] {
        place.write("bad.json", bytes);
        for words in
            ["check --segments bad.json", "replay --segments bad.json --events events.jsonl"]
        {
            let done = place.run(words);
            assert!(done.stderr.starts_with("rivulet: bad.json: "), "{}", done.stderr);
            assert!(done.stderr.len() < 500, "{}", done.stderr);
            done.refused_with(&parts);
        }
    }
}

/// Pieces of records, and bytes that are none.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..30),
        2 => Just(GOOD.as_bytes().to_vec()),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        2 => "[{}\\[\\]:,\"0-9eE+.a-z\\\\-]{0,12}".prop_map(String::into_bytes),
        2 => any::<i64>().prop_map(|time| {
            format!(r#"{{"type":"delete","userId":"u","messageId":"{}","timestamp":{time}}}"#, time % 9).into_bytes()
        }),
        2 => (0..99_u64).prop_map(|time| {
            format!(r#"{{"type":"track","event":"purchase","userId":"u","messageId":"{}","timestamp":{},"properties":{{"amount":{time}e{time}}}}}"#, time % 9, time * 999).into_bytes()
        }),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_counted(bytes in bytes(), on_event in any::<bool>(), workers in 1..3_usize) {
        use rivulet::format::Mapping;
        use rivulet::run::{Cluster, InputFile, Outputs, Run, run};
        let place = Place::new();
        place.write("in", &bytes);
        let catalog = rivulet::definitions::load(&place.path("segments.json")).unwrap().catalog;
        let (timeline, _) = dataflows::catalog::Timeline::accept(catalog, Vec::new());
        let mut clock = dataflows::clock::ClockSettings::default();
        if on_event {
            clock.emit = dataflows::clock::Emit::OnEvent;
        }
        let it = Run {
            inputs: vec![InputFile { path: place.path("in"), mapping: Mapping::default() }],
            timeline: std::sync::Arc::new(timeline),
            clock,
            attributes: Vec::new(),
            retain: None,
            cluster: Cluster::single(workers),
            live: None,
            state: None,
        };
        let outputs = Outputs { kept: Some(Vec::new()), ..Outputs::default() };
        let (summary, outputs) = run(it, outputs).unwrap();
        let blank = |line: &&[u8]| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let lines = bytes.split(|byte| *byte == b'\n').filter(blank).count();
        prop_assert_eq!(summary.read(), lines as u64);
        prop_assert_eq!(summary.differences, outputs.kept.unwrap().len() as u64);
    }
}
