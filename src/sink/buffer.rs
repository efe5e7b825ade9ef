//! What waits on disk: items that do not fit into memory while a destination is slow or away.
//!
//! It is no store: its files have no names, so they are gone with the process, and nothing in them
//! counts as final. A run that is started again computes the same items again, from its last
//! checkpoint, which waits for all sinks; so a crash loses nothing, and the longer a destination is
//! away, the more a restart computes again.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::model::{Difference, EventTime, Sign};

use super::delivery::Item;

/// How much is written and read in one go.
const BLOCK_BYTES: usize = 256 << 10;
/// After how much another file is begun: space is given back file by file.
const FILE_BYTES: u64 = 64 << 20;

/// Where items may wait, and how many bytes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// How much of the disk is taken at most, about.
    pub bytes: u64,
}

/// Items on disk, the oldest first.
#[derive(Debug)]
pub(super) struct Buffer {
    place: Place,
    files: VecDeque<Part>,
    /// What has been written, and not been read.
    blocks: VecDeque<Block>,
    /// What is not written yet.
    last: Block,
    encoded: Vec<u8>,
    /// What is on disk, and what is not written yet.
    bytes: u64,
    items: usize,
    segments: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Part {
    file: File,
    written: u64,
    read: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Block {
    bytes: usize,
    items: usize,
    first: EventTime,
}

impl Buffer {
    pub(super) fn new(place: Place) -> Self {
        Buffer {
            place,
            files: VecDeque::new(),
            blocks: VecDeque::new(),
            last: Block::default(),
            encoded: Vec::new(),
            bytes: 0,
            items: 0,
            segments: HashSet::new(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// How many items wait in it.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > self.place.bytes
    }

    /// The time of the oldest item.
    pub(super) fn first(&self) -> Option<EventTime> {
        let oldest = self.blocks.front().copied().unwrap_or(self.last);
        (oldest.items > 0).then_some(oldest.first)
    }

    /// Adds an item, which is not older than those there are.
    pub(super) fn push(&mut self, item: &Item) -> io::Result<()> {
        if self.last.items == 0 {
            self.last.first = item.time();
        }
        let before = self.encoded.len();
        encode(item, &mut self.encoded);
        self.bytes += count(self.encoded.len() - before);
        self.last.items += 1;
        self.items += 1;
        if self.encoded.len() >= BLOCK_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.files.back().is_none_or(|part| part.written >= FILE_BYTES) {
            self.files.push_back(Part { file: self.nameless()?, written: 0, read: 0 });
        }
        if let Some(part) = self.files.back_mut() {
            part.file.write_all_at(&self.encoded, part.written)?;
            part.written += count(self.encoded.len());
        }
        let bytes = self.encoded.len();
        self.blocks.push_back(Block { bytes, ..std::mem::take(&mut self.last) });
        self.encoded.clear();
        Ok(())
    }

    /// A file without a name.
    fn nameless(&self) -> io::Result<File> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(&self.place.folder)?;
        let path = self.place.folder.join(format!(".buffer-{}-{number}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    /// Takes the oldest block of items.
    pub(super) fn take(&mut self) -> io::Result<Vec<Item>> {
        let (block, encoded) = match self.blocks.pop_front() {
            Some(block) => (block, self.read(block.bytes)?),
            None => (std::mem::take(&mut self.last), std::mem::take(&mut self.encoded)),
        };
        self.bytes -= count(encoded.len());
        self.items -= block.items;
        let mut rest = encoded.as_slice();
        let items: Option<Vec<_>> = (0..block.items).map(|_| self.decode(&mut rest)).collect();
        items
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not what was written"))
    }

    fn read(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        while self.files.front().is_some_and(|part| part.read >= part.written) {
            self.files.pop_front();
        }
        let mut encoded = vec![0; bytes];
        let Some(part) = self.files.front_mut() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        part.file.read_exact_at(&mut encoded, part.read)?;
        part.read += count(bytes);
        if part.read == part.written {
            self.files.pop_front(); // it gives its space back
        }
        Ok(encoded)
    }

    fn decode(&mut self, from: &mut &[u8]) -> Option<Item> {
        let kind = u8::from_le_bytes(array(from)?);
        let time = EventTime::from_le_bytes(array(from)?);
        let (first, second) = (bytes(from)?, bytes(from)?);
        if kind == PROFILE {
            let user = std::str::from_utf8(first).ok()?.into();
            let json = String::from_utf8(second.to_vec()).ok()?;
            return Some(Item::Profile { time, user, json });
        }
        if kind == LINE {
            let key = String::from_utf8(first.to_vec()).ok()?;
            return Some(Item::Line { time, key, line: second.to_vec() });
        }
        let (segment, user) = (std::str::from_utf8(first).ok()?, std::str::from_utf8(second).ok()?);
        let segment = match self.segments.get(segment) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = segment.into();
                self.segments.insert(Arc::clone(&new));
                new
            }
        };
        let sign = if kind == ENTERED { Sign::Entered } else { Sign::Left };
        Some(Item::Difference(Difference { time, segment, user: user.into(), sign }))
    }
}

const ENTERED: u8 = 0;
const LEFT: u8 = 1;
const LINE: u8 = 2;
const PROFILE: u8 = 3;

/// What it is, its time, and two texts with their lengths before them.
fn encode(item: &Item, to: &mut Vec<u8>) {
    let (kind, first, second) = match item {
        Item::Difference(it) => {
            let kind = if it.sign == Sign::Entered { ENTERED } else { LEFT };
            (kind, it.segment.as_bytes(), it.user.as_bytes())
        }
        Item::Profile { user, json, .. } => (PROFILE, user.as_bytes(), json.as_bytes()),
        Item::Line { key, line, .. } => (LINE, key.as_bytes(), line.as_slice()),
    };
    to.push(kind);
    to.extend_from_slice(&item.time().to_le_bytes());
    for text in [first, second] {
        to.extend_from_slice(&count(text.len()).to_le_bytes());
        to.extend_from_slice(text);
    }
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*array)
}

fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64::from_le_bytes(array(from)?)).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_and_space_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::new(Place { folder: folder.path().into(), bytes: 1 << 20 });
        let item = |at: i64| match at % 4 {
            3 => Item::Profile { time: at, user: "u".into(), json: "{\"plan\":1}".into() },
            0 => Item::Line { time: at, key: "k".into(), line: vec![7; 40] },
            more => Item::Difference(Difference {
                time: at,
                segment: "s".into(),
                user: format!("u{at}").into(),
                sign: if more == 1 { Sign::Entered } else { Sign::Left },
            }),
        };
        let (mut pushed, mut taken) = (0, 0);
        for _ in 0..5 {
            while !buffer.is_full() {
                buffer.push(&item(pushed)).unwrap();
                pushed += 1;
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "files have no names");
            while buffer.items() > 100 {
                assert_eq!(buffer.first(), Some(taken));
                for found in buffer.take().unwrap() {
                    assert_eq!(found, item(taken));
                    taken += 1;
                }
            }
        }
        assert!(taken > 30_000, "{taken}");
        assert_eq!(buffer.items(), usize::try_from(pushed - taken).unwrap());
        assert!(buffer.files.len() <= 1);
    }
}
