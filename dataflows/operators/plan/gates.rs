//! A rule with references becomes gates: sums over nodes and other gates.

use std::sync::Arc;

use super::conditions::Asking;
use super::{Edge, Expression, NodeId, Plan};
use crate::rule::Rule;

/// A rule with references on its way to becoming gates.
pub(super) struct Build<'a> {
    pub(super) segment: Arc<str>,
    /// Nodes without references, and the rule of each.
    pub(super) rules: Vec<(NodeId, Expression)>,
    pub(super) edges: Vec<Edge>,
    pub(super) asking: Asking<'a>,
}

impl Plan {
    /// Makes `gate` hold iff the rule does. Children without references are one node together.
    pub(super) fn build_gate(&mut self, build: &mut Build<'_>, gate: NodeId, rule: &Rule) {
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
            children.push((self.build_part(build, &part), false));
        }
        for rule in referring {
            children.push(self.build_child(build, rule));
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
            let everyone = self.build_part(build, &Rule::Everyone);
            build.edges.push(edge(everyone, bias));
        }
    }

    fn build_part(&mut self, build: &mut Build<'_>, rule: &Rule) -> NodeId {
        let node = self.add_node(&build.segment, false);
        self.build_rule(build, node, rule);
        node
    }

    /// Makes `node` hold iff the rule, which has no references, does.
    pub(super) fn build_rule(&mut self, build: &mut Build<'_>, node: NodeId, rule: &Rule) {
        let expression = self.expression(rule, &mut build.asking);
        build.rules.push((node, expression));
    }

    /// A child of a gate, and whether it counts when it does not hold.
    fn build_child(&mut self, build: &mut Build<'_>, rule: &Rule) -> (NodeId, bool) {
        match rule {
            Rule::Not(inner) => {
                let (child, negated) = self.build_child(build, inner);
                (child, !negated)
            }
            Rule::Segment(id) => {
                let referred = self.segments.get(id).map(|installed| installed.root);
                (referred.expect("the catalogue refuses references to unknown segments"), false)
            }
            _ => {
                let gate = self.add_node(&build.segment, false);
                self.build_gate(build, gate, rule);
                (gate, false)
            }
        }
    }
}
