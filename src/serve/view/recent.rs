//! The last records that had no effect, for people to look at: bounded in number and length.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::Value as Json;

use super::lock;

/// How many late records are kept, and how many rejected ones.
pub const KEPT: usize = 200;
/// How much of each is kept, in bytes.
pub const RECORD_BYTES: usize = 2_048;

/// The last of one kind.
#[derive(Default)]
pub struct Recent(Mutex<VecDeque<Json>>);

impl Recent {
    /// Takes records, each as it will be shown: the newest last.
    pub fn take(&self, records: impl Iterator<Item = Json>) {
        let mut kept = lock(&self.0);
        for record in records {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(record);
        }
    }

    /// The last so many, the newest first.
    pub fn newest(&self, limit: usize) -> Vec<Json> {
        lock(&self.0).iter().rev().take(limit).cloned().collect()
    }
}

/// A record as text, cut where it is long.
pub fn shown(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record.get(..RECORD_BYTES).unwrap_or(record));
    if record.len() > RECORD_BYTES { format!("{text}…") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept() {
        let recent = Recent::default();
        recent.take((0..KEPT + 5).map(Json::from));
        assert_eq!(recent.newest(2), [Json::from(KEPT + 4), Json::from(KEPT + 3)]);
        assert_eq!(recent.newest(usize::MAX).last(), Some(&Json::from(5)));
    }

    #[test]
    fn long_records_are_cut() {
        assert_eq!(shown(b"{}"), "{}");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        assert_eq!(shown(&[b'x'; RECORD_BYTES + 1]).chars().count(), RECORD_BYTES + 1);
    }
}
