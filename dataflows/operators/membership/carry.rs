//! Every user's membership carried from the plan before an edit to the one after it.

use super::changes::{Changes, emit_to};
use super::{Context, Membership, arm};
use crate::model::EventTime;
use crate::operators::plan::{Edited, NodeId, Plan, Reader};
use crate::operators::users::{Slot, StateKind, User};

impl Membership {
    /// Carries every user's membership from the old plan to the new one.
    pub(super) fn carry_all_over(&mut self, edited: &Edited, at: EventTime, changes: &mut Changes) {
        let edges = edited.edges.iter().map(|(edge, diff)| (edge.clone(), at, *diff));
        changes.edges.extend(edges);
        if !self.inhabited {
            return; // only names: a catalogue is put before anybody is known
        }
        for slot in self.users.slots() {
            self.carry_over(slot, edited, at, changes);
        }
    }

    /// Carries one user's membership from the old plan to the new one.
    fn carry_over(&mut self, slot: Slot, edited: &Edited, at: EventTime, changes: &mut Changes) {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        forget(&self.plan, user, edited);
        if user.since().is_none() {
            return;
        }
        let is_member =
            |user: &User, node: &NodeId| user.is_member(self.plan.node(*node).worked_out_by);
        for node in edited.lost.iter().filter(|node| is_member(user, node)) {
            changes.flips.push(((*node, slot), at, -1));
        }
        let passed_on = |node: &NodeId| {
            let known_as = self.plan.node(*node).acts_for;
            known_as.is_some_and(|it| self.plan.node(it).feeds > 0 && !edited.gained.contains(&it))
        };
        let pool = &mut self.store.pool;
        edited.holding.iter().for_each(|fact| context.hold(user, *fact, pool));
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !edited.holding.is_empty()) {
            recorder.changed(slot);
        }
        for fact in &edited.compared {
            let armed = context.adopt(user, *fact, pool);
            arm(&mut self.wheel, user, slot, *fact, armed);
        }
        if !edited.changed.is_empty() {
            self.matcher.load(context, user, pool);
        }
        let seen = self.matcher.seen(context, pool);
        let removed = edited.removed.iter().map(|node| (*node, false));
        let changed = edited.changed.iter().map(|node| (*node, seen.node_holds(user, *node)));
        for (node, holds) in removed.chain(changed).collect::<Vec<_>>() {
            if user.set_member(node, holds) {
                user.name.share();
                emit_to(&self.plan, user, slot, node, holds, passed_on(&node), at, changes);
            }
        }
        for node in edited.gained.iter().filter(|node| is_member(user, node)) {
            changes.flips.push(((*node, slot), at, 1));
        }
    }
}

/// Drops what was kept for nobody but a rule that is no more.
pub(super) fn forget(plan: &Plan, user: &mut User, edited: &Edited) {
    if !edited.dropped.is_empty() {
        user.states.retain(|(fact, _)| !edited.dropped.contains(fact));
        let states = &user.states;
        user.logs.retain(|log| {
            plan.stream_readers(log.stream()).iter().any(|reader| {
                let (Reader::Aggregate(id) | Reader::Step(id, _)) = reader;
                let place = states.binary_search_by_key(id, |(fact, _)| *fact);
                place.is_ok_and(|place| matches!(states[place].1.kind, StateKind::Window(_)))
            })
        });
    }
    for fact in &edited.unheld {
        if let Ok(place) = user.states.binary_search_by_key(fact, |(fact, _)| *fact) {
            user.states[place].1.kind = StateKind::Attribute(None);
        }
    }
}
