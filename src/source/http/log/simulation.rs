//! The log on a disk that fills up, fails, and forgets what was not synced when the machine dies.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::disk::{Disk, System, Tail};
use super::{Log, LogFault, LogPartition, NotKept, Records, lock};
use crate::source::Chunk;

/// Draws from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) % bound
    }
}

/// What is known of a disk from outside.
struct State {
    dice: Dice,
    /// How much of each file is there for good.
    synced: HashMap<PathBuf, u64>,
    /// Files that no folder has for good.
    unlisted: Vec<PathBuf>,
    /// One of so many steps fails; none, at 0.
    fails: u64,
    /// After so many steps the machine is dead.
    steps_left: u64,
}

impl State {
    /// Whether this step is done, and not in part only.
    fn step(&mut self) -> io::Result<()> {
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.steps_left == 0 {
            return Err(io::Error::other("the machine is dead"));
        }
        if self.fails > 0 && self.dice.below(self.fails) == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Faulty(Arc<Mutex<State>>);

struct FaultyTail {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    file: File,
}

impl Faulty {
    fn new(seed: u64) -> Self {
        let (dice, synced, unlisted) = (Dice(seed), HashMap::new(), Vec::new());
        let state = State { dice, synced, unlisted, fails: 0, steps_left: u64::MAX };
        Faulty(Arc::new(Mutex::new(state)))
    }

    fn tail(&self, path: &Path, file: File) -> Box<dyn Tail> {
        Box::new(FaultyTail { state: Arc::clone(&self.0), path: path.to_owned(), file })
    }

    /// The machine dies, and comes up again: what was not synced is there, in part, changed, or not.
    fn crash(&self) {
        let state = &mut *lock(&self.0);
        for path in std::mem::take(&mut state.unlisted) {
            if state.dice.below(2) == 0 {
                let _ = fs::remove_file(&path);
                state.synced.remove(&path);
            }
        }
        for (path, synced) in &state.synced {
            let Ok(mut bytes) = fs::read(path) else { continue };
            let sure = usize::try_from(*synced).unwrap().min(bytes.len());
            let unsure = (bytes.len() - sure) as u64;
            bytes.truncate(sure + usize::try_from(state.dice.below(unsure + 1)).unwrap());
            for byte in &mut bytes[sure..] {
                if state.dice.below(200) == 0 {
                    *byte = 0;
                }
            }
            fs::write(path, bytes).unwrap();
        }
        state.steps_left = u64::MAX;
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Tail>> {
        let mut state = lock(&self.0);
        state.step()?;
        let file = File::create(path)?;
        state.synced.insert(path.to_owned(), 0);
        state.unlisted.push(path.to_owned());
        drop(state);
        Ok(self.tail(path, file))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Tail>> {
        lock(&self.0).step()?;
        let mut tail = self.tail(path, OpenOptions::new().write(true).open(path)?);
        tail.cut(length)?;
        Ok(tail)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.step()?;
        state.unlisted.clear();
        Ok(())
    }
}

impl Tail for FaultyTail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        if let Err(error) = state.step() {
            let some = usize::try_from(state.dice.below(bytes.len() as u64)).unwrap();
            self.file.write_all(&bytes[..some])?;
            return Err(error);
        }
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.step()?;
        let length = self.file.stream_position()?;
        state.synced.insert(self.path.clone(), length);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.step()?;
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        state.synced.insert(self.path.clone(), length);
        Ok(())
    }
}

/// What the log holds from its first record on, each with its offset.
fn read(log: &Arc<Log>) -> Result<Vec<(u64, String)>, LogFault> {
    let mut partition = LogPartition::new(log, None, Arc::new(|| {}))?;
    let (mut chunk, mut found) = (Chunk::default(), Vec::new());
    while partition.next_chunk(1_000, &mut chunk)? {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.extend(chunk.pieces().map(|line| (line.offset, text(line.bytes))));
    }
    assert!(partition.track().next() == log.end() && partition.track().lag() == 0);
    Ok(found)
}

fn wait<F: Future>(what: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(what)
}

fn records(from: u64, count: u64) -> (Records, Vec<String>) {
    let (mut records, mut texts) = (Records::new(), Vec::new());
    for number in from..from + count {
        let text = format!("{{\"n\":{number},\"fill\":\"{}\"}}", "x".repeat(number as usize % 97));
        records.push(text.as_bytes(), "");
        texts.push(text);
    }
    (records, texts)
}

/// Several lives of one log: whatever happens, what was acknowledged is there, once and in order,
/// and what is there was sent.
fn live_and_die(seed: u64) {
    let (folder, disk) = (TempDir::new().unwrap(), Faulty::new(seed));
    let (mut kept, mut sent, mut number) = (Vec::<String>::new(), HashSet::<String>::new(), 0);
    let mut before: Vec<(u64, String)> = Vec::new();
    for life in 0..6 {
        let opened = Log::open_on(Box::new(disk.clone()), folder.path(), u64::MAX, |writer| {
            writer.with_files_of(4_000)
        });
        let (log, writer) =
            opened.unwrap_or_else(|fault| panic!("seed {seed}, life {life}: {fault}"));
        let found = read(&log).unwrap_or_else(|fault| panic!("seed {seed}, life {life}: {fault}"));
        assert!(found.starts_with(&before), "seed {seed}: what was there stays");
        assert!(found.iter().map(|(offset, _)| *offset).eq(0..found.len() as u64));
        let mut texts = found.iter().map(|(_, text)| text);
        for text in &kept {
            assert!(texts.any(|it| it == text), "seed {seed}, life {life}: {text} is lost");
        }
        assert!(found.iter().all(|(_, text)| sent.contains(text)), "seed {seed}");
        {
            let mut state = lock(&disk.0);
            state.fails = [0, 5, 20][usize::try_from(state.dice.below(3)).unwrap()];
            state.steps_left = 20 + state.dice.below(60);
        }
        for _ in 0..12 {
            let draws = lock(&disk.0).dice.below(4) + 1;
            let batches: Vec<_> = (0..draws)
                .map(|_| {
                    let count = lock(&disk.0).dice.below(9) + 1;
                    let (records, texts) = records(number, count);
                    number += count;
                    sent.extend(texts.clone());
                    (records, texts)
                })
                .collect();
            let (records, texts): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
            let done = wait(join_all(records.into_iter().map(|it| log.append(it))));
            let done = done.into_iter().zip(texts).filter(|(done, _)| done.is_ok());
            kept.extend(done.flat_map(|(_, texts)| texts));
        }
        before = read(&log).unwrap();
        drop((writer, log));
        lock(&disk.0).fails = 0;
        disk.crash();
    }
    assert!(!kept.is_empty(), "seed {seed}");
}

#[test]
fn what_was_acknowledged_outlives_any_crash() {
    (0..40).for_each(live_and_die);
}

/// A log of some frames in one file, and where each frame begins.
fn log_of_frames(folder: &Path) -> Vec<u64> {
    let (log, writer) = Log::open(folder, u64::MAX).unwrap();
    let mut begins = Vec::new();
    for number in 0..5 {
        begins.push(super::lock(&log.parts).back().map_or(32, |part| part.length));
        wait(log.append(records(number * 10, 3).0)).unwrap();
    }
    drop(writer);
    begins
}

#[test]
fn damage_before_what_was_acknowledged_is_named_and_a_torn_end_is_cut() {
    let folder = TempDir::new().unwrap();
    let begins = log_of_frames(folder.path());
    let path = folder.path().join(format!("{:020}.log", 0));
    let whole = fs::read(&path).unwrap();
    let changed = |at: u64| {
        let mut bytes = whole.clone();
        bytes[usize::try_from(at).unwrap()] ^= 4;
        fs::write(&path, bytes).unwrap();
        Log::open(folder.path(), u64::MAX).map(|(log, _)| log.end())
    };
    let said = changed(begins[2] + 40).unwrap_err().to_string();
    let place = format!("{} is damaged from byte {}, record 6 on", path.display(), begins[2]);
    assert!(said.contains(&place), "{said}");
    assert!(changed(5).unwrap_err().to_string().contains("is damaged from byte 0"));
    assert_eq!(changed(begins[4] + 40).unwrap(), 12, "the last frame, as if it were torn");
    assert_eq!(fs::metadata(&path).unwrap().len(), begins[4]);
    fs::write(&path, &whole[..20]).unwrap();
    assert_eq!(Log::open(folder.path(), u64::MAX).unwrap().0.end(), 0, "a torn header");
}

#[test]
fn damage_in_an_earlier_file_is_found_when_it_is_read() {
    let folder = TempDir::new().unwrap();
    let (log, writer) =
        Log::open_on(Box::new(System), folder.path(), u64::MAX, |it| it.with_files_of(100))
            .unwrap();
    (0..4).for_each(|number| wait(log.append(records(number * 10, 3).0)).unwrap());
    let path = folder.path().join(format!("{:020}.log", 3));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = read(&log).unwrap_err().to_string();
    assert!(
        said.contains(&format!("{} is damaged from byte 32, record 3", path.display())),
        "{said}"
    );
    drop(writer);
}

#[test]
fn files_go_when_nothing_needs_them_and_not_before() {
    let folder = TempDir::new().unwrap();
    let (log, writer) =
        Log::open_on(Box::new(System), folder.path(), u64::MAX, |it| it.with_files_of(100))
            .unwrap();
    (0..4).for_each(|number| wait(log.append(records(number * 10, 3).0)).unwrap());
    let files = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".log")).count()
    };
    let mut partition = LogPartition::new(&log, Some(4), Arc::new(|| {})).unwrap();
    let mut chunk = Chunk::default();
    assert!(partition.next_chunk(1, &mut chunk).unwrap());
    assert_eq!(chunk.pieces().next().unwrap().offset, 4);
    for (before, left) in [(2, 4), (3, 3), (4, 3), (5, 3), (6, 2), (12, 1), (u64::MAX, 1)] {
        log.release(before).unwrap();
        assert_eq!(files(), left, "before {before}");
        while partition.next_chunk(1, &mut chunk).unwrap() {}
    }
    assert_eq!(partition.track().next(), 12);
    wait(log.append(records(90, 2).0)).unwrap();
    assert!(partition.next_chunk(1_000, &mut chunk).unwrap());
    assert_eq!(chunk.pieces().map(|it| it.offset).collect::<Vec<_>>(), [12, 13]);
    let beyond = |from| LogPartition::new(&log, Some(from), Arc::new(|| {})).map(drop);
    assert!(beyond(3).unwrap_err().to_string().contains("record 3 is to be read next"));
    assert!(beyond(15).is_err() && beyond(14).is_ok());
    drop(writer);
    assert_eq!(wait(log.append(records(99, 1).0)), Err(NotKept::Trouble), "it has ended");
}

