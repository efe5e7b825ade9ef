//! Why a user is, or is not, in a segment at a time: the rule as a tree, each condition with its
//! present value, whether it holds, and the next instant it changes by itself.
//!
//! The tree is worked out by the [`oracle`](crate::oracle) from the log up to that time, so it is
//! also the means to understand a difference that is in doubt.

mod words;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::catalog::Timeline;
use crate::model::time::format_time;
use crate::model::{EventTime, Value};
use crate::oracle::Log;
use crate::oracle::applied::{Applied, applied};
use crate::oracle::definitions::Definitions;
use crate::oracle::facts::Facts;
use crate::oracle::life::lives;
use crate::rule::Rule;

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

/// Explains the membership of a user in a segment at the end of a millisecond. Records and edits
/// later than that are left out of account, save that they made others late.
///
/// `None` if there is no such segment at that time.
pub fn explain(log: &Log<'_>, user: &str, segment: &str, at: EventTime) -> Option<Explanation> {
    let edits = log.timeline.edits.iter().filter(|edit| edit.time <= at).cloned().collect();
    let timeline = Timeline { initial: log.timeline.initial.clone(), edits };
    let definitions = Definitions::new(&timeline, log.retain);
    definitions.rule(segment, at)?;
    let mut records = applied(log).records;
    records.retain(|Applied { time, arrival }| *time <= at && *arrival.user == *user);
    let lives = lives(&records);
    let life = lives.iter().find(|life| life.covers(at));
    let facts = life.map(|life| Facts::new(user, life, &definitions, log.clock.granularity));
    let root = Rule::Segment(segment.into());
    let tree = Teller { definitions: &definitions, facts: facts.as_ref(), at }.node(&root);
    Some(Explanation {
        member: tree.truth,
        exists: facts.is_some(),
        at,
        next_change: tree.next,
        tree,
    })
}

/// What nodes are told from.
struct Teller<'t, 'a> {
    definitions: &'t Definitions<'a>,
    facts: Option<&'t Facts<'a>>,
    at: EventTime,
}

impl Teller<'_, '_> {
    fn node(&self, rule: &Rule) -> Node {
        let finding = self.facts.map(|facts| facts.at(self.at).finding(rule));
        let truth = finding.as_ref().is_some_and(|finding| finding.truth);
        let children = match rule {
            Rule::All(rules) | Rule::Any(rules) => {
                rules.iter().map(|rule| self.node(rule)).collect()
            }
            Rule::Not(rule) => vec![self.node(rule)],
            Rule::Segment(id) => {
                let referred = self.definitions.rule(id, self.at);
                referred.map(|rule| self.node(rule)).into_iter().collect()
            }
            _ => Vec::new(),
        };
        Node {
            what: words::of_rule(rule),
            mismatch: finding.as_ref().is_some_and(|finding| finding.mismatch),
            value: finding.and_then(|finding| finding.value),
            truth,
            next: self.next(rule, truth),
            children,
        }
    }

    /// The first instant to come at which the rule's truth is another.
    fn next(&self, rule: &Rule, truth: bool) -> Option<EventTime> {
        let facts = self.facts?;
        let to_come = facts.instants().iter().filter(|instant| **instant > self.at);
        to_come.copied().find(|instant| facts.at(*instant).holds(rule) != truth)
    }
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

#[cfg(test)]
mod tests;
