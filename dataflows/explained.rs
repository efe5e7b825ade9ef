//! Why a user is, or is not, in a segment at a time, as it is told: a tree of conditions in words,
//! each with its present value, whether it holds, and the next instant it changes by itself.
//!
//! Two work such trees out: [`explain`](crate::explain) from a log, by the judge; and the operator
//! that holds the users, of one of them as it is.

mod words;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::time::format_time;
use crate::model::{EventTime, Value};

pub use words::of_rule;

/// Why a user is, or is not, in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether the user is in the segment.
    pub member: bool,
    /// Whether the user exists. One that does not is in nothing, whatever the rule.
    pub exists: bool,
    /// The end of the millisecond that is explained.
    pub at: EventTime,
    /// The segment and its rule.
    pub tree: Node,
    /// When the membership changes by itself, if nothing more comes in.
    pub next_change: Option<EventTime>,
}

/// One condition of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The condition in words.
    pub what: String,
    /// The present value of what it looks at; a mean is cut off at six places.
    #[serde(serialize_with = "as_json")]
    pub value: Option<Value>,
    /// Whether it holds.
    pub truth: bool,
    /// Whether it met a value of the wrong type: its own, or one of an event in its window.
    pub mismatch: bool,
    /// When its truth changes by itself, if nothing more comes in.
    pub next: Option<EventTime>,
    /// The conditions it is made of; of a reference, the rule of the segment it refers to.
    pub children: Vec<Node>,
}

/// Writes a value as the JSON it was read from, not as our own type.
fn as_json<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    let json = value.as_ref().map(|value| serde_json::from_str(&value.to_string()));
    let json: Option<serde_json::Value> = json.transpose().map_err(serde::ser::Error::custom)?;
    json.serialize(serializer)
}

/// Draws the tree, a condition to a line.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.member, self.exists) {
            (true, _) => "✓ a member",
            (false, true) => "✗ not a member",
            (false, false) => "✗ not a member, for there is no such user,",
        };
        write!(f, "{verdict} at {}", format_time(self.at))?;
        write_until(f, self.next_change)?;
        writeln!(f)?;
        self.tree.draw(f, "", true)
    }
}

impl Node {
    fn draw(&self, f: &mut fmt::Formatter<'_>, indent: &str, is_last: bool) -> fmt::Result {
        let mark = if self.truth { "✓" } else { "✗" };
        write!(f, "{indent}{} {mark} {}", if is_last { "└─" } else { "├─" }, self.what)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if self.mismatch {
            f.write_str(" (of the wrong type)")?;
        }
        write_until(f, self.next)?;
        writeln!(f)?;
        let indent = format!("{indent}{}  ", if is_last { " " } else { "│" });
        for (index, child) in self.children.iter().enumerate() {
            child.draw(f, &indent, index + 1 == self.children.len())?;
        }
        Ok(())
    }
}

fn write_until(f: &mut fmt::Formatter<'_>, next: Option<EventTime>) -> fmt::Result {
    match next {
        Some(next) => write!(f, " until {}", format_time(next)),
        None => Ok(()),
    }
}
