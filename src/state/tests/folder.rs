//! State in a folder: what people and crashes do to files.

use std::fs;
use std::path::Path;

use super::*;

/// A folder with two checkpoints, the second of which names a batch of the first as well.
fn two(folder: &Path) -> (Store, Vec<BatchEntry>) {
    let store = Store::create(&Location::Folder(folder.join("deep/state"))).unwrap();
    let mut entries = Vec::new();
    for number in 1..=2 {
        assert_eq!(store.latest().unwrap().next, number);
        let made = batch("users", 0, &[format!("of {number}").into_bytes()]);
        entries.push(store.put_batch(number, &made).unwrap());
        let manifest = Manifest { number, batches: entries.clone(), ..Manifest::default() };
        store.commit(&manifest).unwrap();
    }
    (store, entries)
}

fn found(store: &Store) -> (Option<u64>, Vec<String>) {
    let latest = store.latest().unwrap();
    assert_eq!(latest.next, 3);
    let skipped = latest.skipped.iter().map(|it| format!("{}: {}", it.number, it.reason));
    (latest.manifest.map(|it| it.number), skipped.collect())
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_its_reason() {
    let place = tempfile::tempdir().unwrap();
    let (store, entries) = two(place.path());
    assert_eq!(found(&store), (Some(2), vec![]));
    let second = place.path().join("deep/state").join(&entries[1].path);
    let bytes = fs::read(&second).unwrap();

    fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    let (number, skipped) = found(&store);
    assert_eq!(number, Some(1));
    assert!(skipped[0].contains(&*second.to_string_lossy()), "{skipped:?}");
    assert!(skipped[0].contains("the manifest says"), "{skipped:?}");

    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&second, &changed).unwrap();
    assert!(found(&store).1[0].contains("not the one the manifest names"));

    // A byte in the middle is found by a check, which reads all; the footer does not tell.
    let mut changed = bytes.clone();
    changed[60] ^= 1;
    fs::write(&second, &changed).unwrap();
    assert_eq!(found(&store).0, Some(2));
    let checked = store.check(2).unwrap();
    assert_eq!((checked.batches, checked.entries, checked.wrong.len()), (1, 1, 1));
    assert!(checked.wrong[0].to_string().contains("in block 0, from byte"), "{checked:?}");
    assert!(store.check(1).unwrap().wrong.is_empty());

    fs::remove_file(&second).unwrap();
    assert!(found(&store).1[0].contains("is missing: put it back"));
    assert!(store.check(2).unwrap().wrong[0].to_string().contains("is missing"));
}

#[test]
fn a_torn_manifest_is_passed_over_and_its_number_not_used_again() {
    let place = tempfile::tempdir().unwrap();
    let (store, _) = two(place.path());
    let path = place.path().join("deep/state/manifests/0000000002.json");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (number, skipped) = found(&store);
    assert_eq!((number, skipped.len()), (Some(1), 1));
    assert_eq!(store.manifests().unwrap().iter().filter(|it| it.manifest.is_err()).count(), 1);
    // With only one whole checkpoint of the two to be kept, none goes.
    assert_eq!(store.tidy(2).unwrap().manifests, 0);
    assert_eq!(found(&store).0, Some(1));
    fs::copy(place.path().join("deep/state/manifests/0000000001.json"), &path).unwrap();
    let said = &found(&store).1[0];
    assert!(said.contains("it is that of checkpoint 1"), "{said}");
}

#[test]
fn a_newer_version_is_not_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let (store, _) = two(place.path());
    let newer = Manifest { format: 2, number: 3, ..Manifest::default() }.encode();
    fs::write(place.path().join("deep/state/manifests/0000000003.json"), newer).unwrap();
    let error = store.latest().unwrap_err();
    assert!(error.to_string().contains("written by a newer Rivulet"), "{error}");
    assert!(store.tidy(1).is_err(), "who knows what it names");
}

#[test]
fn tidying_keeps_what_is_named_and_what_is_being_written() {
    let place = tempfile::tempdir().unwrap();
    let (store, entries) = two(place.path());
    let root = place.path().join("deep/state");
    fs::write(root.join("batches/0000000002-users-9-00.batch#1"), "half").unwrap();
    fs::write(root.join("batches/0000000003-users-9-00.batch#1"), "being written").unwrap();
    let next = store.put_batch(3, &batch("users", 0, &[])).unwrap();
    let lost = store.put_batch(2, &batch("lost", 0, &[])).unwrap();
    assert_eq!(store.tidy(1).unwrap(), Tidied { manifests: 1, batches: 2 });
    assert!(entries.iter().chain([&next]).all(|it| root.join(&it.path).exists()));
    assert!(!root.join(&lost.path).exists());
    assert!(root.join("batches/0000000003-users-9-00.batch#1").exists());
    assert_eq!(store.tidy(1).unwrap(), Tidied::default());
    assert_eq!(found(&store), (Some(2), vec![]));
    assert!(!root.join("manifests/0000000001.json").exists());
}

#[test]
fn a_checkpoint_that_lacks_a_batch_does_not_count_as_kept() {
    let place = tempfile::tempdir().unwrap();
    let (store, entries) = two(place.path());
    fs::remove_file(place.path().join("deep/state").join(&entries[1].path)).unwrap();
    store.tidy(1).unwrap();
    assert_eq!(found(&store).0, Some(1), "it is the only one to go on from");
}

#[test]
fn a_long_batch_goes_in_parts_and_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::create(&Location::Folder(place.path().into())).unwrap();
    let mut random = Random(7);
    let entry: Vec<u8> = (0..9 << 17).flat_map(|_| random.next().to_le_bytes()).collect();
    let made = batch("users", 0, std::slice::from_ref(&entry));
    let put = store.put_batch(1, &made).unwrap();
    assert!(put.bytes > 9 << 20);
    let (read, end) = read_all(store.open_batch(&put).unwrap());
    assert!(end.is_ok() && read == [entry]);
}

#[test]
fn what_cannot_be_opened_or_written_is_told() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| Location::Folder(place.path().join(name));
    let error = Store::open(&at("none")).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("there is no state at"), "{error}");
    fs::write(place.path().join("file"), "").unwrap();
    for name in ["file", "file/below"] {
        let error = Store::create(&at(name)).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("cannot make the folder") && error.contains("file"), "{error}");
    }
    let store = Store::create(&at("state")).unwrap();
    fs::write(place.path().join("state/batches"), "in the way").unwrap();
    let error = store.put_batch(1, &batch("users", 0, &[])).unwrap_err();
    assert!(error.to_string().contains("state/batches/0000000001-users-0-"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn a_full_disk_is_told_as_that() {
    // Linux answers every write to this device with "no space left".
    let cause = fs::write("/dev/full", "x").unwrap_err();
    let error = object_store::Error::Generic { store: "folder", source: cause.into() };
    let objects = crate::state::objects::Objects::open(&Location::Folder("/".into())).unwrap();
    let error = objects.explain("write", "x", error);
    assert!(matches!(error, StateError::Full { .. }) && !error.is_transient());
    assert!(error.to_string().contains("make room"), "{error}");
}
