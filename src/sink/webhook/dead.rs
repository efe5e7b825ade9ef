//! Dead letters: batches that were not taken, one a line, in a file that only grows.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::time::format_time;
use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{WebhookFault, file_fault};

/// A batch that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) id: String,
    /// When it was given up, in wall time.
    pub(super) at: String,
    pub(super) reason: String,
    /// What the receiver has answered last, if it has.
    pub(super) status: Option<u16>,
    /// How often it was tried.
    pub(super) tries: u32,
    /// What was posted, to the byte.
    pub(super) body: String,
}

impl Letter {
    pub(super) fn new(message: &Message, reason: String, status: Option<u16>, tries: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = format_time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let Message { id, body } = message.clone();
        Letter { id, at, reason, status, tries, body }
    }

    pub(super) fn message(&self) -> Message {
        Message { id: self.id.clone(), body: self.body.clone() }
    }
}

/// The file, which is there once there are any.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
}

impl DeadLetters {
    /// Cuts off a line that a crash has left unfinished: its batch is posted again.
    pub(super) fn open(path: &Path) -> Result<Self, WebhookFault> {
        let dead = DeadLetters { path: path.to_owned() };
        let cut = || {
            let text = match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                read => read?,
            };
            let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
            let file = File::options().write(true).open(path)?;
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))
        };
        cut().map_err(file_fault(path))?;
        Ok(dead)
    }

    /// Adds one. It is on the disk then.
    pub(super) fn add(&self, letter: &Letter) -> Result<(), WebhookFault> {
        let add = || {
            // Opened anew, for it may have been taken away to be delivered.
            let mut file = File::options().create(true).append(true).open(&self.path)?;
            let mut line = serde_json::to_vec(letter)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_all()
        };
        add().map_err(file_fault(&self.path))
    }

    /// Whether this batch is among them.
    pub(super) fn has(&self, id: &str) -> Result<bool, WebhookFault> {
        let mut is_there = false;
        each(&self.path, |letter| {
            is_there |= letter.id == id;
            Ok(())
        })?;
        Ok(is_there)
    }
}

/// Reads dead letters one by one; none, where there is no such file.
pub(super) fn each(
    path: &Path,
    mut take: impl FnMut(Letter) -> Result<(), WebhookFault>,
) -> Result<(), WebhookFault> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(file_fault(path))?,
    };
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(file_fault(path))?;
        let letter = serde_json::from_str(&line).map_err(|error| WebhookFault::Damaged {
            file: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        })?;
        take(letter)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_crash_has_cut_short_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let letter = |id: &str| {
            Letter::new(&Message { id: id.into(), body: "{}".into() }, "no".into(), None, 3)
        };
        let dead = DeadLetters::open(&path).unwrap();
        assert!(!dead.has("a").unwrap());
        dead.add(&letter("a")).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"id\":\"b").unwrap();
        let dead = DeadLetters::open(&path).unwrap();
        dead.add(&letter("c")).unwrap();
        assert!(dead.has("a").unwrap() && dead.has("c").unwrap() && !dead.has("b").unwrap());
    }
}
