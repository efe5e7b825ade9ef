//! Those who read tables: DuckDB and pandas, in every format.

use serde_json::json;

use crate::common::Place;
use crate::{by_picture, difference, differences, job, manifests, members, read};

/// Ids that trip those who paste text together.
const ODD: &[&str] =
    &["plain", "a,b", "\"q\" 'q'", "new\nline", " blank ", "=1+1", "日本 😀", "a/../b", "\\N"];

/// A place with odd segments and users who enter and leave over three days.
fn odd(place: &Place) {
    let segment = |id: &&str| {
        json!({"id": id, "rules": {"event": "buy", "where": {"attribute": "of", "op": "eq", "value": id},
            "aggregate": "count", "window": "1h", "op": "gte", "value": 1}})
    };
    let segments: Vec<_> = ODD.iter().map(segment).collect();
    place.write("segments.json", json!(segments).to_string());
    let start = 1_767_225_600_000_i64; // 2026-01-01
    let mut lines = String::new();
    for number in 0..300_i64 {
        let index = usize::try_from(number).unwrap();
        let (user, of) = (ODD[index % ODD.len()], ODD[index / 3 % ODD.len()]);
        let event = json!({"type": "track", "messageId": format!("m{number}"), "userId": user,
            "event": "buy", "timestamp": start + number * 600_000, "properties": {"of": of}});
        lines.push_str(&format!("{event}\n"));
    }
    place.write("whole.jsonl", lines);
}

#[test]
fn duckdb_and_pandas_read_what_a_replay_says() {
    let place = Place::new();
    odd(&place);
    let formats = ["csv", "jsonl", "parquet"];
    let exports = formats.map(|format| {
        format!(
            "name = \"d-{format}\"\nof = \"differences\"\nto = \"out/d-{format}\"\n\
             format = \"{format}\"\n[[export]]\nname = \"u-{format}\"\nof = \"users\"\n\
             to = \"out/u-{format}\"\nformat = \"{format}\"\nevery = \"8h\""
        )
    });
    job(&place, None, &exports.each_ref().map(String::as_str));
    place.run("replay --job job.toml").fine();
    let lines: Vec<_> = place.text("diffs.jsonl").lines().map(str::to_owned).collect();
    let replayed = differences(&lines);
    assert!(replayed.len() > 300, "{}", replayed.len());
    for format in formats {
        let rows = read(&place.path(&format!("out/d-{format}")), "differences", format);
        let found: Vec<_> = rows.iter().map(difference).collect();
        let mut expected = replayed.clone();
        expected.sort();
        assert_eq!(found, expected, "{format}");
        let days: std::collections::BTreeSet<_> =
            rows.iter().map(|row| row["date"].as_str()).collect();
        assert_eq!(days.len(), 3, "{format}: {days:?}");

        let folder = place.path(&format!("out/u-{format}"));
        let pictures = by_picture(&read(&folder, "users", format));
        let manifests = manifests(&folder);
        assert!(manifests.len() > 6, "{format}: {}", manifests.len());
        for (manifest, _) in manifests {
            let as_of = manifest["as_of"].as_i64().unwrap();
            assert_eq!(as_of % (8 * 3_600_000), 0);
            let path = manifest["files"][0]["path"].as_str();
            let name = path.and_then(|path| path.split('/').next()).unwrap_or_default();
            let found = pictures.get(name.trim_start_matches("snapshot=")).cloned();
            let expected = members(&replayed, as_of);
            assert_eq!(found.unwrap_or_default(), expected, "{format} {as_of}");
            assert_eq!(manifest["rows"], expected.len());
        }
    }
}

#[test]
fn a_picture_is_taken_of_segments_that_have_changed_by_more_than_a_share() {
    let place = Place::new();
    let segments = json!([
        {"id": "large", "rules": {"attribute": "large", "op": "eq", "value": true}},
        {"id": "small", "rules": {"attribute": "small", "op": "eq", "value": true}},
    ]);
    place.write("segments.json", segments.to_string());
    let minute = |minute: i64| 1_767_225_600_000 + minute * 60_000;
    let mut lines = String::new();
    let mut set = |at: i64, user: String, name: &str, is: bool| {
        let line =
            json!({"type": "identify", "userId": user, "timestamp": at, "traits": {name: is}});
        lines.push_str(&format!("{line}\n"));
    };
    for user in 0..100 {
        set(minute(0) + 1 + user, format!("u{user}"), "large", true);
    }
    for user in 0..10 {
        set(minute(1) - 500 + user, format!("u{user}"), "small", true);
    }
    for user in 0..10 {
        set(minute(2) + 1 + user, format!("u{user}"), "large", false); // exactly 10 %
    }
    for user in 0..2 {
        set(minute(2) + 100 + user, format!("u{user}"), "small", false); // more than that
    }
    set(minute(5) + 1, "u50".into(), "large", false); // the eleventh
    place.write("whole.jsonl", lines);
    let export = "of = \"users\"\nto = \"out\"\nformat = \"jsonl\"\nwhen_changed = \"10%\"";
    job(&place, None, &[export]);
    place.run("replay --job job.toml").fine();
    let found: Vec<_> = manifests(&place.path("out"))
        .into_iter()
        .map(|(manifest, _)| {
            let segments = manifest["segments"].as_array().unwrap().iter();
            let segments = segments.map(|it| (it["id"].clone(), it["rows"].clone()));
            (manifest["as_of"].as_i64().unwrap(), segments.collect::<Vec<_>>())
        })
        .collect();
    let expected = [
        (minute(1), vec![(json!("large"), json!(100)), (json!("small"), json!(10))]),
        (minute(3), vec![(json!("small"), json!(8))]),
        (minute(6), vec![(json!("large"), json!(89))]),
    ];
    assert_eq!(found, expected);
}
