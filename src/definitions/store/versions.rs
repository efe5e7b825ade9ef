//! What definitions were: a file for each version, in a hidden folder beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::files::{file_name, write};
use super::{StoreError, failed};

/// A version of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number, from 1.
    pub version: u64,
    /// When it was saved, in wall time as epoch milliseconds; nothing for one that an editor has
    /// written.
    pub saved_at: Option<i64>,
    /// What it was; nothing, if it was deleted.
    pub definition: Option<Json>,
}

fn folder(path: &Path, id: &str) -> PathBuf {
    let all = match path.file_name().filter(|_| !path.is_dir()) {
        Some(name) => path.with_file_name(format!(".{}.versions", name.to_string_lossy())),
        None => path.join(".versions"),
    };
    all.join(file_name(id))
}

/// The versions that are kept, the oldest first.
pub(super) fn of(path: &Path, id: &str) -> Result<Vec<Version>, StoreError> {
    let folder = folder(path, id);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut versions = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
        let file = entry.map_err(failed(&folder))?.path();
        let text = fs::read(&file).map_err(failed(&file))?;
        // What is no version was put there by someone else.
        versions.extend(serde_json::from_slice::<Version>(&text));
    }
    versions.sort_by_key(|it| it.version);
    Ok(versions)
}

/// Adds what a definition is going to be; before it what it is, if that was not saved here. The
/// number of the new version.
pub(super) fn add(
    path: &Path,
    id: &str,
    before: Option<Json>,
    definition: Option<&Json>,
) -> Result<u64, StoreError> {
    let last = of(path, id)?.pop();
    let mut version = last.as_ref().map_or(1, |it| it.version + 1);
    let folder = folder(path, id);
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let keep = |version: Version| {
        let text = serde_json::to_string_pretty(&version).unwrap_or_default();
        write(&folder.join(format!("{:08}.json", version.version)), &text)
    };
    if before.is_some() && before != last.and_then(|it| it.definition) {
        keep(Version { version, saved_at: None, definition: before })?;
        version += 1;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let saved_at = i64::try_from(now.as_millis()).ok();
    keep(Version { version, saved_at, definition: definition.cloned() })?;
    Ok(version)
}
