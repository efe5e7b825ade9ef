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

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attributes::AttributePath;
use super::matching::{Cuts, NumberTest, ValueIndex};
use super::sequence::Bounds;
use super::window::Aggregate;
use crate::model::{AttributeKey, Duration, EventTime, Path, StreamId, Value};
use crate::rule::{
    AggregateCondition, AttributeCondition, Definition, Measure, Rule, Sample, SequenceCondition,
    Test, Truth,
};
use crate::streams::{Stream, Streams};

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
    /// Conditions and pins that need it.
    uses: u32,
    subject: Subject,
}

/// The kinds of facts, each with the index of its comparisons.
#[derive(Debug)]
pub enum FactKind {
    /// An attribute.
    Attribute {
        /// Which.
        path: AttributePath,
        /// Comparisons.
        index: ValueIndex,
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
        /// Comparisons.
        index: ValueIndex,
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
    pub nodes: Vec<NodeId>,
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

/// A rule whose members are worked out by matching, or a gate, whose members are composed.
#[derive(Debug)]
pub struct Node {
    /// The segment it belongs to.
    pub segment: Arc<str>,
    /// Whether its members are the segment's.
    pub public: bool,
    /// The rule; `None` for a gate.
    pub expression: Option<Expression>,
    /// How many edges lead from it: its members are passed on iff there are any.
    pub feeds: u32,
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
    definition: Arc<Definition>,
    root: NodeId,
    /// Nodes with a rule.
    nodes: Vec<NodeId>,
    edges: Vec<Edge>,
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
    segments: HashMap<Arc<str>, Installed>,
    attribute_readers: HashMap<AttributeKey, Vec<FactId>>,
    stream_readers: Vec<Vec<Reader>>,
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
            segments: HashMap::new(),
            attribute_readers: HashMap::new(),
            stream_readers,
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

    /// How many nodes and gates there have been.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The facts that read an attribute.
    pub fn attribute_readers(&self, key: AttributeKey) -> &[FactId] {
        self.attribute_readers.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Who reads a stream.
    pub fn stream_readers(&self, stream: StreamId) -> &[Reader] {
        self.stream_readers.get(stream.0 as usize).map_or(&[], Vec::as_slice)
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
        let facts = (0..).map(FactId).zip(&self.facts);
        facts.filter_map(|(id, fact)| match &fact.as_ref()?.kind {
            FactKind::Attribute { index, holding: 1.., .. } if !index.timed().is_empty() => {
                Some(id)
            }
            _ => None,
        })
    }

    /// Begins to keep what the definition will need, for events later than `from`.
    pub fn keep(&mut self, definition: &Arc<Definition>, keep: Keep, from: EventTime) -> Edited {
        let mut edited = Edited::default();
        let mut subjects = Vec::new();
        definition.rule.walk(&mut |rule| match (keep, rule) {
            (Keep::Held, Rule::Attribute(condition)) if condition.held.is_some() => {
                subjects.push(Subject::Attribute(condition.path.clone()));
            }
            (Keep::Behaviour, Rule::Aggregate(condition)) => {
                subjects.push(self.aggregate_subject(condition));
            }
            (Keep::Behaviour, Rule::Sequence(condition)) => {
                subjects.push(self.sequence_subject(condition));
            }
            _ => {}
        });
        let mut pinned = Vec::new();
        for subject in subjects {
            let id = self.fact_of(subject, from);
            self.use_fact(id, keep == Keep::Held, &mut edited);
            pinned.push(id);
        }
        self.pins.push(Pin { definition: definition.clone(), keep, facts: pinned });
        edited
    }

    /// Puts a segment, new or in place of an earlier one, at `now`.
    pub fn put(&mut self, definition: &Arc<Definition>, now: EventTime) -> Edited {
        let mut edited = Edited::default();
        let old = self.segments.remove(&definition.id);
        let root = match &old {
            Some(old) => old.root,
            None => self.add_node(&definition.id, true),
        };
        let mut build = Build { root, nodes: Vec::new(), edges: Vec::new(), now };
        let segment = definition.id.clone();
        if definition.rule.references().is_empty() {
            let expression = self.expression(&definition.rule, root, now, &mut edited);
            self.set_expression(root, Some(expression));
            build.nodes.push(root);
        } else {
            let rule = definition.rule.clone();
            self.set_expression(root, None);
            self.build_gate(&mut build, root, &rule, &segment, &mut edited);
        }
        edited.changed.clone_from(&build.nodes);
        let installed = Installed {
            definition: definition.clone(),
            root,
            nodes: build.nodes,
            edges: build.edges,
        };
        self.connect(&installed.edges, 1, &mut edited);
        if let Some(old) = old {
            self.uninstall(&old, &mut edited);
            edited.removed.retain(|node| !installed.nodes.contains(node));
        }
        self.segments.insert(segment, installed);
        self.unpin(definition, &mut edited);
        self.settle(&mut edited);
        edited
    }

    /// Deletes a segment. The catalogue has seen to it that none refers to it.
    pub fn delete(&mut self, id: &str) -> Edited {
        let mut edited = Edited::default();
        if let Some(old) = self.segments.remove(id) {
            self.uninstall(&old, &mut edited);
            self.set_expression(old.root, None);
        }
        self.settle(&mut edited);
        edited
    }

    fn uninstall(&mut self, old: &Installed, edited: &mut Edited) {
        self.connect(&old.edges, -1, edited);
        for node in &old.nodes {
            edited.removed.push(*node);
        }
        self.release_conditions(&old.definition.rule, old.root, &old.nodes, edited);
    }

    /// Which nodes begin and cease to be passed on, and which nodes hold by default.
    fn settle(&mut self, edited: &mut Edited) {
        let mut before: HashMap<NodeId, i64> = HashMap::new();
        for (edge, diff) in &edited.edges {
            *before.entry(edge.child).or_default() -= *diff as i64;
        }
        for (node, change) in before {
            let now = i64::from(self.node(node).feeds);
            match (now + change > 0, now > 0) {
                (false, true) => edited.gained.push(node),
                (true, false) => edited.lost.push(node),
                _ => {}
            }
        }
        let stale = |node: &NodeId| edited.removed.contains(node) || edited.changed.contains(node);
        self.defaults.retain(|node| !stale(node));
        self.personal.retain(|node| !stale(node));
        for node in &edited.changed {
            let Some(expression) = &self.node(*node).expression else { continue };
            if is_personal(expression) {
                self.personal.push(*node);
            } else if self.holds_by_default(expression) {
                let place = self.defaults.partition_point(|other| other < node);
                self.defaults.insert(place, *node);
            }
        }
    }

    fn holds_by_default(&self, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.holds_by_default(part)),
            Expression::Any(parts) => parts.iter().any(|part| self.holds_by_default(part)),
            Expression::Not(part) => !self.holds_by_default(part),
            Expression::Condition(id) => self.condition_by_default(*id),
            Expression::Everyone => true,
            Expression::Members(_) | Expression::Sample(_) => false,
        }
    }

    fn condition_by_default(&self, id: ConditionId) -> bool {
        let Some(condition) = self.condition(id) else { return false };
        let aggregate = self.fact(condition.fact).and_then(|fact| match &fact.kind {
            FactKind::Number { aggregate, .. } => Some(aggregate),
            _ => None,
        });
        match &condition.check {
            Check::Value(test) => condition.held.is_none() && test.holds(None).holds(),
            Check::Number(test) => match aggregate.map(|it| super::window::blank(&it.measure)) {
                Some(super::window::Aggregated::Quantity(quantity)) => test.holds(Some(quantity)),
                _ => test.holds(None),
            },
            Check::Holds => false,
        }
    }

    fn add_node(&mut self, segment: &Arc<str>, public: bool) -> NodeId {
        let id = NodeId(index(self.nodes.len()));
        self.nodes.push(Node { segment: segment.clone(), public, expression: None, feeds: 0 });
        id
    }

    fn set_expression(&mut self, node: NodeId, expression: Option<Expression>) {
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            node.expression = expression;
        }
    }

