//! Every operation of a place fails once, before or after it took effect, and the export tries again
//! or is killed there and begins anew: what comes of it is the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dataflows::model::{Difference, Duration, Sign};
use serde_json::Value as Json;

use super::*;
use crate::sink::courier::{Destination, Failure};
use crate::sink::delivery::Item;
use crate::sink::queue::Due;

type Store = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Files in memory.
#[derive(Clone, Default)]
struct Memory {
    files: Store,
    /// The operation that fails, counted down.
    left: Arc<AtomicUsize>,
    takes_effect: bool,
}

impl Memory {
    fn failing(left: usize, takes_effect: bool) -> Self {
        Memory { left: Arc::new(left.into()), takes_effect, ..Memory::default() }
    }

    fn operation<T>(
        &self,
        what: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T,
    ) -> Result<T, PlaceFault> {
        let fails = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        let fault = || PlaceFault { message: "it fails".into(), passes: true };
        if fails && !self.takes_effect {
            return Err(fault());
        }
        let done = what(&mut self.files.lock().unwrap());
        if fails { Err(fault()) } else { Ok(done) }
    }
}

impl Place for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), PlaceFault> {
        self.operation(|files| _ = files.insert(path.to_owned(), bytes))
    }

    fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, PlaceFault> {
        self.operation(|files| {
            let is_new = !files.contains_key(path);
            files.entry(path.to_owned()).or_insert(bytes);
            is_new
        })
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, PlaceFault> {
        self.operation(|files| files.get(path).cloned())
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, PlaceFault> {
        self.operation(|files| {
            let is_there = |it: &&String| it.starts_with(folder) && it.as_str() > after;
            files.keys().filter(is_there).cloned().collect()
        })
    }

    fn delete(&self, paths: Vec<String>) -> Result<(), PlaceFault> {
        self.operation(|files| paths.iter().for_each(|path| _ = files.remove(path)))
    }
}

const DAY: i64 = 86_400_000;

/// Users enter and leave two segments around midnight, ten differences a step.
fn steps() -> Vec<Due> {
    let mut inside = BTreeSet::new();
    let mut items = (0..60_i64).map(|number| {
        let (user, segment) = (number * 7 % 10, ["a", "b"][usize::from(number % 3 == 0)]);
        let entered = inside.insert((user, segment)) || !inside.remove(&(user, segment));
        Item::Difference(Difference {
            time: DAY - 25_000 + number * 1_000,
            segment: segment.into(),
            user: format!("u{user}").into(),
            sign: if entered { Sign::Entered } else { Sign::Left },
        })
    });
    let step = |_| {
        let items: Vec<_> = items.by_ref().take(10).collect();
        let upto = items.last().map_or(0, |item| item.time() + 1);
        Due { items, upto }
    };
    let mut steps: Vec<_> = (0..6).map(step).collect();
    steps.push(Due { items: Vec::new(), upto: 2 * DAY });
    steps
}

fn settings() -> Settings {
    Settings { job: "j".into(), name: "e".into(), format: Format::Jsonl }
}

fn connected(to: &mut impl Destination) -> Option<EventTime> {
    loop {
        match to.connect() {
            Ok(position) => return position,
            Err(Failure::Trouble(..)) => {}
            Err(Failure::Fault(fault)) => panic!("{fault}"),
        }
    }
}

/// Gives all steps, each until it is written, as a courier does. When something fails, `again`
/// tells what to go on with, where all before a time is final: another life, and its step, of which
/// it writes the first half alone.
fn give<D: Destination>(
    mut to: D,
    steps: Vec<Due>,
    mut again: impl FnMut(EventTime, &Due) -> Option<(D, Vec<Item>)>,
) {
    let mut position = connected(&mut to);
    let mut made_final = EventTime::MIN;
    let mut steps = VecDeque::from(steps);
    while let Some(mut due) = steps.pop_front() {
        to.prepare(&due.items);
        while let Err(failure) = to.write(&due, position) {
            assert!(matches!(failure, Failure::Trouble(..)), "{failure:?}");
            if let Some((new, items)) = again(made_final, &due) {
                to = new;
                position = connected(&mut to);
                due.items = items;
                due.items.retain(|item| position.is_none_or(|position| item.time() >= position));
                let cut = due.items.len().saturating_sub(5);
                let middle = due.items.get(cut).map_or(EventTime::MIN, Item::time);
                // Whoever was in is told of in one step.
                if middle > made_final {
                    let items = due.items.split_off(cut);
                    steps.push_front(Due { items, upto: due.upto });
                    due.upto = middle;
                }
                to.prepare(&due.items);
                if position.is_some_and(|position| position >= due.upto) {
                    break;
                }
                continue;
            }
            let found = connected(&mut to);
            if found == Some(due.upto) {
                break;
            }
            assert_eq!(found, position);
        }
        position = Some(due.upto);
        made_final = due.upto;
    }
}

/// All ways to fail: at which operation, with or without effect, and whether it is killed there.
fn ways() -> impl Iterator<Item = (usize, bool, bool)> {
    let ways = (1..80).flat_map(|at| [(at, true), (at, false)]);
    ways.flat_map(|(at, effect)| [(at, effect, true), (at, effect, false)])
}

/// The rows that manifests name, in order; there is nothing else.
fn logged(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let (mut rows, mut named) = (Vec::new(), 0);
    for text in files.iter().filter(|it| it.0.starts_with("_manifests/")).map(|it| it.1) {
        let manifest: Json = serde_json::from_slice(text).unwrap();
        named += 1;
        for file in manifest["files"].as_array().unwrap() {
            rows.extend_from_slice(&files[file["path"].as_str().unwrap()]);
            named += 1;
        }
    }
    assert_eq!(named, files.len(), "{:?}", files.keys());
    rows
}

#[test]
fn differences_are_there_once_whatever_fails() {
    let run = |memory: &Memory, is_killed: bool| {
        let log = || Log::new("log", settings(), Box::new(memory.clone()));
        give(log(), steps(), |_, due| is_killed.then(|| (log(), due.items.clone())));
        logged(&memory.files.lock().unwrap())
    };
    let expected = run(&Memory::failing(usize::MAX, false), false);
    assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 60);
    for (at, takes_effect, is_killed) in ways() {
        let found = run(&Memory::failing(at, takes_effect), is_killed);
        assert!(found == expected, "{at} {takes_effect} {is_killed}");
    }
}

