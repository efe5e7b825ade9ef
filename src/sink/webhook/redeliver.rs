//! Dead letters, posted again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::dead::{DeadLetters, Letter, each};
use super::post::{Answer, Poster};
use super::{Settings, WebhookFault, file_fault};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redelivered {
    /// How many batches were taken.
    pub taken: usize,
    /// How many were not: they are dead letters still.
    pub left: usize,
}

/// Posts the batches of a file of dead letters once each, with their identifiers and signed anew. A
/// job may go on meanwhile: what it adds is not touched.
///
/// # Errors
/// The file cannot be read or written, or the settings are wrong.
pub fn redeliver(settings: &Settings, letters: &Path) -> Result<Redelivered, WebhookFault> {
    let poster = Poster::new(settings)?;
    let taken_away = taken_away(letters)?;
    let dead = DeadLetters::open(letters)?;
    let mut came_of = Redelivered { taken: 0, left: 0 };
    each(&taken_away, |letter| {
        let (reason, status) = match poster.post(&letter.message()) {
            Answer::Taken => {
                came_of.taken += 1;
                return Ok(());
            }
            Answer::Later { reason, status, .. } => (reason, status),
            Answer::Never { reason, status } => (reason, Some(status)),
        };
        came_of.left += 1;
        dead.add(&Letter::new(&letter.message(), reason, status, letter.tries + 1))
    })?;
    fs::remove_file(&taken_away).map_err(file_fault(&taken_away))?;
    Ok(came_of)
}

/// What a file of dead letters is called while they are posted.
pub fn taken_away_name(letters: &Path) -> PathBuf {
    let mut name = letters.as_os_str().to_owned();
    name.push(".redelivering");
    name.into()
}

/// The file under another name, where nobody adds to it. If one is there already, an earlier try
/// was not finished, and is now: what it has posted keeps its identifier.
fn taken_away(letters: &Path) -> Result<PathBuf, WebhookFault> {
    let name = taken_away_name(letters);
    let is_there = fs::exists(&name).map_err(file_fault(&name))?;
    if !is_there {
        fs::rename(letters, &name).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => file_fault(letters)(cause),
            _ => file_fault(&name)(cause),
        })?;
    }
    Ok(name)
}
