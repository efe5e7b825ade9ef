//! A process that takes checkpoints, dies anywhere, and goes on from what it finds: over
//! thousands of seeds. `RIVULET_SEED=n` repeats one.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use object_store::memory::InMemory;

use super::faulty::{Faults, Faulty};
use super::*;

const SEEDS: u64 = 2_000;
const LIVES: u64 = 4;
/// How many seeds are tried at once.
const THREADS: u64 = 2;
const KEEP: usize = 2;

type Entries = Vec<Vec<u8>>;

/// What was done so far, by its own account.
#[derive(Default)]
struct Model {
    /// What is in each batch ever put.
    contents: BTreeMap<String, Entries>,
    /// The last checkpoint whose commit was acknowledged.
    committed: Option<Manifest>,
    /// Those after it whose commit was begun: each may be there or not.
    in_doubt: Vec<Manifest>,
}

struct World {
    seed: u64,
    random: Random,
    memory: Arc<InMemory>,
    model: Model,
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("RIVULET_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (random, memory) = (Random(seed), Arc::new(InMemory::new()));
        World { seed, random, memory, model: Model::default() }
    }

    /// The state as one finds it to whom nothing happens.
    fn sound(&self) -> Store {
        Store::over(Arc::clone(&self.memory) as Arc<_>).unwrap()
    }

    fn faults(&mut self) -> Faults {
        Faults {
            crash_after: Some(self.random.below(60)),
            transient_percent: [0, 0, 5, 20][self.random.below(4) as usize],
            full: (self.random.below(3) == 0).then(|| (self.random.below(30), 3)),
        }
    }

    /// One process, from its start to its death.
    fn live(&mut self) {
        let faults = self.faults();
        let seed = self.random.next();
        let faulty = Arc::new(Faulty::new(Arc::clone(&self.memory), seed, faults));
        let store = Store::over(Arc::clone(&faulty) as Arc<_>).unwrap();
        let Some(latest) = faulty.until_done(self.seed, || store.latest()) else { return };
        self.is_right(&latest);
        let mut batches = latest.manifest.map_or_else(Vec::new, |found| found.batches);
        let mut number = latest.next;
        loop {
            for worker in 0..self.random.below(3) as u32 {
                let entries: Entries =
                    (0..self.random.below(4)).map(|_| vec![self.random.next() as u8; 40]).collect();
                let made = batch("users", worker, &entries);
                let put = faulty.until_done(self.seed, || store.put_batch(number, &made));
                let Some(entry) = put else { return };
                self.model.contents.insert(entry.path.clone(), entries);
                batches.retain(|old| old.path != entry.path);
                batches.push(entry);
            }
            if self.random.below(4) == 0 && !batches.is_empty() {
                batches.remove(0); // it was merged into others, say
            }
            let manifest = Manifest {
                number,
                frontier: self.random.next() as i64,
                batches: batches.clone(),
                ..Manifest::default()
            };
            self.model.in_doubt.push(manifest.clone());
            if faulty.until_done(self.seed, || store.commit(&manifest)).is_none() {
                return;
            }
            self.model.committed = Some(manifest);
            self.model.in_doubt.clear();
            if faulty.until_done(self.seed, || store.tidy(KEEP)).is_none() {
                return;
            }
            number += 1;
        }
    }

    /// That what is found is the last checkpoint, and what is in it is what was put.
    fn is_right(&mut self, latest: &Latest) {
        let seed = self.seed;
        let found = latest.manifest.clone();
        let unsigned = found.clone().map(|found| Manifest { writer: String::new(), ..found });
        let in_doubt = self.model.in_doubt.iter().rev().find(|it| Some(*it) == unsigned.as_ref());
        assert!(
            in_doubt.is_some() || unsigned == self.model.committed,
            "seed {seed}: found {unsigned:?}, committed {:?}",
            self.model.committed
        );
        let store = self.sound();
        for entry in found.iter().flat_map(|found| &found.batches) {
            let (read, end) = read_all(store.open_batch(entry).unwrap());
            assert!(end.is_ok(), "seed {seed}: {end:?}");
            assert_eq!(read, self.model.contents[&entry.path], "seed {seed}");
        }
        for skipped in &latest.skipped {
            assert!(skipped.reason.is_damage(), "seed {seed}: {skipped:?}");
            assert!(Some(skipped.number) > unsigned.as_ref().map(|it| it.number), "seed {seed}");
        }
        self.model.committed = unsigned;
        self.model.in_doubt.clear();
    }

    /// That nothing which can be read lacks a batch, whole to the last byte.
    fn nothing_dangles(&self) {
        let store = self.sound();
        for listed in store.manifests().unwrap() {
            if listed.manifest.is_ok() {
                let checked = store.check(listed.number).unwrap();
                assert!(checked.wrong.is_empty(), "seed {}: {:?}", self.seed, checked.wrong);
            }
        }
    }

