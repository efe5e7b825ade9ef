//! Definitions saved into files and folders.

use tempfile::TempDir;

use super::*;

const RULE: &str = r#"{"rules":{"attribute":"age","op":"gte","value":18}}"#;
const REFERS: &str = r#"{"id":"b","rules":{"segment":"a"}}"#;

fn numbers(store: &Store, id: &str) -> Vec<(u64, bool)> {
    let versions = store.versions(id).unwrap();
    versions.iter().map(|it| (it.version, it.definition.is_some())).collect()
}

#[test]
fn a_definition_goes_where_it_stands_and_else_into_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list.json");
    std::fs::write(
        &list,
        r#"[{"id":"x",  "rules":{"everyone":true}}, {"id":"y","rules":{"everyone":true}}]"#,
    )
    .unwrap();
    let store = Store::new(folder.path());
    assert!(store.put("a", RULE).unwrap().is_new);
    assert!(folder.path().join("a.json").exists());
    let saved = store.put("y", RULE).unwrap();
    assert_eq!((saved.version, saved.is_new, &*saved.definition.id), (2, false, "y"));
    assert!(std::fs::read_to_string(&list).unwrap().contains(r#"{"id":"x",  "rules""#));
    assert_eq!(store.put("a/b", RULE).unwrap().version, 1);
    assert!(folder.path().join("a%2fb.json").exists());
    assert_eq!(load(folder.path()).unwrap().catalog.len(), 4);
    assert_eq!(numbers(&store, "y"), [(1, true), (2, true)]);
    store.delete("y").unwrap();
    store.delete("a").unwrap();
    assert_eq!(numbers(&store, "y"), [(1, true), (2, true), (3, false)]);
    assert_eq!(load(folder.path()).unwrap().catalog.len(), 2);
    assert_eq!(store.put("y", RULE).unwrap().version, 4);
}

#[test]
fn one_file_is_a_list_in_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("segments.json");
    std::fs::write(&path, r#"{"id":"x","rules":{"everyone":true}}"#).unwrap();
    let store = Store::new(&path);
    store.put("a", RULE).unwrap();
    store.put("b", REFERS).unwrap();
    assert_eq!(load(&path).unwrap().catalog.len(), 3);
    let refused = store.delete("a").unwrap_err().to_string();
    assert!(refused.contains("it is referred to by b"), "{refused}");
    store.delete("b").unwrap();
    assert_eq!(store.get("b").unwrap(), None);
    assert_eq!(store.get("x").unwrap().unwrap()["id"], "x");
}

#[test]
fn what_is_wrong_is_told_and_nothing_written() {
    let folder = TempDir::new().unwrap();
    let store = Store::new(folder.path());
    let faults = |text: &str| match store.put("a", text) {
        Err(StoreError::Faults(faults)) => faults[0].to_string(),
        other => panic!("{other:?}"),
    };
    let wrong = faults(
        r#"{"rules":{"operator":"AND","conditions":[{"attribute":"x","op":"ge","value":1}]}}"#,
    );
    assert!(wrong.starts_with("rules.conditions[0].op: found \"ge\"; allowed: "), "{wrong}");
    assert!(faults(r#"{"id":"b","rules":{"everyone":true}}"#).starts_with("id: found \"b\""));
    assert!(faults("{").contains("JSON"));
    assert!(matches!(store.put("b", REFERS), Err(StoreError::Refused(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(folder.path().join("bad.json"), "{").unwrap();
    assert!(matches!(store.put("a", RULE), Err(StoreError::Standing(_))));
}
