//! A file as a partition: its lines are the records, the number of lines before one its offset.

mod ahead;
mod start;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

pub use ahead::{Ahead, ReadAhead, Wake};
pub use start::LineStart;

use super::{Chunk, MAX_LINE_BYTES, SourceError};

/// How much is asked of the system at once. Little where tests want many chunks.
const READ_BYTES: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file that is being read. `-` is standard input; `.gz` and `.zst` are decoded on the way.
pub struct FilePartition {
    path: PathBuf,
    compression: Option<&'static str>,
    input: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
    offset: u64,
    /// The byte of the file at which the line of that offset begins, if it is stored as it is.
    begins: u64,
    /// Read, but not yet handed out: the start of a line.
    carried: Vec<u8>,
    spare: Vec<u8>,
    at_start: bool,
    at_end: bool,
    /// A chunk that was read and is still to be given.
    ahead: Option<Chunk>,
}

/// How far a file has been read, in bytes of the file as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub read: u64,
    /// Bytes there are, if that is known.
    pub total: Option<u64>,
}

impl FilePartition {
    /// Opens a file.
    ///
    /// # Errors
    /// It is not there, or may not be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref().to_owned();
        let (file, total): (Box<dyn Read + Send>, _) = if path.as_os_str() == "-" {
            (Box::new(io::stdin()), None)
        } else {
            let open = |cause| SourceError::Open { path: path.clone(), cause };
            let about = std::fs::metadata(&path).map_err(open)?;
            if about.is_dir() {
                return Err(SourceError::Directory { path });
            }
            if about.file_type().is_fifo() {
                (Box::new(Named { path: path.clone(), pipe: None }), None)
            } else {
                let file = File::open(&path).map_err(open)?;
                (Box::new(file), about.is_file().then_some(about.len()))
            }
        };
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, read: Arc::clone(&read) };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let (input, compression): (Box<dyn Read + Send>, _) = match ending {
            "gz" => (Box::new(MultiGzDecoder::new(counted)), Some("gzip")),
            "zst" => {
                let decoder = zstd::Decoder::new(counted);
                let open = |cause| SourceError::Open { path: path.clone(), cause };
                (Box::new(decoder.map_err(open)?), Some("zstd"))
            }
            _ => (Box::new(counted), None),
        };
        Ok(FilePartition {
            path,
            compression,
            input,
            read,
            total,
            offset: 0,
            begins: 0,
            carried: Vec::new(),
            spare: Vec::new(),
            ahead: None,
            at_start: true,
            at_end: false,
        })
    }

    /// Whether its bytes are those that are read, and can be read again from wherever one likes.
    fn is_stored_as_it_is(&self) -> bool {
        self.compression.is_none() && self.total.is_some()
    }

    /// How far it has been read.
    pub fn progress(&self) -> Progress {
        Progress { read: self.read.load(Ordering::Relaxed), total: self.total }
    }

    /// Takes back a chunk that is done with, so that its memory is used again.
    pub fn recycle(&mut self, chunk: Chunk) {
        if self.spare.capacity() < chunk.bytes.capacity() {
            self.spare = chunk.bytes;
        }
    }

    /// The next whole lines, about `target_bytes` of them and at least one; `None` at the end.
    ///
    /// A chunk ends where a line ends. Of a line beyond [`MAX_LINE_BYTES`] only the start is kept,
    /// and it has a chunk of its own.
    ///
    /// # Errors
    /// The file cannot be read on, or its compression is damaged.
    pub fn next_chunk(&mut self, target_bytes: usize) -> Result<Option<Chunk>, SourceError> {
        if let Some(chunk) = self.ahead.take() {
            return Ok(Some(chunk));
        }
        let mut buffer = Buffer { bytes: std::mem::take(&mut self.spare), filled: 0 };
        buffer.append(&mut self.carried);
        let mut wanted = target_bytes.clamp(1, MAX_LINE_BYTES);
        loop {
            self.fill(&mut buffer, wanted)?;
            let bytes = buffer.filled();
            if let Some(end) = memchr::memrchr(b'\n', bytes) {
                self.carried.extend_from_slice(bytes.get(end + 1..).unwrap_or_default());
                return Ok(Some(self.chunk(buffer, end + 1, None)));
            }
            let length = bytes.len();
            if self.at_end {
                return Ok((length > 0).then(|| self.chunk(buffer, length, None)));
            }
            if length > MAX_LINE_BYTES {
                let length = self.skip_line(bytes)?;
                return Ok(Some(self.chunk(buffer, MAX_LINE_BYTES, Some(length))));
            }
            wanted = length.saturating_mul(2).min(MAX_LINE_BYTES + 1);
        }
    }

    /// A chunk of the first bytes that were read. A small one, as of a pipe whose reader keeps up,
    /// gets memory of its size, and what was read into is used again as it is: to give away so much
    /// more than is filled, and blank as much anew, would cost more than to read the records.
    fn chunk(&mut self, buffer: Buffer, length: usize, cut: Option<u64>) -> Chunk {
        let bytes = if length < READ_BYTES / 2 {
            let bytes = buffer.bytes[..length].to_vec();
            self.spare = buffer.bytes;
            bytes
        } else {
            buffer.up_to(length)
        };
        let ends = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let unended = u64::from(bytes.last() != Some(&b'\n'));
        let (first_offset, byte) = (self.offset, self.begins);
        self.offset += ends + unended;
        self.begins = self.read.load(Ordering::Relaxed) - self.carried.len() as u64;
        let start = self.is_stored_as_it_is().then_some(LineStart { line: first_offset, byte });
        Chunk { bytes, first_offset, start, cut, ..Chunk::default() }
    }

    /// Reads until there are as many bytes as wanted, or the file ends. What is being written
    /// while it is read, such as a pipe, is handed on as soon as there is a line of it.
    fn fill(&mut self, buffer: &mut Buffer, wanted: usize) -> Result<(), SourceError> {
        while buffer.filled < wanted && !self.at_end {
            let before = buffer.filled;
            self.read_some(buffer)?;
            let new = buffer.filled().get(before..).unwrap_or_default();
            if self.total.is_none() && memchr::memchr(b'\n', new).is_some() {
                break;
            }
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut Buffer) -> Result<(), SourceError> {
        let count = loop {
            match self.input.read(buffer.room()) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|cause| self.failed(cause))?,
            }
        };
        buffer.filled += count;
        self.at_end = count == 0;
        if self.at_start && (self.at_end || !BYTE_ORDER_MARK.starts_with(buffer.filled())) {
            self.at_start = false;
            if buffer.filled().starts_with(BYTE_ORDER_MARK) {
                buffer.bytes.drain(..BYTE_ORDER_MARK.len());
                buffer.filled -= BYTE_ORDER_MARK.len();
            }
        }
        Ok(())
    }

    /// Reads past the rest of a line that began with `start`; the length of the whole line.
    fn skip_line(&mut self, start: &[u8]) -> Result<u64, SourceError> {
        let mut length = start.len() as u64;
        let mut last = start.last().copied();
        let mut buffer = Buffer::default();
        while !self.at_end {
            buffer.filled = 0;
            self.read_some(&mut buffer)?;
            let bytes = buffer.filled();
            let end = memchr::memchr(b'\n', bytes);
            let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            length += line.len() as u64;
            last = line.last().copied().or(last);
            if let Some(end) = end {
                self.carried.extend_from_slice(bytes.get(end + 1..).unwrap_or_default());
                break;
            }
        }
        Ok(length - u64::from(last == Some(b'\r')))
    }

    fn failed(&self, cause: io::Error) -> SourceError {
        let (path, read) = (self.path.clone(), self.read.load(Ordering::Relaxed));
        let system_said = cause.raw_os_error().is_some();
        match self.compression {
            Some(format) if !system_said => SourceError::Corrupt { path, format, read, cause },
            _ => SourceError::Read { path, read, cause },
        }
    }
}

