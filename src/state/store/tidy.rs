//! What is no longer needed is deleted, in an order in which nothing is ever left dangling.

use std::collections::BTreeSet;

use super::{BATCHES, MANIFESTS, Store};
use crate::state::StateError;
use crate::state::manifest::{self, Manifest};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// How many manifests.
    pub manifests: usize,
    /// How many batches, and files that a crash left half-written.
    pub batches: usize,
}

impl Store {
    /// Keeps the newest `keep` checkpoints, at least one, and deletes those before them, oldest
    /// first; then the batches that no manifest names any more. A checkpoint that lacks a batch
    /// does not count as kept. What belongs to a number above the newest manifest is being
    /// written, and left alone; so is everything while no checkpoint is whole.
    ///
    /// Costs two listings, `keep` small reads and the deletions.
    ///
    /// # Errors
    /// The place cannot be read or written, or a manifest is of another version. What was deleted
    /// until then is not needed: tidying again goes on.
    pub fn tidy(&self, keep: usize) -> Result<Tidied, StateError> {
        let numbers = self.numbers()?;
        let Some(newest) = numbers.last().copied() else { return Ok(Tidied::default()) };
        let Some((oldest, kept)) = self.kept(&numbers, keep.max(1))? else {
            return Ok(Tidied::default());
        };
        let mut tidied = Tidied::default();
        for number in numbers.into_iter().take_while(|number| *number < oldest) {
            self.objects.delete(&manifest::path(number))?;
            tidied.manifests += 1;
        }
        if tidied.manifests > 0 {
            self.objects.sync(MANIFESTS)?;
        }
        let named: BTreeSet<_> =
            kept.iter().flat_map(|kept| &kept.batches).map(|batch| &batch.path).collect();
        let is_old = |path: &str| manifest::number_of(path).is_some_and(|of| of <= newest);
        let listed = self.objects.list(BATCHES)?.into_keys();
        let unnamed = listed.filter(|path| is_old(path) && !named.contains(path));
        let unnamed: Vec<_> = unnamed.collect();
        tidied.batches = unnamed.len();
        self.objects.delete_all(unnamed)?;
        for (name, path) in [MANIFESTS, BATCHES].map(|of| self.objects.leftovers(of)).concat() {
            tidied.batches += usize::from(is_old(&name) && std::fs::remove_file(path).is_ok());
        }
        Ok(tidied)
    }

    /// The number of the oldest manifest to be kept, and all from there on that can be read;
    /// nothing, if there is no whole one. While fewer than `keep` are whole, all are kept.
    fn kept(
        &self,
        numbers: &[u64],
        keep: usize,
    ) -> Result<Option<(u64, Vec<Manifest>)>, StateError> {
        let lengths = self.objects.list(BATCHES)?;
        let (mut kept, mut oldest, mut whole) = (Vec::new(), 0, 0);
        for number in numbers.iter().rev() {
            let found = match self.manifest(*number) {
                Ok(found) => found,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let is_whole = found.batches.iter().all(|it| self.is_there(it, &lengths).is_ok());
            kept.push(found);
            whole += usize::from(is_whole);
            if whole == keep {
                oldest = *number;
                break;
            }
        }
        Ok((whole > 0).then_some((oldest, kept)))
    }
}
