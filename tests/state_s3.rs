//! State in an object store: a real server that speaks S3 over HTTP on loopback, which verifies
//! signatures and keeps its objects in a folder.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod common;
#[path = "common/s3.rs"]
mod s3;

use std::sync::Arc;

use rivulet::state::{BatchWriter, Location, Manifest, S3, Secret, StateError, Store};

use common::Place;
use s3::{KEY, Server};

impl Server {
    fn store(&self, prefix: &str) -> Store {
        Store::create(&Location::S3(self.place(prefix))).unwrap()
    }
}

/// A checkpoint of one batch.
fn put(store: &Store, number: u64, entries: &[&[u8]]) -> Manifest {
    let mut writer = BatchWriter::new("users", 0, 0, 1_000);
    entries.iter().for_each(|entry| writer.write(entry).unwrap());
    let entry = store.put_batch(number, &writer.finish().unwrap()).unwrap();
    Manifest { number, frontier: 1_000, batches: vec![entry], ..Manifest::default() }
}

fn read(store: &Store, manifest: &Manifest) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in &manifest.batches {
        let mut reader = store.open_batch(entry).unwrap();
        while let Some(entry) = reader.next().unwrap() {
            all.push(entry.to_vec());
        }
    }
    all
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn checkpoints_come_back_and_go() {
    let server = Server::start();
    let store = server.store("jobs/a");
    assert!(store.latest().unwrap().manifest.is_none());
    assert_eq!(store.latest().unwrap().next, 1);
    let long = noise(12 << 20); // goes in parts
    for number in 1..=3 {
        let text = format!("of {number}").into_bytes();
        let manifest = put(&store, number, &[&text, &long]);
        store.commit(&manifest).unwrap();
        store.commit(&manifest).unwrap();
        let found = store.latest().unwrap();
        assert_eq!((found.next, found.skipped.len()), (number + 1, 0));
        assert_eq!(read(&store, &found.manifest.unwrap()), [text, long.clone()]);
    }
    assert!(server.file("jobs/a/manifests/0000000003.json").exists());
    assert!(store.check(3).unwrap().wrong.is_empty());
    let tidied = store.tidy(2).unwrap();
    assert_eq!((tidied.manifests, tidied.batches), (1, 1));
    let numbers: Vec<_> = store.manifests().unwrap().iter().map(|it| it.number).collect();
    assert_eq!(numbers, [3, 2]);
    // Another prefix of the same bucket is another place.
    assert!(server.store("jobs/b").latest().unwrap().manifest.is_none());
}

/// The workers of a job share a store.
#[test]
fn one_store_serves_many_threads() {
    let server = Server::start();
    let store = server.store("state");
    let threads: Vec<_> = (0..4u32)
        .map(|worker| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut writer = BatchWriter::new("users", worker, 0, 0);
                let entry = noise((9 << 20) + worker as usize);
                writer.write(&entry).unwrap();
                let put = store.put_batch(1, &writer.finish().unwrap()).unwrap();
                assert!(store.open_batch(&put).unwrap().next().unwrap() == Some(&entry[..]));
                put
            })
        })
        .collect();
    let batches = threads.into_iter().map(|it| it.join().unwrap()).collect();
    store.commit(&Manifest { number: 1, batches, ..Manifest::default() }).unwrap();
    let checked = store.check(1).unwrap();
    assert_eq!((checked.batches, checked.entries, checked.wrong.len()), (4, 4, 0));
}

#[test]
fn damage_is_found_and_passed_over() {
    let server = Server::start();
    let store = server.store("");
    for number in 1..=2 {
        store.commit(&put(&store, number, &[format!("of {number}").as_bytes()])).unwrap();
    }
    let latest = store.latest().unwrap().manifest.unwrap();
    let file = server.file(&latest.batches[0].path);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let found = store.latest().unwrap();
    assert_eq!((found.manifest.unwrap().number, found.next), (1, 3));
    let said = found.skipped[0].reason.to_string();
    assert!(said.starts_with("s3://shop/batches/0000000002-users-0-"), "{said}");
    std::fs::remove_file(&file).unwrap();
    assert!(store.latest().unwrap().skipped[0].reason.to_string().contains("is missing"));
    assert_eq!(store.check(2).unwrap().wrong.len(), 1);
}

