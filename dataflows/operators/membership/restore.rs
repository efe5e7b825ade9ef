//! Users taken over from an earlier run, at the instant up to which it had come.
//!
//! Each is worked out like one who is new at that instant, from what is kept of them; only that
//! nobody is told who is in which segment, for they have been, unless that is asked for. Gates are
//! told, since they hold nothing.

use std::collections::HashMap;

use super::changes::{flip, retell};
use super::compare::{blank_before, touch, touch_all};
use super::update::Windows;
use super::{Changes, Context, Membership, arm};
use crate::model::time::leave_time;
use crate::model::{EventTime, StreamId, UserKey};
use crate::operators::checkpoint::{
    Collection, EventReader, FactImage, Image, KeptFact, Restored, keyed,
};
use crate::operators::held::Held;
use crate::operators::plan::{FactId, FactKind};
use crate::operators::users::{Slot, StateKind, User, state_of};
use crate::operators::window::Entry;

const WELL_FORMED: &str = "pages are read once before they are handed over";

impl Membership {
    /// Takes over what an earlier run has kept of the users of this worker, as of `at`.
    pub(super) fn restore(
        &mut self,
        mut restored: Vec<Restored>,
        at: EventTime,
        changes: &mut Changes,
    ) {
        self.sweep_all();
        restored.sort_by_key(|part| part.place);
        let of = |wanted| restored.iter().filter(move |it| it.place.collection == wanted);
        let mut newest: HashMap<UserKey, &[u8]> = HashMap::new();
        for part in of(Collection::Users) {
            newest.extend(keyed(&part.page).map(|user| user.expect(WELL_FORMED)));
        }
        let facts = self
            .plan
            .facts()
            .map(|(id, fact)| (KeptFact { fingerprint: fact.fingerprint, from: fact.from }, id));
        let facts: HashMap<KeptFact, FactId> = facts.collect();
        for (key, image) in newest {
            if let Some(image) = Image::read(image).expect(WELL_FORMED) {
                self.restore_user(key, image, &facts);
            }
        }
        let streams = self.plan.streams().by_fingerprint();
        let pages = of(Collection::Events).map(|part| EventReader::new(&part.page));
        let pages: Vec<_> = pages.map(|page| page.expect(WELL_FORMED)).collect();
        let events = self.by_user(&pages);
        let mut events = events.iter().peekable();
        for slot in self.users.slots() {
            while let Some((_, page, rest)) = events.next_if(|(whose, _, _)| *whose == slot) {
                let (time, event) = pages[*page].event(rest).expect(WELL_FORMED);
                self.restore_event(slot, time, event, &streams, at);
            }
            self.enter(slot, at, changes);
        }
        self.store.pool.sweep();
    }

    /// The events of pages, user by user, so that each user's memory is gone to once. Users are
    /// looked up one right after the other, which lets the machine wait for many at once.
    fn by_user<'a>(&self, pages: &[EventReader<'a>]) -> Vec<(Slot, usize, &'a [u8])> {
        let mut events = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            for event in page.users() {
                let (user, rest) = event.expect(WELL_FORMED);
                events.extend(self.users.find(user).map(|slot| (slot, index, rest)));
            }
        }
        events.sort_by_key(|(slot, _, _)| *slot);
        events
    }

    fn restore_user(&mut self, key: UserKey, image: Image, facts: &HashMap<KeptFact, FactId>) {
        let slot = self.users.name(key, image.name);
        let user = self.users.get_mut(slot);
        user.begin(image.since);
        for (key, value) in image.attributes {
            let number = self.store.number(key);
            user.attributes.set(number, &value, None, &mut self.store.pool);
        }
        for (fact, image) in image.facts {
            let Some(id) = facts.get(&fact) else { continue };
            let kind = match image {
                FactImage::Held(held) => {
                    let held = Held::of_image(held, |key| self.store.number(key));
                    StateKind::Attribute(Some(Box::new(held)))
                }
                FactImage::Total(total) => StateKind::Total(total),
                FactImage::Sequence(progress) => StateKind::Sequence(progress),
            };
            state_of(&mut user.states, *id, || StateKind::Attribute(None)).kind = kind;
        }
    }

    fn restore_event(
        &mut self,
        slot: Slot,
        time: EventTime,
        event: Option<(u64, Entry)>,
        streams: &HashMap<u64, StreamId>,
        at: EventTime,
    ) {
        let user = self.users.get_mut(slot);
        let Some((fingerprint, entry)) = event else {
            user.logs.clear();
            return user.states.retain(|(_, state)| !state.kind.is_window());
        };
        if user.since().is_none() {
            return;
        }
        // No rule may ask for it any more.
        let Some(stream) = streams.get(&fingerprint) else { return };
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        context.hold_event(user, time, (*stream, &entry));
    }

    /// Works out the memberships of a user of whom everything is known, and sets the alarms.
    fn enter(&mut self, slot: Slot, at: EventTime, changes: &mut Changes) {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        if user.since().is_none() {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let touched = &mut scratch.touched;
        for (id, _) in &user.states {
            match self.plan.fact(*id).map(|fact| &fact.kind) {
                Some(FactKind::Number { aggregate, .. } | FactKind::Value { aggregate }) => {
                    touch(touched, *id, || blank_before(aggregate));
                }
                Some(_) => touch_all(touched, *id),
                None => {}
            }
        }
        for (number, _) in user.attributes.cells() {
            self.plan.attribute_readers(*number).iter().for_each(|id| touch_all(touched, *id));
        }
        self.plan.timed_from_the_start().for_each(|id| touch_all(touched, id));
        let (pool, conditions) = (&mut self.store.pool, &mut scratch.conditions);
        conditions.clear();
        for (id, before) in touched.iter() {
            let armed = context.compare(user, *id, before, pool, conditions);
            arm(&mut self.wheel, user, slot, *id, armed);
        }
        self.matcher.create(context, user, touched, conditions, pool);
        user.members.iter().for_each(|node| flip(&self.plan, slot, node, at, changes));
        if self.tells_members {
            user.members.iter().for_each(|node| retell(&self.plan, user, node, at, changes));
        }
        touched.clear();
        self.scratch = scratch;
    }
}

impl Context<'_> {
    /// Puts an event into the windows that still hold it.
    fn hold_event(&self, user: &mut User, time: EventTime, (stream, entry): (StreamId, &Entry)) {
        let mut windows = Windows::new();
        self.windows_over(stream, time, &mut windows);
        let holds = |span| leave_time(time, span, self.settings.granularity) > self.at;
        if windows.iter().any(|it| it.wanted && it.aggregate.window.is_some_and(holds)) {
            self.insert_into_windows(user, time, (stream, entry), windows, &mut Vec::new());
        }
    }
}
