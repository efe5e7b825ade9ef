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
use crate::model::{Change, EventTime, Hit, StreamId, Update, UserKey};
use crate::operators::attributes::Writers;
use crate::operators::checkpoint::{
    Collection, Disordered, EventReader, FactImage, Image, KeptFact, Recent, RecentChange,
    Restored, Told, keyed,
};
use crate::operators::held::Held;
use crate::operators::plan::{FactId, FactKind};
use crate::operators::users::{Disorder, Slot, StateKind, User, Users, state_of};
use crate::operators::window::Entry;

const WELL_FORMED: &str = "pages are read once before they are handed over";

/// What updates to come may be older than.
fn taken_over(user: UserKey, kept: Disordered, streams: &HashMap<u64, StreamId>) -> Disorder {
    let update = |Recent { time, position, change }| {
        let change = match change {
            RecentChange::Event(hits) => {
                // No rule may ask for it any more.
                let hit = |(stream, payload)| Some(Hit { stream: *streams.get(&stream)?, payload });
                Change::Event(hits.into_iter().filter_map(hit).collect())
            }
            RecentChange::Attributes(attributes) => Change::Attributes(attributes.into()),
        };
        Update { user, time, at: time, position, change }
    };
    let recent = kept.recent.into_iter().map(update).collect();
    Disorder { recent, erased: kept.erased, writers: Writers::default() }
}

/// About how many users a group has. Few where tests want many groups.
const TOGETHER: usize = if cfg!(debug_assertions) { 2 } else { 4_096 };

impl Membership {
    /// Takes over what an earlier run has kept of the users of this worker, as of `at`.
    pub(super) fn restore(
        &mut self,
        mut restored: Vec<Restored>,
        at: EventTime,
        changes: &mut Changes,
    ) {
        self.sweep_all();
        self.inhabited = true;
        restored.sort_by_key(|part| part.place);
        let of = |wanted| restored.iter().filter(move |it| it.place.collection == wanted);
        let mut images: Vec<(UserKey, &[u8])> = Vec::new();
        for part in of(Collection::Users) {
            images.extend(keyed(&part.page).map(|user| user.expect(WELL_FORMED)));
        }
        // In the order of keys, as the groups below; of each, the newest stands last.
        images.sort_by_key(|(key, _)| *key);
        let facts = self
            .plan
            .facts()
            .map(|(id, fact)| (KeptFact { fingerprint: fact.fingerprint, from: fact.from }, id));
        let facts: HashMap<KeptFact, FactId> = facts.collect();
        let streams = self.plan.streams().by_fingerprint();
        for own in images.chunk_by(|left, right| left.0 == right.0) {
            let Some((key, newest)) = own.last() else { continue };
            if let Some(image) = Image::read(newest).expect(WELL_FORMED) {
                self.restore_user(*key, image, &facts, &streams);
            }
        }
        let pages = of(Collection::Events).map(|part| EventReader::new(&part.page));
        let pages: Vec<_> = pages.map(|page| page.expect(WELL_FORMED)).collect();
        let groups = Groups::of(&pages, self.users.len());
        let group_of = |users: &Users, slot| groups.group(users.get(slot).key());
        // Those who were here before may stand anywhere.
        let mut slots: Vec<Slot> = self.users.slots().collect();
        slots.sort_by_key(|slot| group_of(&self.users, *slot));
        let mut slots = slots.into_iter().peekable();
        for (group, bytes) in groups.bytes.iter().enumerate() {
            let mut events: Vec<_> = Groups::events(bytes)
                .filter_map(|(user, page, rest)| Some((self.users.find(user)?, page, rest)))
                .collect();
            events.sort_by_key(|(slot, _, _)| *slot);
            let mut events = events.into_iter().peekable();
            while let Some(slot) = slots.next_if(|slot| group_of(&self.users, *slot) == group) {
                while let Some((_, page, rest)) = events.next_if(|(whose, _, _)| *whose == slot) {
                    let (time, event) = pages[page].event(rest).expect(WELL_FORMED);
                    self.restore_event(slot, time, event, &streams, at);
                }
                self.enter(slot, at, changes);
            }
        }
        self.store.pool.sweep();
    }