/// Who is in what before a time, told as a run that goes on from there tells it, and then the rest.
fn from(resumes: EventTime, due: &Due) -> Vec<Item> {
    let mut members = BTreeMap::new();
    for item in steps().into_iter().flat_map(|step| step.items) {
        let Item::Difference(it) = item else { continue };
        if it.time < resumes {
            let member = (Arc::clone(&it.segment), Arc::clone(&it.user));
            match it.sign {
                Sign::Entered => _ = members.insert(member, it),
                Sign::Left => _ = members.remove(&member),
            }
        }
    }
    let members = members.into_values().map(Item::Difference);
    members.chain(due.items.iter().filter(|it| it.time() >= resumes).cloned()).collect()
}

#[test]
fn pictures_are_the_same_whatever_fails() {
    for share in [None, Some(Share::of_millionths(300_000))] {
        let schedule = Schedule::new(Some(Duration::from_ms(7_000)), share);
        let run = |memory: &Memory, is_killed: bool| {
            let begin = |resumes| {
                let place = Box::new(memory.clone());
                Pictures::new("p", settings(), schedule, (place, resumes))
            };
            give(begin(None), steps(), |made_final, due| {
                let resumes = Some(made_final).filter(|time| *time > EventTime::MIN);
                is_killed.then(|| (begin(resumes), from(made_final, due)))
            });
            let mut files = memory.files.lock().unwrap().clone();
            files.remove("_progress.json");
            files
        };
        let expected = run(&Memory::failing(usize::MAX, false), false);
        assert!(expected.len() > 8, "{:?}", expected.keys());
        for (at, takes_effect, is_killed) in ways() {
            let found = run(&Memory::failing(at, takes_effect), is_killed);
            assert!(found == expected, "{at} {takes_effect} {is_killed}");
        }
    }
}
