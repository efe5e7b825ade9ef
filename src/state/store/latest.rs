//! Which checkpoint to go on from.

use std::collections::BTreeMap;

use super::{BATCHES, Store};
use crate::state::batch::{FOOTER_BYTES, tail_sum};
use crate::state::{BatchEntry, Manifest, Place, StateError};

/// The checkpoint to go on from.
#[derive(Debug)]
pub struct Latest {
    /// The newest that is whole; none if there is none.
    pub manifest: Option<Manifest>,
    /// Those after it that are not, newest first.
    pub skipped: Vec<Skipped>,
    /// The number the next checkpoint is to have.
    pub next: u64,
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub struct Skipped {
    /// Its number.
    pub number: u64,
    /// Why: it or one of its batches is damaged or missing.
    pub reason: StateError,
}

/// A manifest that is there.
#[derive(Debug)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// The manifest, or why it cannot be read.
    pub manifest: Result<Manifest, StateError>,
}

impl Store {
    /// The newest checkpoint that is whole: its manifest has its checksum, and all its batches
    /// have the length and the checksum in their footers that it says. That their bytes bear these
    /// out is seen as they are read; [`check`](Self::check) sees to it at once.
    ///
    /// Costs a listing and one small request a batch.
    ///
    /// # Errors
    /// The place cannot be read, or a newer checkpoint is of another version of Rivulet.
    pub fn latest(&self) -> Result<Latest, StateError> {
        let numbers = self.numbers()?;
        let mut latest = Latest {
            manifest: None,
            skipped: Vec::new(),
            next: numbers.last().map_or(1, |newest| newest + 1),
        };
        if numbers.is_empty() {
            return Ok(latest);
        }
        let lengths = self.objects.list(BATCHES)?;
        for number in numbers.into_iter().rev() {
            match self.manifest(number).and_then(|found| self.whole(found, &lengths)) {
                Ok(found) => {
                    latest.manifest = Some(found);
                    break;
                }
                Err(reason) if reason.is_damage() => {
                    latest.skipped.push(Skipped { number, reason })
                }
                Err(error) => return Err(error),
            }
        }
        Ok(latest)
    }

    /// All manifests, newest first, each with why it cannot be read, if so. Looks at no batches.
    ///
    /// # Errors
    /// The place cannot be read.
    pub fn manifests(&self) -> Result<Vec<Listed>, StateError> {
        let mut all = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            match self.manifest(number) {
                Err(StateError::Gone { .. }) => {} // it was tidied away since it was listed
                Err(error) if error.is_transient() => return Err(error),
                manifest => all.push(Listed { number, manifest }),
            }
        }
        Ok(all)
    }

    /// The manifest, if its batches are as long as it says and end as it says.
    fn whole(
        &self,
        manifest: Manifest,
        lengths: &BTreeMap<String, u64>,
    ) -> Result<Manifest, StateError> {
        for batch in &manifest.batches {
            self.is_there(batch, lengths)?;
        }
        let end = |batch: &BatchEntry| {
            (batch.path.clone(), batch.bytes.saturating_sub(FOOTER_BYTES as u64)..batch.bytes)
        };
        let ends = self.objects.read_ends(manifest.batches.iter().map(end).collect());
        for (batch, end) in manifest.batches.iter().zip(ends) {
            let stated = tail_sum(&end?).map(|(entries, sum)| (entries, format!("{sum:016x}")));
            if stated != Some((batch.entries, batch.checksum.clone())) {
                let place = Place::Footer(batch.bytes.saturating_sub(FOOTER_BYTES as u64));
                return Err(self.damaged(batch, place, "it is not the one the manifest names"));
            }
        }
        Ok(manifest)
    }

    /// That a batch is there and as long as it should be.
    pub(super) fn is_there(
        &self,
        batch: &BatchEntry,
        lengths: &BTreeMap<String, u64>,
    ) -> Result<(), StateError> {
        match lengths.get(&batch.path) {
            None => Err(StateError::Gone { name: self.objects.name(&batch.path) }),
            Some(bytes) if *bytes != batch.bytes => {
                let what = format!("it has {bytes} bytes, the manifest says {}", batch.bytes);
                Err(self.damaged(batch, Place::Whole, &what))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn damaged(&self, batch: &BatchEntry, place: Place, what: &str) -> StateError {
        let name = self.objects.name(&batch.path);
        StateError::Damaged { name, place, what: what.to_owned() }
    }
}