/// Memory to read into. It stays as long as it was, so that it is not blanked for every read.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// How much of it has been read; what follows means nothing.
    filled: usize,
}

impl Buffer {
    fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Where to read to.
    fn room(&mut self) -> &mut [u8] {
        let end = self.filled + READ_BYTES;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end]
    }

    fn append(&mut self, bytes: &mut Vec<u8>) {
        let end = self.filled + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        bytes.clear();
    }

    /// Its first bytes.
    fn up_to(mut self, length: usize) -> Vec<u8> {
        self.bytes.truncate(length);
        self.bytes
    }
}

/// A pipe with a name, opened when it is first read: that takes until someone opens its other end.
struct Named {
    path: PathBuf,
    pipe: Option<File>,
}

impl Read for Named {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pipe.is_none() {
            self.pipe = Some(File::open(&self.path)?);
        }
        self.pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(buffer))
    }
}

/// Counts what is read of a file, before it is decoded.
struct Counted {
    file: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Offset, start and length of every line, read in chunks of about this size.
    fn lines(path: &Path, target_bytes: usize) -> Result<Vec<(u64, Vec<u8>, u64)>, SourceError> {
        let mut file = FilePartition::open(path)?;
        let mut lines = Vec::new();
        while let Some(chunk) = file.next_chunk(target_bytes)? {
            let own = |line: super::super::Line<'_>| {
                (line.offset, line.bytes.get(..99).unwrap_or(line.bytes).to_vec(), line.length)
            };
            lines.extend(chunk.lines().map(own));
            file.recycle(chunk);
        }
        Ok(lines)
    }

    pub(super) fn stored(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(path: &Path) -> Vec<(u64, String)> {
        let text = |(offset, line, _)| (offset, String::from_utf8(line).unwrap());
        lines(path, 4).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn compressed_files_are_read_as_they_are() {
        let expected = [(0, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())];
        let members = [gzip(b"\xef\xbb\xbfa\n\nb"), gzip(b"\r\nc")].concat();
        let (_folder, path) = stored("x.jsonl.gz", &members);
        assert_eq!(plain(&path), expected);
        let frames: Vec<u8> = [&b"\xef\xbb\xbfa\n\nb"[..], b"\r\nc"]
            .iter()
            .flat_map(|text| zstd::encode_all(*text, 1).unwrap())
            .collect();
        let (_folder, path) = stored("x.jsonl.zst", &frames);
        assert_eq!(plain(&path), expected);
        let mut file = FilePartition::open(&path).unwrap();
        assert_eq!(file.progress(), Progress { read: 0, total: Some(frames.len() as u64) });
        while file.next_chunk(1).unwrap().is_some() {}
        assert_eq!(file.progress().read, frames.len() as u64);
    }

    #[test]
    fn damage_is_told_with_the_path() {
        let whole = gzip(&b"some line\n".repeat(1000));
        let (_folder, path) = stored("x.gz", &whole[..whole.len() - 9]);
        let error = lines(&path, 1 << 20).unwrap_err();
        assert!(matches!(error, SourceError::Corrupt { format: "gzip", .. }), "{error}");
        assert!(error.to_string().contains("x.gz is not valid gzip near byte"));
        let (_folder, path) = stored("x.zst", b"this is no archive");
        assert!(matches!(
            lines(&path, 9).unwrap_err(),
            SourceError::Corrupt { format: "zstd", .. }
        ));
        let missing = path.with_file_name("missing");
        assert!(matches!(lines(&missing, 9).unwrap_err(), SourceError::Open { .. }));
        let folder = path.parent().unwrap();
        assert!(matches!(lines(folder, 9).unwrap_err(), SourceError::Directory { .. }));
    }

    #[test]
    fn a_line_too_long_is_cut_and_the_next_one_is_whole() {
        let long = MAX_LINE_BYTES + 3_000_000;
        let text = [b"a\n", &b"x".repeat(long)[..], b"\r\nb\n", &b"y".repeat(long)].concat();
        let (_folder, path) = stored("x", &text);
        let read = lines(&path, 1 << 20).unwrap();
        let lengths: Vec<_> = read.iter().map(|(offset, _, length)| (*offset, *length)).collect();
        assert_eq!(lengths, [(0, 1), (1, long as u64), (2, 1), (3, long as u64)]);
        assert_eq!(read[2].1, b"b");
        let at_end = [&b"x".repeat(long)[..], b"\r"].concat();
        let (_folder, path) = stored("x", &at_end);
        assert_eq!(lines(&path, 1).unwrap()[0].2, long as u64);
        let just = [&b"x".repeat(MAX_LINE_BYTES)[..], b"\nb"].concat();
        let (_folder, path) = stored("x", &just);
        let mut file = FilePartition::open(&path).unwrap();
        let chunk = file.next_chunk(1).unwrap().unwrap();
        let first = chunk.lines().next().unwrap();
        assert_eq!((first.bytes.len(), first.length), (MAX_LINE_BYTES, MAX_LINE_BYTES as u64));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_hold_the_same_lines(
            text in "(\u{feff})?([ab\r\n]|[cd]{5}\n){0,40}",
            target in 1..50_usize,
        ) {
            let (_folder, path) = stored("x", text.as_bytes());
            let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let expected: Vec<_> = body
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line))
                .enumerate()
                .filter(|(_, line)| !line.trim_matches([' ', '\t', '\r']).is_empty())
                .map(|(offset, line)| (offset as u64, line.as_bytes().to_vec(), line.len() as u64))
                .collect();
            prop_assert_eq!(lines(&path, target).unwrap(), expected);
        }
    }
}
