//! Rules compiled: their programs, and the places at which the comparisons they ask find them.

use super::{Check, Condition, ConditionId, Expression, FactId, FactKind, NodeId, Plan};
use crate::operators::matching::{
    Compared, Leaf, Place, Sensitive, beyond, by_default, cover, cover_guards, place_guards,
};
use crate::operators::pool::ValueId;

impl Sensitive for Plan {
    fn leaves(&self, condition: ConditionId) -> &[Leaf] {
        self.condition(condition).map_or(&[], |condition| &condition.leaves)
    }

    fn constants(&self, condition: ConditionId) -> &[ValueId] {
        self.condition(condition).map_or(&[], |condition| &condition.constants)
    }

    fn fact(&self, condition: ConditionId) -> Option<FactId> {
        self.condition(condition).map(|condition| condition.fact)
    }

    fn likely(&self, condition: ConditionId) -> f32 {
        self.condition(condition).map_or(0.5, |condition| condition.likely)
    }

    fn by_default(&self, condition: ConditionId) -> bool {
        self.condition_by_default(condition)
    }
}

/// How the places of a condition are found.
fn compared(condition: &Condition) -> Option<Compared<'_>> {
    let (Check::Value(test), Some(_)) = (&condition.check, condition.column) else { return None };
    Some(Compared { test, constants: &condition.constants, pattern: condition.pattern })
}

impl Plan {
    /// Compiles the rule of a node, and lets the comparisons it asks find it.
    pub(super) fn compile(&mut self, node: NodeId, rule: &Expression) {
        let mut places = Vec::new();
        place_guards(rule, self, |id, guards| places.push((id, Place { node, guards })));
        let mut covers = Vec::new();
        match cover(rule, self) {
            Some((_, conditions)) => {
                let default = by_default(rule, self).unwrap_or_default();
                covers.extend(conditions.into_iter().map(|id| {
                    let guards = cover_guards(rule, default, self, id);
                    (id, Place { node, guards })
                }));
                if let [(_, place)] = covers.as_slice()
                    && let Some(rest) = beyond(rule, &place.guards, self)
                {
                    let mut programs = std::mem::take(&mut self.beyond);
                    programs.put(node, &rest, self);
                    self.beyond = programs;
                }
                if default {
                    insert_sorted(&mut self.defaults, node);
                }
            }
            None => insert_sorted(&mut self.personal, node),
        }
        for (id, place) in places {
            self.add_place(id, place);
        }
        for (id, place) in covers {
            self.add_cover(id, place);
        }
        let mut programs = std::mem::take(&mut self.programs);
        programs.put(node, rule, self);
        self.programs = programs;
    }

    fn add_place(&mut self, id: ConditionId, place: Place) {
        let Some(Some(condition)) = self.conditions.get_mut(id.0 as usize) else { return };
        condition.nodes.push(place.node);
        let fact = self.facts.get_mut(condition.fact.0 as usize).and_then(Option::as_mut);
        match (compared(condition), fact.map(|fact| &mut fact.kind)) {
            (Some(compared), Some(FactKind::Attribute { index, .. })) => index.add(compared, place),
            _ => condition.places.push(place),
        }
    }

    fn add_cover(&mut self, id: ConditionId, place: Place) {
        let Some(Some(condition)) = self.conditions.get(id.0 as usize) else { return };
        let fact = self.facts.get_mut(condition.fact.0 as usize).and_then(Option::as_mut);
        if let (Some(compared), Some(FactKind::Attribute { covers, .. })) =
            (compared(condition), fact.map(|fact| &mut fact.kind))
        {
            covers.add(compared, place);
        }
    }

    /// Undoes what [`compile`](Self::compile) did for a node that asked these conditions.
    pub(super) fn displace(&mut self, node: NodeId, conditions: &[ConditionId]) {
        for id in conditions {
            let Some(Some(condition)) = self.conditions.get_mut(id.0 as usize) else { continue };
            condition.nodes.retain(|other| *other != node);
            condition.places.forget(node);
            let fact = self.facts.get_mut(condition.fact.0 as usize).and_then(Option::as_mut);
            if let (Some(compared), Some(FactKind::Attribute { index, covers, .. })) =
                (compared(condition), fact.map(|fact| &mut fact.kind))
            {
                index.remove(compared, node);
                covers.remove(compared, node);
            }
        }
        remove_sorted(&mut self.defaults, node);
        remove_sorted(&mut self.personal, node);
        self.programs.remove(node);
        self.beyond.remove(node);
    }
}

fn insert_sorted(nodes: &mut Vec<NodeId>, node: NodeId) {
    if let Err(place) = nodes.binary_search(&node) {
        nodes.insert(place, node);
    }
}

fn remove_sorted(nodes: &mut Vec<NodeId>, node: NodeId) {
    if let Ok(place) = nodes.binary_search(&node) {
        nodes.remove(place);
    }
}
