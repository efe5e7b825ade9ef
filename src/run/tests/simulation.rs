//! A job whose process dies between any two steps of its store and its sink, and goes on from what
//! it finds: over hundreds of seeds. `RIVULET_SEED=n` repeats one.
//!
//! Both are in memory and count their steps together, so a crash comes after any step of either.
//! From then on nothing that the dying process does has an effect. The sink keeps what it was given
//! and how far that goes in one step, as Redis, PostgreSQL and Kafka do in a transaction.
//!
//! With `on_event` the next life may read the partitions in another order. Files are cut back; what a
//! sink was given stands, so there the next life has to follow what is in the chronicle. Whatever the
//! order, each enters and leaves in turn, who is in what is right once all has been read, and each
//! late record stands there once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use dataflows::clock::Emit;
use dataflows::model::Difference;
use object_store::memory::InMemory;

use super::super::*;
use crate::definitions::load;
use crate::sink::Sink;
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
fn records(random: &mut Random, file: &str, emit: Emit) -> String {
    let mut text = String::new();
    for number in 0..RECORDS {
        // Which of two comes first is not told there, so both are the same.
        let id = match emit {
            Emit::OnWatermark if random.below(10) == 0 => number.saturating_sub(3).to_string(),
            Emit::OnWatermark => number.to_string(),
            Emit::OnEvent => format!("{file} {number}"),
        };
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
        let copies = if emit == Emit::OnEvent && random.below(10) == 0 { 2 } else { 1 };
        for _ in 0..copies {
            let line = format!(r#""messageId":"{id}","userId":"u{user}","timestamp":{time}"#);
            writeln!(text, "{{{line},{what}}}").unwrap();
        }
    }
    text
}

/// What is written, and when.
#[derive(Clone, Copy, PartialEq)]
enum Sinks {
    /// A sink that delivers, what is final.
    Final,
    /// The same, at once.
    AtOnce,
    /// Files, at once.
    Files,
}

impl Sinks {
    fn emit(self) -> Emit {
        match self {
            Sinks::Final => Emit::OnWatermark,
            Sinks::AtOnce | Sinks::Files => Emit::OnEvent,
        }
    }
}

struct World {
    seed: u64,
    sinks: Sinks,
    random: Random,
    memory: Arc<InMemory>,
    stored: Arc<Mutex<Stored>>,
    folder: tempfile::TempDir,
}

impl World {
    fn new(seed: u64, sinks: Sinks) -> Self {
        let emit = sinks.emit();
        let (mut random, folder) = (Random(seed), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("segments.json"), SEGMENTS).unwrap();
        for file in ["a.jsonl", "b.jsonl"] {
            std::fs::write(folder.path().join(file), records(&mut random, file, emit)).unwrap();
        }
        World { seed, sinks, random, memory: Arc::default(), stored: Arc::default(), folder }
    }

    fn files(&self) -> Vec<InputFile> {
        let file = |name| InputFile { path: self.path(name), mapping: Mapping::default() };
        ["a.jsonl", "b.jsonl"].map(file).into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, workers: usize, state: Option<Kept>, timeline: Timeline) -> Run {
        let clock = self.clock();
        let live = state.is_some().then(super::live);
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
        let Some(resumed) = faulty.until_done(self.seed, || {
            let store = Store::over(Arc::clone(&faulty) as Arc<_>)?;
            Resumed::find_in(store, KEEP, "a job".to_owned())
        }) else {
            return false;
        };
        // What no segment asks for changes nothing, nor does it that it is retained otherwise now.
        let spans = [None, Some(1), Some(2_000), Some(30_000)];
        let retain = spans[self.random.below(4) as usize].map(Duration::from_ms);
        let mut resumed = resumed.retaining(retain);
        let Start { timeline, edits, go_on, recalled } =
            resumed.start(&timeline(&self.path("segments.json")), &names, &self.clock());
        let interval = WallDuration::from_micros(self.random.below(3_000));
        let is_chronicled = self.sinks == Sinks::AtOnce;
        let kept = Kept { resumed, interval, go_on, edits, recalled, is_chronicled };
        let workers = 1 + self.random.below(3) as usize;
        let sources = sources.into_iter().map(Origin::File).collect();
        let outputs = match self.sinks {
            Sinks::Final | Sinks::AtOnce => {
                let given: Box<dyn Delivery> = Box::new(Given::new(&self.stored, &faulty));
                let differences = vec![given];
                let deliveries = Deliveries { differences, ..Deliveries::default() };
                Outputs { deliveries, sources, ..Outputs::default() }
            }
            Sinks::Files => {
                let resumed = &kept.resumed;
                let sink = |path: PathBuf| match resumed.position(&path.display().to_string()) {
                    Some(length) => Sink::resume(&path, length).unwrap(),
                    None => Sink::file(&path).unwrap(),
                };
                let differences = vec![(sink(self.path("out.jsonl")), Form::Json)];
                let late = vec![sink(self.path("late.jsonl"))];
                Outputs { differences, late, sources, ..Outputs::default() }
            }
        };
        match super::super::run(self.run(workers, Some(kept), timeline), outputs) {
            Ok(_) => true,
            Err(_) if faulty.has_crashed() => false,
            // Writing down what is decided at the start is not tried again: people start it again.
            Err(RunError::State(error)) if error.is_transient() || error.is_full() => false,
            Err(error) => panic!("seed {}: {error}: {error:?}", self.seed),
        }
    }

    fn faults(&mut self) -> Faults {
        let steps = match self.sinks {
            Sinks::Final | Sinks::Files => [10, 20, 60],
            Sinks::AtOnce => [20, 60, 180],
        };
        let steps = steps[self.random.below(3) as usize];
        // The sink may be quicker than what it must not be ahead of.
        let takes = match self.sinks {
            Sinks::Final | Sinks::Files => WallDuration::ZERO,
            Sinks::AtOnce => WallDuration::from_millis(self.random.below(3) * 40),
        };
        Faults {
            crash_after: Some(self.random.below(steps)),
            transient_percent: [0, 0, 3][self.random.below(3) as usize],
            full: (self.random.below(4) == 0).then(|| (self.random.below(40), 3)),
            takes,
        }
    }

    fn clock(&self) -> ClockSettings {
        let (max_out_of_orderness, emit) = (Duration::from_ms(3_000), self.sinks.emit());
        ClockSettings { max_out_of_orderness, emit, ..ClockSettings::default() }
    }

    /// What a run says to which nothing happens, that keeps nothing.
    fn undisturbed(&self) -> Vec<Difference> {
        let outputs = Outputs {
            kept: Some(Vec::new()),
            late: vec![Sink::file(&self.path("undisturbed.jsonl")).unwrap()],
            sources: self.files().into_iter().map(|file| Origin::File(file.path)).collect(),
            ..Outputs::default()
        };
        let mut run = self.run(1, None, timeline(&self.path("segments.json")));
        run.clock.emit = Emit::OnWatermark;
        super::super::run(run, outputs).unwrap().1.kept.unwrap()
    }

    /// The lines of a file, in order of what they say.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn timeline(segments: &Path) -> Timeline {
    Timeline::accept(load(segments).unwrap().catalog, Vec::new()).0
}

/// The lives of one world: whether any ended in a crash.
fn live_and_die(seed: u64) -> bool {
    let mut world = World::new(seed, Sinks::Final);
    let expected = world.undisturbed();
    assert!(expected.len() > 100, "seed {seed}: {}", expected.len());
    let crashes = world.lives();
    let stored = lock(&world.stored);
    assert_eq!(stored.position, Some(EventTime::MAX), "seed {seed}");
    for (index, (stored, expected)) in stored.differences.iter().zip(&expected).enumerate() {
        assert_eq!(stored, expected, "difference {index} of seed {seed}");
    }
    assert_eq!(stored.differences.len(), expected.len(), "seed {seed}");
    crashes > 0
}

/// The same where differences are given out at once.
fn live_and_die_at_once(seed: u64) -> bool {
    let mut world = World::new(seed, Sinks::Files);
    let expected = world.undisturbed();
    let crashes = world.lives();
    let text = std::fs::read_to_string(world.path("out.jsonl")).unwrap();
    let given: Vec<Told> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    check_members(seed, &given, &expected);
    assert_eq!(world.lines("late.jsonl"), world.lines("undisturbed.jsonl"), "seed {seed}");
    crashes > 0
}

/// The same where they are delivered, and cannot be taken back.
fn live_and_die_delivered_at_once(seed: u64) -> bool {
    let mut world = World::new(seed, Sinks::AtOnce);
    let expected = world.undisturbed();
    let crashes = world.lives();
    let stored = lock(&world.stored);
    assert_eq!(stored.position, Some(EventTime::MAX), "seed {seed}");
    let given: Vec<Told> = stored.differences.iter().map(Told::of).collect();
    check_members(seed, &given, &expected);
    crashes > 0
}

/// That each enters and leaves in turn, and is where they should be once all has come.
fn check_members(seed: u64, given: &[Told], expected: &[Difference]) {
    assert!(given.iter().is_sorted_by_key(|told| told.time), "seed {seed}");
    let expected: Vec<Told> = expected.iter().map(Told::of).collect();
    // By then all has come.
    let last = 1_767_225_600_000 + RECORDS as i64 * 400;
    for until in [last, last + 5_000, last + 9_999, EventTime::MAX] {
        let (own, theirs) = (members(seed, given, until), members(seed, &expected, until));
        assert_eq!(own, theirs, "seed {seed} at {until}");
    }
}

/// A difference, as a file tells it.
#[derive(serde::Deserialize)]
struct Told {
    time: EventTime,
    segment: String,
    user: String,
    diff: i64,
}

impl Told {
    fn of(it: &Difference) -> Self {
        let (segment, user) = (it.segment.to_string(), it.user.to_string());
        Told { time: it.time, segment, user, diff: it.sign.diff().into() }
    }
}

/// Who is in which segment then. Each enters and leaves in turn.
fn members(seed: u64, given: &[Told], until: EventTime) -> BTreeSet<(&str, &str)> {
    let mut members = BTreeSet::new();
    for it in given.iter().filter(|it| it.time <= until) {
        let place = (&*it.segment, &*it.user);
        let is_new = if it.diff > 0 { members.insert(place) } else { members.remove(&place) };
        assert!(is_new, "seed {seed}: {place:?} at {}", it.time);
    }
    members
}

impl World {
    /// All its lives; how many ended in a crash.
    fn lives(&mut self) -> u64 {
        let mut crashes = 0;
        for _ in 0..LIVES {
            let faults = self.faults();
            if self.live(faults) {
                break;
            }
            crashes += 1;
        }
        assert!(self.live(Faults::default()), "seed {}", self.seed);
        crashes
    }
}

#[test]
fn whenever_it_dies_the_sink_has_each_difference_once() {
    try_all(live_and_die, SEEDS);
}

#[test]
fn whenever_it_dies_what_is_given_out_at_once_is_right_in_the_end() {
    try_all(live_and_die_at_once, SEEDS / 3);
}

#[test]
fn whenever_it_dies_what_was_delivered_at_once_stands() {
    try_all(live_and_die_delivered_at_once, SEEDS / 2);
}

/// Over all seeds; some worlds must have had a crash.
fn try_all(live_and_die: fn(u64) -> bool, seeds: u64) {
    if let Some(seed) = std::env::var("RIVULET_SEED").ok().and_then(|text| text.parse().ok()) {
        live_and_die(seed);
        return;
    }
    let of_thread =
        |thread| (thread..seeds).step_by(THREADS as usize).filter(|it| live_and_die(*it));
    let crashed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || of_thread(thread).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // How many steps a life has depends on the machine; to start takes some on every one.
    assert!(crashed as u64 > seeds / 10, "only {crashed} of {seeds} worlds had a crash");
}
