//! The log as a partition of the job: read record by record, each with its offset.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{self, Part};
use super::frame::{self, HEADER};
use super::{Log, LogFault, Wake, lock};
use crate::format::TraceParent;
use crate::source::Chunk;

/// How far the log has been read.
pub struct Track {
    log: Arc<Log>,
    /// How far it went when it was begun.
    goal: u64,
    next: AtomicU64,
}

impl Track {
    /// The offset from which it is to be read on.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// How many records are still to be read.
    pub fn lag(&self) -> u64 {
        self.log.end().saturating_sub(self.next())
    }

    /// Whether all it held when it was begun has been taken.
    pub fn is_caught_up(&self) -> bool {
        self.next() >= self.goal
    }

    /// The log.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// A log that is being read.
pub struct LogPartition {
    track: Arc<Track>,
    /// The file that is read, if it was begun, and where in it the next frame is.
    file: Option<File>,
    part: Part,
    at: u64,
    /// The records of the frame that is read which have not been taken.
    frame: Vec<u8>,
    taken: usize,
    /// The offset of the next record, taken or skipped.
    next: u64,
    /// From where on records are taken.
    start: u64,
}

impl LogPartition {
    /// A log that is read on from this offset, or from its first record; `wake` is called when
    /// there is more.
    ///
    /// # Errors
    /// There is no such offset in it.
    pub fn new(log: &Arc<Log>, from: Option<u64>, wake: Wake) -> Result<Self, LogFault> {
        let high = log.end();
        let (part, before) = {
            let parts = lock(&log.parts);
            let low = parts.front().map_or(high, |part| part.first);
            let wanted = from.unwrap_or(low);
            if !(low..=high).contains(&wanted) {
                let folder = log.folder.clone();
                return Err(LogFault::OutOfRange { folder, wanted, low, high });
            }
            let place = parts.partition_point(|part| part.first <= wanted).saturating_sub(1);
            let before: u64 = parts.iter().take(place).map(|part| part.length).sum();
            (parts.get(place).copied().unwrap_or(Part { first: high, length: 0 }), before)
        };
        log.backlog.fetch_sub(before, Ordering::AcqRel);
        *lock(&log.wake) = Some(wake);
        let start = from.unwrap_or(part.first);
        let track = Track { log: Arc::clone(log), goal: high, next: AtomicU64::new(start) };
        Ok(LogPartition {
            track: Arc::new(track),
            file: None,
            part,
            at: 0,
            frame: Vec::new(),
            taken: 0,
            next: part.first,
            start,
        })
    }

    /// How far it has been read.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Puts the next records, about `target_bytes` of them, into a chunk in place of what it held;
    /// tells whether there were any. It does not wait.
    ///
    /// # Errors
    /// The log is damaged, or cannot be read.
    pub fn next_chunk(&mut self, target: usize, chunk: &mut Chunk) -> Result<bool, LogFault> {
        chunk.clear();
        while chunk.bytes.len() < target {
            if self.taken == self.frame.len() && !self.next_frame()? {
                break;
            }
            let Some((reason, record, rest)) = frame::next_record(&self.frame[self.taken..]) else {
                return Err(self.damaged());
            };
            if self.next >= self.start {
                if let Some(parent) = TraceParent::of_record(record) {
                    chunk.push_parent(self.next, parent);
                }
                match reason {
                    "" => chunk.push(self.next, Some(record)),
                    reason => chunk.push_refused(self.next, record, reason),
                }
            }
            self.taken = self.frame.len() - rest.len();
            self.next += 1;
        }
        self.track.next.fetch_max(self.next, Ordering::AcqRel);
        Ok(chunk.has_pieces())
    }

    /// Reads the next frame, if there is one.
    fn next_frame(&mut self) -> Result<bool, LogFault> {
        let log = Arc::clone(&self.track.log);
        let folder = &log.folder;
        if self.at >= self.part.length && !self.go_on(&log)? {
            return Ok(false);
        }
        let path = files::path(folder, self.part.first);
        if self.file.is_none() {
            self.file = Some(File::open(&path).map_err(LogFault::io("open", &path))?);
            self.at = HEADER as u64;
            log.read(HEADER);
            if self.at >= self.part.length {
                return Ok(false);
            }
        }
        let Some(file) = &self.file else { return Ok(false) };
        let frame = read_frame(file, self.at, self.part.length, &mut self.frame, &path)?;
        match frame.filter(|header| header.first == self.next) {
            Some(header) => {
                self.taken = HEADER;
                self.at += (HEADER + header.length) as u64;
                log.read(HEADER + header.length);
                Ok(true)
            }
            None => Err(self.damaged()),
        }
    }

    /// Looks whether there is more in the file that is read, or one after it.
    fn go_on(&mut self, log: &Log) -> Result<bool, LogFault> {
        let parts = lock(&log.parts);
        let place = parts.partition_point(|part| part.first < self.part.first);
        let mut from_here = parts.range(place..).copied();
        let mut next = from_here.next();
        if let Some(own) = next.filter(|part| part.first == self.part.first) {
            if own.length > self.at {
                self.part = own;
                return Ok(true);
            }
            next = from_here.next();
        }
        drop(parts);
        let Some(next) = next else { return Ok(false) };
        if next.first != self.next {
            return Err(self.damaged());
        }
        (self.part, self.file, self.at) = (next, None, 0);
        Ok(true)
    }

    fn damaged(&self) -> LogFault {
        let path = files::path(&self.track.log.folder, self.part.first);
        LogFault::Damaged { path, at: self.at, offset: self.next }
    }
}

impl Log {
    /// So many bytes have been read.
    fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        let less = |backlog: u64| Some(backlog.saturating_sub(bytes));
        let _ = self.backlog.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

/// Reads the frame that begins at a place of a file that is written so far, if it is whole.
fn read_frame(
    file: &File,
    at: u64,
    length: u64,
    into: &mut Vec<u8>,
    path: &Path,
) -> Result<Option<frame::Header>, LogFault> {
    let wrong = || LogFault::io("read", path);
    let left = usize::try_from(length - at).unwrap_or(usize::MAX);
    into.clear();
    if left < HEADER {
        return Ok(None);
    }
    into.resize(HEADER, 0);
    file.read_exact_at(into, at).map_err(wrong())?;
    let Some(header) = frame::read_header(into).filter(|it| it.length <= left - HEADER) else {
        return Ok(None);
    };
    into.resize(HEADER + header.length, 0);
    file.read_exact_at(&mut into[HEADER..], at + HEADER as u64).map_err(wrong())?;
    Ok(frame::whole(into))
}
