//! A job whose process dies between any two steps of its store and its sink, and goes on from what
//! it finds: over hundreds of seeds. `RIVULET_SEED=n` repeats one.
//!
//! Both are in memory and count their steps together, so a crash comes after any step of either.
//! From then on nothing that the dying process does has an effect. The sink keeps what it was given
//! and how far that goes in one step, as Redis, PostgreSQL and Kafka do in a transaction.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use dataflows::model::Difference;
use object_store::memory::InMemory;

use super::super::*;
use crate::definitions::load;
use crate::sink::delivery::{Delivery, HowItStands, Item, Standing};
use crate::state::Store;
use crate::state::tests::Random;
use crate::state::tests::faulty::{Fate, Faults, Faulty};

const SEEDS: u64 = 100;
/// How many seeds are tried at once.
const THREADS: u64 = 2;
/// How many lives may end in a crash.
const LIVES: u64 = 4;
const KEEP: usize = 2;
const RECORDS: u64 = 500;
const SEGMENTS: &str = r#"[
{"id":"looking","rules":{"event":"view","aggregate":"count","window":"10s","op":"gte","value":2}},
{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}},
{"id":"both","rules":{"operator":"AND","conditions":[{"segment":"looking"},{"segment":"pro"}]}},
{"id":"regular","rules":{"event":"view","aggregate":"count","op":"gte","value":9}}]"#;

/// What a sink has stored, for good.
#[derive(Default)]
struct Stored {
    differences: Vec<Difference>,
    position: Option<EventTime>,
}

/// The sink of one process.
struct Given {
    stored: Arc<Mutex<Stored>>,
    faulty: Arc<Faulty>,
    waiting: Vec<Difference>,
    made_final: MadeFinal,
}

impl Given {
    fn new(stored: &Arc<Mutex<Stored>>, faulty: &Arc<Faulty>) -> Self {
        let position = lock(stored).position.unwrap_or(EventTime::MIN);
        let (stored, faulty) = (Arc::clone(stored), Arc::clone(faulty));
        Given { stored, faulty, waiting: Vec::new(), made_final: MadeFinal::since(position) }
    }

    /// One transaction: all that waits from before this time, and the time.
    fn store(&self, before: EventTime) {
        let mut stored = lock(&self.stored);
        if stored.position.is_some_and(|position| position >= before) {
            return; // it was done by the try before, which was not told so
        }
        let new = self.waiting.iter().filter(|difference| difference.time < before);
        stored.differences.extend(new.cloned());
        stored.position = Some(before);
    }
}

impl Delivery for Given {
    fn delivered(&self) -> Option<EventTime> {
        lock(&self.stored).position
    }

    fn give(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        self.waiting.extend(items.into_iter().map(|item| match item {
            Item::Difference(difference) => difference,
            Item::Profile { .. } | Item::Line { .. } => panic!("only differences are given here"),
        }));
        Ok(())
    }

    fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError> {
        loop {
            let fate = self.faulty.fate(false);
            if fate.is_done() {
                self.store(frontier);
            }
            match fate {
                Fate::Done => break,
                Fate::Dies { .. } => {
                    let cause = io::ErrorKind::ConnectionReset.into();
                    return Err(SinkError::Write { name: "a sink".to_owned(), cause });
                }
                Fate::Fails { .. } | Fate::NoRoom | Fate::Torn(_) => {}
            }
        }
        self.waiting.retain(|difference| difference.time >= frontier);
        self.made_final.set(frontier);
        Ok(())
    }

    fn made_final(&self) -> MadeFinal {
        self.made_final.clone()
    }