#[test]
fn what_is_not_read_has_a_bound() {
    let folder = TempDir::new().unwrap();
    let (log, _writer) = Log::open(folder.path(), 1_000).unwrap();
    let mut number = 0;
    while wait(log.append(records(number, 3).0)).is_ok() {
        number += 3;
        assert!(number < 100);
    }
    assert_eq!(wait(log.append(records(0, 1).0)), Err(NotKept::Behind));
    assert_eq!(read(&log).unwrap().len() as u64, number);
    assert_eq!(log.backlog.load(Ordering::Acquire), 0);
    wait(log.append(records(number, 1).0)).unwrap();
}

#[test]
fn a_folder_has_one_writer() {
    let folder = TempDir::new().unwrap();
    let held = Log::open(folder.path(), 0).unwrap();
    assert!(matches!(Log::open(folder.path(), 0), Err(LogFault::Taken { .. })));
    drop(held);
    assert!(Log::open(folder.path(), 0).is_ok());
}

/// A disk whose frames are only there for good when they are let through, one by one.
struct Slow(Arc<Mutex<Receiver<()>>>);

struct SlowTail(Arc<Mutex<Receiver<()>>>, Box<dyn Tail>);

impl Disk for Slow {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Tail>> {
        Ok(Box::new(SlowTail(Arc::clone(&self.0), System.create(path)?)))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Tail>> {
        System.open(path, length)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        System.sync_folder(folder)
    }
}

impl Tail for SlowTail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        lock(&self.0).recv().map_err(io::Error::other)?;
        self.1.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.1.cut(length)
    }
}

