//! The log of accepted events: what was acknowledged stands in it, whatever happens after.
//!
//! ```text
//! requests ──► draft ──► writer ──► file … file, file │ part that is read ──► workers
//!   await ◄──────────────┘ one write, one sync        ▼ deleted: what no checkpoint needs
//! ```
//! Requests put their records into the draft of the next frame and wait. A thread takes the draft,
//! writes it, has it synced, and answers all who wait; meanwhile the next one fills. So the slower
//! the disk, the more share a sync. Offsets count records, from 0.
//!
//! Bounded are the draft ([`DRAFT_BYTES`]), and what is written and not yet read ([`Limits`]). What
//! is beyond is refused at once.

mod disk;
mod fault;
mod files;
mod frame;
mod reader;
#[cfg(test)]
mod simulation;
mod writer;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::oneshot;

pub use fault::LogFault;
pub use reader::{LogPartition, Track};

use super::counted::Counted;
use crate::say::{Chain, Trouble};
use crate::threads;
use disk::{Disk, System};
use files::Part;
use frame::Draft;
use writer::Writer;

/// How much may wait to be written, in bytes.
const DRAFT_BYTES: usize = 8 << 20;

/// Why records were not put into the log. None of them is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// The disk does not keep up with what comes.
    Busy,
    /// What was written is not read fast enough.
    Behind,
    /// The disk is full or broken, or the job has ended.
    Trouble,
}

/// Records to be put into the log together.
pub struct Records(Draft);

impl Records {
    /// None as yet.
    pub fn new() -> Self {
        Records(Draft::new())
    }

    /// Adds a record, or one that is to be rejected for a reason that is not empty.
    pub fn push(&mut self, record: &[u8], reason: &str) {
        self.0.push(record, reason);
    }
}

impl Default for Records {
    fn default() -> Self {
        Records::new()
    }
}

/// Who is told that there is more to read.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A log, shared by who writes it, who reads it, and who says what may go.
pub struct Log {
    folder: PathBuf,
    /// How much may be written and not yet read, in bytes.
    max_backlog: u64,
    queue: Mutex<Queue>,
    /// There is something in the queue.
    is_asked: Condvar,
    /// The files, as far as they are on disk for good; the last one is written.
    parts: Mutex<VecDeque<Part>>,
    /// The offset after the last record that is on disk for good.
    end: AtomicU64,
    /// Bytes on disk that are not read yet.
    backlog: AtomicU64,
    wake: Mutex<Option<Wake>>,
    trouble: Trouble,
    counted: Counted,
    /// Keeps other processes away.
    _lock: Flock<File>,
}

/// What waits to be written.
struct Queue {
    draft: Draft,
    waiting: Vec<oneshot::Sender<Result<(), NotKept>>>,
    is_closed: bool,
}

/// The thread that writes a log. Dropped, it writes what it was given, and ends.
pub struct LogWriter {
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        lock(&self.log.queue).is_closed = true;
        self.log.is_asked.notify_all();
        // One that has panicked was told of already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Log {
    /// Opens the log in a folder, which is made if it is not there; what a crash has torn off its
    /// end is cut off, and told. More than `max_backlog` bytes are not taken ahead of the reader.
    ///
    /// # Errors
    /// The folder cannot be used, another process uses it, or it is damaged.
    pub fn open(folder: &Path, max_backlog: u64) -> Result<(Arc<Log>, LogWriter), LogFault> {
        Log::open_on(Box::new(System), folder, max_backlog, |writer| writer)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        max_backlog: u64,
        set: impl FnOnce(Writer) -> Writer,
    ) -> Result<(Arc<Log>, LogWriter), LogFault> {
        fs::create_dir_all(folder).map_err(LogFault::io("make", folder))?;
        let held = hold(folder)?;
        let found = files::recover(folder, &*disk)?;
        let mut writer = set(Writer::new(disk, found.parts.back().copied(), found.end));
        let log = Arc::new(Log {
            folder: folder.to_owned(),
            max_backlog,
            queue: Mutex::new(Queue { draft: Draft::new(), waiting: Vec::new(), is_closed: false }),
            is_asked: Condvar::new(),
            backlog: AtomicU64::new(found.parts.iter().map(|part| part.length).sum()),
            parts: Mutex::new(found.parts),
            end: AtomicU64::new(found.end),
            wake: Mutex::default(),
            trouble: Trouble::default(),
            counted: Counted::default(),
            _lock: held,
        });
        let own = Arc::clone(&log);
        let thread = std::thread::spawn(move || {
            threads::give_way();
            own.write(&mut writer);
        });
        Ok((Arc::clone(&log), LogWriter { log, thread: Some(thread) }))
    }

