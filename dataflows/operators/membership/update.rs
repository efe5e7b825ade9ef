//! Updates applied to a user, in the order of their writers: which facts they touch, and what
//! those were before.

use smallvec::SmallVec;

use super::compare::{Before, before_of, touch, touch_all};
use super::{Context, Tally};
use crate::model::time::leave_time;
use crate::model::{Change, Duration, EventTime, Hit, Position, StreamId, Value};
use crate::operators::checkpoint::Recorder;
use crate::operators::plan::{Check, Fact, FactId, FactKind, Reader, kind_bit};
use crate::operators::sequence::Progress;
use crate::operators::store::{AttributeNumber, Store};
use crate::operators::users::{Effect, StateKind, User, log_of, state_of};
use crate::operators::window::{Aggregate, Entry, Log, Window};
use crate::rule::Truth;

/// For how many updates there is room at first.
const RECENT_LEAST: usize = 4;

pub(super) type Windows<'a> = SmallVec<[Reached<'a>; 4]>;

/// A window over the log of an event.
pub(super) struct Reached<'a> {
    id: FactId,
    pub(super) aggregate: &'a Aggregate,
    /// Whether the event counts for it.
    pub(super) wanted: bool,
    /// Where its state stands.
    place: Option<usize>,
}

/// A window over a log.
pub(super) struct Over<'a> {
    pub(super) id: FactId,
    pub(super) aggregate: &'a Aggregate,
    /// It counts events that are later than this.
    pub(super) from: EventTime,
    /// How long it is.
    pub(super) span: Duration,
}

