//! Users taken over from an earlier run, at the instant up to which it had come.
//!
//! Each is worked out like one who is new at that instant, from what is kept of them; only that
//! nobody is told who is in which segment, for they have been, unless that is asked for. Gates are
//! told, since they hold nothing.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::changes::{flip, retell};
use super::compare::{blank_before, touch, touch_all};
use super::update::Over;
use super::{Alarm, Changes, Context, Membership, armed};
use crate::model::time::leave_time;
use crate::model::{Change, EventTime, Hit, StreamId, UserKey};
use crate::operators::attributes::Writers;
use crate::operators::checkpoint::{
    Collection, Disordered, EventsHead, FactImage, Group, Image, KeptFact, Recent, RecentChange,
    Restored, Told,
};
use crate::operators::held::Held;
use crate::operators::plan::{FactId, FactKind};
use crate::operators::users::{Disorder, Effect, Slot, StateKind, User, log_of, state_of};
use crate::operators::window::{Entry, Log, Window};

const WELL_FORMED: &str = "pages are read once before they are handed over";

/// What updates to come may be older than.
fn taken_over(slot: Slot, kept: Disordered, streams: &HashMap<u64, StreamId>) -> Disorder {
    let update = |Recent { time, position, change }| {
        let change = match change {
            RecentChange::Event(hits) => {
                // No rule may ask for it any more.
                let hit = |(stream, payload)| Some(Hit { stream: *streams.get(&stream)?, payload });
                Change::Event(hits.into_iter().filter_map(hit).collect())
            }
            RecentChange::Attributes(attributes) => Change::Attributes(attributes.into()),
        };
        Effect { slot, time, position, change }
    };
    let recent = kept.recent.into_iter().map(update).collect();
    Disorder { recent, erased: kept.erased, writers: Writers::default() }
}

/// What the names in a checkpoint are in this run.
struct Known {
    facts: HashMap<KeptFact, FactId>,
    streams: HashMap<u64, StreamId>,
}

/// The parts of a collection, in their order.
struct Parts {
    heads: Vec<Streams>,
    /// By group, what each part has of it.
    groups: Vec<Vec<Group>>,
}

/// What the events of a part have in common, and what its streams are in this run: `None` where no
/// rule asks for one any more.
struct Streams(EventsHead, Vec<Option<StreamId>>);

impl Parts {
    fn of(restored: Vec<Restored>, streams: &HashMap<u64, StreamId>) -> Self {
        let mut parts = Parts { heads: Vec::new(), groups: Vec::new() };
        for Restored { head, groups, .. } in restored {
            let is_like = parts.groups.is_empty() || parts.groups.len() == groups.len();
            assert!(is_like, "all who read of a checkpoint divide users alike");
            let known = head.streams().iter().map(|it| streams.get(it).copied()).collect();
            parts.heads.push(Streams(head, known));
            parts.groups.resize_with(groups.len(), Vec::new);
            for (all, own) in parts.groups.iter_mut().zip(groups) {
                all.push(own);
            }
        }
        parts
    }

