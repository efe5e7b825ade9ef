//! `replay`: what goes where.

use serde_json::{Value as Json, json};

use crate::common::{BUSY_SEGMENTS, DIFFERENCES, EVENTS, Place, counts};

#[test]
fn standard_output_is_data_only() {
    let place = Place::new();
    let done = place.replay("--events events.jsonl").fine();
    assert_eq!(done.stdout, DIFFERENCES);
    let said = "read 6 = applied 3 + late 1 + rejected 1 + duplicate 1; 3 differences in ";
    assert!(done.stderr.starts_with(said), "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1);
    let json = place.replay("--events events.jsonl --format json").fine();
    assert_eq!(json.stdout, DIFFERENCES);
}

#[test]
fn text_is_for_people_and_plain_when_piped() {
    let place = Place::new();
    let expected = "2026-01-01T00:00:00.000Z + pro u1\n2026-01-01T00:00:09.000Z + high_value u1\n\
                    2026-01-01T00:10:01.000Z - high_value u1\n";
    for no_colour in [None, Some("1"), Some("")] {
        let mut command =
            place.command("replay --segments segments.json --events events.jsonl --format text");
        no_colour.map(|value| command.env("NO_COLOR", value));
        let done = crate::common::Running::start(&mut command).end().fine();
        assert_eq!(done.stdout, expected);
        assert!(!done.stderr.contains('\u{1b}'), "{}", done.stderr);
    }
}

#[test]
fn out_takes_the_place_of_standard_output() {
    let place = Place::new();
    place.write("diffs.jsonl", "what was there before, and longer than what comes\n".repeat(9));
    let done = place.replay("--events events.jsonl --out diffs.jsonl").fine();
    assert_eq!((&*done.stdout, &*place.text("diffs.jsonl")), ("", DIFFERENCES));
    place.replay("--events events.jsonl --out diffs.txt --format text").fine();
    assert!(place.text("diffs.txt").starts_with("2026-01-01T00:00:00.000Z + pro u1\n"));
}

#[test]
fn until_says_where_it_ends() {
    let place = Place::new();
    let lines = |until: &str| {
        let done =
            place.replay(&format!("--events events.jsonl --stats st --until {until}")).fine();
        let stats: Json = serde_json::from_str(&place.text("st")).unwrap();
        assert_eq!(stats["differences"], json!(done.stdout.lines().count()));
        assert!(DIFFERENCES.starts_with(&done.stdout));
        done.stdout.lines().count()
    };
    assert_eq!(lines("end"), 3);
    assert_eq!(lines("last"), 2); // the difference of the last event's own time is in
    assert_eq!(lines("1767225599999"), 0);
    assert_eq!(lines("1767225600000"), 1);
    assert_eq!(lines("2026-01-01T00:10:00.999Z"), 2);
    assert_eq!(lines("2026-01-01T00:10:01Z"), 3);
    place.replay("--events events.jsonl --until never").refused_with(&["never", "not end, last"]);
}

#[test]
fn every_record_ends_in_one_count() {
    let place = Place::new();
    place.replay("--events events.jsonl --late late --rejected rejected --stats stats").fine();
    let stats: Json = serde_json::from_str(&place.text("stats")).unwrap();
    let keys: Vec<_> = stats.as_object().unwrap().keys().map(String::as_str).collect();
    for key in "read applied late rejected duplicate differences wall_s cpu_s peak_bytes".split(' ')
    {
        assert!(keys.contains(&key), "{key} in {stats}");
    }
    assert_eq!(counts(&place.path("stats")), [6, 3, 1, 1, 1]);
    let record: Json = serde_json::from_str(EVENTS.lines().last().unwrap()).unwrap();
    let late = json!({"source":"events.jsonl","partition":0,"offset":5,"time":1767225601000_i64,
        "clock":1767225604000_i64,"late_by":"3s","reason":"late","segments":["high_value"],
        "record":record});
    assert_eq!(place.json_lines("late"), [late]);
    let rejected = place.json_lines("rejected");
    assert_eq!(rejected.len(), 1);
    assert_eq!((&rejected[0]["offset"], &rejected[0]["record"]), (&json!(3), &json!("nonsense")));
    assert!(rejected[0]["reason"].as_str().unwrap().starts_with("record: "));
}

#[test]
fn several_files_are_several_partitions() {
    let place = Place::new();
    let lines: Vec<_> = EVENTS.split_inclusive('\n').collect();
    place.write("a.jsonl", lines[..4].concat());
    place.write("b.jsonl", lines[4..].concat());
    let flags = "--events a.jsonl b.jsonl --late late --rejected rejected --stats stats";
    for workers in [1, 3] {
        let done = place.replay(&format!("{flags} --workers {workers}")).fine();
        assert_eq!(done.stdout, DIFFERENCES);
        assert_eq!(counts(&place.path("stats")), [6, 3, 1, 1, 1]);
        let late = &place.json_lines("late")[0];
        assert_eq!(late["source"], "b.jsonl");
        assert_eq!((&late["partition"], &late["offset"]), (&json!(1), &json!(1)));
        assert_eq!(place.json_lines("rejected")[0]["source"], "a.jsonl");
    }
    let twice = place.replay("--events a.jsonl --events b.jsonl").fine();
    assert_eq!(twice.stdout, DIFFERENCES);
}

#[test]
fn standard_input_and_compressed_files_are_read_as_they_are() {
    let place = Place::new();
    let read = place.run_reading("replay --segments segments.json --events -", "events.jsonl");
    assert_eq!(read.fine().stdout, DIFFERENCES);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, EVENTS.as_bytes()).unwrap();
    place.write("events.jsonl.gz", gzip.finish().unwrap());
    place.write("events.jsonl.zst", zstd::encode_all(EVENTS.as_bytes(), 1).unwrap());
    for name in ["events.jsonl.gz", "events.jsonl.zst"] {
        let done = place.replay(&format!("--events {name} --stats stats")).fine();
        assert_eq!(done.stdout, DIFFERENCES);
        assert_eq!(counts(&place.path("stats")), [6, 3, 1, 1, 1]);
    }
}

