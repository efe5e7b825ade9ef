//! What comes out: who entered or left which segment, and when.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::{EventTime, format_time};

/// Whether a user entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sign {
    /// `-1`
    Left,
    /// `+1`
    Entered,
}

impl Sign {
    /// `+1` or `-1`.
    pub fn diff(self) -> i8 {
        match self {
            Sign::Entered => 1,
            Sign::Left => -1,
        }
    }
}

/// A user entered or left a segment. Differences are ordered by (time, segment, user), bytewise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// The instant from which the new membership holds.
    pub time: EventTime,
    /// The segment's id.
    pub segment: Arc<str>,
    /// The user's name.
    pub user: Arc<str>,
    /// Entered or left.
    pub sign: Sign,
}

/// `2026-01-01T00:02:00.000Z + high_value u1`; names with blanks or controls are quoted as JSON.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.sign == Sign::Entered { '+' } else { '-' };
        write!(f, "{} {sign} {} {}", format_time(self.time), Word(&self.segment), Word(&self.user))
    }
}

/// A name as one word of a line: quoted if it would not read as one.
pub struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{}", serde_json::Value::from(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line() {
        let difference = Difference {
            time: 120_000,
            segment: "high_value".into(),
            user: "a b\n".into(),
            sign: Sign::Entered,
        };
        assert_eq!(difference.to_string(), "1970-01-01T00:02:00.000Z + high_value \"a b\\n\"");
    }
}
