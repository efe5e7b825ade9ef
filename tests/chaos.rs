//! Everything that can be killed is killed, over and over; the differences are those of a log that
//! was replayed in peace.
//!
//! A job from topic to topic, with state, under supervisors: its processes are killed, it is
//! started again with another number of processes and workers, the broker is killed or cut off for a
//! while, the newest file of the state is torn, there is no room to write it. All of it comes from a
//! seed. `./run.sh chaos` runs it long; `RIVULET_CHAOS_EVENTS`, `RIVULET_CHAOS_FAULTS` and
//! `RIVULET_SEED` say how.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]
#![expect(clippy::print_stdout, reason = "what was survived is told to whoever asks for it")]

mod common;
#[path = "common/kafka.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{BUSY_SEGMENTS, Place};
use harness::Broker;
use serde_json::Value as Json;

const PARTITIONS: usize = 4;
/// How long a fault waits for a checkpoint that may never come.
const PROGRESS: Duration = Duration::from_secs(3);
/// How long the broker is cut off.
const CUT: Duration = Duration::from_secs(3);
/// How often what has come out is looked at, at most.
const LOOK: Duration = Duration::from_millis(300);
/// How long nothing may change before it counts as hung: on a slow machine that is busy, a start of
/// three processes takes a while.
const PATIENCE: Duration = Duration::from_secs(300);

fn told(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// Random numbers from a seed (xorshift).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KilledOne,
    Restarted,
    BrokerKilled,
    CutOff,
    Full,
    Torn,
}

/// Faults in an order from a seed: at first each once, then at random, what is quick more often.
struct Faults(Vec<Fault>);

impl Faults {
    fn new() -> Self {
        use Fault::{BrokerKilled, CutOff, Full, KilledOne, Restarted, Torn};
        Faults(vec![KilledOne, Restarted, BrokerKilled, CutOff, Full, Torn])
    }

    fn draw(&mut self, random: &mut Seeded) -> Fault {
        if !self.0.is_empty() {
            let which = random.below(self.0.len() as u64);
            return self.0.swap_remove(usize::try_from(which).unwrap());
        }
        match random.below(12) {
            0..=4 => Fault::KilledOne,
            5 | 6 => Fault::Restarted,
            7 => Fault::BrokerKilled,
            8 => Fault::CutOff,
            9 => Fault::Full,
            _ => Fault::Torn,
        }
    }
}

/// What has been done to it.
#[derive(Default, Debug)]
struct Survived {
    /// Processes, for whichever reason.
    killed: usize,
    restarted: u32,
    broker: u32,
    cut_off: u32,
    torn: u32,
    full: u32,
}

/// The job, by one supervisor a process.
struct Job<'a> {
    place: &'a Place,
    supervisors: Vec<Child>,
}

/// Files that a process writes may be so long, where its disk is as good as full.
const FULL_KIB: u32 = 8;

impl<'a> Job<'a> {
    fn start(place: &'a Place, processes: usize, workers: u64) -> Self {
        Job::start_with(place, processes, workers, "said")
    }

    /// The same, while there is no room for its state.
    fn start_full(place: &'a Place) -> Self {
        let _ = fs::remove_file(place.path("full-0"));
        Job::start_with(place, 1, 2, "full")
    }

    fn start_with(place: &'a Place, processes: usize, workers: u64, said: &str) -> Self {
        let free: Vec<_> =
            (0..processes).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: String =
            free.iter().map(|it| format!("{}\n", it.local_addr().unwrap())).collect();
        drop(free);
        place.write("hosts", hosts);
        let is_full = said == "full";
        let start = |process| {
            let cluster = match processes {
                1 => String::new(),
                _ => format!("--process {process} --hosts hosts"),
            };
            let words = format!("run job.toml --supervise --workers {workers} {cluster}");
            let file = fs::File::options()
                .create(true)
                .append(true)
                .open(place.path(&format!("{said}-{process}")))
                .unwrap();
            let mut command = place.command(&words);
            if is_full {
                // What ends a process that writes more is ignored: a full disk does not end it.
                let program = env!("CARGO_BIN_EXE_rivulet");
                let limited = format!("trap '' XFSZ; ulimit -f {FULL_KIB}; exec {program} {words}");
                command = Command::new("bash");
                command.args(["-c", &limited]).current_dir(place.path("."));
            }
            command.stdout(Stdio::null()).stderr(file).spawn().unwrap()
        };
        Job { place, supervisors: (0..processes).map(start).collect() }
    }

    /// Kills the process of one supervisor.
    fn kill_one(&self, random: &mut Seeded) {
        let which = usize::try_from(random.below(self.supervisors.len() as u64)).unwrap();
        let supervisor = self.supervisors[which].id();
        kill("-KILL", until("the supervisor has started one", || child(supervisor)));
    }

