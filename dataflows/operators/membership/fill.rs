//! What a new definition is the first to ask, worked out from the events that are retained.
//!
//! A user's events are gone through once, and what is asked is worked out from nothing: whatever has
//! come of events since the definition was saved is in it already, so nothing has to be held back
//! meanwhile. What a stream held for other windows is the end of what is found, or has it at its
//! own end, so the longer of the two stays, and those windows are what they were.

use super::Context;
use crate::model::{Change, EventTime, Hit, Payload, StreamId};
use crate::operators::checkpoint::Recorder;
use crate::operators::plan::{FactId, FactKind, Plan, Reader};
use crate::operators::sequence::Progress;
use crate::operators::users::{Slot, StateKind, User, log_of, state_of};
use crate::operators::window::{Aggregate, Entry, Log, Total, Window};

/// What is to be worked out from retained events.
#[derive(Debug, Default)]
pub(super) struct Filling {
    facts: Vec<FactId>,
    streams: Vec<StreamId>,
    /// Events count that are later than this.
    after: EventTime,
}

/// What streams take from the retained events of a user, in order.
type Found = Vec<(EventTime, StreamId, Entry)>;

impl Filling {
    /// These facts, of which nobody has asked so far, which see events later than `after`.
    pub(super) fn new(plan: &Plan, facts: Vec<FactId>, after: EventTime) -> Self {
        let is_behaviour = |id: &FactId| match plan.fact(*id).map(|fact| &fact.kind) {
            Some(FactKind::Attribute { .. }) | None => false,
            Some(_) => true,
        };
        let facts: Vec<_> = facts.into_iter().filter(is_behaviour).collect();
        let reads = |stream: &StreamId| {
            plan.stream_readers(*stream).iter().any(|reader| {
                let (Reader::Aggregate(id) | Reader::Step(id, _)) = reader;
                facts.contains(id)
            })
        };
        let all = (0..).map(StreamId).take(plan.streams().len());
        let streams = all.filter(reads).collect();
        Filling { facts, streams, after }
    }

    /// Whether nothing looks back.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

impl Context<'_> {
    /// Works it out for a user; gives back how many events were gone through.
    pub(super) fn fill(
        &self,
        user: &mut User,
        slot: Slot,
        filling: &Filling,
        recorder: Option<&mut Recorder>,
    ) -> usize {
        let Some(retained) = self.plan.retained().filter(|_| !filling.is_empty()) else { return 0 };
        if self.disordered() {
            self.complete_recent(user, filling);
        }
        let Some(log) = user.log(retained.stream) else { return 0 };
        let (mut count, mut found) = (0, Found::new());
        for (time, position, whole) in log.whole_after(filling.after) {
            count += 1;
            let payloads = self.plan.streams().payloads(whole, &filling.streams);
            let entries = payloads.into_iter().filter_map(|(stream, payload)| {
                Some((time, stream, Entry::of(&payload, position)?))
            });
            found.extend(entries);
        }
        for id in &filling.facts {
            self.fill_running(user, *id, &found);
        }
        let mut refilled = Vec::new();
        for stream in &filling.streams {
            if self.fill_windows(user, *stream, filling, &found) {
                refilled.push(*stream);
            }
        }
        if let Some(recorder) = recorder.filter(|_| count > 0) {
            recorder.changed(slot);
            refilled.iter().for_each(|stream| recorder.refilled(user, *stream, self.at, self.plan));
        }
        count
    }

    /// A deletion may yet come that is older than some updates: what is applied anew then must have
    /// what is asked now.
    fn complete_recent(&self, user: &mut User, filling: &Filling) {
        if user.recent().is_empty() {
            return;
        }
        for update in &mut user.disorder().recent {
            let Change::Event(hits) = &mut update.change else { continue };
            let is_there = |stream: &StreamId| hits.iter().any(|hit| hit.stream == *stream);
            let missing: Vec<_> =
                filling.streams.iter().filter(|stream| !is_there(stream)).copied().collect();
            let whole = hits.iter().find_map(|hit| match &hit.payload {
                Payload::Whole(bytes) => Some(bytes),
                _ => None,
            });
            let payloads = whole.map(|whole| self.plan.streams().payloads(whole, &missing));
            let more = payloads.into_iter().flatten();
            let more: Vec<Hit> = more.map(|(stream, payload)| Hit { stream, payload }).collect();
            *hits = std::mem::take(hits).into_iter().chain(more).collect();
        }
    }

    /// A fact that is not over a window.
    fn fill_running(&self, user: &mut User, id: FactId, found: &Found) {
        let Some(fact) = self.plan.fact(id) else { return };
        let kind = match &fact.kind {
            FactKind::Sequence(bounds) => {
                let mut progress: Option<Progress> = None;
                let settled = self.disordered().then_some(self.settled);
                for (time, stream, _) in found {
                    for reader in self.plan.stream_readers(*stream) {
                        if let Reader::Step(of, step) = reader
                            && *of == id
                        {
                            let progress = progress.get_or_insert_with(|| Progress::new(bounds));
                            progress.hit(bounds, *step, *time, settled);
                        }
                    }
                }
                progress.map(|progress| StateKind::Sequence(Box::new(progress)))
            }
            FactKind::Number { aggregate, .. } | FactKind::Value { aggregate }
                if aggregate.window.is_none() =>
            {
                let mut total: Option<Total> = None;
                for (time, _, entry) in found.iter().filter(|it| it.1 == aggregate.stream) {
                    total.get_or_insert_default().insert(aggregate, *time, entry);
                }
                total.map(|total| StateKind::Total(Box::new(total)))
            }
            _ => return,
        };
        if let Some(kind) = kind {
            state_of(&mut user.states, id, || StateKind::Attribute(None)).kind = kind;
        }
    }

    /// The windows over a stream; says whether there are any events in them.
    fn fill_windows(
        &self,
        user: &mut User,
        stream: StreamId,
        filling: &Filling,
        found: &Found,
    ) -> bool {
        let windows: Vec<(FactId, &Aggregate)> = filling
            .facts
            .iter()
            .filter_map(|id| Some((*id, self.plan.aggregate(*id)?)))
            .filter(|(_, aggregate)| aggregate.stream == stream && aggregate.window.is_some())
            .collect();
        let mut own = found.iter().filter(|(_, of, _)| *of == stream).peekable();
        let (Some((_, _, first)), Some((_, aggregate))) = (own.peek(), windows.first()) else {
            return false;
        };
        let mut new = Log::for_entry(stream, first);
        own.for_each(|(time, _, entry)| new.insert(*time, entry));
        let User { logs, states, .. } = user;
        let log = log_of(logs, stream, |stream| Log::for_entry(stream, &Entry::Happened));
        if new.len() >= log.len() {
            *log = new;
        }
        for (id, aggregate) in &windows {
            let bounds = (filling.after, self.at);
            let window = Window::over(aggregate, self.settings.granularity, log, bounds);
            let new = || StateKind::Window(Window::new(aggregate));
            state_of(states, *id, new).kind = StateKind::Window(window);
        }
        log.keep(self.longest_window(states, aggregate));
        !log.is_empty()
    }
}
