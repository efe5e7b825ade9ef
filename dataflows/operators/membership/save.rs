//! A segment saved while the stream flows: worked out for all users in slices, then in force from
//! one instant on.
//!
//! Between slices the stream goes on; users who change meanwhile are kept right by matching, like
//! everybody, only that nobody is told. Who is in, by the old rule and by the new, is noted in two
//! sets of bits; when the rule comes into force the difference of the two is what comes out. What
//! the old rule left behind is cleared away afterwards, in slices, too.
//!
//! Where events are retained, a slice first works out from those what the rule is the first to ask
//! (see `fill`).

use std::sync::Arc;

use super::carry::forget;
use super::fill::Filling;
use super::{Changes, Context, Membership, arm};
use crate::model::{EventTime, Sign};
use crate::operators::plan::{Edited, FactId, NodeId, Prepared, Sight};
use crate::operators::slots::Slots;
use crate::operators::users::Slot;
use crate::rule::Definition;

/// How many users a slice has: some tens of microseconds, since an instant takes several turns from
/// record to difference, and each may wait for a slice. Few where tests want many slices.
const SLICE: Slot = if cfg!(debug_assertions) { 2 } else { 128 };
/// After how many retained events a slice ends, whatever users are left.
const SLICE_EVENTS: usize = if cfg!(debug_assertions) { 8 } else { 256 };

/// A definition on its way.
#[derive(Debug)]
pub(super) enum Saving {
    /// Being worked out beside the old one.
    InSlices(Box<Slices>),
    /// To be put when it is committed: it, or the one it replaces, refers to segments.
    AtOnce(Box<AtOnce>),
}

/// A rule that is put in one go.
#[derive(Debug)]
pub(super) struct AtOnce {
    definition: Arc<Definition>,
    /// What it is the first to ask sees events later than this.
    from: EventTime,
    sight: Sight,
    progress: Progress,
}

/// How far a rule is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It waits for its turn.
    Waits,
    /// Up to this user.
    Next(Slot),
    /// All are told.
    Told,
}

/// A rule that is being worked out.
#[derive(Debug)]
pub(super) struct Slices {
    prepared: Prepared,
    edited: Edited,
    sight: Sight,
    progress: Progress,
    /// Who is in by the old rule, and by the new one.
    members: [Slots; 2],
}

/// What a rule that is no more has left behind.
#[derive(Debug)]
pub(super) struct Sweeping {
    node: Option<NodeId>,
    edited: Edited,
    next: Slot,
}

impl Membership {
    /// Begins to keep what a definition asks, which sees events later than `from`.
    pub(super) fn save(&mut self, definition: &Arc<Definition>, from: EventTime, at: EventTime) {
        assert!(self.saving.is_none(), "definitions are saved one after the other");
        self.plan.ask_for(&definition.rule);
        let sight = self.plan.sight(definition, from, self.settings.granularity);
        let known = self.plan.fact_count();
        let prepared = self.plan.prepare(definition, from, &mut self.store);
        let progress = Progress::Waits;
        self.saving = Some(match prepared {
            Some((prepared, edited)) => {
                let members = [Slots::default(), Slots::default()];
                let slices = Slices { prepared, edited, sight, progress, members };
                Saving::InSlices(Box::new(slices))
            }
            None => {
                let definition = definition.clone();
                Saving::AtOnce(Box::new(AtOnce { definition, from, sight, progress }))
            }
        });
        if self.plan.retained().is_some() {
            let new = (known..self.plan.fact_count()).map(FactId).collect();
            self.filling = Filling::new(&self.plan, new, from);
            self.plan.hold_retained(Some(at));
        }
    }

    fn progress(&mut self) -> Option<&mut Progress> {
        match &mut self.saving {
            Some(Saving::InSlices(slices)) => Some(&mut slices.progress),
            Some(Saving::AtOnce(put)) => Some(&mut put.progress),
            None => None,
        }
    }

    /// What was saved is worked out from now on.
    pub(super) fn prepare(&mut self) {
        if let Some(progress) = self.progress() {
            *progress = Progress::Next(0);
        }
    }

    /// Whether there is work that waits for a free moment.
    pub fn has_slices(&self) -> bool {
        let progress = match &self.saving {
            Some(Saving::InSlices(slices)) => Some(slices.progress),
            Some(Saving::AtOnce(put)) => Some(put.progress),
            None => None,
        };
        self.sweeping.is_some() || matches!(progress, Some(Progress::Next(_)))
    }

    /// Does one slice of it. Everything up to `at` has been worked off.
    pub fn slice(&mut self, at: EventTime, changes: &mut Changes) {
        self.record(true, changes);
        if !self.save_slice(at, changes) {
            self.sweep_slice();
        }
    }

    /// Works some users out, if that is what is to be done.
    fn save_slice(&mut self, at: EventTime, changes: &mut Changes) -> bool {
        let Some(mut saving) = self.saving.take() else { return false };
        let (progress, sight) = match &mut saving {
            Saving::InSlices(slices) => (slices.progress, slices.sight.clone()),
            Saving::AtOnce(put) => (put.progress, put.sight.clone()),
        };
        let Progress::Next(first) = progress else {
            self.saving = Some(saving);
            return false;
        };
        let next = match &mut saving {
            Saving::InSlices(slices) => self.work_out(slices, first, at),
            Saving::AtOnce(_) if self.filling.is_empty() => self.users.slots().end,
            Saving::AtOnce(_) => self.fill_some(first, at),
        };
        let is_done = next >= self.users.slots().end;
        let next = if is_done { Progress::Told } else { Progress::Next(next) };
        if is_done {
            changes.prepared.push(sight);
        }
        match &mut saving {
            Saving::InSlices(slices) => slices.progress = next,
            Saving::AtOnce(put) => put.progress = next,
        }
        self.saving = Some(saving);
        true
    }

    /// Works out from retained events what is asked of some users, from this one on; gives back up
    /// to which.
    fn fill_some(&mut self, first: Slot, at: EventTime) -> Slot {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let (end, mut events) = (self.users.slots().end.min(first + SLICE), 0);
        for slot in first..end {
            let user = self.users.get_mut(slot);
            if user.since().is_some() {
                events += context.fill(user, slot, &self.filling, self.recorder.as_mut());
            }
            if events >= SLICE_EVENTS {
                return slot + 1;
            }
        }
        end
    }

    /// Works out a rule for some users, from this one on; gives back up to which.
    fn work_out(&mut self, slices: &mut Slices, first: Slot, at: EventTime) -> Slot {
        let end = self.fill_some(first, at);
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let Slices { prepared, edited, members: [old, new], .. } = slices;
        for slot in first..end {
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
        end
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

    /// Puts what has been saved into force, having worked it out for those who are left.
    pub(super) fn commit(&mut self, at: EventTime, changes: &mut Changes) {
        if let Some(progress) = self.progress().filter(|progress| **progress == Progress::Waits) {
            *progress = Progress::Next(0);
        }
        let told = changes.prepared.len();
        while self.save_slice(at, changes) {}
        changes.prepared.truncate(told); // nobody waits for it
        self.filling = Filling::default();
        self.plan.hold_retained(None);
        let slices = match self.saving.take() {
            Some(Saving::InSlices(slices)) => *slices,
            Some(Saving::AtOnce(put)) => {
                let edited = self.plan.put(&put.definition, put.from, &mut self.store);
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
                let name = self.users.get_mut(slot).name.share();
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
