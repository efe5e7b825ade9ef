//! The other verbs, and what is said of arguments that are wrong.

use serde_json::Value as Json;

use crate::common::Place;

#[test]
fn help_has_examples() {
    let place = Place::new();
    for verb in [
        "", "replay", "check", "verify", "explain", "estimate", "generate", "bench", "state",
        "schema",
    ] {
        let help = place.run(&format!("{verb} --help")).fine();
        let example = format!("  rivulet {verb}");
        assert!(help.stdout.contains("Examples:\n"), "{verb}");
        assert!(help.stdout.contains(example.trim_end()), "{verb}");
        assert!(!help.stdout.contains('\u{1b}'), "{verb}");
        assert_eq!(help.stderr, "");
    }
    assert!(place.run("--version").fine().stdout.starts_with("rivulet "));
}

#[test]
fn what_is_not_known_is_refused() {
    let place = Place::new();
    place.run("repla").refused_with(&["repla", "replay"]);
    place.run("replay --segmnts s --events e").refused_with(&["--segmnts", "--segments"]);
    place.run("").refused_with(&["Usage"]);
    place.run("replay --events e").refused_with(&["--segments"]);
    place.run("replay --segments s").refused_with(&["--events"]);
    place.run("replay --job j --segments s --events e").refused_with(&["--job"]);
    place.replay("--events events.jsonl --format xml").refused_with(&["xml", "json", "text"]);
    place.replay("--events events.jsonl --emit later").refused_with(&["later", "on_event"]);
    place.replay("--events events.jsonl --max-out-of-orderness 5x").refused_with(&["5x"]);
    place.replay("--events events.jsonl --workers 0").refused_with(&["--workers"]);
    place.replay("--events events.jsonl --granularity 0ms").refused_with(&["granularity", "1m"]);
    place.run("schema evnt").refused_with(&["evnt", "event"]);
}

#[test]
fn check_tells_all_at_once() {
    let place = Place::new();
    let fine = place.run("check --segments segments.json").fine();
    assert_eq!((&*fine.stdout, &*fine.stderr), ("", "2 segments: all fine\n"));
    place.write("many/a.json", r#"{"id":"a","rules":{"operator":"AND","conditions":[{"attribute":"x","op":"eqq","value":1},{"evnt":"y"}]}}"#);
    place.write("many/b.json", "{\n  \"id\": \"b\",,\n}");
    place.write("many/c.json", r#"[{"id":"c","rules":{"event":"x","aggregate":"count","window":"10q","op":"gt","value":1}}]"#);
    let said = place.run("check --segments many").refused();
    for part in [
        "many/a.json: rules.conditions[0].op: found \"eqq\"",
        "did you mean \"eq\"",
        "many/a.json: rules.conditions[1]",
        "many/b.json: line 2 column",
        "many/c.json: [0].rules.window: found \"10q\"",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    place.write(
        "job.toml",
        "segments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n",
    );
    let fine = place.run("check --job job.toml").fine();
    assert_eq!(fine.stderr, "job \"job\" is fine: 2 segments, 1 input\n");
}

#[test]
fn verify_agrees() {
    let place = Place::new();
    let done = place.run("verify --segments segments.json --events events.jsonl").fine();
    assert_eq!(done.stdout, "");
    let said = "3 differences and 6 records agree with the recomputation from the whole log\n";
    assert_eq!(done.stderr, said);
    place.run("generate --events 500 --users 20 --rate 5 --partitions 2 --out in.jsonl").fine();
    let words = "verify --segments segments.json --events in.p0.jsonl in.p1.jsonl --workers 3";
    assert_eq!(place.run(words).fine().stdout, "");
    place
        .run("verify --segments segments.json --events events.jsonl --emit on_event")
        .refused_with(&["on_watermark", "on_event"]);
    place.run("verify --segments segments.json --events -").refused_with(&["standard input"]);
}

#[test]
fn explain_shows_the_rule() {
    let place = Place::new();
    let base = "explain --segments segments.json --events events.jsonl --user u1 --segment";
    let text = place.run(&format!("{base} high_value")).fine().stdout;
    assert!(text.contains("purchase sum(amount) over 10m gt 100 = 120"), "{text}");
    assert!(text.contains("until 2026-01-01T00:10:01.000Z"), "{text}");
    let before = place.run(&format!("{base} high_value --at 2026-01-01T00:00:08Z")).fine().stdout;
    assert!(before.contains("= 80"), "{before}");
    let json = place.run(&format!("{base} high_value --format json")).fine().stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["member"], &json["next_change"]),
        (&true.into(), &1_767_226_201_000_i64.into())
    );
    place.run(&format!("{base} high")).refused_with(&["\"high\"", "high_value, pro"]);
    place.run(&format!("{base} pro --at soon")).refused_with(&["soon"]);
    place.write("events.jsonl", "");
    place.run(&format!("{base} pro")).refused_with(&["--at"]);
}

#[test]
fn estimate_says_how_large_a_segment_would_be() {
    let place = Place::new();
    let base = "estimate --segments segments.json --events many.jsonl --rules new.json";
    let record = |user: usize| {
        let plan = if user.is_multiple_of(4) { "pro" } else { "free" };
        format!(
            r#"{{"type":"identify","userId":"u{user}","timestamp":{user},"traits":{{"plan":"{plan}"}}}}"#
        )
    };
    place.write("many.jsonl", (0..2_000).map(record).collect::<Vec<_>>().join("\n"));
    place.write("new.json", r#"{"rules":{"attribute":"plan","op":"eq","value":"pro"}}"#);
    let text = place.run(base).fine().stdout;
    assert!(text.starts_with("exactly 500 of 2000 users at 1970-01-01T00:00:01.999Z"), "{text}");
    let json = place.run(&format!("{base} --sample 600 --format json")).fine().stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let number = |key: &str| json[key].as_u64().unwrap();
    assert!(number("low") < number("size") && number("size") < number("high"), "{json}");
    assert!((500..700).contains(&number("sampled")) && number("users") == 2_000, "{json}");
    let few = place.run(&format!("{base} --sample 40")).fine().stdout;
    assert!(few.contains("--sample "), "{few}");
    place.write("new.json", r#"{"rules":{"attribute":"plan","op":"eqq","value":"pro"}}"#);
    place.run(base).refused_with(&["new.json", "rules.op", "eq"]);
    place.write("new.json", r#"{"rules":{"segment":"nowhere"}}"#);
    place.run(base).refused_with(&["new.json", "nowhere"]);
}

#[test]
fn schemas_are_json_schemas() {
    let place = Place::new();
    for (name, good) in [("segment", true), ("event", true), ("job", false)] {
        let text = place.run(&format!("schema {name}")).fine().stdout;
        let schema: Json = serde_json::from_str(&text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&Json::from(7)), "{name}");
        if good {
            let text = if name == "event" {
                place.text("events.jsonl")
            } else {
                place.text("segments.json")
            };
            let first = if name == "event" { text.lines().next().unwrap() } else { &text };
            assert!(validator.is_valid(&serde_json::from_str(first).unwrap()), "{name}");
        }
    }
}
