//! Where checkpoints are kept: immutable files with checksums, in a folder or an object store.
//!
//! A *checkpoint* is a [`Manifest`] and the [`Batch`]es it names. A batch holds what happened to
//! one collection within `[lower, upper)` of event time, as one worker saw it; what its bytes mean
//! is known to whoever wrote them. The manifest is put last, and only where none of its number
//! stands, so a crash between any two steps leaves the manifest before it whole, and of two
//! processes that write the same state one is told so.
//!
//! ```text
//! manifests/0000000012.json                           one JSON object, with its own checksum
//! batches/0000000012-users-3-9f86d081884c7d65.batch   by manifest, collection, worker, checksum
//! decisions/5be0cd19137e2179-0.json                   by run and process; replaced as it grows
//! chronicle/1767225600000-5be0cd19137e2179-0-0000000003.frames     the same, and number; appended to
//! ```
//! A later manifest may name batches of an earlier one: only what is new is written. A batch's
//! name holds its checksum, so no process can put other bytes in place of those that a manifest
//! names, whenever it wakes up.
//!
//! ```
//! use rivulet::state::{BatchWriter, Location, Manifest, Store};
//! # fn main() -> Result<(), rivulet::state::StateError> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! let store = Store::create(&Location::Folder(folder.path().into()))?;
//! let mut users = BatchWriter::new("users", 0, 0, 60_000);
//! users.write(b"u1 pays")?;
//! let number = store.latest()?.next;
//! let entry = store.put_batch(number, &users.finish()?)?;
//! store.commit(&Manifest { number, batches: vec![entry], ..Manifest::default() })?;
//!
//! let latest = store.latest()?.manifest.expect("it was committed");
//! let mut users = store.open_batch(&latest.batches[0])?;
//! assert_eq!(users.next()?, Some(&b"u1 pays"[..]));
//! assert_eq!(users.next()?, None);
//! # Ok(())
//! # }
//! ```

mod batch;
mod error;
mod frame;
mod location;
mod manifest;
mod objects;
mod sealed;
mod store;

pub use batch::{BATCH_VERSION, Batch, BatchHeader, BatchReader, BatchWriter, ENTRY_BYTES_MAX};
pub use error::{Place, Reason, StateError};
pub use location::{Location, S3, Secret};
pub use manifest::{
    BatchEntry, LineStart, MANIFEST_VERSION, Manifest, Retention, SourcePosition, now,
};
pub use objects::Objects;
pub use store::{
    Checked, CheckedChronicle, Chronicle, Chronicled, Decisions, Latest, Listed, Skipped, Store,
    Tidied,
};

#[cfg(test)]
pub(crate) mod tests;