#[test]
fn of_two_writers_one_commits_each_number() {
    let server = Server::start();
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (store, barrier) = (server.store("state"), Arc::clone(&barrier));
            std::thread::spawn(move || {
                let mut won = Vec::new();
                for number in 1..=10 {
                    barrier.wait();
                    match store.commit(&Manifest { number, ..Manifest::default() }) {
                        Ok(()) => won.push(number),
                        Err(error) => assert!(matches!(error, StateError::Taken { .. }), "{error}"),
                    }
                }
                won
            })
        })
        .collect();
    let mut won: Vec<_> = threads.into_iter().flat_map(|it| it.join().unwrap()).collect();
    won.sort_unstable();
    assert_eq!(won, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_server_that_stumbles_is_asked_again() {
    let server = Server::start();
    let store = server.store("state");
    let manifest = put(&store, 1, &[b"x"]);
    server.fail(2, 503);
    store.commit(&manifest).unwrap();
    server.fail(1, 500);
    assert_eq!(read(&store, &store.latest().unwrap().manifest.unwrap()), [b"x"]);
    server.fail(u64::MAX, 503);
    let error = store.latest().unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().starts_with("cannot list s3://shop/state/manifests"), "{error}");
    server.fail(u64::MAX, 507);
    let error = put_error(&store);
    assert!(matches!(error, StateError::Full { .. }), "{error:?}");
    server.fail(0, 200);
    assert_eq!(store.latest().unwrap().next, 2);
}

fn put_error(store: &Store) -> StateError {
    let batch = BatchWriter::new("users", 0, 0, 0).finish().unwrap();
    store.put_batch(2, &batch).unwrap_err()
}

#[test]
fn what_is_refused_is_not_asked_again() {
    let server = Server::start();
    let keys = Some((Secret::new("rivulet"), Secret::new("wrong")));
    let store = Store::create(&Location::S3(S3 { keys, ..server.place("state") })).unwrap();
    let error = store.latest().unwrap_err();
    assert!(matches!(error, StateError::Denied { .. }), "{error:?}");
    assert!(!error.is_transient() && !format!("{error:?}").contains("wrong"));
    assert_eq!(server.requests(), 1);
    let place = S3 { bucket: "none".into(), ..server.place("state") };
    let error = Store::create(&Location::S3(place)).unwrap().latest().unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("s3://none/state"), "{error:?}");
}

#[test]
fn a_server_that_is_not_there_is_worth_another_try() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::start();
    let place = S3 { endpoint: Some(format!("http://{address}")), ..server.place("state") };
    let error = Store::create(&Location::S3(place)).unwrap().latest().unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("can be reached"), "{error}");
}

#[test]
fn the_verb_reads_it_by_a_job_file_or_by_the_environment() {
    let server = Server::start();
    let store = server.store("state");
    store.commit(&put(&store, 1, &[b"x"])).unwrap();
    let (place, endpoint) = (Place::new(), format!("http://{}", server.address));
    let job = format!(
        "segments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n\
         [state]\npath = \"s3://shop/state\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\n\
         access_key = \"rivulet\"\nsecret_key = \"${{KEY}}\"\nallow_http = true\n"
    );
    place.write("job.toml", job);
    let mut command = place.command("state --job job.toml --check");
    let done = common::Running::start(command.env("KEY", KEY)).end().fine();
    assert!(done.stdout.starts_with("checkpoint 1, taken "), "{done:?}");
    assert_eq!(done.stderr, "1 checkpoint of 1 batch: all whole\n");
    let mut command = place.command("state s3://shop/state --json");
    command.env("AWS_ENDPOINT_URL", &endpoint).env("AWS_ALLOW_HTTP", "true");
    command.env("AWS_ACCESS_KEY_ID", "rivulet").env("AWS_SECRET_ACCESS_KEY", KEY);
    let done = common::Running::start(command.env("AWS_REGION", "us-east-1")).end().fine();
    assert!(done.stdout.contains("\"collections\":{\"users\":{"), "{done:?}");
    let mut command = place.command("state --job job.toml");
    let said = common::Running::start(command.env("KEY", "another-secret")).end().refused();
    assert!(said.contains("may not list s3://shop/state/manifests"), "{said}");
    assert!(!said.contains("another-secret") && !said.contains(KEY), "{said}");
}
