//! Files of definitions, good and bad.

use tempfile::TempDir;

use super::*;

/// A directory of these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// What is said of these files, with the directory's own path taken off.
fn said(directory: &TempDir, problems: impl ToString) -> Vec<String> {
    let prefix = format!("{}/", directory.path().display());
    problems.to_string().replace(&prefix, "").lines().map(str::to_owned).collect()
}

const A: &str = r#"{"id":"a","rules":{"everyone":true}}"#;

#[test]
fn a_directory_holds_objects_and_lists() {
    let files = [
        ("b.json", r#"[{"id":"b","rules":{"segment":"a"}},{"id":3,"rules":{"segment":"b"}}]"#),
        ("a.json", A),
        (".a.json.swp.json", "{"),
        ("notes.txt", "not read"),
        ("none.json", "[]"),
    ];
    let directory = directory(&files);
    let loaded = load(directory.path()).unwrap();
    assert_eq!(loaded.catalog.iter().map(|it| &*it.id).collect::<Vec<_>>(), ["3", "a", "b"]);
    let names: Vec<_> = loaded.files.iter().map(|file| file.file_name().unwrap()).collect();
    assert_eq!(names, ["a.json", "b.json", "none.json"]);
    assert_eq!(load(&directory.path().join("a.json")).unwrap().catalog.len(), 1);
}

#[test]
fn all_problems_of_all_files_are_told() {
    let files = [
        ("a.json", A),
        ("b.json", "[\n{\"id\":\"b\",\"rules\":{\"attribute\":\"x\",\"op\":\"is_nul\"}},\n5]"),
        ("c.json", A),
    ];
    let directory = directory(&files);
    let said = said(&directory, load(directory.path()).unwrap_err());
    assert!(said[0].starts_with("b.json: [0].rules.op: found \"is_nul\"; allowed: eq, neq, "));
    assert!(said[0].ends_with("; did you mean \"is_null\"?"));
    assert_eq!(
        said[1..],
        [
            "b.json: [1]: found 5; allowed: an object of id, name, description, rules, $schema",
            "c.json: segment \"a\" is defined in a.json already; give each definition an id of \
             its own",
        ]
    );
}

#[test]
fn references_are_checked_across_files() {
    let files = [
        ("a.json", r#"{"id":"a","rules":{"segment":"b"}}"#),
        (
            "b.json",
            r#"{"id":"b","rules":{"operator":"OR","conditions":[{"segment":"a"},{"segment":"cc"}]}}"#,
        ),
        ("c.json", r#"{"id":"cccc","rules":{"everyone":1}}"#),
        ("d.json", r#"{"id":"d","rules":{"segment":"cccc"}}"#),
    ];
    let directory = directory(&files);
    assert_eq!(
        said(&directory, load(directory.path()).unwrap_err()),
        [
            "c.json: rules.everyone: found 1; allowed: true",
            "b.json: segment \"b\" refers to unknown segment \"cc\"; define it first, or correct \
             the id",
            "a.json: segment \"a\" refers to itself: a -> b -> a; take one of these references out",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_placed() {
    let directory = directory(&[
        ("a.json", "{\n\"id\": 1,,}"),
        ("d.json", r#"{"id":"d","rules":{"segment":"x"}}"#),
    ]);
    assert_eq!(
        said(&directory, load(directory.path()).unwrap_err()),
        ["a.json: line 2 column 9: not JSON: key must be a string"]
    );
    let missing = said(&directory, load(&directory.path().join("none")).unwrap_err());
    assert_eq!(
        missing,
        ["none: cannot be read: check that the path is right and that it may be read: No such \
             file or directory (os error 2)"]
    );
    fs::write(directory.path().join("e.json"), b"{\"id\":\"\xff\"}").unwrap();
    let not_text = said(&directory, load(&directory.path().join("e.json")).unwrap_err());
    assert_eq!(not_text, ["e.json: not UTF-8 after 7 bytes: save it as UTF-8"]);
}

#[test]
fn changes_keep_their_lines() {
    let text = concat!(
        "{\"time\":\"2026-01-01T00:00:00Z\",\"put\":{\"id\":\"a\",\"rules\":{\"everyone\":true}}}\n",
        "\n",
        "{\"time\":5,\"delete\":7}\n",
        "{\"time\":5,\"delete\":\"a\",\"put\":{}}\n",
        "{\"tim\":5,\"put\":{\"id\":\"a\",\"rules\":{\"everyone\":0}}}\n",
        "{\"time\":5,\n",
    );
    let directory = directory(&[("changes.jsonl", text)]);
    let changes = load_changes(&directory.path().join("changes.jsonl")).unwrap();
    let edits: Vec<_> = changes.edits.iter().map(|(line, edit)| (*line, edit.time)).collect();
    assert_eq!(edits, [(1, 1_767_225_600_000), (3, 5)]);
    assert_eq!(
        said(&directory, Problems(changes.problems)),
        [
            "changes.jsonl: line 4: found an object of \"delete\", \"put\", \"time\"; allowed: \
             either \"put\" or \"delete\", beside \"time\"",
            "changes.jsonl: line 5: found the key \"tim\"; allowed: time, put, delete; did you \
             mean \"time\"?",
            "changes.jsonl: line 5: time: found nothing; allowed: RFC 3339 text such as \
             \"2026-01-01T00:00:00Z\", or epoch milliseconds, of the years 1 to 9999",
            "changes.jsonl: line 5: put.rules.everyone: found 0; allowed: true",
            "changes.jsonl: line 6 column 10: not JSON: EOF while parsing a value",
        ]
    );
    assert!(load_changes(&directory.path().join("none")).is_err());
}
