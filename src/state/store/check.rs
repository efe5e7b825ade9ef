//! Whether every byte of a checkpoint is as it was written.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{BATCHES, Store};
use crate::state::{BatchEntry, BatchHeader, Manifest, Place, StateError};

/// From so many bytes on, they are read by as many threads as the machine runs at once.
const WORTH_THREADS: u64 = if cfg!(debug_assertions) { 1 } else { 16 << 20 };

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The manifest, unless that is what is wrong.
    pub manifest: Option<Manifest>,
    /// How many batches were found right.
    pub batches: usize,
    /// How many entries they have.
    pub entries: u64,
    /// All that is wrong, in the order of the manifest; nothing, if the checkpoint is whole.
    pub wrong: Vec<StateError>,
}

impl Store {
    /// Reads all of a checkpoint. Costs as much as loading it.
    ///
    /// # Errors
    /// The place cannot be read. What is wrong with the checkpoint is in the answer.
    pub fn check(&self, number: u64) -> Result<Checked, StateError> {
        let mut checked = Checked { manifest: None, batches: 0, entries: 0, wrong: Vec::new() };
        let manifest = match self.manifest(number) {
            Ok(manifest) => manifest,
            Err(error) => return Self::note(checked, error),
        };
        let lengths = self.objects.list(BATCHES)?;
        let read =
            |batch: &BatchEntry| self.is_there(batch, &lengths).and_then(|()| self.read_all(batch));
        for read in by_threads(&manifest.batches, read) {
            match read {
                Ok(entries) => {
                    checked.batches += 1;
                    checked.entries += entries;
                }
                Err(error) => checked = Self::note(checked, error)?,
            }
        }
        checked.manifest = Some(manifest);
        Ok(checked)
    }

    /// What is wrong with a file is noted; what keeps it from being read ends the check.
    fn note(mut checked: Checked, error: StateError) -> Result<Checked, StateError> {
        if !error.is_damage() && !matches!(error, StateError::Version { .. }) {
            return Err(error);
        }
        checked.wrong.push(error);
        Ok(checked)
    }

    fn read_all(&self, batch: &BatchEntry) -> Result<u64, StateError> {
        let mut reader = self.open_batch(batch)?;
        let stated = BatchHeader {
            collection: batch.collection.clone(),
            worker: batch.worker,
            lower: batch.lower,
            upper: batch.upper,
        };
        if *reader.header() != stated {
            return Err(self.damaged(batch, Place::Header, "the manifest says otherwise"));
        }
        while reader.next()?.is_some() {}
        let sum = reader.checksum().map(|sum| format!("{sum:016x}"));
        if reader.entries() != batch.entries || sum.as_ref() != Some(&batch.checksum) {
            let what = "its counts or checksum are not those of the manifest";
            return Err(self.damaged(batch, Place::Whole, what));
        }
        Ok(reader.entries())
    }
}

/// Does something for every batch, several at once where there is much to read; the answers are in
/// their order.
fn by_threads<T: Send>(batches: &[BatchEntry], each: impl Fn(&BatchEntry) -> T + Sync) -> Vec<T> {
    let bytes: u64 = batches.iter().map(|batch| batch.bytes).sum();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    if bytes < WORTH_THREADS || threads == 1 {
        return batches.iter().map(each).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(place) else { return done };
            done.push((place, each(batch)));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others = others.into_iter().flat_map(|it| match it.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        own.into_iter().chain(others).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, done)| done).collect()
}