    fn connect(&mut self, edges: &[Edge], diff: isize, edited: &mut Edited) {
        for edge in edges {
            if let Some(child) = self.nodes.get_mut(edge.child.0 as usize) {
                child.feeds = child.feeds.saturating_add_signed(if diff > 0 { 1 } else { -1 });
            }
            edited.edges.push((edge.clone(), diff));
        }
    }

    fn expression(
        &mut self,
        rule: &Rule,
        node: NodeId,
        now: EventTime,
        edited: &mut Edited,
    ) -> Expression {
        match rule {
            Rule::All(rules) => Expression::All(self.expressions(rules, node, now, edited)),
            Rule::Any(rules) => Expression::Any(self.expressions(rules, node, now, edited)),
            Rule::Not(rule) => Expression::Not(Box::new(self.expression(rule, node, now, edited))),
            Rule::Everyone => Expression::Everyone,
            Rule::Members(members) => Expression::Members(members.clone()),
            Rule::Sample(sample) => Expression::Sample(sample.clone()),
            Rule::Segment(_) => unreachable!("a rule with references is built of gates"),
            Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_) => {
                let (subject, check, held) = self.ask(rule);
                let fact = self.fact_of(subject, now);
                edited.compared.push(fact);
                Expression::Condition(self.condition_of(fact, check, held, node, edited))
            }
        }
    }

    fn expressions(
        &mut self,
        rules: &[Rule],
        node: NodeId,
        now: EventTime,
        edited: &mut Edited,
    ) -> Box<[Expression]> {
        rules.iter().map(|rule| self.expression(rule, node, now, edited)).collect()
    }

    /// What a leaf asks about, and how it compares it.
    fn ask(&self, rule: &Rule) -> (Subject, Check, Option<Duration>) {
        match rule {
            Rule::Attribute(AttributeCondition { path, test, held }) => {
                (Subject::Attribute(path.clone()), Check::Value(test.clone()), *held)
            }
            Rule::Aggregate(condition) => {
                let check = match condition.measure {
                    Measure::First(_) | Measure::Last(_) => Check::Value(condition.test.clone()),
                    _ => Check::Number(NumberTest::new(&condition.test)),
                };
                (self.aggregate_subject(condition), check, None)
            }
            Rule::Sequence(condition) => (self.sequence_subject(condition), Check::Holds, None),
            _ => unreachable!("only leaves ask"),
        }
    }

    fn aggregate_subject(&self, condition: &AggregateCondition) -> Subject {
        Subject::Aggregate(Aggregate {
            stream: self.stream(&Stream::of_aggregate(condition)),
            measure: condition.measure.clone(),
            window: condition.window,
        })
    }

    fn sequence_subject(&self, condition: &SequenceCondition) -> Subject {
        let steps = condition.steps.iter().map(|step| self.stream(&Stream::of_step(step)));
        Subject::Sequence(steps.collect(), condition.within, condition.window)
    }

    fn stream(&self, stream: &Stream) -> StreamId {
        self.streams.id(stream).expect("every stream of a definition is known before it is put")
    }

    fn fact_of(&mut self, subject: Subject, from: EventTime) -> FactId {
        if let Some(id) = self.fact_ids.get(&subject) {
            return *id;
        }
        let id = FactId(index(self.facts.len()));
        let kind = match &subject {
            Subject::Attribute(path) => {
                let path = AttributePath::new(path);
                for key in path.keys() {
                    self.attribute_readers.entry(key).or_default().push(id);
                }
                FactKind::Attribute {
                    path,
                    index: ValueIndex::default(),
                    holding: 0,
                    suspect_kinds: 0,
                }
            }
            Subject::Aggregate(aggregate) => {
                self.readers_of(aggregate.stream).push(Reader::Aggregate(id));
                let aggregate = aggregate.clone();
                match aggregate.measure {
                    Measure::First(_) | Measure::Last(_) => {
                        FactKind::Value { aggregate, index: ValueIndex::default() }
                    }
                    _ => FactKind::Number { aggregate, cuts: Cuts::default() },
                }
            }
            Subject::Sequence(steps, within, window) => {
                for (step, stream) in steps.iter().enumerate() {
                    self.readers_of(*stream).push(Reader::Step(id, step));
                }
                FactKind::Sequence(Bounds { steps: steps.len(), within: *within, window: *window })
            }
        };
        let fact = Fact { kind, conditions: Vec::new(), from, uses: 0, subject: subject.clone() };
        self.facts.push(Some(fact));
        self.fact_ids.insert(subject, id);
        id
    }

    fn readers_of(&mut self, stream: StreamId) -> &mut Vec<Reader> {
        self.stream_readers.get_mut(stream.0 as usize).expect("a stream id names a known stream")
    }

    fn use_fact(&mut self, id: FactId, holds: bool, edited: &mut Edited) {
        if let Some(fact) = self.facts.get_mut(id.0 as usize).and_then(Option::as_mut) {
            fact.uses += 1;
            if let FactKind::Attribute { holding, .. } = &mut fact.kind {
                if holds && *holding == 0 {
                    edited.holding.push(id);
                }
                *holding += u32::from(holds);
            }
        }
    }

    fn release_fact(&mut self, id: FactId, held: bool, edited: &mut Edited) {
        let Some(slot) = self.facts.get_mut(id.0 as usize) else { return };
        let Some(fact) = slot else { return };
        fact.uses -= 1;
        if let FactKind::Attribute { holding, .. } = &mut fact.kind {
            *holding -= u32::from(held);
            if held && *holding == 0 {
                edited.unheld.push(id);
            }
        }
        if fact.uses > 0 {
            return;
        }
        let Some(fact) = slot.take() else { return };
        self.fact_ids.remove(&fact.subject);
        match &fact.kind {
            FactKind::Attribute { path, .. } => {
                for key in path.keys() {
                    if let Some(readers) = self.attribute_readers.get_mut(&key) {
                        readers.retain(|reader| *reader != id);
                    }
                }
            }
            _ => {
                for readers in &mut self.stream_readers {
                    readers.retain(|reader| match reader {
                        Reader::Aggregate(fact) | Reader::Step(fact, _) => *fact != id,
                    });
                }
            }
        }
        edited.dropped.push(id);
    }

    fn condition_of(
        &mut self,
        fact: FactId,
        check: Check,
        held: Option<Duration>,
        node: NodeId,
        edited: &mut Edited,
    ) -> ConditionId {
        let key = (fact, check, held);
        if let Some(id) = self.condition_ids.get(&key).copied() {
            if let Some(condition) = self.conditions.get_mut(id.0 as usize).and_then(Option::as_mut)
            {
                condition.nodes.push(node);
            }
            return id;
        }
        let id = ConditionId(index(self.conditions.len()));
        let (_, check, _) = &key;
        self.use_fact(fact, held.is_some(), edited);
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.push(id);
            match (&mut fact.kind, check) {
                (FactKind::Attribute { index, suspect_kinds, .. }, Check::Value(test)) => {
                    index.add(id, test, held.is_some() || test.is_timed());
                    *suspect_kinds |= kinds_to_suspect(test);
                }
                (FactKind::Value { index, .. }, Check::Value(test)) => index.add(id, test, false),
                (FactKind::Number { cuts, .. }, Check::Number(test)) => cuts.add(id, test),
                _ => {}
            }
        }
        let condition = Condition { fact, check: check.clone(), held, nodes: vec![node] };
        self.conditions.push(Some(condition));
        self.condition_ids.insert(key, id);
        id
    }

    /// Gives back every condition of a rule that was installed as these nodes.
    fn release_conditions(
        &mut self,
        rule: &Rule,
        root: NodeId,
        nodes: &[NodeId],
        edited: &mut Edited,
    ) {
        let mut leaves = Vec::new();
        rule.walk(&mut |leaf| {
            if matches!(leaf, Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_)) {
                leaves.push(leaf.clone());
            }
        });
        for leaf in &leaves {
            let (subject, check, held) = self.ask(leaf);
            let Some(fact) = self.fact_ids.get(&subject).copied() else { continue };
            let key = (fact, check, held);
            let Some(id) = self.condition_ids.get(&key).copied() else { continue };
            let Some(condition) = self.conditions.get_mut(id.0 as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            let mine = |node: &NodeId| *node == root || nodes.contains(node);
            if let Some(place) = condition.nodes.iter().position(mine) {
                condition.nodes.remove(place);
            }
            if condition.nodes.is_empty() {
                self.conditions.get_mut(id.0 as usize).and_then(Option::take);
                self.condition_ids.remove(&key);
                self.forget_condition(fact, id);
                self.release_fact(fact, held.is_some(), edited);
            }
        }
    }

    fn forget_condition(&mut self, fact: FactId, id: ConditionId) {
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.retain(|other| *other != id);
            match &mut fact.kind {
                FactKind::Attribute { index, .. } | FactKind::Value { index, .. } => {
                    index.remove(id);
                }
                FactKind::Number { cuts, .. } => cuts.remove(id),
                FactKind::Sequence(_) => {}
            }
        }
    }

    fn unpin(&mut self, definition: &Arc<Definition>, edited: &mut Edited) {
        for keep in [Keep::Held, Keep::Behaviour] {
            let mine = |pin: &Pin| pin.keep == keep && Arc::ptr_eq(&pin.definition, definition);
            // The same definition may be put again later: that has pins of its own.
            let Some(place) = self.pins.iter().position(mine) else { continue };
            for fact in self.pins.remove(place).facts {
                self.release_fact(fact, keep == Keep::Held, edited);
            }
        }
    }
}