    /// That tidying in peace leaves what the kept ones name, and what is being written.
    fn nothing_is_left_over(&self) {
        let store = self.sound();
        store.tidy(KEEP).unwrap();
        let manifests = store.manifests().unwrap();
        let Some(newest) = manifests.first().map(|it| it.number) else { return };
        let kept = manifests.iter().filter_map(|it| it.manifest.as_ref().ok());
        let named: Vec<_> = kept.flat_map(|it| it.batches.iter().map(|it| &it.path)).collect();
        let whole = manifests.iter().filter(|it| it.manifest.is_ok()).count();
        assert!(whole <= KEEP, "seed {}", self.seed);
        for path in self.files("batches") {
            let is_new = crate::state::manifest::number_of(&path).unwrap() > newest;
            assert!(whole == 0 || is_new || named.contains(&&path), "seed {}: {path}", self.seed);
        }
        assert_eq!(store.tidy(KEEP).unwrap(), Tidied::default(), "seed {}", self.seed);
    }

    fn files(&self, folder: &str) -> Vec<String> {
        use futures_util::{FutureExt, TryStreamExt};
        use object_store::ObjectStore;
        let listed = self.memory.list(Some(&folder.into())).map_ok(|it| it.location.to_string());
        listed.try_collect().now_or_never().unwrap().unwrap()
    }
}

/// All lives of one seed; whether anything was committed.
fn play(seed: u64) -> bool {
    let mut world = World::new(seed);
    for _ in 0..LIVES {
        world.live();
        world.nothing_dangles();
        let latest = world.sound().latest().unwrap();
        world.is_right(&latest);
    }
    world.nothing_is_left_over();
    world.model.committed.is_some()
}

#[test]
fn a_crash_anywhere_leaves_the_last_checkpoint() {
    let part = |of: u64| seeds().filter(|seed| seed % THREADS == of).filter(|it| play(*it)).count();
    let committed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|of| scope.spawn(move || part(of))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(committed * 2 > seeds().count() || seeds().count() == 1, "it got nowhere");
}

#[test]
fn of_two_writers_one_commits_each_number() {
    for seed in seeds().take(300) {
        let mut world = World::new(seed);
        let stores = [world.sound(), world.sound()];
        let mut next = stores.each_ref().map(|store| store.latest().unwrap().next);
        let mut winners = BTreeMap::new();
        for _ in 0..20 {
            let who = world.random.below(2) as usize;
            let manifest = Manifest { number: next[who], ..Manifest::default() };
            match stores[who].commit(&manifest) {
                Ok(()) => {
                    assert_eq!(winners.insert(next[who], who), None, "seed {seed}");
                    stores[who].commit(&manifest).unwrap(); // the same again is the same
                    next[who] += 1;
                }
                Err(StateError::Taken { number, .. }) => {
                    assert_ne!(winners[&number], who, "seed {seed}");
                    next[who] = stores[who].latest().unwrap().next; // it is started anew
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        assert_eq!(
            winners.keys().copied().collect::<Vec<_>>(),
            (1..=winners.len() as u64).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_writer_that_sleeps_through_others_cannot_come_back() {
    let world = World::new(0);
    let (one, other) = (world.sound(), world.sound());
    let manifest = |number| Manifest { number, ..Manifest::default() };
    (1..=5).for_each(|number| one.commit(&manifest(number)).unwrap());
    one.tidy(1).unwrap();
    let error = other.commit(&manifest(2)).unwrap_err();
    assert!(matches!(error, StateError::Taken { number: 5, .. }), "{error}");
    assert!(error.to_string().contains("stop one of the two"), "{error}");
    let error = one.commit(&manifest(5)).err();
    assert!(error.is_none() || matches!(error, Some(StateError::Committed { .. })), "{error:?}");
    let again = Manifest { frontier: 7, ..manifest(5) };
    let error = one.commit(&again).unwrap_err();
    assert!(matches!(error, StateError::Committed { number: 5, .. }), "{error}");
}

/// One that was asleep when others committed its number wakes up in the midst of writing it.
#[test]
fn a_late_writer_spoils_no_batch_of_another() {
    let world = World::new(0);
    let (one, other) = (world.sound(), world.sound());
    let put = |store: &Store, text: &[u8]| {
        store.put_batch(1, &batch("users", 0, &[text.to_vec()])).unwrap()
    };
    let commit = |store: &Store, entry: BatchEntry| {
        store.commit(&Manifest { number: 1, batches: vec![entry], ..Manifest::default() })
    };
    let first = put(&one, b"first");
    commit(&one, first).unwrap();
    let second = put(&other, b"second");
    assert!(matches!(commit(&other, second), Err(StateError::Taken { number: 1, .. })));
    assert!(one.check(1).unwrap().wrong.is_empty());
    assert_eq!(one.tidy(1).unwrap(), Tidied { manifests: 0, batches: 1 });
    let entry = &one.latest().unwrap().manifest.unwrap().batches[0];
    assert_eq!(read_all(one.open_batch(entry).unwrap()).0, [b"first"]);
}

/// The same with threads, in a folder, all at once.
#[test]
fn of_many_threads_one_commits_each_number() {
    let folder = tempfile::tempdir().unwrap();
    let place = Location::Folder(folder.path().into());
    let barrier = Arc::new(Barrier::new(3));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (store, barrier) = (Store::create(&place).unwrap(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                let mut won = Vec::new();
                for number in 1..=30 {
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
    assert_eq!(won, (1..=30).collect::<Vec<_>>());
}
