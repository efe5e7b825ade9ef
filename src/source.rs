//! Where records come from: bytes and their positions, not yet understood.

pub mod file;
pub mod http;
pub mod kafka;

mod track;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::format::TraceParent;

pub use file::LineStart;
pub use track::Track;

/// The most of one line that is kept. What is longer is read past, and refused with its length.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What keeps a source from being read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It cannot be opened.
    #[error("cannot open {}: check that the path is right and that it may be read", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// It is a directory.
    #[error("{} is a directory: name the files in it, each is a partition", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
    },
    /// It cannot be read on.
    #[error("cannot read {} after {read} bytes", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// How much of it was read.
        read: u64,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// It is shorter than an earlier run has seen it.
    #[error(
        "{} ends after {lines} lines, but {expected} of them had been read: put it back as it was, \
         or start anew with another place for state",
        path.display()
    )]
    Shorter {
        /// Its path.
        path: PathBuf,
        /// How many lines it has.
        lines: u64,
        /// How many had been read.
        expected: u64,
    },
    /// It is not what an earlier run has seen.
    #[error(
        "{} has changed: {lines} of its lines had been read, and ended before byte {byte}, where no \
         line ends now: put it back as it was, or start anew with another place for state",
        path.display()
    )]
    Changed {
        /// Its path.
        path: PathBuf,
        /// How many lines had been read.
        lines: u64,
        /// How many bytes they were.
        byte: u64,
    },
    /// It is not what its compression promises.
    #[error(
        "{} is not valid {format} near byte {read}: fetch it again, or unpack what can be saved \
         and read that",
        path.display()
    )]
    Corrupt {
        /// Its path.
        path: PathBuf,
        /// How it is compressed.
        format: &'static str,
        /// How much of the compressed file was read.
        read: u64,
        /// What the decoder says.
        #[source]
        cause: io::Error,
    },
    /// A topic of Kafka cannot be read.
    #[error(transparent)]
    Kafka(#[from] kafka::KafkaFault),
    /// The log of the collector cannot be read.
    #[error(transparent)]
    Log(#[from] http::LogFault),
}

/// Records that follow one another in a partition: the lines of a file, or pieces of bytes that
/// each have an offset of their own.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Lines, each but perhaps the last ended by a line feed; or pieces without anything between.
    pub bytes: Vec<u8>,
    /// How many lines of the partition are before it.
    pub first_offset: u64,
    /// Where its first line begins in its file, if that can be read on from there.
    pub start: Option<LineStart>,
    /// The true length of the one line in it, if that is too long to be kept whole.
    cut: Option<u64>,
    /// Where the pieces end. There are none in a chunk of lines.
    pieces: Vec<Piece>,
    /// By offset, in order, of which traces records are a part, where that is said.
    parents: Vec<(u64, TraceParent)>,
}

/// A record that may hold line feeds, after an offset that need not be that of the one before plus 1.
#[derive(Debug, Clone, Copy)]
struct Piece {
    offset: u64,
    /// Where it ends in the bytes of its chunk; it begins where the one before ends.
    end: usize,
    is_missing: bool,
    /// How many bytes at its beginning are not its own, but tell why it is rejected.
    refusal: usize,
}

/// One line of a partition, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// How many lines of the partition are before it.
    pub offset: u64,
    /// The line, or its first [`MAX_LINE_BYTES`].
    pub bytes: &'a [u8],
    /// How long it is; more than `bytes` holds if it was too long to be kept whole. Ask
    /// [`oversize`](crate::format::oversize) with this before the bytes are read as a record.
    pub length: u64,
    /// Whether there is a record, but nothing in it: a tombstone.
    pub is_missing: bool,
    /// Why its source wants it rejected, whatever it says.
    pub refusal: Option<&'a str>,
}

impl Chunk {
    /// Adds a record with its own offset; `None` is one that has nothing in it.
    pub fn push(&mut self, offset: u64, record: Option<&[u8]>) {
        self.bytes.extend_from_slice(record.unwrap_or_default());
        let (end, is_missing) = (self.bytes.len(), record.is_none());
        self.pieces.push(Piece { offset, end, is_missing, refusal: 0 });
    }

    /// The record of this offset, which is pushed next, is a part of a trace.
    pub fn push_parent(&mut self, offset: u64, parent: TraceParent) {
        self.parents.push((offset, parent));
    }