    /// What there is of a group, which is gone then.
    fn take(&mut self, group: usize) -> Vec<Group> {
        self.groups.get_mut(group).map(std::mem::take).unwrap_or_default()
    }
}

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
        let facts = self
            .plan
            .facts()
            .map(|(id, fact)| (KeptFact { fingerprint: fact.fingerprint, from: fact.from }, id));
        let known = Known { facts: facts.collect(), streams: self.plan.streams().by_fingerprint() };
        let events = restored.extract_if(.., |part| part.place.collection == Collection::Events);
        let mut events = Parts::of(events.collect(), &known.streams);
        let mut users = Parts::of(restored, &known.streams);
        let (mut alarms, mut told) = (Vec::new(), ByStream::default());
        for group in 0..users.groups.len() {
            let slots = self.restore_users(&users.take(group), &known);
            let own = events.take(group);
            let own = Threads::of(&own, &slots);
            for (number, (_, slot)) in slots.iter().enumerate() {
                for (part, rest) in own.of_user(number) {
                    told.take(&events.heads[part], rest);
                }
                self.hold(*slot, &mut told, at);
                self.enter(*slot, at, &mut alarms, changes);
            }
        }
        self.wheel.extend(alarms);
        self.store.pool.sweep();
    }

    /// Takes over users, but for their events; gives back where they are, in the order of keys.
    fn restore_users(&mut self, group: &[Group], known: &Known) -> Vec<(UserKey, Slot)> {
        let mut images: Vec<_> = group.iter().flat_map(Group::entries).collect();
        // Of each user the newest stands last.
        images.sort_by_key(|(key, _)| *key);
        let mut slots = Vec::with_capacity(images.len());
        for own in images.chunk_by(|left, right| left.0 == right.0) {
            let Some((key, newest)) = own.last() else { continue };
            if let Some(image) = Image::read(newest).expect(WELL_FORMED) {
                slots.push((*key, self.restore_user(*key, image, known)));
            }
        }
        slots
    }

    fn restore_user(&mut self, key: UserKey, image: Image, known: &Known) -> Slot {
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
            let disorder = taken_over(slot, disorder, &known.streams);
            *user.disorder() = Disorder { writers: noted, ..disorder };
        }
        for (fact, image) in image.facts {
            let Some(id) = known.facts.get(&fact) else { continue };
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
        slot
    }

    /// Takes over the events of a user, which are told no longer then.
    fn hold(&mut self, slot: Slot, told: &mut ByStream, at: EventTime) {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        if user.since().is_some() {
            let told = told.streams.iter_mut();
            told.for_each(|(stream, events)| context.hold_events(user, *stream, events));
        }
        told.clear();
    }

    /// Works out the memberships of a user of whom everything is known; with the alarms that
    /// are to be set.
    fn enter(
        &mut self,
        slot: Slot,
        at: EventTime,
        alarms: &mut Vec<(EventTime, Alarm)>,
        changes: &mut Changes,
    ) {
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
            let next = context.compare(user, *id, before, pool, conditions);
            alarms.extend(armed(user, slot, *id, next));
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

/// The events of a group, each user's one after the other in their order.
struct Threads<'a> {
    /// Of each event the part it is of, what it is, and the place of the user's next one.
    events: Vec<(u32, u32, &'a [u8])>,
    /// Of each user the first and the last event.
    ends: Vec<(u32, u32)>,
}

/// Where there is no event.
const NONE: u32 = u32::MAX;

impl<'a> Threads<'a> {
    /// Those of the users at these slots.
    fn of(group: &'a [Group], slots: &[(UserKey, Slot)]) -> Self {
        let hash = |number: &u32| slots[*number as usize].0.bucket();
        let mut numbers = HashTable::with_capacity(slots.len());
        for (number, (key, _)) in (0_u32..).zip(slots) {
            numbers.insert_unique(key.bucket(), number, hash);
        }
        let mut threads = Threads { events: Vec::new(), ends: vec![(NONE, NONE); slots.len()] };
        for (part, group) in (0_u32..).zip(group) {
            for (user, rest) in group.entries() {
                let is_it = |number: &u32| slots[*number as usize].0 == user;
                if let Some(number) = numbers.find(user.bucket(), is_it) {
                    threads.push(*number as usize, (part, rest));
                }
            }
        }
        threads
    }

    fn push(&mut self, number: usize, (part, rest): (u32, &'a [u8])) {
        let place = u32::try_from(self.events.len()).unwrap_or(NONE);
        assert!(place != NONE, "a group has fewer than 2^32 events");
        self.events.push((NONE, part, rest));
        let (first, last) = &mut self.ends[number];
        match self.events.get_mut(*last as usize) {
            Some((next, _, _)) => *next = place,
            None => *first = place,
        }
        *last = place;
    }

    /// The events of a user.
    fn of_user(&self, number: usize) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut next = self.ends[number].0;
        std::iter::from_fn(move || {
            let (later, part, rest) = *self.events.get(next as usize)?;
            next = later;
            Some((part as usize, rest))
        })
    }
}

/// What was told of a user, by stream.
#[derive(Default)]
struct ByStream {
    streams: Vec<(StreamId, Vec<(EventTime, Entry)>)>,
}

impl ByStream {
    fn take(&mut self, Streams(head, streams): &Streams, rest: &[u8]) {
        let (time, told) = head.event(rest).expect(WELL_FORMED);
        let known = |number: u32| streams.get(number as usize).copied().flatten();
        match told {
            Told::Event(stream, entry) => {
                if let Some(stream) = known(stream) {
                    self.events(stream).push((time, entry));
                }
            }
            Told::Void(stream) => {
                if let Some(stream) = known(stream) {
                    self.events(stream).clear();
                }
            }
            Told::Erased => self.clear(),
        }
    }

    fn events(&mut self, stream: StreamId) -> &mut Vec<(EventTime, Entry)> {
        let known = self.streams.iter().position(|(other, _)| *other == stream);
        let place = known.unwrap_or_else(|| {
            self.streams.push((stream, Vec::new()));
            self.streams.len() - 1
        });
        &mut self.streams[place].1
    }

    /// Of the next user nothing is told so far.
    fn clear(&mut self) {
        self.streams.iter_mut().for_each(|(_, events)| events.clear());
    }
}

impl Context<'_> {
    /// Puts what is told of a stream into its log and into the windows that still hold it; of that
    /// which none holds nothing is told then.
    fn hold_events(&self, user: &mut User, stream: StreamId, events: &mut Vec<(EventTime, Entry)>) {
        let granularity = self.settings.granularity;
        let windows = self.windows_over(stream);
        let leaves = |time, it: &Over<'_>| leave_time(time, it.span, granularity);
        events.retain(|(time, _)| {
            windows.iter().any(|it| *time > it.from && leaves(*time, it) > self.at)
        });
        let Some((_, first)) = events.first() else { return };
        let log = log_of(&mut user.logs, stream, |stream| Log::for_entry(stream, first));
        log.make_room(events.len());
        events.iter().for_each(|(time, entry)| log.insert(*time, entry));
        let latest = events.iter().map(|(time, _)| *time).max();
        let windows = windows.iter().filter(|it| latest > Some(it.from));
        let mut kept = 0;
        for it @ Over { id, aggregate, from, .. } in windows {
            let new = || StateKind::Window(Window::new(aggregate));
            let Some(window) = state_of(&mut user.states, *id, new).kind.window() else { continue };
            let until = self.leaves_until(*id);
            for (time, entry) in events.iter() {
                let counts = time > from && leaves(*time, it) > until;
                window.insert(aggregate, *time, entry, counts);
            }
            kept = kept.max(window.len());
        }
        log.keep(kept);
    }
}
