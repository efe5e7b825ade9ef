//! The plan: the segments in force, compiled so that a change finds what it may flip.
//!
//! ```text
//! segment ── node(s) ── condition ── fact            an attribute, an aggregate, a sequence
//!    │          └ rule tree over conditions          (shared by all conditions that ask it)
//!    └ gate(s) ── edges ── nodes and gates           only where a rule refers to segments
//! ```
//! A *fact* is something a user has a value of; a *condition* compares it with constants; equal
//! ones are shared by all segments. A *node* is a rule without references, whose members are worked
//! out here. A rule with references becomes *gates*: sums over nodes and other gates, compared with
//! a threshold, worked out by [`compose`](super::compose). Operators never change; this does.
//!
//! Cost of putting or deleting a segment: its own conditions, not those of the others.

mod compile;
mod conditions;
mod defaults;
mod facts;
mod found;
mod gates;
mod install;
mod likely;
mod parts;
mod retained;
mod save;
mod sight;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use found::Known;
use likely::Asked;
use parts::Subject;
pub use parts::{
    Check, Condition, ConditionId, Edge, Edited, Expression, Fact, FactId, FactKind, Keep, Node,
    NodeId, Read, Reader,
};
use retained::Retained;
pub use save::Prepared;
pub use sight::Sight;

use super::attributes::AttributePath;
use super::matching::Programs;
use super::store::AttributeNumber;
use super::window::Aggregate;
use crate::model::{Duration, Path, StreamId, Value};
use crate::rule::{Definition, Rule};
use crate::streams::Streams;

#[derive(Debug)]
struct Installed {
    root: NodeId,
    /// Nodes with a rule.
    nodes: Vec<NodeId>,
    edges: Vec<Edge>,
    /// The conditions it asks, each as often as it does.
    conditions: Vec<ConditionId>,
}

/// Facts kept for a definition that is not put yet.
#[derive(Debug)]
struct Pin {
    definition: Arc<Definition>,
    keep: Keep,
    facts: Vec<FactId>,
}

/// The plan (see the module).
#[derive(Debug)]
pub struct Plan {
    streams: Arc<Streams>,
    facts: Vec<Option<Fact>>,
    fact_ids: HashMap<Subject, FactId>,
    conditions: Vec<Option<Condition>>,
    condition_ids: HashMap<(FactId, Check, Option<Duration>), ConditionId>,
    nodes: Vec<Node>,
    programs: Programs,
    /// Where the guards of a cover are part of the rule, what is left of it.
    beyond: Programs,
    segments: HashMap<Arc<str>, Installed>,
    /// By attribute, the facts that read it.
    attribute_readers: Vec<Vec<FactId>>,
    /// By attribute, where its code stands.
    reads: Vec<Option<Read>>,
    /// How many columns there are.
    columns: usize,
    /// Facts whose path has a dot.
    dotted: Vec<FactId>,
    stream_readers: Vec<Vec<Reader>>,
    /// The longest window there has been.
    longest_window: Duration,
    pins: Vec<Pin>,
    retained: Option<Retained>,
    /// What rules compare attributes with, those to come included where they are known.
    asked: Asked,
    /// Nodes a user is in about whom nothing is known, in order.
    defaults: Vec<NodeId>,
    /// Nodes that depend on who the user is.
    personal: Vec<NodeId>,
}

impl Plan {
    /// A plan without segments.
    pub fn new(streams: Arc<Streams>) -> Self {
        let stream_readers = vec![Vec::new(); streams.len()];
        Plan {
            streams,
            facts: Vec::new(),
            fact_ids: HashMap::new(),
            conditions: Vec::new(),
            condition_ids: HashMap::new(),
            nodes: Vec::new(),
            programs: Programs::default(),
            beyond: Programs::default(),
            segments: HashMap::new(),
            attribute_readers: Vec::new(),
            reads: Vec::new(),
            columns: 0,
            dotted: Vec::new(),
            stream_readers,
            longest_window: Duration::default(),
            pins: Vec::new(),
            retained: None,
            asked: Asked::default(),
            defaults: Vec::new(),
            personal: Vec::new(),
        }
    }