#[test]
fn all_who_wait_share_a_sync_and_what_is_too_much_is_refused() {
    let (folder, (give, take)) = (TempDir::new().unwrap(), sync_channel(16));
    let disk = Slow(Arc::new(Mutex::new(take)));
    let (log, _writer) =
        Log::open_on(Box::new(disk), folder.path(), u64::MAX, |writer| writer).unwrap();
    give.send(()).unwrap(); // the header of the file
    let mut large = Records::new();
    large.push(&vec![b'x'; 1 << 20], "");
    let mut waiting = vec![Box::pin(log.append(large))];
    let poll = |waiting: &mut Vec<_>, records| {
        let mut next = Box::pin(log.append(records));
        let polled = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        waiting.push(next);
        polled
    };
    assert!(waiting[0].as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // The writer takes the first; it does not come through.
    while !lock(&log.queue).waiting.is_empty() {
        std::thread::yield_now();
    }
    let mut number = 0;
    let refused = loop {
        let mut large = Records::new();
        large.push(&vec![b'y'; 1 << 20], "");
        match poll(&mut waiting, large) {
            Poll::Pending => number += 1,
            Poll::Ready(answer) => break answer,
        }
        assert!(number < 100);
    };
    assert_eq!((refused, number), (Err(NotKept::Busy), 7), "8 MiB wait, and no more");
    assert_eq!(log.end(), 0, "nothing is acknowledged");
    waiting.pop();
    give.send(()).unwrap(); // the first
    give.send(()).unwrap(); // all others
    assert!(wait(join_all(waiting)).iter().all(Result::is_ok));
    assert_eq!(log.end(), 8);
    assert_eq!(read(&log).unwrap().len(), 8);
}