/// A rule with references on its way to becoming gates.
struct Build {
    root: NodeId,
    nodes: Vec<NodeId>,
    edges: Vec<Edge>,
    now: EventTime,
}

impl Plan {
    /// Makes `gate` hold iff the rule does. Children without references are one node together.
    fn build_gate(
        &mut self,
        build: &mut Build,
        gate: NodeId,
        rule: &Rule,
        segment: &Arc<str>,
        edited: &mut Edited,
    ) {
        let (rules, all) = match rule {
            Rule::All(rules) => (rules.as_slice(), true),
            Rule::Any(rules) => (rules.as_slice(), false),
            other => (std::slice::from_ref(other), true),
        };
        let (plain, referring): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().partition(|rule| rule.references().is_empty());
        let mut children = Vec::new();
        if !plain.is_empty() {
            let plain: Vec<Rule> = plain.into_iter().cloned().collect();
            let part = if all { Rule::All(plain) } else { Rule::Any(plain) };
            children.push((self.build_part(build, &part, segment, edited), false));
        }
        for rule in referring {
            children.push(self.build_child(build, rule, segment, edited));
        }
        let affirmed = children.iter().filter(|(_, negated)| !negated).count() as i64;
        let negated = children.len() as i64 - affirmed;
        // All: every affirmed child and no negated one. Any: an affirmed child, or a negated one
        // that does not hold. Where a user in no child at all may be in, everyone counts too.
        let (bias, threshold) = match (all, affirmed, negated) {
            (true, 0, _) => (1, 1),
            (true, affirmed, _) => (0, affirmed),
            (false, _, negated) => (negated, 1),
        };
        let edge = |child, weight| Edge { child, gate, threshold, weight };
        for (child, negated) in children {
            build.edges.push(edge(child, if negated { -1 } else { 1 }));
        }
        if bias > 0 {
            let everyone = self.build_part(build, &Rule::Everyone, segment, edited);
            build.edges.push(edge(everyone, bias));
        }
    }