#[test]
fn a_job_says_it_all() {
    let place = Place::new();
    let job = r#"
name = "shop"
segments = "../segments.json"
[clock]
max_out_of_orderness = "5s"
[[source]]
kind = "file"
path = "../events.jsonl"
[[sink]]
kind = "file"
path = "diffs.jsonl"
[[sink]]
kind = "stdout"
format = "text"
[[sink]]
kind = "file"
of = "late"
path = "late.jsonl"
[[sink]]
kind = "file"
of = "rejected"
path = "rejected.jsonl"
"#;
    place.write("jobs/shop.toml", job);
    let done = place.run("replay --job jobs/shop.toml").fine();
    assert_eq!(place.text("jobs/diffs.jsonl"), DIFFERENCES);
    assert!(done.stdout.starts_with("2026-01-01T00:00:00.000Z + pro u1\n"), "{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), 3);
    assert_eq!(place.json_lines("jobs/late.jsonl").len(), 1);
    assert_eq!(place.json_lines("jobs/rejected.jsonl").len(), 1);
    place.run("replay --job jobs/shop.toml --out o --late l --max-out-of-orderness 1h").fine();
    assert_eq!(place.json_lines("l").len(), 0); // a flag goes before the file
    assert!(place.text("o").contains("\"u2\""));
    place.write("jobs/shop.toml", job.replace("max_out", "max_ot"));
    let said = place.run("replay --job jobs/shop.toml").refused();
    assert!(said.contains("shop.toml") && said.contains("max_out_of_orderness"), "{said}");
}

#[test]
fn a_change_that_is_refused_stops_nothing() {
    let place = Place::new();
    let changes = concat!(
        r#"{"time":1767225605000,"put":{"id":"buyer","rules":{"event":"purchase","aggregate":"count","op":"gt","value":0}}}"#,
        "\n",
        r#"{"time":1767225606000,"put":{"id":"both","rules":{"segment":"high_valu"}}}"#,
        "\n",
        r#"{"time":1767225607000,"delete":"pro"}"#,
        "\n",
    );
    place.write("changes.jsonl", changes);
    let done = place.replay("--events events.jsonl --changes changes.jsonl").fine();
    let refused: Vec<_> =
        done.stderr.lines().filter(|line| line.starts_with("refused: ")).collect();
    assert_eq!(refused.len(), 1, "{}", done.stderr);
    assert!(refused[0].starts_with("refused: changes.jsonl: line 2: "), "{}", refused[0]);
    assert!(refused[0].contains("high_valu"), "{}", refused[0]);
    let expected = [
        r#"{"time":1767225600000,"segment":"pro","user":"u1","diff":1}"#,
        r#"{"time":1767225605000,"segment":"buyer","user":"u1","diff":1}"#,
        r#"{"time":1767225607000,"segment":"pro","user":"u1","diff":-1}"#,
        r#"{"time":1767225609000,"segment":"high_value","user":"u1","diff":1}"#,
        r#"{"time":1767226201000,"segment":"high_value","user":"u1","diff":-1}"#,
    ];
    assert_eq!(done.stdout.lines().collect::<Vec<_>>(), expected);
    let said = place.run("check --segments segments.json --changes changes.jsonl").refused();
    assert!(said.contains("changes.jsonl: line 2: "), "{said}");
}

#[test]
fn on_event_equals_on_watermark_where_records_are_in_order() {
    let place = Place::new();
    place.write("segments.json", BUSY_SEGMENTS);
    place.run("generate --events 3000 --users 50 --rate 20 --jitter 0ms --out in.jsonl").fine();
    let watermark = place.replay("--events in.jsonl").fine().stdout;
    assert!(watermark.lines().count() > 100, "{}", watermark.lines().count());
    for workers in [1, 2] {
        let flags = format!("--events in.jsonl --emit on_event --workers {workers}");
        assert_eq!(place.replay(&flags).fine().stdout, watermark);
    }
}
