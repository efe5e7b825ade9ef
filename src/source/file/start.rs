//! Where lines begin in a file, so that one that was read in part is read on from there, without
//! what stands before.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Counted, FilePartition, READ_BYTES};
use crate::source::SourceError;

/// Where a line begins in a file that is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineStart {
    /// How many lines are before it.
    pub line: u64,
    /// How many bytes are.
    pub byte: u64,
}

impl FilePartition {
    /// Goes on to an offset: from where an earlier line began, as a [chunk](crate::source::Chunk)
    /// told, and from there by reading past what is left. Where none is known, and where the file is
    /// compressed, it is read from its beginning.
    ///
    /// # Errors
    /// The file cannot be read on, is shorter, or has no line that begins there any more.
    pub fn skip_to(&mut self, offset: u64, near: Option<LineStart>) -> Result<(), SourceError> {
        if let Some(start) = near.filter(|it| it.byte > 0 && it.line <= offset)
            && self.is_stored_as_it_is()
        {
            self.seek(start)?;
        }
        while self.offset < offset {
            let Some(chunk) = self.next_chunk(READ_BYTES)? else {
                let (path, lines) = (self.path.clone(), self.offset);
                return Err(SourceError::Shorter { path, lines, expected: offset });
            };
            if self.offset > offset {
                // What stands before the offset is known to be done.
                self.ahead = Some(chunk);
            } else {
                self.recycle(chunk);
            }
        }
        Ok(())
    }

    /// Begins to read at a line that is not the first.
    fn seek(&mut self, start: LineStart) -> Result<(), SourceError> {
        let file = line_at(&self.path, start.byte).map_err(|cause| self.failed(cause))?;
        let Some(file) = file else {
            let (path, LineStart { line, byte }) = (self.path.clone(), start);
            return Err(SourceError::Changed { path, lines: line, byte });
        };
        // How far it is read counts what is not read again.
        self.read.store(start.byte, Ordering::Relaxed);
        let read = Arc::clone(&self.read);
        self.input = Box::new(Counted { file: Box::new(file), read });
        (self.offset, self.begins, self.at_start) = (start.line, start.byte, false);
        Ok(())
    }
}

/// The file, to be read from this byte on; `None` if the line before does not end there.
fn line_at(path: &Path, byte: u64) -> io::Result<Option<File>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(byte - 1))?;
    let mut before = [0];
    let is_there = file.read(&mut before)? == 1;
    Ok((is_there && before == *b"\n").then_some(file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::tests::stored;
    use super::*;

    type Lines = Vec<(u64, Vec<u8>)>;

    /// What is left, and where each chunk of it began, in chunks of about this size.
    fn rest(file: &mut FilePartition, target_bytes: usize) -> (Lines, Vec<LineStart>) {
        let (mut lines, mut starts) = (Vec::new(), Vec::new());
        while let Some(chunk) = file.next_chunk(target_bytes).unwrap() {
            lines.extend(chunk.lines().map(|line| (line.offset, line.bytes.to_vec())));
            starts.extend(chunk.start);
        }
        (lines, starts)
    }

    /// Goes on at an offset in a file that is open, and reads the rest of it from there on.
    fn from(path: &Path, offset: u64, near: Option<LineStart>) -> Lines {
        let mut file = FilePartition::open(path).unwrap();
        file.skip_to(offset, near).unwrap();
        let (mut lines, _) = rest(&mut file, 7);
        lines.retain(|(own, _)| *own >= offset);
        assert_eq!(file.progress().read, fs::metadata(path).unwrap().len());
        lines
    }

    proptest! {
        /// Carriage returns, blank lines, a byte order mark, a last line without an end.
        #[test]
        fn what_is_read_on_is_what_stands_there(
            text in "(\u{feff})?([ab \r\n]|[cd]{5}\r?\n){0,40}",
            target in 1..30_usize,
        ) {
            let (_folder, path) = stored("x", text.as_bytes());
            let (all, starts) = rest(&mut FilePartition::open(&path).unwrap(), target);
            let count = all.last().map_or(0, |(offset, _)| offset + 1);
            for (place, start) in starts.iter().enumerate() {
                let next = starts.get(place + 1).map_or(count, |next| next.line.min(count));
                for offset in start.line.min(next)..=next {
                    let expected: Lines =
                        all.iter().filter(|(own, _)| *own >= offset).cloned().collect();
                    prop_assert_eq!(from(&path, offset, Some(*start)), expected);
                }
            }
        }
    }

    #[test]
    fn a_line_too_long_to_be_kept_counts_whole() {
        let long = b"x".repeat(crate::source::MAX_LINE_BYTES + 3_000_000);
        let text = [b"a\n", &long[..], b"\r\nb\nc"].concat();
        let (_folder, path) = stored("x", &text);
        let (_, starts) = rest(&mut FilePartition::open(&path).unwrap(), 1);
        let last = *starts.last().unwrap();
        assert_eq!(last, LineStart { line: 3, byte: text.len() as u64 - 1 });
        assert_eq!(from(&path, 3, Some(last)), [(3, b"c".to_vec())]);
    }

    #[test]
    fn nothing_before_is_read_again() {
        let text = b"some line\n".repeat(100_000);
        let (_folder, path) = stored("x", &text);
        let mut file = FilePartition::open(&path).unwrap();
        file.skip_to(99_990, Some(LineStart { line: 99_980, byte: 999_800 })).unwrap();
        assert_eq!(file.progress().read, 1_000_000, "what was passed over counts as read");
        let (lines, starts) = rest(&mut file, 50);
        assert_eq!(lines.first().map(|(offset, _)| *offset), Some(99_980), "a chunk of 200 bytes");
        assert_eq!(starts[0], LineStart { line: 99_980, byte: 999_800 });
    }

    #[test]
    fn a_file_that_has_changed_is_told_by_name_and_place() {
        let (_folder, path) = stored("x.jsonl", b"one\ntwo\nthree\n");
        let start = LineStart { line: 2, byte: 8 };
        assert_eq!(from(&path, 2, Some(start)), [(2, b"three".to_vec())]);
        for changed in [&b"one\ntwo"[..], b"one\ntwo 2\nthree\n", b""] {
            fs::write(&path, changed).unwrap();
            let mut file = FilePartition::open(&path).unwrap();
            let error = file.skip_to(2, Some(start)).unwrap_err();
            assert!(matches!(error, SourceError::Changed { lines: 2, byte: 8, .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains("x.jsonl has changed: 2 of its lines"), "{said}");
            assert!(said.contains("before byte 8") && said.contains("put it back"), "{said}");
        }
        fs::write(&path, b"one\ntwo\n").unwrap();
        let mut file = FilePartition::open(&path).unwrap();
        let error = file.skip_to(3, Some(start)).unwrap_err();
        assert!(matches!(error, SourceError::Shorter { lines: 2, expected: 3, .. }), "{error:?}");
    }

    #[test]
    fn what_is_compressed_or_not_known_is_read_from_its_beginning() {
        let text = b"a\nb\nc\n".repeat(1_000);
        let (_folder, path) = stored("x.zst", &zstd::encode_all(&text[..], 1).unwrap());
        let (lines, starts) = rest(&mut FilePartition::open(&path).unwrap(), 64);
        assert_eq!((lines.len(), starts.len()), (3_000, 0));
        let wrong = Some(LineStart { line: 1, byte: 3 });
        assert_eq!(from(&path, 2_999, wrong), [(2_999, b"c".to_vec())]);
        let (_folder, path) = stored("x", &text);
        assert_eq!(from(&path, 2_999, None), [(2_999, b"c".to_vec())]);
    }
}