    fn build_part(
        &mut self,
        build: &mut Build,
        rule: &Rule,
        segment: &Arc<str>,
        edited: &mut Edited,
    ) -> NodeId {
        let node = self.add_node(segment, false);
        let expression = self.expression(rule, node, build.now, edited);
        self.set_expression(node, Some(expression));
        build.nodes.push(node);
        node
    }

    /// A child of a gate, and whether it counts when it does not hold.
    fn build_child(
        &mut self,
        build: &mut Build,
        rule: &Rule,
        segment: &Arc<str>,
        edited: &mut Edited,
    ) -> (NodeId, bool) {
        match rule {
            Rule::Not(inner) => {
                let (child, negated) = self.build_child(build, inner, segment, edited);
                (child, !negated)
            }
            Rule::Segment(id) => {
                let referred = self.segments.get(id).map(|installed| installed.root);
                (referred.expect("the catalogue refuses references to unknown segments"), false)
            }
            _ => {
                debug_assert!(build.root.0 < index(self.nodes.len()));
                let gate = self.add_node(segment, false);
                self.build_gate(build, gate, rule, segment, edited);
                (gate, false)
            }
        }
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("there are fewer than 2^32 of everything")
}

fn is_personal(expression: &Expression) -> bool {
    match expression {
        Expression::All(parts) | Expression::Any(parts) => parts.iter().any(is_personal),
        Expression::Not(part) => is_personal(part),
        Expression::Members(_) | Expression::Sample(_) => true,
        Expression::Condition(_) | Expression::Everyone => false,
    }
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

/// The kinds of values that a test may find to be of the wrong type.
fn kinds_to_suspect(test: &Test) -> u8 {
    let specimens = [
        Value::Bool(true),
        Value::Number(i64::MAX.into()), // as a time, out of range
        Value::text(""),
        Value::List([].into()),
        Value::object(Vec::new()),
    ];
    let suspect = |value: &&Value| test.holds(Some(value)) == Truth::Mismatch;
    specimens.iter().filter(suspect).map(kind_bit).fold(0, |bits, bit| bits | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Timeline;
    use crate::rule::Comparison;

    fn is(value: &str, held: Option<Duration>) -> Rule {
        let test = Test::new(Comparison::Eq(Value::text(value)));
        Rule::Attribute(AttributeCondition { path: Path::new("plan"), test, held })
    }

    fn definition(id: &str, rule: Rule) -> Arc<Definition> {
        Arc::new(Definition { id: id.into(), name: None, description: None, rule })
    }

    fn plan() -> Plan {
        Plan::new(Arc::new(Streams::of(&Timeline { initial: Vec::new(), edits: Vec::new() })))
    }

    #[test]
    fn equal_conditions_are_one_until_the_last_rule_that_asks_is_gone() {
        let mut plan = plan();
        plan.put(&definition("a", is("x", None)), 0);
        let both = Rule::All(vec![is("x", None), is("x", None), is("y", None)]);
        plan.put(&definition("b", both), 0);
        let readers = plan.attribute_readers(AttributeKey::of("plan")).to_vec();
        assert_eq!(readers.len(), 1);
        assert_eq!(plan.fact(readers[0]).unwrap().conditions.len(), 2);
        assert!(plan.delete("b").dropped.is_empty());
        assert_eq!(plan.fact(readers[0]).unwrap().conditions.len(), 1);
        assert_eq!(plan.delete("a").dropped, readers);
        assert!(plan.fact(readers[0]).is_none());
        assert!(plan.attribute_readers(AttributeKey::of("plan")).is_empty());
    }

    #[test]
    fn what_is_referred_to_is_passed_on_until_nothing_refers() {
        let mut plan = plan();
        let changed = plan.put(&definition("a", is("x", None)), 0).changed;
        let refers = Rule::Not(Box::new(Rule::Segment("a".into())));
        let edited = plan.put(&definition("b", refers.clone()), 0);
        assert!(edited.gained.contains(&changed[0]));
        // Put again: neither gained nor lost.
        let edited = plan.put(&definition("b", Rule::All(vec![refers.clone(), refers])), 1);
        assert!(!edited.gained.contains(&changed[0]) && edited.lost != changed);
        let edited = plan.put(&definition("b", Rule::Everyone), 2);
        assert!(edited.lost.contains(&changed[0]));
        assert_eq!(plan.node(changed[0]).feeds, 0);
    }

    #[test]
    fn users_of_whom_nothing_is_known_are_where_nothing_is_asked_for() {
        let mut plan = plan();
        let not = |rule| Rule::Not(Box::new(rule));
        plan.put(&definition("a", not(is("x", None))), 0);
        plan.put(&definition("b", is("x", None)), 0);
        plan.put(&definition("c", not(Rule::Members(["u".into()].into()))), 0);
        plan.put(&definition("d", Rule::Everyone), 0);
        let names = |nodes: &[NodeId]| -> Vec<Arc<str>> {
            nodes.iter().map(|node| plan.node(*node).segment.clone()).collect()
        };
        assert_eq!(names(plan.defaults()), ["a".into(), "d".into()]);
        assert_eq!(names(plan.personal()), ["c".into()]);
    }

    #[test]
    fn asking_since_when_begins_and_ends() {
        let mut plan = plan();
        let held = definition("a", is("x", Some(Duration::from_ms(1))));
        plan.put(&definition("b", is("x", None)), 0);
        let kept = plan.keep(&held, Keep::Held, 0).holding;
        assert_eq!(kept.len(), 1);
        let put = plan.put(&held, 1);
        assert!(put.holding.is_empty() && put.unheld.is_empty() && plan.pins.len() < 2);
        assert_eq!(plan.delete("a").unheld, kept);
    }
}
