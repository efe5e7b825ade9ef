//! Segments put and deleted: what comes and goes with them.

use std::collections::HashMap;
use std::sync::Arc;

use super::defaults::is_personal;
use super::gates::Build;
use super::{Edge, Edited, Expression, Installed, Keep, Node, NodeId, Pin, Plan, Subject, index};
use crate::model::EventTime;
use crate::rule::{Definition, Rule};

impl Plan {
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

    pub(super) fn add_node(&mut self, segment: &Arc<str>, public: bool) -> NodeId {
        let id = NodeId(index(self.nodes.len()));
        self.nodes.push(Node { segment: segment.clone(), public, expression: None, feeds: 0 });
        id
    }

    pub(super) fn set_expression(&mut self, node: NodeId, expression: Option<Expression>) {
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
