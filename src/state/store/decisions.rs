//! What was decided since the last checkpoint: a small file for each process of each run, replaced
//! as more is decided.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Store;
use crate::state::{StateError, sealed};

const DECISIONS: &str = "decisions";
/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    /// As whoever made them understands them.
    decisions: Vec<Json>,
}

/// What an earlier run has decided.
pub struct Decisions {
    /// The path of its file.
    path: String,
    /// What it says, or why it cannot be read.
    pub decisions: Result<Vec<Json>, StateError>,
}

impl Store {
    /// Replaces what a process of this run has decided. It is durable when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_decisions(&self, process: usize, decisions: Vec<Json>) -> Result<(), StateError> {
        let path = format!("{DECISIONS}/{}-{process}.json", self.writer);
        let file = sealed::seal(&File { format: VERSION, decisions });
        self.objects.put(&path, &[Bytes::from(file)])
    }

    /// What all runs have decided that left it here.
    ///
    /// # Errors
    /// The place cannot be read.
    pub fn decisions(&self) -> Result<Vec<Decisions>, StateError> {
        let paths = self.objects.list(DECISIONS)?.into_keys();
        let mut all = Vec::new();
        for path in paths.filter(|path| path.ends_with(".json")) {
            let name = self.objects.name(&path);
            let bytes = self.objects.read(&path);
            let decisions = bytes.and_then(|bytes| {
                sealed::open(&name, &bytes, VERSION).map(|file: File| file.decisions)
            });
            match decisions {
                Err(error) if error.is_transient() => return Err(error),
                decisions => all.push(Decisions { path, decisions }),
            }
        }
        Ok(all)
    }

    /// Forgets what an earlier run has decided.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn forget_decisions(&self, of: &Decisions) -> Result<(), StateError> {
        self.objects.delete(&of.path)
    }
}
