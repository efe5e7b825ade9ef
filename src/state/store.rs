//! Checkpoints in a place: put, committed, found again.

mod check;
mod chronicle;
mod decisions;
mod latest;
mod tidy;

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::{Batch, BatchReader};
use super::manifest::{self, BatchEntry, Manifest};
use super::objects::Objects;
use super::{Location, StateError};

pub use check::Checked;
pub use chronicle::{CheckedChronicle, Chronicle, Chronicled};
pub use decisions::Decisions;
pub use latest::{Latest, Listed, Skipped};
pub use tidy::Tidied;

const MANIFESTS: &str = "manifests";
const BATCHES: &str = "batches";
/// How much of a batch is read at once.
const PIECE_BYTES: u64 = 4 << 20;

/// The checkpoints in one place. Every method waits until it is done; none may be called from
/// within an asynchronous runtime. A clone is the same store, for another thread.
#[derive(Clone)]
pub struct Store {
    objects: Arc<Objects>,
    /// By what manifests of this store are told from those of other processes.
    writer: String,
}

impl Store {
    /// Opens a place that is to be written; makes the folder if there is none.
    ///
    /// # Errors
    /// The folder cannot be made, or the settings of the object store are wrong. Whether that can
    /// be reached is told by the first call that asks it.
    pub fn create(location: &Location) -> Result<Self, StateError> {
        if let Location::Folder(folder) = location {
            make(folder).map_err(|cause| {
                let place = folder.display().to_string();
                StateError::Create { place, cause }
            })?;
        }
        Self::open(location)
    }

    /// Opens a place that is there. Writes nothing.
    ///
    /// # Errors
    /// There is no such folder, or the settings of the object store are wrong.
    pub fn open(location: &Location) -> Result<Self, StateError> {
        Ok(Self::new(Objects::open(location)?))
    }

    fn new(objects: Objects) -> Self {
        // The standard library's hash keys are random: no two processes have the same.
        let writer = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Store { objects: Arc::new(objects), writer }
    }

    #[cfg(test)]
    pub(crate) fn over(store: Arc<dyn object_store::ObjectStore>) -> Result<Self, StateError> {
        Ok(Self::new(Objects::over(store, "test")?))
    }

    /// The place, as messages name it.
    pub fn place(&self) -> &str {
        self.objects.place()
    }

    /// Writes a batch that checkpoint `number` is to be the first to name. It is durable when this
    /// returns. The same batch may be put again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_batch(&self, number: u64, batch: &Batch) -> Result<BatchEntry, StateError> {
        let entry = BatchEntry::of(number, batch);
        self.objects.put(&entry.path, &batch.pieces)?;
        Ok(entry)
    }

    /// Reads a batch that a manifest names. Holds some MiB of it at a time.
    ///
    /// # Errors
    /// It is missing, damaged from its start, of another version, or cannot be read.
    pub fn open_batch(&self, entry: &BatchEntry) -> Result<BatchReader, StateError> {
        let (objects, path, bytes) = (Arc::clone(&self.objects), entry.path.clone(), entry.bytes);
        let mut start = 0;
        let pieces = move || {
            let count = PIECE_BYTES.min(bytes.saturating_sub(start));
            if count == 0 {
                return Ok(None);
            }
            let piece = objects.read_part(&path, start, count)?;
            start += piece.len() as u64;
            Ok(Some(piece).filter(|piece| !piece.is_empty()))
        };
        BatchReader::new(self.objects.name(&entry.path), Box::new(pieces))
    }

    /// Commits a checkpoint: writes its manifest, if there is none of its number or above. Its
    /// batches must have been put. It is durable when this returns; committing the same again is
    /// fine. Where it failed, whether it is committed is open: commit the same again, or go on
    /// with the next number.
    ///
    /// # Errors
    /// [`StateError::Taken`]: another process writes the same state. Or it cannot be written.
    ///
    /// # Panics
    /// If its number is 0.
    pub fn commit(&self, manifest: &Manifest) -> Result<(), StateError> {
        assert!(manifest.number > 0, "checkpoints are counted from 1");
        let own = Manifest { writer: self.writer.clone(), ..manifest.clone() };
        let (path, bytes) = (manifest::path(own.number), own.encode());
        let newest = self.numbers()?.last().copied().unwrap_or(0);
        if newest < own.number && self.objects.create(&path, bytes.clone())? {
            return Ok(());
        }
        // A request whose answer was lost is sent again, and finds what it wrote.
        match self.objects.read(&path) {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) | Err(StateError::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
        let (place, number) = (self.place().to_owned(), newest.max(own.number));
        match self.manifest(number) {
            Ok(found) if found.writer == self.writer => {
                Err(StateError::Committed { place, number })
            }
            Err(error) if error.is_transient() => Err(error),
            _ => Err(StateError::Taken { place, number }),
        }
    }

    /// The numbers of the manifests that are there, least first.
    fn numbers(&self) -> Result<Vec<u64>, StateError> {
        let listed = self.objects.list(MANIFESTS)?;
        let json = listed.keys().filter(|path| path.ends_with(".json"));
        let mut numbers: Vec<_> = json.filter_map(|path| manifest::number_of(path)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn manifest(&self, number: u64) -> Result<Manifest, StateError> {
        let path = manifest::path(number);
        let found = Manifest::decode(&self.objects.name(&path), &self.objects.read(&path)?)?;
        if found.number == number {
            return Ok(found);
        }
        let (name, place) = (self.objects.name(&path), super::Place::Whole);
        let what = format!("it is that of checkpoint {}", found.number);
        Err(StateError::Damaged { name, place, what })
    }
}

/// Makes a folder and those it is in, so that they are there after a power failure too.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(error)
        }
        _ => File::open(parent)?.sync_all(),
    }
}