    /// Puts records into the log; they are on disk for good when it is done.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn append(&self, records: Records) -> Result<(), NotKept> {
        if records.0.records() == 0 {
            return Ok(());
        }
        if self.backlog.load(Ordering::Acquire) > self.max_backlog {
            return Err(NotKept::Behind);
        }
        let kept = {
            let mut queue = lock(&self.queue);
            if queue.is_closed {
                return Err(NotKept::Trouble);
            }
            let is_full = queue.draft.len() + records.0.len() > DRAFT_BYTES;
            if is_full && queue.draft.records() > 0 {
                return Err(NotKept::Busy);
            }
            queue.draft.extend(&records.0);
            let (done, kept) = oneshot::channel();
            queue.waiting.push(done);
            kept
        };
        self.is_asked.notify_one();
        kept.await.unwrap_or(Err(NotKept::Trouble))
    }

    /// The offset after the last record that is there for good.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// How many bytes are on disk and not read yet.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Acquire)
    }

    /// How many bytes may be on disk and not read yet.
    pub fn max_backlog(&self) -> u64 {
        self.max_backlog
    }

    /// What is counted of it.
    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Says that no one will read what is before this offset again: deletes the files that hold
    /// nothing else, oldest first. The one that is written stays.
    ///
    /// # Errors
    /// One cannot be deleted. It will be with the next call.
    pub fn release(&self, before: u64) -> Result<(), LogFault> {
        loop {
            let first = {
                let parts = lock(&self.parts);
                match (parts.front(), parts.get(1)) {
                    (Some(oldest), Some(next)) if next.first <= before => oldest.first,
                    _ => return Ok(()),
                }
            };
            let path = files::path(&self.folder, first);
            fs::remove_file(&path).map_err(LogFault::io("delete", &path))?;
            // One after another: a crash must leave no hole.
            System.sync_folder(&self.folder).map_err(LogFault::io("sync", &self.folder))?;
            lock(&self.parts).pop_front();
        }
    }

    /// Writes until it is closed and nothing waits.
    fn write(&self, writer: &mut Writer) {
        let (mut draft, mut waiting) = (Draft::new(), Vec::new());
        loop {
            {
                let mut queue = lock(&self.queue);
                while queue.waiting.is_empty() && !queue.is_closed {
                    let woken = self.is_asked.wait(queue);
                    queue = woken.unwrap_or_else(PoisonError::into_inner);
                }
                if queue.waiting.is_empty() {
                    return;
                }
                std::mem::swap(&mut queue.draft, &mut draft);
                std::mem::swap(&mut queue.waiting, &mut waiting);
            }
            let began = Instant::now();
            let kept = self.commit(writer, &mut draft);
            if kept.is_ok() {
                self.counted.keep(draft.records(), began.elapsed());
            }
            draft.clear();
            // One that is not waited for any more has been kept, too.
            waiting.drain(..).for_each(|done| _ = done.send(kept));
        }
    }

    fn commit(&self, writer: &mut Writer, draft: &mut Draft) -> Result<(), NotKept> {
        let first = self.end();
        let part = match writer.write(&self.folder, draft, first) {
            Ok(part) => part,
            Err(error) => {
                writer.mend();
                self.trouble
                    .is(format_args!("{}; clients are told to send again (503)", Chain(&error)));
                return Err(NotKept::Trouble);
            }
        };
        self.trouble.is_over(format_args!("the log of the collector goes on"));
        {
            let mut parts = lock(&self.parts);
            match parts.back_mut() {
                Some(last) if last.first == part.first => *last = part,
                _ => parts.push_back(part),
            }
        }
        self.backlog.fetch_add(draft.len() as u64, Ordering::AcqRel);
        self.end.store(first + u64::from(draft.records()), Ordering::Release);
        let wake = lock(&self.wake).clone();
        wake.into_iter().for_each(|wake| wake());
        Ok(())
    }
}

/// Keeps other processes from writing it, as long as this one lives.
fn hold(folder: &Path) -> Result<Flock<File>, LogFault> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(LogFault::io("make", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => LogFault::Taken { folder: folder.to_owned() },
        other => LogFault::io("lock", &path)(other.into()),
    })
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
