//! What is told of files that are there: what is in them, and by what they are known to be whole.

use std::sync::Arc;

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};
use serde_json::error::Error;
use sha2::{Digest, Sha256};

use super::{ExportFault, Place, Settings};

/// Of the layout of names and manifests, and of the columns of files.
pub(super) const LAYOUT_VERSION: u32 = 1;
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Whose a manifest is, and of which make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) layout_version: u32,
    pub(super) schema_version: u32,
    pub(super) job: String,
    pub(super) export: String,
    pub(super) of: String,
    pub(super) format: String,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Where, from the top of the place.
    pub path: String,
    /// How many rows are in it.
    pub rows: u64,
    /// How long it is.
    pub bytes: u64,
    /// The checksum of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl Written {
    pub(super) fn new(path: String, rows: u64, bytes: &[u8]) -> Self {
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Written { path, rows, bytes: bytes.len() as u64, sha256 }
    }
}

/// A step of differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    #[serde(flatten)]
    pub(super) head: Head,
    /// From 1, without gaps.
    pub(super) number: u64,
    /// Before which time all was written by the steps before.
    pub(super) from: Option<EventTime>,
    /// Before which time all is written now.
    pub(super) frontier: EventTime,
    pub(super) rows: u64,
    pub(super) files: Vec<Written>,
    /// By which the process knows a manifest of its own.
    pub(super) writer: String,
}

/// Who was in which segment at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Picture {
    #[serde(flatten)]
    pub(super) head: Head,
    /// All up to this time is in it, and nothing later.
    pub(super) as_of: EventTime,
    pub(super) rows: u64,
    pub(super) segments: Vec<SegmentRows>,
    pub(super) files: Vec<Written>,
}

/// A segment in a picture; one without rows was empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentRows {
    pub(super) id: Arc<str>,
    /// The number of its definition, where it is known.
    pub(super) version: Option<u64>,
    pub(super) rows: u64,
}

impl Head {
    pub(super) fn new(settings: &Settings, of: &str) -> Self {
        Head {
            layout_version: LAYOUT_VERSION,
            schema_version: SCHEMA_VERSION,
            job: settings.job.clone(),
            export: settings.name.clone(),
            of: of.to_owned(),
            format: settings.format.to_string(),
        }
    }

    fn said(&self) -> String {
        let Head { layout_version, job, export, of, format, .. } = self;
        format!("job {job:?}, export {export:?}, {of} as {format}, layout {layout_version}")
    }
}

/// A manifest of this export that was read; a fault, if it is another's.
pub(super) fn parse<T: for<'a> Deserialize<'a>>(
    (place, path): (&dyn Place, &str),
    bytes: &[u8],
    head: &Head,
) -> Result<T, ExportFault> {
    let (name, file) = (head.export.clone(), format!("{}/{path}", place.name()));
    let damaged = |error: Error| ExportFault::Damaged {
        name: name.clone(),
        file: file.clone(),
        reason: error.to_string(),
    };
    let found: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if found != *head {
        let (found, expected) = (found.said(), head.said());
        return Err(ExportFault::Others { name, file, found, expected });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// The text of a manifest.
pub(super) fn text(manifest: &impl Serialize) -> Vec<u8> {
    // There is nothing in a manifest that JSON could not hold.
    let mut text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    text.push(b'\n');
    text
}
