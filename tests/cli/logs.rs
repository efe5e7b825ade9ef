//! What is said, as programs read it: each line an object with a time and a level.

use serde_json::Value as Json;

use crate::common::{Place, Running};

/// The level and the message of each line that was said.
fn said(stderr: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let json: Json = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        assert_eq!(json.as_object().unwrap().len(), 3, "{line}");
        assert!(text("time").ends_with('Z') && text("time").len() == 24, "{line}");
        (text("level"), text("message"))
    };
    stderr.lines().map(line).collect()
}

#[test]
fn lines_are_objects_where_programs_read_them() {
    let place = Place::new();
    let fine = place.run("--log json check --segments segments.json").fine();
    assert_eq!(said(&fine.stderr), [("info".to_owned(), "2 segments: all fine".to_owned())]);
    place.write("bad.json", r#"[{"id":"a","rules":{"evnt":"x"}},{"id":"b","rules":{"x":"y"}}]"#);
    let refused = place.run("check --segments bad.json --log json").refused();
    let refused = said(&refused);
    assert_eq!(refused.len(), 1, "all in one line: {refused:?}");
    let (level, message) = &refused[0];
    assert!(level == "error" && message.starts_with("rivulet: "), "{refused:?}");
    assert!(message.contains("bad.json: [0]") && message.contains('\n'), "{refused:?}");
}

#[test]
fn the_environment_says_it_for_all_verbs() {
    let place = Place::new();
    let check = |form: &str| {
        let mut command = place.command("check --segments segments.json");
        Running::start(command.env("RIVULET_LOG", form)).end()
    };
    assert_eq!(said(&check("json").fine().stderr).len(), 1);
    assert_eq!(check("text").fine().stderr, "2 segments: all fine\n");
    check("xml").refused_with(&["xml", "json", "text"]);
}

#[test]
fn what_should_be_looked_at_is_a_warning() {
    let place = Place::new();
    let wrong =
        r#"{"type":"identify","userId":"u1","timestamp":1767225600000,"traits":{"plan":7}}"#;
    place.write("events.jsonl", format!("{wrong}\n"));
    place.write("changes.jsonl", "{\"time\":0,\"delete\":\"nobody\"}\n");
    let flags = "--log json --events events.jsonl --changes changes.jsonl --out out";
    let done = place.replay(flags).fine();
    let said = said(&done.stderr);
    let level = |part: &str| {
        let line = said.iter().find(|(_, message)| message.contains(part));
        line.unwrap_or_else(|| panic!("{part} in {said:?}")).0.clone()
    };
    assert_eq!(level("nobody"), "warn");
    assert_eq!(level("read 1 = applied 1"), "info");
}