    /// Takes note of a rule that is to be put: the more are known before the first is, the better
    /// those are compiled.
    pub fn foresee(&mut self, rule: &Rule) {
        self.asked.note(rule);
    }

    /// A fact; ids come from this plan and live as long as something needs them.
    pub fn fact(&self, id: FactId) -> Option<&Fact> {
        self.facts.get(id.0 as usize).and_then(Option::as_ref)
    }

    /// The aggregate a fact is, if it is one.
    pub fn aggregate(&self, id: FactId) -> Option<&Aggregate> {
        self.fact(id)?.aggregate()
    }

    /// The attribute that a fact is, if it is one.
    fn attribute(&self, id: FactId) -> Option<&Path> {
        match &self.fact(id)?.subject {
            Subject::Attribute(path) => Some(path),
            _ => None,
        }
    }

    /// A condition.
    pub fn condition(&self, id: ConditionId) -> Option<&Condition> {
        self.conditions.get(id.0 as usize).and_then(Option::as_ref)
    }

    /// A node or gate.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).expect("a node id names a node of its plan")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id.0 as usize).expect("a node id names a node of its plan")
    }

    /// The rules of nodes; gates have none.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// What is left of rules to be asked where the guards of their covers have let pass; all of
    /// them are asked where there is none.
    pub fn beyond_covers(&self) -> &Programs {
        &self.beyond
    }

    /// How many nodes and gates there have been.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The facts that read an attribute.
    pub fn attribute_readers(&self, number: AttributeNumber) -> &[FactId] {
        self.attribute_readers.get(number.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Where the code of an attribute stands, if rules read it by its whole name.
    pub fn read(&self, number: AttributeNumber) -> Option<Read> {
        self.reads.get(number.0 as usize).copied().flatten()
    }

    /// The facts whose path has a dot.
    pub fn dotted(&self) -> &[FactId] {
        &self.dotted
    }

    /// Who reads a stream.
    pub fn stream_readers(&self, stream: StreamId) -> &[Reader] {
        self.stream_readers.get(stream.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The streams, and what stands for each in what is kept.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The facts there are.
    pub fn facts(&self) -> impl Iterator<Item = (FactId, &Fact)> {
        let numbered = (0..).map(FactId).zip(&self.facts);
        numbered.filter_map(|(id, fact)| Some((id, fact.as_ref()?)))
    }

    /// The attributes that conditions ask for: what rules call each, and where it stands.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &AttributePath)> {
        self.facts().filter_map(|(_, fact)| match (&fact.subject, &fact.kind) {
            (Subject::Attribute(name), FactKind::Attribute { path, .. }) => {
                Some((name.as_str(), path))
            }
            _ => None,
        })
    }

    /// The longest window there has been.
    pub fn longest_window(&self) -> Duration {
        self.longest_window
    }

    /// Nodes a user is in about whom nothing is known, in order.
    pub fn defaults(&self) -> &[NodeId] {
        &self.defaults
    }

    /// Nodes that depend on who the user is.
    pub fn personal(&self) -> &[NodeId] {
        &self.personal
    }

    /// The facts that time can change for a user about whom nothing is known.
    pub fn timed_from_the_start(&self) -> impl Iterator<Item = FactId> {
        self.facts().filter_map(|(id, fact)| match &fact.kind {
            FactKind::Attribute { timed, holding: 1.., .. } if !timed.is_empty() => Some(id),
            _ => None,
        })
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("there are fewer than 2^32 of everything")
}

/// The bit of a kind of value.
pub fn kind_bit(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 4,
        Value::List(_) => 8,
        Value::Object(_) => 16,
    }
}