    /// Kills the supervisors and all they have started; gives back how many that were.
    fn kill_all(mut self) -> usize {
        let mut killed = 0;
        for supervisor in &mut self.supervisors {
            let child = child(supervisor.id());
            supervisor.kill().unwrap();
            supervisor.wait().unwrap();
            child.into_iter().for_each(|child| kill("-KILL", child));
            child.into_iter().for_each(gone);
            killed += usize::from(child.is_some());
        }
        self.supervisors.clear();
        killed
    }

    /// Tells it to end, in order.
    fn stop(mut self) {
        for supervisor in &self.supervisors {
            kill("-TERM", supervisor.id());
        }
        for (process, supervisor) in self.supervisors.iter_mut().enumerate() {
            let status = supervisor.wait().unwrap();
            let said = || self.place.text(&format!("said-{process}"));
            assert!(status.success(), "process {process} ended by {status}: {}", said());
        }
        self.supervisors.clear();
    }
}

impl Drop for Job<'_> {
    /// Where a test fails, nothing of it stays behind.
    fn drop(&mut self) {
        for supervisor in &mut self.supervisors {
            let child = child(supervisor.id());
            let _ = supervisor.kill();
            let _ = supervisor.wait();
            child.into_iter().for_each(|child| kill("-KILL", child));
        }
    }
}

/// The process a supervisor has started, if it runs.
fn child(supervisor: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
    children.ok()?.split_whitespace().next()?.parse().ok()
}

fn kill(signal: &str, process: u32) {
    // It may have ended by itself: it has lost another one.
    let _ =
        Command::new("kill").args([signal, &process.to_string()]).stderr(Stdio::null()).status();
}

/// Waits until a process is no more.
fn gone(process: u32) {
    let stat = PathBuf::from(format!("/proc/{process}/stat"));
    let is_there = || fs::read_to_string(&stat).is_ok_and(|it| !it.contains(") Z "));
    until("the process is gone", || (!is_there()).then_some(()));
}

/// Waits for something.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The newest checkpoint.
fn newest(place: &Place) -> u64 {
    let Ok(manifests) = fs::read_dir(place.path("state/manifests")) else { return 0 };
    let names = manifests.filter_map(|it| it.unwrap().file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).max().unwrap_or(0)
}

/// Tears the newest file of a folder in two: the second half is lost.
fn tear(place: &Place, folder: &str) -> bool {
    let Ok(files) = fs::read_dir(place.path(folder)) else { return false };
    let Some(path) = files.map(|it| it.unwrap().path()).max() else { return false };
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    true
}

fn time(line: &str) -> i64 {
    serde_json::from_str::<Json>(line).unwrap()["time"].as_i64().unwrap()
}

