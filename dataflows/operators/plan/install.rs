//! Segments put and deleted: what comes and goes with them.

use std::collections::HashMap;
use std::sync::Arc;

use super::conditions::Asking;
use super::gates::Build;
use super::{Edge, Edited, Installed, Keep, Node, NodeId, Pin, Plan, Subject, index};
use crate::model::EventTime;
use crate::operators::store::Store;
use crate::rule::{Definition, Rule};

impl Plan {
    /// Begins to keep what the definition will need, for events later than `from`.
    pub fn keep(
        &mut self,
        definition: &Arc<Definition>,
        keep: Keep,
        from: EventTime,
        store: &mut Store,
    ) -> Edited {
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
            let id = self.fact_of(subject, from, store);
            self.use_fact(id, keep == Keep::Held, &mut edited);
            pinned.push(id);
        }
        self.pins.push(Pin { definition: definition.clone(), keep, facts: pinned });
        edited
    }

    /// Puts a segment, new or in place of an earlier one. What it is the first to ask sees events
    /// later than `now`.
    pub fn put(
        &mut self,
        definition: &Arc<Definition>,
        now: EventTime,
        store: &mut Store,
    ) -> Edited {
        let mut edited = Edited::default();
        let old = self.segments.remove(&definition.id);
        let root = match &old {
            Some(old) => old.root,
            None => self.add_node(&definition.id, true),
        };
        let node = self.node_mut(root);
        (node.public, node.acts_for, node.worked_out_by) = (true, Some(root), root);
        // First all conditions of the new rule are asked: what the old one asks, too, stays.
        let asking = Asking { now, store, edited: &mut edited, conditions: Vec::new() };
        let mut build =
            Build { segment: definition.id.clone(), rules: Vec::new(), edges: Vec::new(), asking };
        if definition.rule.references().is_empty() {
            self.build_rule(&mut build, root, &definition.rule);
        } else {
            self.build_gate(&mut build, root, &definition.rule);
        }
        let Build { rules, edges, asking: Asking { conditions, .. }, .. } = build;
        let nodes: Vec<NodeId> = rules.iter().map(|(node, _)| *node).collect();
        edited.changed.clone_from(&nodes);
        self.connect(&edges, 1, &mut edited);
        if let Some(old) = old {
            self.uninstall(&old, store, &mut edited);
            edited.removed.retain(|node| !nodes.contains(node));
        }
        rules.iter().for_each(|(node, rule)| self.compile(*node, rule));
        self.unpin(definition, &mut edited);
        let installed = Installed { root, nodes, edges, conditions };
        self.segments.insert(definition.id.clone(), installed);
        self.settle(&mut edited);
        edited
    }

    /// Deletes a segment. The catalogue has seen to it that none refers to it.
    pub fn delete(&mut self, id: &str, store: &mut Store) -> Edited {
        let mut edited = Edited::default();
        if let Some(old) = self.segments.remove(id) {
            self.uninstall(&old, store, &mut edited);
        }
        self.settle(&mut edited);
        edited
    }

    pub(super) fn uninstall(&mut self, old: &Installed, store: &mut Store, edited: &mut Edited) {
        self.connect(&old.edges, -1, edited);
        for node in &old.nodes {
            edited.removed.push(*node);
            self.displace(*node, &old.conditions);
        }
        self.release_conditions(&old.conditions, store, edited);
    }

    /// Which nodes begin and cease to be passed on.
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
    }

    pub(super) fn add_node(&mut self, segment: &Arc<str>, public: bool) -> NodeId {
        let id = NodeId(index(self.nodes.len()));
        self.nodes.push(Node {
            segment: segment.clone(),
            root: public,
            public,
            feeds: 0,
            acts_for: Some(id),
            worked_out_by: id,
            recorded: false,
        });
        id
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
