//! A segment saved while the stream flows: worked out for all users in slices, then in force from
//! one instant on.
//!
//! Between slices the stream goes on; users who change meanwhile are kept right by matching, like
//! everybody, only that nobody is told. Who is in, by the old rule and by the new, is noted in two
//! sets of bits; when the rule comes into force the difference of the two is what comes out. What
//! the old rule left behind is cleared away afterwards, in slices, too.

use std::sync::Arc;

use super::carry::forget;
use super::{Changes, Context, Membership, arm};
use crate::model::{EventTime, Sign};
use crate::operators::plan::{Edited, NodeId, Prepared, Sight};
use crate::operators::slots::Slots;
use crate::operators::users::Slot;
use crate::rule::Definition;

/// How many users a slice has: some tens of microseconds, since an instant takes several turns from
/// record to difference, and each may wait for a slice. Few where tests want many slices.
const SLICE: Slot = if cfg!(debug_assertions) { 2 } else { 128 };

/// A definition on its way.
#[derive(Debug)]
pub(super) enum Saving {
    /// Being worked out beside the old one.
    InSlices(Box<Slices>),
    /// To be put when it is committed, seeing events later than this: it, or the one it replaces,
    /// refers to segments.
    AtOnce(Arc<Definition>, EventTime, Option<Sight>),
}

/// A rule that is being worked out.
#[derive(Debug)]
pub(super) struct Slices {
    prepared: Prepared,
    edited: Edited,
    sight: Sight,
    next: Slot,
    /// Who is in by the old rule, and by the new one.
    members: [Slots; 2],
    told: bool,
}

/// What a rule that is no more has left behind.
#[derive(Debug)]
pub(super) struct Sweeping {
    node: Option<NodeId>,
    edited: Edited,
    next: Slot,
}

impl Membership {
    /// Begins to work out a definition, which sees events later than `from`.
    pub(super) fn save(&mut self, definition: &Arc<Definition>, from: EventTime) {
        assert!(self.saving.is_none(), "definitions are saved one after the other");
        self.plan.ask_for(&definition.rule);
        let sight = self.plan.sight(definition, from, self.settings.granularity);
        let prepared = self.plan.prepare(definition, from, &mut self.store);
        self.saving = Some(match prepared {
            Some((prepared, edited)) => {
                let members = [Slots::default(), Slots::default()];
                let slices = Slices { prepared, edited, sight, next: 0, members, told: false };
                Saving::InSlices(Box::new(slices))
            }
            None => Saving::AtOnce(definition.clone(), from, Some(sight)),
        });
    }

    /// Whether there is work that waits for a free moment.
    pub fn has_slices(&self) -> bool {
        let waits = |saving: &Saving| match saving {
            Saving::InSlices(slices) => !slices.told,
            Saving::AtOnce(_, _, sight) => sight.is_some(),
        };
        self.sweeping.is_some() || self.saving.as_ref().is_some_and(waits)
    }

    /// Does one slice of it. Everything up to `at` has been worked off.
    pub fn slice(&mut self, at: EventTime, changes: &mut Changes) {
        self.record(true, changes);
        match self.saving.take() {
            Some(Saving::InSlices(mut slices)) if !slices.told => {
                self.save_slice(&mut slices, at);
                if slices.next >= self.users.slots().end {
                    slices.told = true;
                    changes.prepared.push(slices.sight.clone());
                }
                self.saving = Some(Saving::InSlices(slices));
            }
            Some(Saving::AtOnce(definition, from, Some(sight))) => {
                changes.prepared.push(sight);
                self.saving = Some(Saving::AtOnce(definition, from, None));
            }
            saving => {
                self.saving = saving;
                self.sweep_slice();
            }
        }
    }

    fn save_slice(&mut self, slices: &mut Slices, at: EventTime) {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let Slices { prepared, edited, next, members: [old, new], .. } = slices;
        let end = self.users.slots().end.min(*next + SLICE);
        for slot in *next..end {
            let user = self.users.get_mut(slot);
            if user.since().is_none() {
                continue;
            }
            let pool = &mut self.store.pool;
            edited.holding.iter().for_each(|fact| context.hold(user, *fact, pool));
            if let Some(recorder) = self.recorder.as_mut().filter(|_| !edited.holding.is_empty()) {
                recorder.changed(slot);
            }
            for fact in &edited.compared {
                let armed = context.adopt(user, *fact, pool);
                arm(&mut self.wheel, user, slot, *fact, armed);
            }
            self.matcher.load(context, user, pool);
            let holds = self.matcher.seen(context, pool).node_holds(user, prepared.node);
            user.set_member(prepared.node, holds);
            new.set(slot, holds);
            old.set(slot, prepared.old.is_some_and(|node| user.is_member(node)));
        }
        self.store.pool.sweep();
        *next = end;
    }

    /// Notes who has entered and left the nodes whose members are being noted.
    pub(super) fn note(&mut self, changes: &mut Changes) {
        for (node, slot, member) in changes.recorded.drain(..) {
            if let Some(Saving::InSlices(slices)) = &mut self.saving {
                let Slices { prepared, members: [old, new], .. } = &mut **slices;
                (if node == prepared.node { new } else { old }).set(slot, member);
            }
        }
    }

    /// Puts what has been saved into force.
    pub(super) fn commit(&mut self, at: EventTime, changes: &mut Changes) {
        let slices = match self.saving.take() {
            Some(Saving::InSlices(slices)) => *slices,
            Some(Saving::AtOnce(definition, from, _)) => {
                let edited = self.plan.put(&definition, from, &mut self.store);
                return self.carry_all_over(&edited, at, changes);
            }
            None => return,
        };
        let Slices { prepared, members: [old, new], .. } = slices;
        let (node, replaced) = (prepared.node, prepared.old);
        let edited = self.plan.commit(prepared, &mut self.store);
        let described = self.plan.node(node);
        let known_as = described.acts_for.filter(|known_as| self.plan.node(*known_as).feeds > 0);
        for (users, sign) in [(old.without(&new), Sign::Left), (new.without(&old), Sign::Entered)] {
            for slot in users {
                let name = self.users.get(slot).name.clone();
                changes.differences.push((described.segment.clone(), name, at, sign));
                if let Some(known_as) = known_as {
                    changes.flips.push(((known_as, slot), at, isize::from(sign.diff())));
                }
            }
        }
        if replaced.is_some() || !edited.dropped.is_empty() || !edited.unheld.is_empty() {
            self.sweeping = Some(Sweeping { node: replaced, edited, next: 0 });
        }
    }

    /// Clears away at once what is left: before another edit, which may ask for it again.
    pub(super) fn sweep_all(&mut self) {
        while self.sweeping.is_some() {
            self.sweep_slice();
        }
    }

    fn sweep_slice(&mut self) {
        let Some(sweeping) = &mut self.sweeping else { return };
        let end = self.users.slots().end.min(sweeping.next + SLICE);
        for slot in sweeping.next..end {
            let user = self.users.get_mut(slot);
            forget(&self.plan, user, &sweeping.edited);
            if let Some(node) = sweeping.node {
                user.set_member(node, false);
            }
        }
        sweeping.next = end;
        if end >= self.users.slots().end {
            self.sweeping = None;
        }
    }
}
