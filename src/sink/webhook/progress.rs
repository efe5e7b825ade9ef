//! How far a webhook has come: a small file, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};

use super::{Settings, WebhookFault, file_fault};
use crate::sink::courier::Mark;

const VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    job: String,
    /// All before this has been delivered.
    pub(super) upto: Option<EventTime>,
    /// From there on, all up to this difference.
    pub(super) after: Option<Mark>,
    /// The batch that is being posted.
    pub(super) pending: Option<Pending>,
}

/// A batch that may have been posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Its last difference.
    pub(super) through: Mark,
    pub(super) id: String,
}

/// The file, which is this process's own.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    pub(super) kept: Kept,
    /// Held as long as the process lives.
    _lock: File,
}

impl Progress {
    /// Reads the file, or begins one.
    pub(super) fn open(settings: &Settings) -> Result<Self, WebhookFault> {
        let folder = &settings.folder;
        fs::create_dir_all(folder).map_err(file_fault(folder))?;
        let path = folder.join(format!("{}.json", settings.name));
        let lock = folder.join(format!("{}.lock", settings.name));
        let lock = File::create(&lock).map_err(file_fault(&lock))?;
        if lock.try_lock().is_err() {
            return Err(WebhookFault::InUse { file: path });
        }
        let kept = match fs::read_to_string(&path) {
            Ok(text) => read(&text, &path, settings)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Kept { version: VERSION, job: settings.job.clone(), ..Kept::default() }
            }
            Err(error) => return Err(file_fault(&path)(error)),
        };
        Ok(Progress { path, kept, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Stores what is kept: beside the old file, on the disk, and then in its place.
    pub(super) fn save(&self) -> Result<(), WebhookFault> {
        let new = self.path.with_extension("json.new");
        let written = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(&self.kept)?)?;
            file.sync_data()?;
            fs::rename(&new, &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        written().map_err(file_fault(&self.path))
    }
}

fn read(text: &str, path: &Path, settings: &Settings) -> Result<Kept, WebhookFault> {
    let file = path.to_owned();
    let kept: Kept = serde_json::from_str(text).map_err(|error| WebhookFault::Damaged {
        file: file.clone(),
        line: error.line(),
        reason: error.to_string(),
    })?;
    if kept.version != VERSION || kept.job != settings.job {
        return Err(WebhookFault::Others { file, job: kept.job, version: kept.version });
    }
    Ok(kept)
}
