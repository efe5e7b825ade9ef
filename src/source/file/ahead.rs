//! A file read ahead by a thread of its own, so that whoever wants its records never waits for the
//! disk, a network file system that is gone, or a pipe nobody writes to.
//!
//! The thread begins when it is first asked, and is at most [`AHEAD`] chunks ahead. Chunks come back
//! when they are done with, so memory is used again; none of it is copied. It costs two small
//! messages a chunk. Of a job that reads very many files at once, no more than [`READERS_MAX`] have
//! a thread; whoever asks for another one reads it, as long as it is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{FilePartition, Progress};
use crate::source::{Chunk, SourceError};

/// How many chunks may wait.
const AHEAD: usize = 1;
/// How many that are done with are taken back; others are given up.
const SPARE: usize = 1;
/// How many files that are whole have a thread at a time: each costs some chunks of memory.
const READERS_MAX: usize = 64;
/// From when on what is read does not come at present.
const STALLED: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_millis(500) };

/// A file that is read ahead.
pub struct ReadAhead {
    state: State,
    read: Arc<AtomicU64>,
    total: Option<u64>,
    /// Since when it has had nothing.
    waits_since: Option<Instant>,
}

enum State {
    /// Not asked yet.
    Begins(Box<(FilePartition, usize, Wake)>),
    Reading(Reading),
    /// There are threads enough.
    Direct(Box<(FilePartition, usize)>),
    Over,
}

/// How many threads there are.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// One of them, until it ends.
struct Reader;

impl Reader {
    fn new() -> (Self, usize) {
        (Reader, READERS.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Reading {
    chunks: Receiver<Result<Chunk, SourceError>>,
    done: SyncSender<Chunk>,
    /// Whether someone found nothing, and is to be woken.
    is_awaited: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    /// There are no more chunks: the file has ended, or its thread has failed. One must not be taken
    /// for the other.
    fn ended(self) -> Ahead {
        match self.thread.map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(())) | None => Ahead::End,
        }
    }
}

/// Wakes whoever may be waiting.
pub type Wake = Box<dyn Fn() + Send>;

/// What there is of a file.
pub enum Ahead {
    /// The next whole lines.
    Chunk(Chunk),
    /// Nothing yet, but it is being read.
    Soon,
    /// Nothing, and not for a while: whoever waits is woken.
    Nothing,
    /// Nothing more.
    End,
}

impl ReadAhead {
    /// Reads a file in chunks of about this size.
    pub fn new(file: FilePartition, target_bytes: usize, wake: Wake) -> Self {
        let (read, total) = (Arc::clone(&file.read), file.total);
        let state = State::Begins(Box::new((file, target_bytes, wake)));
        ReadAhead { state, read, total, waits_since: None }
    }

    /// A pipe that is silent for as long as what is given back with it lives.
    #[cfg(test)]
    pub(crate) fn silent() -> (Self, impl Sized) {
        let ((give, chunks), (done, back)) = (sync_channel(1), sync_channel(1));
        let state =
            State::Reading(Reading { chunks, done, is_awaited: Arc::default(), thread: None });
        (ReadAhead { state, read: Arc::default(), total: None, waits_since: None }, (give, back))
    }

    /// How far it has been read.
    pub fn progress(&self) -> Progress {
        Progress { read: self.read.load(Ordering::Relaxed), total: self.total }
    }

    /// Whether it ends where it ends now, and is not being written while it is read.
    pub fn is_whole(&self) -> bool {
        self.total.is_some()
    }

    /// Takes back a chunk that is done with, of whatever file.
    pub fn recycle(&mut self, chunk: Chunk) {
        match &mut self.state {
            State::Reading(reading) => _ = reading.done.try_send(chunk),
            State::Direct(own) => own.0.recycle(chunk),
            State::Begins(_) | State::Over => {}
        }
    }

    /// What comes next. Waits for nothing, but where there are threads enough.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub fn next_chunk(&mut self) -> Result<Ahead, SourceError> {
        let reading = match std::mem::replace(&mut self.state, State::Over) {
            State::Begins(own) => {
                let (reader, others) = Reader::new();
                if self.total.is_some() && others >= READERS_MAX {
                    let (file, target_bytes, _) = *own;
                    self.state = State::Direct(Box::new((file, target_bytes)));
                    return self.next_chunk();
                }
                start(*own, reader)?
            }
            State::Reading(reading) => reading,
            State::Direct(mut own) => {
                let (file, target_bytes) = &mut *own;
                let chunk = file.next_chunk(*target_bytes)?;
                self.state = State::Direct(own);
                return Ok(chunk.map_or(Ahead::End, Ahead::Chunk));
            }
            State::Over => return Ok(Ahead::End),
        };
        let mut next = reading.chunks.try_recv();
        if let Err(TryRecvError::Empty) = next {
            reading.is_awaited.store(true, Ordering::SeqCst);
            next = reading.chunks.try_recv(); // it may have come just before that was seen
        }
        match next {
            Ok(chunk) => {
                self.waits_since = None;
                self.state = State::Reading(reading);
                chunk.map(Ahead::Chunk)
            }
            Err(TryRecvError::Empty) => {
                self.state = State::Reading(reading);
                let since = *self.waits_since.get_or_insert_with(Instant::now);
                let is_slow = !self.is_whole() || since.elapsed() >= STALLED;
                Ok(if is_slow { Ahead::Nothing } else { Ahead::Soon })
            }
            Err(TryRecvError::Disconnected) => Ok(reading.ended()),
        }
    }
}

