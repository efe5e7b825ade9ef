//! A rule put while the stream flows: first kept beside the old one, then put in its place.
//!
//! The new rule gets a node of its own, which nobody sees until [`commit`](Plan::commit). The
//! segment's first node stays what other segments refer to, whoever works it out.

use std::sync::Arc;

use super::conditions::Asking;
use super::gates::Build;
use super::{ConditionId, Edited, Installed, Keep, NodeId, Plan};
use crate::model::EventTime;
use crate::operators::store::Store;
use crate::rule::Definition;

/// A rule that is being worked out.
#[derive(Debug)]
pub struct Prepared {
    definition: Arc<Definition>,
    /// The node that works it out.
    pub node: NodeId,
    /// The node that works out the rule it will replace.
    pub old: Option<NodeId>,
    conditions: Vec<ConditionId>,
}

impl Plan {
    /// Begins to work out a rule; events count that are later than `from`. `None` where it, or the
    /// one it replaces, refers to segments: those are put at once, but what they ask of events is
    /// kept from now on.
    pub fn prepare(
        &mut self,
        definition: &Arc<Definition>,
        from: EventTime,
        store: &mut Store,
    ) -> Option<(Prepared, Edited)> {
        let prepared = self.prepare_in_slices(definition, from, store);
        if prepared.is_none() {
            self.keep(definition, Keep::Behaviour, from, store);
        }
        prepared
    }

    fn prepare_in_slices(
        &mut self,
        definition: &Arc<Definition>,
        now: EventTime,
        store: &mut Store,
    ) -> Option<(Prepared, Edited)> {
        let old = match self.segments.get(&definition.id).map(|old| old.nodes.as_slice()) {
            None => None,
            Some([node]) if self.node(*node).public => Some(*node),
            Some(_) => return None,
        };
        if !definition.rule.references().is_empty() {
            return None;
        }
        let mut edited = Edited::default();
        let node = self.add_node(&definition.id, false);
        let asking = Asking { now, store, edited: &mut edited, conditions: Vec::new() };
        let mut build =
            Build { segment: definition.id.clone(), rules: Vec::new(), edges: Vec::new(), asking };
        self.build_rule(&mut build, node, &definition.rule);
        let Build { rules, asking: Asking { conditions, .. }, .. } = build;
        rules.iter().for_each(|(node, rule)| self.compile(*node, rule));
        for node in [Some(node), old].into_iter().flatten() {
            self.node_mut(node).recorded = true;
        }
        Some((Prepared { definition: definition.clone(), node, old, conditions }, edited))
    }

    /// Puts what has been prepared into force. What it did to users is left to the caller: the old
    /// node's members are of no account any more.
    pub fn commit(&mut self, prepared: Prepared, store: &mut Store) -> Edited {
        let Prepared { definition, node, old, conditions } = prepared;
        let mut edited = Edited::default();
        let installed = self.segments.remove(&definition.id);
        let root = installed.as_ref().map_or(node, |installed| installed.root);
        if let Some(installed) = &installed {
            self.uninstall(installed, store, &mut edited);
        }
        if let Some(old) = old {
            let old = self.node_mut(old);
            (old.public, old.acts_for, old.recorded) = (false, None, false);
        }
        let new = self.node_mut(node);
        (new.public, new.acts_for, new.recorded) = (true, Some(root), false);
        self.node_mut(root).worked_out_by = node;
        let installed = Installed { root, nodes: vec![node], edges: Vec::new(), conditions };
        self.segments.insert(definition.id.clone(), installed);
        edited
    }
}
