//! What is read of a checkpoint when a run goes on from it.
//!
//! Each worker reads every so many-th batch, and deals it out to all. That begins while outputs are
//! being opened, which is to wait for others.

use std::ops::Range;
use std::thread::{self, JoinHandle};

use dataflows::operators::checkpoint::{Collection, Counts, Place, Restart, Share};
use dataflows::segmentation::{Command, Inputs};
use dataflows::sketch::Unreadable;

use super::Resumed;
use crate::run::checkpoint::keeper::collection;
use crate::run::lock;
use crate::state::{BatchEntry, Manifest, StateError, Store};

impl Resumed {
    /// Begins to read what is kept, for these of so many workers, each its share: while outputs are
    /// being opened, which is to wait for others.
    pub(crate) fn read_ahead(&self, own: Range<usize>, workers: usize) {
        let Some(manifest) = &self.manifest else { return };
        for worker in own {
            let (store, manifest) = (self.store.clone(), manifest.clone());
            let read = move || share(&store, &manifest, (worker, workers));
            // Where there can be no thread, the worker reads it.
            if let Ok(thread) = thread::Builder::new().name("restore".to_owned()).spawn(read) {
                lock(&self.ahead).insert(worker, thread);
            }
        }
    }

    /// Hands a worker's share of what is kept to the dataflow, of which it is this one of so many.
    /// If one of them asks for it, it is told who is in which segment as of the instant before.
    ///
    /// # Errors
    /// A batch is damaged.
    pub(in crate::run) fn restore(
        &self,
        inputs: &mut Inputs,
        (worker, workers): (usize, usize),
        tells_members: bool,
    ) -> Result<(), StateError> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let at = manifest.frontier - 1;
        let settled = manifest.settled();
        inputs.advance_to(at, settled.min(at));
        if tells_members {
            inputs.saves.send((at, Command::TellMembers));
        }
        let ahead = lock(&self.ahead).remove(&worker);
        inputs.restore(match ahead.map(JoinHandle::join) {
            None => share(&self.store, manifest, (worker, workers))?,
            Some(Ok(read)) => read?,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        });
        inputs.advance_to(manifest.frontier, settled);
        Ok(())
    }

    /// What the earlier run had counted beside the dataflow.
    ///
    /// # Errors
    /// A batch is damaged.
    pub(in crate::run) fn counts(&self) -> Result<Counts, StateError> {
        let mut counts = Counts::default();
        let Some(manifest) = &self.manifest else { return Ok(counts) };
        let is_counted = |it: &&BatchEntry| collection(&it.collection) == Some(Collection::Counts);
        for batch in manifest.batches.iter().filter(is_counted) {
            let mut reader = self.store.open_batch(batch)?;
            while let Some(page) = reader.next()? {
                let taken = counts.take(page, manifest.frontier);
                taken.map_err(|error| content(batch, &error))?;
            }
        }
        Ok(counts)
    }

    /// That what was counted is not what is to be read.
    pub(in crate::run) fn unreadable(&self, error: &Unreadable) -> StateError {
        let number = self.manifest.as_ref().map_or(0, |manifest| manifest.number);
        let name = format!("checkpoint {number} of {}", self.store.place());
        StateError::Content { name, reason: error.to_string() }
    }
}

/// Reads what one of so many workers is to read of a checkpoint.
fn share(
    store: &Store,
    manifest: &Manifest,
    (worker, workers): (usize, usize),
) -> Result<Share, StateError> {
    let bytes = manifest.batches.iter().map(|batch| batch.bytes).sum();
    let mut share = Share::new(Restart { workers, at: manifest.frontier - 1, bytes });
    for (number, batch) in (0..).zip(&manifest.batches) {
        if usize::try_from(number).is_ok_and(|number: usize| number % workers == worker) {
            read(store, (number, batch), &mut share)?;
        }
    }
    Ok(share)
}

fn read(
    store: &Store,
    (number, batch): (u64, &BatchEntry),
    share: &mut Share,
) -> Result<(), StateError> {
    let Some(collection) = collection(&batch.collection) else {
        let reason = format!("{:?} is no collection of this version", batch.collection);
        return Err(content(batch, &reason));
    };
    if collection == Collection::Counts {
        return Ok(()); // of them the dataflow knows nothing
    }
    let (mut reader, mut page) = (store.open_batch(batch)?, 0);
    while let Some(bytes) = reader.next()? {
        let place = Place { collection, number, page };
        share.page(place, bytes).map_err(|error| content(batch, &error))?;
        page += 1;
    }
    Ok(())
}

/// That what stands in a batch is not what is to stand there.
fn content(batch: &BatchEntry, reason: &dyn std::fmt::Display) -> StateError {
    StateError::Content { name: batch.path.clone(), reason: reason.to_string() }
}