fn start(own: (FilePartition, usize, Wake), reader: Reader) -> Result<Reading, SourceError> {
    let (mut file, target_bytes, wake) = own;
    let (give, chunks) = sync_channel(AHEAD);
    let (done, back) = sync_channel(SPARE);
    let is_awaited = Arc::new(AtomicBool::new(false));
    let awaited = Arc::clone(&is_awaited);
    let path = file.path.clone();
    let read = move || {
        loop {
            back.try_iter().for_each(|chunk| file.recycle(chunk));
            let Some(chunk) = file.next_chunk(target_bytes).transpose() else { break };
            let failed = chunk.is_err();
            if give.send(chunk).is_err() || failed {
                break;
            }
            if awaited.swap(false, Ordering::SeqCst) {
                wake();
            }
        }
        drop((give, reader));
        wake();
    };
    let thread = std::thread::Builder::new().name("reader".into());
    // It ends with the file, or when nobody wants its chunks; where it hangs, with the process.
    let thread = thread.spawn(read).map_err(|cause| SourceError::Open { path, cause })?;
    Ok(Reading { chunks, done, is_awaited, thread: Some(thread) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    fn ahead(path: &Path) -> (ReadAhead, Receiver<()>) {
        // Beyond that nobody looks.
        let (woken, wakes) = sync_channel(1_024);
        let wake = Box::new(move || {
            let _ = woken.try_send(());
        });
        (ReadAhead::new(FilePartition::open(path).unwrap(), 64, wake), wakes)
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_writes_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (mut pipe, wakes) = ahead(&path);
        assert!(!pipe.is_whole());
        assert!(matches!(pipe.next_chunk(), Ok(Ahead::Nothing)));
        let mut end = std::fs::File::options().write(true).open(&path).unwrap();
        assert!(matches!(pipe.next_chunk(), Ok(Ahead::Nothing)), "opened, and nothing written");
        end.write_all(b"a\nb\n").unwrap();
        wakes.recv().unwrap();
        let Ok(Ahead::Chunk(chunk)) = pipe.next_chunk() else { panic!("it was woken for it") };
        assert_eq!(chunk.lines().count(), 2);
        pipe.recycle(chunk);
        assert!(matches!(pipe.next_chunk(), Ok(Ahead::Nothing)));
        drop(end);
        wakes.recv().unwrap();
        assert!(matches!(pipe.next_chunk(), Ok(Ahead::End)));
        assert!(matches!(pipe.next_chunk(), Ok(Ahead::End)));
    }

    #[test]
    fn a_file_comes_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let text: String = (0..9_999).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let (mut file, wakes) = ahead(&path);
        let mut read = Vec::new();
        loop {
            match file.next_chunk().unwrap() {
                Ahead::Chunk(chunk) => {
                    read.extend_from_slice(&chunk.bytes);
                    file.recycle(chunk);
                }
                Ahead::Soon | Ahead::Nothing => wakes.recv().unwrap(),
                Ahead::End => break,
            }
        }
        assert_eq!(String::from_utf8(read).unwrap(), text);
        assert_eq!(file.progress().read, text.len() as u64);
    }

    #[test]
    fn a_thread_that_fails_is_not_taken_for_the_end() {
        let ((give, chunks), (done, _back)) = (sync_channel(1), sync_channel(1));
        let thread = std::thread::spawn(move || {
            drop(give);
            panic!("it fails");
        });
        let reading = Reading { chunks, done, is_awaited: Arc::default(), thread: Some(thread) };
        let state = State::Reading(reading);
        let mut file = ReadAhead { state, read: Arc::default(), total: None, waits_since: None };
        let next =
            std::panic::AssertUnwindSafe(|| while !matches!(file.next_chunk(), Ok(Ahead::End)) {});
        assert!(std::panic::catch_unwind(next).is_err());
    }

    #[test]
    fn very_many_files_are_read_without_as_many_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "line\n".repeat(10_000)).unwrap();
        let mut files: Vec<_> = (0..READERS_MAX + 9).map(|_| ahead(&path)).collect();
        for (file, wakes) in &mut files {
            while !matches!(file.next_chunk().unwrap(), Ahead::Chunk(_)) {
                wakes.recv().unwrap();
            }
        }
        let direct = files.iter().filter(|(file, _)| matches!(file.state, State::Direct(_)));
        assert!(direct.count() >= 9);
        for (file, wakes) in &mut files {
            let mut lines = 0;
            loop {
                match file.next_chunk().unwrap() {
                    Ahead::Chunk(chunk) => lines += chunk.lines().count(),
                    Ahead::Soon | Ahead::Nothing => wakes.recv().unwrap(),
                    Ahead::End => break,
                }
            }
            assert!(lines < 10_000, "the first chunk was taken before");
        }
    }
}
