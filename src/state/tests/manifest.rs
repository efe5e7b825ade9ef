//! Manifests: readable by people, and by the byte or not at all.

use serde_json::{Value as Json, json};

use super::*;

fn sample() -> Manifest {
    Manifest {
        number: 12,
        job: "shop 1f2e".into(),
        writer: "0123".into(),
        frontier: 1_767_225_600_000,
        taken_at: "2026-01-01T00:00:10.000Z".into(),
        sources: vec![SourcePosition {
            source: "events.jsonl".into(),
            partition: 1,
            offset: 1_200,
            clock: Some(1_767_225_601_000),
            read_to: 1_200,
            start: Some(LineStart { line: 1_100, byte: 220_000 }),
        }],
        definitions: vec![json!({"id": "a", "rules": {"everyone": true}})],
        sinks: [("differences".to_owned(), json!({"bytes": 17}))].into(),
        counts: [("applied".to_owned(), 1_199)].into(),
        batches: vec![BatchEntry::of(12, &batch("users", 3, &[b"x".to_vec()]))],
        ..Manifest::default()
    }
}

#[test]
fn it_is_one_json_object_that_reads_back() {
    let file = sample().encode();
    assert_eq!(Manifest::decode("m", &file).unwrap(), sample());
    let json: Json = serde_json::from_slice(&file).unwrap();
    assert_eq!(json["sources"][0]["offset"], 1_200);
    assert_eq!(json["checksum"].as_str().map(str::len), Some(16));
    let text = String::from_utf8(file).unwrap();
    assert!(text.contains("\n  \"frontier\": 1767225600000,\n"), "{text}");
    let path = &sample().batches[0].path;
    assert!(path.starts_with("batches/0000000012-users-3-"), "{path}");
    assert_eq!(manifest_number("manifests/12345678901.json"), Some(12_345_678_901));
    assert_eq!(manifest_number("manifests/note.json"), None);
}

#[test]
fn one_of_before_there_were_bytes_is_read() {
    let mut json: Json = serde_json::from_slice(&sample().encode()).unwrap();
    let (own, source) = (json.as_object_mut().unwrap(), "sources");
    own.remove("checksum");
    own[source][0].as_object_mut().unwrap().remove("start").unwrap();
    let older = Manifest::decode("m", &crate::state::sealed::seal(&json)).unwrap();
    assert_eq!((older.sources[0].start, older.sources[0].offset), (None, 1_200));
}

fn manifest_number(path: &str) -> Option<u64> {
    crate::state::manifest::number_of(path)
}

#[test]
fn every_flipped_bit_and_every_truncation_is_found() {
    let file = sample().encode();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            let error = Manifest::decode("m.json", &changed).expect_err("a flipped bit");
            assert!(error.is_damage() && error.to_string().contains("m.json"), "{at} {bit}");
        }
        assert!(Manifest::decode("m.json", &file[..at]).is_err_and(|it| it.is_damage()), "{at}");
    }
    assert!(Manifest::decode("m.json", &[&file[..], b"\n"].concat()).is_err());
}

#[test]
fn another_version_is_told_and_what_to_do() {
    for (format, expected) in [(2, "a newer Rivulet; use that one"), (0, "an older Rivulet")] {
        let error = Manifest::decode("m", &Manifest { format, ..sample() }.encode()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_damage(), "an older checkpoint is no substitute");
    }
}
