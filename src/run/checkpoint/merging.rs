//! Batches merged, so that there are few of them and little in them is void.
//!
//! Batches of one collection stand in the order of their checkpoints. The newest are merged with
//! what stands before them as long as that is not much larger: so each byte is written again only
//! as often as what it is in doubles, and there are no more batches than a logarithm of all there is
//! (size-tiered, as in LSM trees).

use dataflows::model::{Duration, EventTime};
use dataflows::operators::checkpoint::{Collection, Forget, Piece, merge};

use super::keeper::{batch, collection, name};
use crate::state::{BatchEntry, StateError, Store};

/// So many batches of a collection are left as they are. Events that have left their windows are
/// dropped by whole batches, which costs nothing; so the more are left, the less is merged in vain.
const FEW: usize = 32;
/// A batch that merging makes is about so large; what is larger becomes several.
const PAGES_A_BATCH: usize = 256;

/// How long events and identifiers are of use.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct Old {
    /// How much longer than the longest window.
    pub(super) margin: Duration,
    pub(super) identifiers: Duration,
}

/// The batches of a manifest, some of them merged.
pub(super) fn merge_some(
    store: &Store,
    number: u64,
    batches: &[BatchEntry],
    ((before, settled), events, old): ((EventTime, EventTime), Duration, &Old),
) -> Result<Vec<BatchEntry>, StateError> {
    let mut all = Vec::with_capacity(batches.len());
    for which in Collection::ALL {
        let mut own: Vec<_> =
            batches.iter().filter(|it| it.collection == name(which)).cloned().collect();
        let newest = too_many(&own);
        let erasures = newest == own.len();
        let merged = own.split_off(own.len() - newest);
        all.append(&mut own);
        if merged.is_empty() {
            continue;
        }
        let before = match which {
            Collection::Users | Collection::Counts => before,
            Collection::Events => before.saturating_sub(events.ms() + old.margin.ms()),
            Collection::Identifiers => settled.saturating_sub(old.identifiers.ms()),
        };
        let forget = Forget { before, erasures };
        all.extend(merged_into(store, number, &merged, (which, forget))?);
    }
    Ok(all)
}

/// How many of the newest are to be merged: those that are not much smaller than what stands before
/// them, if they are more than a few.
fn too_many(batches: &[BatchEntry]) -> usize {
    if batches.len() <= FEW {
        return 0;
    }
    let (mut count, mut bytes) = (0, 0);
    for batch in batches.iter().rev() {
        if count >= FEW && batch.bytes > 2 * bytes {
            break;
        }
        (count, bytes) = (count + 1, bytes + batch.bytes);
    }
    count
}

fn merged_into(
    store: &Store,
    number: u64,
    batches: &[BatchEntry],
    (which, forget): (Collection, Forget),
) -> Result<Vec<BatchEntry>, StateError> {
    let mut pieces = Vec::with_capacity(batches.len());
    for it in batches {
        pieces.push(read(store, it)?);
    }
    let mut merged = merge(which, &pieces, forget).map_err(|error| StateError::Content {
        name: batches.iter().map(|it| it.path.as_str()).collect::<Vec<_>>().join(", "),
        reason: error.to_string(),
    })?;
    drop(pieces);
    let lower = batches.iter().map(|it| it.lower).min().unwrap_or(EventTime::MIN);
    let upper = batches.iter().map(|it| it.upper).max().unwrap_or(lower);
    let (mut entries, mut pages) = (Vec::new(), std::mem::take(&mut merged.pages).into_iter());
    while !pages.as_slice().is_empty() {
        let part = pages.by_ref().take(PAGES_A_BATCH).collect();
        // Named after no worker there is: it may be of several.
        let worker = MERGED + entries.len() as u32;
        let entry = store.put_batch(number, &batch(which, worker, part, (lower, upper))?)?;
        entries.push(BatchEntry { until: merged.until, ..entry });
    }
    Ok(entries)
}

/// Merged batches are numbered from here on, where others have the number of their worker.
const MERGED: u32 = 1_000_000;

/// A batch as a piece.
pub(super) fn read(store: &Store, batch: &BatchEntry) -> Result<Piece, StateError> {
    let mut reader = store.open_batch(batch)?;
    let mut pages = Vec::new();
    while let Some(page) = reader.next()? {
        pages.push(page.to_vec());
    }
    let which = collection(&batch.collection).ok_or_else(|| StateError::Content {
        name: batch.path.clone(),
        reason: format!("{:?} is no collection of this version", batch.collection),
    })?;
    let (before, until) = (batch.upper, batch.until);
    Ok(Piece { number: 0, before, settled: before, collection: which, until, pages })
}
