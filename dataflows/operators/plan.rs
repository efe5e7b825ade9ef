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
mod save;
mod sight;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use found::Known;
pub use save::Prepared;
use serde::{Deserialize, Serialize};
pub use sight::Sight;
use smallvec::SmallVec;

use super::attributes::AttributePath;
use super::matching::{
    Column, Constants, Cuts, Leaf, NumberTest, Patterns, Places, Programs, ValueIndex,
};
use super::sequence::Bounds;
use super::store::AttributeNumber;
use super::window::Aggregate;
use crate::model::{Duration, EventTime, Path, StreamId, Value};
use crate::rule::{Definition, Sample, Test};
use crate::streams::Streams;

/// Index of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(pub u32);

/// Index of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionId(pub u32);

/// Index of a node or a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u32);

/// What a fact is, whatever it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Attribute(Path),
    Aggregate(Aggregate),
    Sequence(Vec<StreamId>, Duration, Duration),
}

/// A fact, and what is compared with it.
#[derive(Debug)]
pub struct Fact {
    /// What it is.
    pub kind: FactKind,
    /// Every condition on it.
    pub conditions: Vec<ConditionId>,
    /// Events count that are later than this.
    pub from: EventTime,
    /// What stands for it in what is kept, in any run.
    pub fingerprint: u64,
    /// Conditions and pins that need it.
    uses: u32,
    subject: Subject,
}

/// The kinds of facts, each with the index of its comparisons.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few facts, and most are attributes")]
pub enum FactKind {
    /// An attribute.
    Attribute {
        /// Which.
        path: AttributePath,
        /// Where its code stands.
        column: Column,
        /// Comparisons that are asked value by value.
        patterns: Patterns,
        /// Comparisons, at every place.
        index: ValueIndex,
        /// Comparisons, at the places that tell a new user from one of whom nothing is known.
        covers: ValueIndex,
        /// Conditions that time, too, changes.
        timed: Vec<ConditionId>,
        /// How many need to know since when the value is what it is.
        holding: u32,
        /// Kinds of values that some comparison may find of the wrong type, a bit each.
        suspect_kinds: u8,
    },
    /// An aggregate that is a number.
    Number {
        /// Which.
        aggregate: Aggregate,
        /// Comparisons.
        cuts: Cuts,
    },
    /// An aggregate that is a value of any type.
    Value {
        /// Which.
        aggregate: Aggregate,
    },
    /// A sequence.
    Sequence(Bounds),
}

/// A comparison of a fact.
#[derive(Debug)]
pub struct Condition {
    /// The fact.
    pub fact: FactId,
    /// The comparison.
    pub check: Check,
    /// For how long the value must have been what it is.
    pub held: Option<Duration>,
    /// The nodes it stands in, each as often as it does.
    pub nodes: SmallVec<[NodeId; 2]>,
    /// The same with guards, where it is not found by a [`ValueIndex`].
    pub places: Places,
    /// The leaves that all hold iff it does.
    pub leaves: SmallVec<[Leaf; 1]>,
    /// The texts it compares with.
    pub constants: Constants,
    /// The number of its pattern.
    pattern: usize,
    /// Where the value's code stands, if nothing but the value decides.
    pub column: Option<Column>,
    /// How likely it is to hold, at a guess.
    likely: f32,
    /// Rules that ask it.
    uses: u32,
}

/// A comparison, in the form its fact needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Check {
    /// Of a value.
    Value(Test),
    /// Of a number.
    Number(NumberTest),
    /// Whether a sequence holds.
    Holds,
}

/// A rule without references.
#[derive(Debug, Clone)]
pub enum Expression {
    /// All hold.
    All(Box<[Expression]>),
    /// Any holds.
    Any(Box<[Expression]>),
    /// Does not hold.
    Not(Box<Expression>),
    /// A condition holds.
    Condition(ConditionId),
    /// Every existing user.
    Everyone,
    /// Users of this list, sorted.
    Members(Arc<[Arc<str>]>),
    /// A share of the users.
    Sample(Sample),
}

/// A rule whose members are worked out by matching (it has a program), or a gate, whose members are
/// composed.
#[derive(Debug)]
pub struct Node {
    /// The segment it belongs to.
    pub segment: Arc<str>,
    /// Whether it is what others refer to as the segment; never changes.
    pub root: bool,
    /// Whether its members, where it has a rule, are the segment's.
    pub public: bool,
    /// How many edges lead from it: its members are passed on iff there are any.
    pub feeds: u32,
    /// The node as which others know its members; `None` where they are not to know.
    pub acts_for: Option<NodeId>,
    /// The node that works out its members; itself, but after a rule was replaced in flight.
    pub worked_out_by: NodeId,
    /// Whether who enters and leaves is to be noted.
    pub recorded: bool,
}

/// A child counts `weight` in the sum of a gate, which holds iff the sum reaches `threshold`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The child.
    pub child: NodeId,
    /// The gate.
    pub gate: NodeId,
    /// What the sum must reach; at least 1.
    pub threshold: i64,
    /// What the child counts.
    pub weight: i64,
}

/// What an edit did to the plan, for the users that exist.
#[derive(Debug, Default)]
pub struct Edited {
    /// Nodes that are no more: their members leave.
    pub removed: Vec<NodeId>,
    /// Nodes whose rule is new.
    pub changed: Vec<NodeId>,
    /// Nodes whose members are passed on from now on.
    pub gained: Vec<NodeId>,
    /// Nodes whose members are no longer passed on.
    pub lost: Vec<NodeId>,
    /// Edges that came (+1) and went (-1).
    pub edges: Vec<(Edge, isize)>,
    /// Facts with new comparisons.
    pub compared: Vec<FactId>,
    /// Facts nobody asks for any more.
    pub dropped: Vec<FactId>,
    /// Facts of which it is asked from now on since when they are what they are.
    pub holding: Vec<FactId>,
    /// Facts of which that is no longer asked.
    pub unheld: Vec<FactId>,
}

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// An aggregate.
    Aggregate(FactId),
    /// A step of a sequence.
    Step(FactId, usize),
}

/// Where the code of an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The column.
    pub column: Column,
    /// The fact.
    pub fact: FactId,
    /// Whether its code has pattern truths, which the fact knows.
    pub patterned: bool,
}

/// What a definition needs kept before it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Since when attributes have their values.
    Held,
    /// Aggregates and sequences.
    Behaviour,
}

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
            segments: HashMap::new(),
            attribute_readers: Vec::new(),
            reads: Vec::new(),
            columns: 0,
            dotted: Vec::new(),
            stream_readers,
            longest_window: Duration::default(),
            pins: Vec::new(),
            defaults: Vec::new(),
            personal: Vec::new(),
        }
    }

    /// A fact; ids come from this plan and live as long as something needs them.
    pub fn fact(&self, id: FactId) -> Option<&Fact> {
        self.facts.get(id.0 as usize).and_then(Option::as_ref)
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