    /// Of which traces records are a part, by their offsets, in order; they are not told again.
    pub fn take_parents(&mut self) -> Vec<(u64, TraceParent)> {
        std::mem::take(&mut self.parents)
    }

    /// Adds a record that is to be rejected for a reason, which is not empty.
    pub fn push_refused(&mut self, offset: u64, record: &[u8], reason: &str) {
        self.bytes.extend_from_slice(reason.as_bytes());
        self.bytes.extend_from_slice(record);
        let (end, refusal) = (self.bytes.len(), reason.len());
        self.pieces.push(Piece { offset, end, is_missing: false, refusal });
    }

    /// Whether its records have offsets of their own: then ask for [`pieces`](Self::pieces).
    pub fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// The records with offsets of their own, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let (reason, bytes) = self.bytes[start..piece.end].split_at(piece.refusal);
            start = piece.end;
            let length = bytes.len() as u64;
            let refusal = std::str::from_utf8(reason).ok().filter(|reason| !reason.is_empty());
            Line { offset: piece.offset, bytes, length, is_missing: piece.is_missing, refusal }
        })
    }

    /// Forgets its records, and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.start = None;
        self.parents.clear();
    }

    /// The lines that are not blank, in order.
    pub fn lines(&self) -> Lines<'_> {
        Lines { bytes: &self.bytes, at: 0, offset: self.first_offset, cut: self.cut }
    }
}

/// The lines of a chunk.
pub struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the next one begins.
    at: usize,
    /// How many lines of the partition are before it.
    offset: u64,
    cut: Option<u64>,
}

impl<'a> Lines<'a> {
    /// Where the next line begins in the chunk, be it blank.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next line, of which it is known already that its end is so far away.
    #[inline]
    pub fn known(&mut self, length: usize) -> Line<'a> {
        let (start, end) = (self.at, self.at + length);
        let line_end = match self.bytes.get(end..) {
            Some([b'\r', b'\n', ..]) => 2,
            _ => 1,
        };
        self.at = end + line_end;
        self.line(self.bytes.get(start..end).unwrap_or_default())
    }

    fn line(&mut self, bytes: &'a [u8]) -> Line<'a> {
        let (offset, length) = (self.offset, self.cut.unwrap_or(bytes.len() as u64));
        self.offset += 1;
        Line { offset, bytes, length, is_missing: false, refusal: None }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            self.at += line.len() + 1;
            let bytes = line.strip_suffix(b"\r").unwrap_or(line);
            let line = self.line(bytes);
            if !bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                let bytes = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
                return Some(Line { bytes, ..line });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_count_but_are_no_records() {
        let bytes = b"a\r\n\n \t\r\nb\r\rc\n\nd".to_vec();
        let chunk = Chunk { bytes, first_offset: 7, ..Chunk::default() };
        let lines: Vec<_> = chunk.lines().map(|line| (line.offset, line.bytes)).collect();
        assert_eq!(lines, [(7, &b"a"[..]), (10, b"b\r\rc"), (12, b"d")]);
        assert_eq!(Chunk::default().lines().count(), 0);
        let mut lines = chunk.lines();
        let own = |line: Line<'_>| (line.offset, line.bytes.to_vec());
        assert_eq!(own(lines.known(1)), (7, b"a".to_vec()));
        assert_eq!(lines.at(), 3);
        assert_eq!(lines.next().map(own), Some((10, b"b\r\rc".to_vec())));
        assert_eq!(own(lines.known(0)), (11, b"".to_vec()));
        assert_eq!(own(lines.known(1)), (12, b"d".to_vec()));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn pieces_keep_their_offsets_and_line_feeds() {
        let mut chunk = Chunk::default();
        assert!(!chunk.has_pieces());
        chunk.push(3, Some(b"a\nb"));
        chunk.push(9, None);
        chunk.push(10, Some(b""));
        chunk.push_refused(11, b"{}", "too long");
        let own = |it: Line<'_>| (it.offset, it.bytes.to_vec(), it.is_missing);
        let pieces: Vec<_> = chunk.pieces().map(own).collect();
        let expected = [
            (3, b"a\nb".to_vec(), false),
            (9, vec![], true),
            (10, vec![], false),
            (11, b"{}".to_vec(), false),
        ];
        assert_eq!(pieces, expected);
        let refusals: Vec<_> = chunk.pieces().map(|it| it.refusal).collect();
        assert_eq!(refusals, [None, None, None, Some("too long")]);
        chunk.clear();
        assert!(!chunk.has_pieces());
    }
}
