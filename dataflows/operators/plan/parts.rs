//! What a plan is made of: facts, the conditions on them, nodes with a rule, gates and the edges
//! that lead to them; and what an edit changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::model::{Duration, EventTime, Path, StreamId};
use crate::operators::attributes::AttributePath;
use crate::operators::matching::{
    Column, Constants, Cuts, Leaf, NumberTest, Patterns, Places, ValueIndex,
};
use crate::operators::sequence::Bounds;
use crate::operators::window::Aggregate;
use crate::rule::{Sample, Test};

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
pub(super) enum Subject {
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
    pub(super) uses: u32,
    pub(super) subject: Subject,
}

impl Fact {
    /// The aggregate it is, if it is one.
    pub fn aggregate(&self) -> Option<&Aggregate> {
        match &self.kind {
            FactKind::Number { aggregate, .. } | FactKind::Value { aggregate } => Some(aggregate),
            FactKind::Attribute { .. } | FactKind::Sequence(_) => None,
        }
    }
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
    pub(super) pattern: usize,
    /// Where the value's code stands, if nothing but the value decides.
    pub column: Option<Column>,
    /// How likely it is to hold, at a guess.
    pub(super) likely: f32,
    /// Rules that ask it.
    pub(super) uses: u32,
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
