//! Updates applied to a user, in the order of their writers: which facts they touch, and what
//! those were before.

use smallvec::SmallVec;

use super::compare::{Before, touch, touch_all};
use super::{Context, Tally};
use crate::model::time::leave_time;
use crate::model::{Amount, Change, EventTime, Hit, Payload, Position, StreamId, Update, Value};
use crate::operators::plan::{Check, Fact, FactId, FactKind, Reader, kind_bit};
use crate::operators::sequence::Progress;
use crate::operators::store::{AttributeNumber, Store};
use crate::operators::users::{State, StateKind, User, log_of, state_of};
use crate::operators::window::{Aggregate, Entry, Log, Window};
use crate::rule::Truth;

/// For how many updates there is room at first.
const RECENT_LEAST: usize = 4;

type Windows<'a> = SmallVec<[(FactId, &'a Aggregate); 4]>;

impl Context<'_> {
    /// Whether an update is a deletion that has not been overtaken by a later one.
    pub(super) fn erases(&self, user: &User, update: &Update) -> bool {
        let overtaken = user.erased.is_some_and(|erased| (update.time, update.position) < erased);
        matches!(update.change, Change::Delete) && !overtaken
    }

    /// Applies one update, noting the facts it touches.
    pub(super) fn update(
        &self,
        user: &mut User,
        update: &Update,
        store: &mut Store,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let writer = (update.time, update.position);
        if self.disordered() {
            if user.erased.is_some_and(|erased| writer < erased) {
                return; // erased before it came
            }
            self.remember(user, update);
        }
        if let Change::Delete = update.change {
            return self.delete(user, writer, store, touched);
        }
        match user.since {
            Some(since) if update.time >= since => {}
            Some(_) => {
                // An earlier record has come later: the user exists since before.
                user.since = Some(update.time);
                self.plan.timed_from_the_start().for_each(|fact| touch_all(touched, fact));
            }
            None => user.since = Some(update.time),
        }
        match &update.change {
            Change::Event(hits) => {
                for hit in hits {
                    self.hit(user, update, hit, touched, tally);
                }
            }
            Change::Attributes(attributes) => {
                for (key, value) in attributes {
                    let number = store.number(*key);
                    self.set(user, writer, (number, value), store, touched, tally);
                }
            }
            Change::Delete => {}
        }
    }

    /// Keeps an update for a deletion that may come after it. What no deletion can be older than
    /// is dropped when the list is full, so that an update costs O(1) however many are kept.
    fn remember(&self, user: &mut User, update: &Update) {
        if matches!(update.change, Change::Delete) {
            return;
        }
        if user.recent.len() == user.recent.capacity() {
            user.recent.retain(|recent| recent.time >= self.settled);
            // Room for as many again: the next time is that far off.
            let room = 2 * user.recent.len().max(RECENT_LEAST);
            user.recent.shrink_to(room);
            user.recent.reserve_exact(room - user.recent.len());
        }
        user.recent.push(update.clone());
    }

    /// Erases the user, but for the updates that are later than the deletion.
    fn delete(
        &self,
        user: &mut User,
        writer: (EventTime, Position),
        store: &mut Store,
        touched: &mut Vec<(FactId, Before)>,
    ) {
        touched.clear();
        let mut recent = std::mem::take(&mut user.recent);
        user.erase(&mut store.pool);
        if !self.disordered() {
            return;
        }
        user.erased = Some(writer);
        recent.retain(|update| (update.time, update.position) > writer);
        recent.sort_unstable_by_key(|update| (update.time, update.position));
        for update in recent {
            let counted = &mut Tally::default(); // when it came
            self.update(user, &update, store, touched, counted);
        }
    }

    fn set(
        &self,
        user: &mut User,
        writer: (EventTime, Position),
        (number, value): (AttributeNumber, &Value),
        store: &mut Store,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let readers = self.plan.attribute_readers(number);
        let facts = || readers.iter().filter_map(|id| Some((*id, self.plan.fact(*id)?)));
        for (id, fact) in facts() {
            let FactKind::Attribute { path, holding, suspect_kinds, .. } = &fact.kind else {
                continue;
            };
            if path.inner.is_some() {
                let code = self.code_at(user, fact, &mut store.pool);
                touch(touched, id, || Before::Code(code));
            }
            if suspect_kinds & kind_bit(value) != 0 && path.whole == number {
                self.count_mismatches(fact, value, tally);
            }
            if *holding > 0 {
                let state = state_of(&mut user.states, id, || StateKind::Attribute(None));
                if let StateKind::Attribute(held) = &mut state.kind {
                    let settled = if self.disordered() { self.settled } else { self.at };
                    let update = (writer, number, value.clone());
                    held.get_or_insert_default().update(path, update, settled);
                }
            }
        }
        let order = self.disordered().then_some(writer);
        let replaced = user.attributes.set(number, value, order, &mut store.pool);
        for (id, fact) in facts() {
            let FactKind::Attribute { path, column, patterns, holding, .. } = &fact.kind else {
                continue;
            };
            match replaced {
                Some(old) if path.inner.is_none() => touch(touched, id, || {
                    Before::Code(patterns.code(*column, old, &mut store.pool))
                }),
                // The value stands, but since when may be new.
                None if *holding > 0 => touch_all(touched, id),
                _ => {}
            }
        }
        // Until the user is done with, what is replaced may be compared.
        replaced.into_iter().for_each(|old| old.retire(&mut store.pool));
    }

    fn count_mismatches(&self, fact: &Fact, value: &Value, tally: &mut Tally) {
        for condition in fact.conditions.iter().filter_map(|id| self.plan.condition(*id)) {
            if let Check::Value(test) = &condition.check
                && test.holds(Some(value)) == Truth::Mismatch
            {
                for node in &condition.nodes {
                    tally.mismatch(&self.plan.node(*node).segment, 1);
                }
            }
        }
    }

    fn hit(
        &self,
        user: &mut User,
        update: &Update,
        hit: &Hit,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let readers = self.plan.stream_readers(hit.stream);
        let facts = || {
            readers.iter().filter_map(|reader| {
                let (Reader::Aggregate(id) | Reader::Step(id, _)) = *reader;
                let fact = self.plan.fact(id)?;
                (update.time > fact.from).then_some((reader, id, fact))
            })
        };
        let entry = match &hit.payload {
            Payload::Happened => Entry::Happened,
            Payload::Micros(micros) => Entry::Amount(Amount::from_micros((*micros).into())),
            Payload::Amount(amount) => Entry::Amount(**amount),
            Payload::Value(value) => Entry::Value(update.position, (**value).clone()),
            Payload::Mismatch => {
                for (_, _, fact) in facts() {
                    let conditions = fact.conditions.iter();
                    for condition in conditions.filter_map(|id| self.plan.condition(*id)) {
                        for node in &condition.nodes {
                            tally.mismatch(&self.plan.node(*node).segment, 1);
                        }
                    }
                }
                return;
            }
        };
        let mut windowed = false;
        for (reader, id, fact) in facts() {
            match (&fact.kind, reader) {
                (FactKind::Sequence(bounds), Reader::Step(_, step)) => {
                    touch_all(touched, id);
                    let new = || StateKind::Sequence(Box::new(Progress::new(bounds)));
                    let state = state_of(&mut user.states, id, new);
                    if let StateKind::Sequence(progress) = &mut state.kind {
                        let settled = self.disordered().then_some(self.settled);
                        progress.hit(bounds, *step, update.time, settled);
                    }
                }
                (FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. }, _) => {
                    touch(touched, id, || self.before(user, id, aggregate));
                    if aggregate.window.is_some() {
                        windowed = true;
                        continue;
                    }
                    let new = || StateKind::Total(Box::default());
                    if let StateKind::Total(total) = &mut state_of(&mut user.states, id, new).kind {
                        total.insert(aggregate, update.time, &entry);
                    }
                }
                _ => {}
            }
        }
        if windowed {
            self.insert_into_windows(user, update, hit, &entry, touched);
        }
    }

    /// Puts an event into the log of its stream and into every window over it.
    fn insert_into_windows(
        &self,
        user: &mut User,
        update: &Update,
        hit: &Hit,
        entry: &Entry,
        touched: &mut Vec<(FactId, Before)>,
    ) {
        let windows: Windows<'_> = self.windows_over(hit.stream).collect();
        if self.disordered() {
            // Also those that do not want the event move on.
            for (id, aggregate) in &windows {
                touch(touched, *id, || self.before(user, *id, aggregate));
            }
        }
        let log = log_of(&mut user.logs, hit.stream, || Log::for_entry(entry));
        let granularity = self.settings.granularity;
        for (id, aggregate) in &windows {
            if let Ok(place) = user.states.binary_search_by_key(id, |(fact, _)| *fact)
                && let Some((_, State { kind: StateKind::Window(window), .. })) =
                    user.states.get_mut(place)
            {
                window.expire(aggregate, granularity, log, self.at);
            }
        }
        let number = log.insert(update.time, entry);
        let mut keep = log.end();
        for (id, aggregate) in &windows {
            let span = aggregate.window.unwrap_or_default();
            let wanted = self.plan.fact(*id).is_some_and(|fact| update.time > fact.from);
            let counts = wanted && leave_time(update.time, span, granularity) > self.at;
            let known = user.states.binary_search_by_key(id, |(fact, _)| *fact).is_ok();
            if !wanted && !known {
                continue;
            }
            let new = || StateKind::Window(Window::new(aggregate, number));
            let state = state_of(&mut user.states, *id, new);
            if let StateKind::Window(window) = &mut state.kind {
                window.insert(aggregate, number, update.time, entry, counts);
                keep = keep.min(window.cursor());
            }
        }
        log.release(keep);
    }

    fn windows_over(&self, stream: StreamId) -> impl Iterator<Item = (FactId, &Aggregate)> {
        self.plan.stream_readers(stream).iter().filter_map(|reader| {
            let Reader::Aggregate(id) = *reader else { return None };
            match &self.plan.fact(id)?.kind {
                FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. } => {
                    aggregate.window.map(|_| (id, aggregate))
                }
                _ => None,
            }
        })
    }
}