    fn restore_user(
        &mut self,
        key: UserKey,
        image: Image,
        facts: &HashMap<KeptFact, FactId>,
        streams: &HashMap<u64, StreamId>,
    ) {
        let slot = self.users.name(key, image.name);
        let user = self.users.get_mut(slot);
        user.begin(image.since);
        let mut disorder = image.disorder.unwrap_or_default();
        let mut writers = std::mem::take(&mut disorder.writers).into_iter().peekable();
        let mut noted = Writers::default();
        for (place, (key, value)) in image.attributes.into_iter().enumerate() {
            let number = self.store.number(key);
            let writer = writers.next_if(|(of, _)| *of == place);
            writer.into_iter().for_each(|(_, writer)| _ = noted.admit(number, writer));
            user.attributes.set(number, &value, &mut self.store.pool);
        }
        if !(disorder.is_empty() && noted.is_empty()) {
            *user.disorder() = Disorder { writers: noted, ..taken_over(key, disorder, streams) };
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
        event: Told<u64, Entry>,
        streams: &HashMap<u64, StreamId>,
        at: EventTime,
    ) {
        let user = self.users.get_mut(slot);
        let (fingerprint, entry) = match event {
            Told::Event(stream, entry) => (stream, entry),
            Told::Void(stream) => {
                let Some(stream) = streams.get(&stream) else { return };
                user.logs.retain(|log| log.stream() != *stream);
                let is_over =
                    |id: &FactId| self.plan.aggregate(*id).is_some_and(|it| it.stream == *stream);
                return user.states.retain(|(id, state)| !(state.kind.is_window() && is_over(id)));
            }
            Told::Erased => {
                user.logs.clear();
                return user.states.retain(|(_, state)| !state.kind.is_window());
            }
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
            user.name.share();
            user.members.iter().for_each(|node| retell(&self.plan, user, node, at, changes));
            let profiles = self.profiles.as_ref();
            let profile = profiles.and_then(|it| it.begun((user, &self.store.pool), at));
            changes.profiles.extend(profile.map(|it| (at, it)));
        }
        touched.clear();
        self.scratch = scratch;
    }
}

/// The events of pages, copied group by group: a group is some users whose keys are close.
///
/// Pages are in the order of time, so one user's events are far apart. To go to each where it
/// stands, and to its user, would be to wait for memory twice an event. What a group takes up stays
/// near the processor instead, while its events are looked up, put in order and taken over (the
/// partitioning of a radix join: Manegold, Boncz and Kersten, *Optimizing main-memory join on modern
/// hardware*, 2002).
struct Groups {
    /// How far a key's route is shifted to give its group.
    shift: u32,
    /// Of each group: of each event the key, the number of its page and its length, then itself.
    bytes: Vec<Vec<u8>>,
}

impl Groups {
    fn of(pages: &[EventReader<'_>], users: usize) -> Self {
        let count = (users / TOGETHER).next_power_of_two();
        // Keys spread evenly; what stands beside an event makes it longer by less than half.
        let all: usize = pages.iter().map(EventReader::bytes).sum();
        let group = || Vec::with_capacity(all / count * 3 / 2);
        let bytes = std::iter::repeat_with(group).take(count).collect();
        let mut groups = Groups { shift: 64 - count.trailing_zeros(), bytes };
        for (index, page) in (0_u32..).zip(pages) {
            for event in page.users() {
                let (user, rest) = event.expect(WELL_FORMED);
                let length = u32::try_from(rest.len()).expect("a page is shorter than 4 GiB");
                let group = groups.group(user);
                let into = &mut groups.bytes[group];
                into.extend_from_slice(&user.to_bytes());
                into.extend_from_slice(&index.to_le_bytes());
                into.extend_from_slice(&length.to_le_bytes());
                into.extend_from_slice(rest);
            }
        }
        groups
    }

    fn group(&self, user: UserKey) -> usize {
        user.route().checked_shr(self.shift).unwrap_or(0) as usize
    }

    /// The events of a group, each with the number of its page.
    fn events(mut bytes: &[u8]) -> impl Iterator<Item = (UserKey, usize, &[u8])> {
        std::iter::from_fn(move || {
            let (key, rest) = bytes.split_first_chunk()?;
            let (index, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (event, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            bytes = rest;
            Some((UserKey::from_bytes(*key), u32::from_le_bytes(*index) as usize, event))
        })
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