impl Context<'_> {
    /// Whether an update is a deletion that has not been overtaken by a later one.
    pub(super) fn erases(&self, user: &User, update: &Effect) -> bool {
        let overtaken = user.erased().is_some_and(|erased| (update.time, update.position) < erased);
        matches!(update.change, Change::Delete) && !overtaken
    }

    /// Whether an update was erased before it came.
    pub(super) fn is_void(&self, user: &User, update: &Effect) -> bool {
        let writer = (update.time, update.position);
        self.disordered() && user.erased().is_some_and(|erased| writer < erased)
    }

    /// Notes an update that was applied for the next checkpoint.
    pub(super) fn record(&self, recorder: &mut Recorder, user: &User, update: &Effect) {
        let place = (user.key(), self.at);
        recorder.applied(place, update, self.plan);
        if self.disordered() {
            recorder.changed(update.slot); // what is recent, if nothing else
            if update.change == Change::Delete {
                // What stays is later than it, and was noted before it came.
                user.recent().iter().for_each(|kept| recorder.applied(place, kept, self.plan));
            }
        }
    }

    /// Applies one update, noting the facts it touches.
    pub(super) fn update(
        &self,
        user: &mut User,
        update: &Effect,
        store: &mut Store,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let writer = (update.time, update.position);
        if self.is_void(user, update) {
            return;
        }
        if self.disordered() {
            self.remember(user, update);
        }
        if let Change::Delete = update.change {
            return self.delete(user, writer, store, touched);
        }
        match user.since() {
            Some(since) if update.time >= since => {}
            Some(_) => {
                // An earlier record has come later: the user exists since before.
                user.begin(update.time);
                self.plan.timed_from_the_start().for_each(|fact| touch_all(touched, fact));
            }
            None => user.begin(update.time),
        }
        match &update.change {
            Change::Event(hits) => {
                for hit in hits.iter() {
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
    fn remember(&self, user: &mut User, update: &Effect) {
        if matches!(update.change, Change::Delete) {
            return;
        }
        let kept = &mut user.disorder().recent;
        if kept.len() == kept.capacity() {
            kept.retain(|recent| recent.time >= self.settled);
            // Room for as many again: the next time is that far off.
            let room = 2 * kept.len().max(RECENT_LEAST);
            kept.shrink_to(room);
            kept.reserve_exact(room - kept.len());
        }
        kept.push(update.clone());
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
        if !self.disordered() {
            return user.erase(&mut store.pool);
        }
        let mut recent = std::mem::take(&mut user.disorder().recent);
        user.erase(&mut store.pool);
        user.disorder().erased = Some(writer);
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
        let wins = !self.disordered() || user.disorder().writers.admit(number, writer);
        let replaced = wins.then(|| user.attributes.set(number, value, &mut store.pool));
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
        update: &Effect,
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
        let Some(entry) = Entry::of(&hit.payload, update.position) else {
            for (_, _, fact) in facts() {
                let conditions = fact.conditions.iter();
                for condition in conditions.filter_map(|id| self.plan.condition(*id)) {
                    for node in &condition.nodes {
                        tally.mismatch(&self.plan.node(*node).segment, 1);
                    }
                }
            }
            return;
        };
        let mut windows = Windows::new();
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
                    if aggregate.window.is_some() {
                        windows.push(Reached { id, aggregate, wanted: true, place: None });
                        continue;
                    }
                    touch(touched, id, || self.before(user, id, aggregate));
                    let new = || StateKind::Total(Box::default());
                    if let StateKind::Total(total) = &mut state_of(&mut user.states, id, new).kind {
                        total.insert(aggregate, update.time, &entry);
                    }
                }
                _ => {}
            }
        }
        if !windows.is_empty() {
            self.windows_too_young(hit.stream, update.time, &mut windows);
            self.insert_into_windows(user, update.time, (hit.stream, &entry), windows, touched);
        }
    }

    /// All windows over the log of a stream.
    pub(super) fn windows_over(&self, stream: StreamId) -> SmallVec<[Over<'_>; 4]> {
        let windows = self.plan.stream_readers(stream).iter().filter_map(|reader| {
            let Reader::Aggregate(id) = *reader else { return None };
            let fact = self.plan.fact(id)?;
            let (FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. }) =
                &fact.kind
            else {
                return None;
            };
            Some(Over { id, aggregate, from: fact.from, span: aggregate.window? })
        });
        windows.collect()
    }

    /// Windows that do not count an event so early, but over whose log it goes.
    fn windows_too_young<'a>(
        &'a self,
        stream: StreamId,
        time: EventTime,
        windows: &mut Windows<'a>,
    ) {
        for reader in self.plan.stream_readers(stream) {
            if let Reader::Aggregate(id) = *reader
                && let Some(fact) = self.plan.fact(id)
                && let FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. } =
                    &fact.kind
                && aggregate.window.is_some()
                && time <= fact.from
            {
                windows.push(Reached { id, aggregate, wanted: false, place: None });
            }
        }
    }

    /// Puts an event into the log of its stream and into every window over it.
    pub(super) fn insert_into_windows(
        &self,
        user: &mut User,
        time: EventTime,
        (stream, entry): (StreamId, &Entry),
        mut windows: Windows<'_>,
        touched: &mut Vec<(FactId, Before)>,
    ) {
        let granularity = self.settings.granularity;
        let User { logs, states, .. } = user;
        let log = log_of(logs, stream, |stream| Log::for_entry(stream, entry));
        // A window is the end of its log: all of them are brought up to now before that grows.
        for reached in &mut windows {
            let Reached { id, aggregate, wanted, .. } = *reached;
            let found = states.binary_search_by_key(&id, |(fact, _)| *fact).ok();
            reached.place = found;
            let window = found.and_then(|place| states[place].1.kind.window());
            // Where events may come out of order, those that do not want it move on, too.
            if wanted || self.disordered() {
                touch(touched, id, || before_of(aggregate, window.as_deref(), log));
            }
            let now = self.leaves_until(id);
            window.into_iter().for_each(|it| it.expire(aggregate, granularity, log, now));
        }
        log.insert(time, entry);
        let mut kept = 0;
        let mut new_ones = false;
        for Reached { id, aggregate, wanted, place } in windows {
            let state = match place {
                Some(place) if !new_ones => &mut states[place].1,
                None if !wanted => continue,
                _ => {
                    new_ones = true;
                    state_of(states, id, || StateKind::Window(Window::new(aggregate)))
                }
            };
            if let Some(window) = state.kind.window() {
                let span = aggregate.window.unwrap_or_default();
                let counts = wanted && leave_time(time, span, granularity) > self.leaves_until(id);
                window.insert(aggregate, time, entry, counts);
                kept = kept.max(window.len());
            }
        }
        log.keep(kept);
    }
}