#[test]
fn differences_are_those_of_a_log_replayed_in_peace() {
    let (events, faults) = (told("RIVULET_CHAOS_EVENTS", 12_000), told("RIVULET_CHAOS_FAULTS", 8));
    let seed = told("RIVULET_SEED", 1);
    println!("seed {seed}, {events} events, {faults} faults");
    let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (broker, place) = (Broker::new(), Place::new());
    let parts = clickstream(&place, events);
    let expected = replayed(&place);
    let (topic, diffs) = (broker.topic(i32::try_from(PARTITIONS).unwrap()), "diffs".to_owned());
    place.write("job.toml", job(&broker, &topic, &diffs));
    let mut survived = Survived::default();
    let mut sent = [0; PARTITIONS];
    let mut job = Job::start(&place, 1, 2);
    let mut drawn = Faults::new();
    for fault in 0..faults {
        let kind = drawn.draw(&mut random);
        let before = newest(&place);
        if kind == Fault::Full {
            // What is new finds no room.
            survived.killed += job.kill_all();
            job = Job::start_full(&place);
        }
        // A share of the records, in some pieces, and some progress between them.
        for (partition, lines) in parts.iter().enumerate() {
            let end = lines.len() * usize::try_from(fault + 1).unwrap()
                / usize::try_from(faults + 1).unwrap();
            for piece in lines[sent[partition]..end].chunks(20_000) {
                broker.send(&topic, i32::try_from(partition).unwrap(), piece);
            }
            sent[partition] = end;
        }
        if kind != Fault::Full && random.below(3) > 0 {
            // Of several processes, one may have come further than the others ever will without
            // more records: then there is none.
            let began = Instant::now();
            while newest(&place) == before && began.elapsed() < PROGRESS {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        match kind {
            Fault::KilledOne => {
                job.kill_one(&mut random);
                survived.killed += 1;
            }
            Fault::Restarted => {
                survived.killed += job.kill_all();
                let processes = 1 + usize::try_from(random.below(3)).unwrap();
                job = Job::start(&place, processes, 1 + random.below(2));
                survived.restarted += 1;
            }
            Fault::BrokerKilled => {
                broker.kill();
                broker.start();
                survived.broker += 1;
            }
            Fault::CutOff => {
                broker.pause(CUT);
                survived.cut_off += 1;
            }
            Fault::Full => {
                until("it is told that there is no room", || {
                    let said = fs::read_to_string(place.path("full-0")).unwrap_or_default();
                    said.contains("no checkpoint can be written").then_some(())
                });
                survived.full += 1;
                survived.killed += job.kill_all();
                job = Job::start(&place, 2, 1);
            }
            Fault::Torn => {
                until("there is a checkpoint to be torn", || {
                    Some(newest(&place)).filter(|it| *it > 0)
                });
                survived.killed += job.kill_all();
                let folder = ["state/manifests", "state/batches"][(fault % 2) as usize];
                survived.torn += u32::from(tear(&place, folder));
                job = Job::start(&place, 1 + usize::try_from(random.below(2)).unwrap(), 1);
            }
        }
    }
    for (partition, lines) in parts.iter().enumerate() {
        for piece in lines[sent[partition]..].chunks(20_000) {
            broker.send(&topic, i32::try_from(partition).unwrap(), piece);
        }
    }
    // As long as there are more of them, it goes on.
    let mut last = (0, Instant::now());
    while last.0 < expected.len() && last.1.elapsed() < PATIENCE {
        let began = Instant::now();
        let count = broker.read(&diffs).len();
        last = if count > last.0 { (count, Instant::now()) } else { last };
        // To look takes the longer the more there is, and what is looked at does not wait for it.
        std::thread::park_timeout(LOOK.max(began.elapsed()));
    }
    job.stop();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    expected.iter().for_each(|line| *counts.entry(line.clone()).or_default() -= 1);
    broker
        .read(&diffs)
        .iter()
        .for_each(|it| *counts.entry(it.value().to_owned()).or_default() += 1);
    let (lost, doubled): (Vec<_>, Vec<_>) =
        counts.iter().filter(|(_, count)| **count != 0).partition(|(_, count)| **count < 0);
    println!(
        "{survived:?}; {} differences, {} lost, {} doubled or made up",
        expected.len(),
        lost.len(),
        doubled.len()
    );
    let kinds =
        [survived.restarted, survived.broker, survived.cut_off, survived.torn, survived.full];
    assert!(faults < 6 || kinds.iter().all(|count| *count > 0), "not all that can happen did");
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, too many {doubled:?}");
}

/// From topic to topic. What is idle is decided by the wall, which a kill may stop for long.
fn job(broker: &Broker, topic: &str, diffs: &str) -> String {
    let brokers = broker.address();
    format!(
        "segments = \"segments.json\"\n[clock]\nmax_out_of_orderness = \"9s\"\nidle_timeout = \"1h\"\n\
         [state]\npath = \"state\"\ninterval = \"100ms\"\n\
         [[source]]\nkind = \"kafka\"\nbrokers = {brokers:?}\ntopic = {topic:?}\n\
         [[sink]]\nkind = \"kafka\"\nbrokers = {brokers:?}\ntopic = {diffs:?}\npartitions = 2\n"
    )
}

/// A clickstream by partitions, each with a record so late that the watermark passes all others.
fn clickstream(place: &Place, events: u64) -> Vec<Vec<String>> {
    place.write("segments.json", BUSY_SEGMENTS);
    let flags = "--users 2000 --rate 200 --duplicates 0.02 --jitter 9s --identify 0.05 --seed 5";
    place.run(&format!("generate --events {events} {flags} --out whole.jsonl")).fine();
    let whole = place.text("whole.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let part = |partition: usize| {
        let own = lines.iter().skip(partition).step_by(PARTITIONS).map(|it| (*it).to_owned());
        let last = r#"{"type":"page","userId":"z","timestamp":1769904000000}"#;
        let own: Vec<String> = own.chain([last.to_owned()]).collect();
        place.write(&format!("{partition}.jsonl"), own.join("\n") + "\n");
        own
    };
    (0..PARTITIONS).map(part).collect()
}

/// What a replay gives, up to the clock.
fn replayed(place: &Place) -> Vec<String> {
    let files: String = (0..PARTITIONS).map(|it| format!(" {it}.jsonl")).collect();
    let flags = "--max-out-of-orderness 9s --out replayed";
    place.replay(&format!("--events{files} {flags}")).fine();
    let whole = place.text("replayed");
    let passed = whole.lines().filter(|line| time(line) < 1_769_904_000_000 - 9_000);
    passed.map(str::to_owned).collect()
}
