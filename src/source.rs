//! Where records come from: bytes and their positions, not yet understood.

pub mod file;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

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
}

/// Whole lines that follow one another in a partition.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The lines, each but perhaps the last ended by a line feed.
    pub bytes: Vec<u8>,
    /// How many lines of the partition are before it.
    pub first_offset: u64,
    /// The true length of the one line in it, if that is too long to be kept whole.
    cut: Option<u64>,
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
}

impl Chunk {
    /// The lines that are not blank, in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = Some(self.bytes.as_slice()).filter(|bytes| !bytes.is_empty());
        let mut offset = self.first_offset;
        let each = std::iter::from_fn(move || {
            let all = rest?;
            let (line, next) = match memchr::memchr(b'\n', all) {
                Some(end) => (&all[..end], &all[end + 1..]),
                None => (all, &all[all.len()..]),
            };
            rest = (!next.is_empty()).then_some(next);
            let bytes = line.strip_suffix(b"\r").unwrap_or(line);
            offset += 1;
            let length = self.cut.unwrap_or(bytes.len() as u64);
            let bytes = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
            Some(Line { offset: offset - 1, bytes, length })
        });
        each.filter(|line| !line.bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_count_but_are_no_records() {
        let chunk =
            Chunk { bytes: b"a\r\n\n \t\r\nb\r\rc\n\nd".to_vec(), first_offset: 7, cut: None };
        let lines: Vec<_> = chunk.lines().map(|line| (line.offset, line.bytes)).collect();
        assert_eq!(lines, [(7, &b"a"[..]), (10, b"b\r\rc"), (12, b"d")]);
        assert_eq!(Chunk::default().lines().count(), 0);
    }
}