    fn standing(&self) -> HowItStands {
        Arc::new(|| Standing {
            name: "a sink".to_owned(),
            is_down: false,
            waiting: 0,
            bytes: 0,
            on_disk: 0,
            written: 0,
            steps: 0,
            made_final: None,
        })
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Records out of order, some twice; some users are erased.
fn records(random: &mut Random) -> String {
    let mut text = String::new();
    for number in 0..RECORDS {
        let id = if random.below(10) == 0 { number.saturating_sub(3) } else { number };
        let time = 1_767_225_600_000 + number * 400 - random.below(3_000);
        let user = random.below(8);
        let what = match random.below(20) {
            0 => r#""type":"delete""#.to_owned(),
            1..4 => {
                let plan = ["pro", "free"][random.below(2) as usize];
                format!(r#""type":"identify","traits":{{"plan":"{plan}"}}"#)
            }
            _ => r#""type":"track","event":"view""#.to_owned(),
        };
        writeln!(text, r#"{{"messageId":"{id}","userId":"u{user}","timestamp":{time},{what}}}"#)
            .unwrap();
    }
    text
}

struct World {
    seed: u64,
    random: Random,
    memory: Arc<InMemory>,
    stored: Arc<Mutex<Stored>>,
    folder: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Self {
        let (mut random, folder) = (Random(seed), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("segments.json"), SEGMENTS).unwrap();
        for file in ["a.jsonl", "b.jsonl"] {
            std::fs::write(folder.path().join(file), records(&mut random)).unwrap();
        }
        World { seed, random, memory: Arc::default(), stored: Arc::default(), folder }
    }

    fn files(&self) -> Vec<InputFile> {
        let file = |name| InputFile { path: self.path(name), mapping: Mapping::default() };
        ["a.jsonl", "b.jsonl"].map(file).into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, workers: usize, state: Option<Kept>, timeline: Timeline) -> Run {
        let clock = clock();
        let live = state.is_some().then(|| Live {
            tracer: None,
            topics: Vec::new(),
            log: None,
            wall: Wall::system(),
            until_caught_up: false,
            stop: Arc::default(),
            counted: Vec::new(),
            watch: None,
            view: None,
        });
        let (inputs, timeline) = (self.files(), Arc::new(timeline));
        let cluster = Cluster::single(workers);
        let attributes = Vec::new();
        Run { inputs, timeline, clock, attributes, retain: None, cluster, live, state }
    }

    /// One process, from its start to its end; whether that was of its own accord.
    fn live(&mut self, faults: Faults) -> bool {
        let seed = self.random.next();
        let faulty = Arc::new(Faulty::new(Arc::clone(&self.memory), seed, faults));
        let sources: Vec<_> = self.files().into_iter().map(|file| file.path).collect();
        let names: Vec<_> = sources.iter().map(|path| path.display().to_string()).collect();
        let Some(mut resumed) = self.until_done(&faulty, || {
            let store = Store::over(Arc::clone(&faulty) as Arc<_>)?;
            Resumed::find_in(store, KEEP, "a job".to_owned())
        }) else {
            return false;
        };
        let Start { timeline, edits, go_on, recalled } =
            resumed.start(&timeline(&self.path("segments.json")), &names, &clock());
        let interval = WallDuration::from_micros(self.random.below(3_000));
        let kept = Kept { resumed, interval, go_on, edits, recalled };
        let workers = 1 + self.random.below(3) as usize;
        let given: Box<dyn Delivery> = Box::new(Given::new(&self.stored, &faulty));
        let outputs = Outputs {
            deliveries: Deliveries { differences: vec![given], ..Deliveries::default() },
            sources: sources.into_iter().map(Origin::File).collect(),
            ..Outputs::default()
        };
        match super::super::run(self.run(workers, Some(kept), timeline), outputs) {
            Ok(_) => true,
            Err(_) if faulty.has_crashed() => false,
            // Writing down what is decided at the start is not tried again: people start it again.
            Err(RunError::State(error)) if error.is_transient() || error.is_full() => false,
            Err(error) => panic!("seed {}: {error}: {error:?}", self.seed),
        }
    }

    /// Does it again until it is done, or the process dies.
    fn until_done<T>(
        &self,
        faulty: &Faulty,
        mut act: impl FnMut() -> Result<T, StateError>,
    ) -> Option<T> {
        loop {
            match act() {
                Ok(done) => return Some(done),
                Err(_) if faulty.has_crashed() => return None,
                Err(error) if error.is_transient() || error.is_full() => {}
                Err(error) => panic!("seed {}: {error}: {error:?}", self.seed),
            }
        }
    }

    fn faults(&mut self) -> Faults {
        let steps = [10, 20, 60][self.random.below(3) as usize];
        Faults {
            crash_after: Some(self.random.below(steps)),
            transient_percent: [0, 0, 3][self.random.below(3) as usize],
            full: (self.random.below(4) == 0).then(|| (self.random.below(40), 3)),
        }
    }

    /// What a run says to which nothing happens, that keeps nothing.
    fn undisturbed(&self) -> Vec<Difference> {
        let outputs = Outputs {
            kept: Some(Vec::new()),
            sources: self.files().into_iter().map(|file| Origin::File(file.path)).collect(),
            ..Outputs::default()
        };
        let run = self.run(1, None, timeline(&self.path("segments.json")));
        super::super::run(run, outputs).unwrap().1.kept.unwrap()
    }
}

fn clock() -> ClockSettings {
    ClockSettings { max_out_of_orderness: Duration::from_ms(3_000), ..ClockSettings::default() }
}

fn timeline(segments: &Path) -> Timeline {
    Timeline::accept(load(segments).unwrap().catalog, Vec::new()).0
}

/// The lives of one world: whether any ended in a crash.
fn live_and_die(seed: u64) -> bool {
    let mut world = World::new(seed);
    let expected = world.undisturbed();
    assert!(expected.len() > 100, "seed {seed}: {}", expected.len());
    let mut crashes = 0;
    for _ in 0..LIVES {
        let faults = world.faults();
        if world.live(faults) {
            break;
        }
        crashes += 1;
    }
    assert!(world.live(Faults::default()), "seed {seed}");
    let stored = lock(&world.stored);
    assert_eq!(stored.position, Some(EventTime::MAX), "seed {seed}");
    for (index, (stored, expected)) in stored.differences.iter().zip(&expected).enumerate() {
        assert_eq!(stored, expected, "difference {index} of seed {seed}");
    }
    assert_eq!(stored.differences.len(), expected.len(), "seed {seed}");
    crashes > 0
}

#[test]
fn whenever_it_dies_the_sink_has_each_difference_once() {
    if let Some(seed) = std::env::var("RIVULET_SEED").ok().and_then(|text| text.parse().ok()) {
        live_and_die(seed);
        return;
    }
    let of_thread =
        |thread| (thread..SEEDS).step_by(THREADS as usize).filter(|it| live_and_die(*it));
    let crashed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || of_thread(thread).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // How many steps a life has depends on the machine; to start takes some on every one.
    assert!(crashed as u64 > SEEDS / 10, "only {crashed} of {SEEDS} worlds had a crash");
}
