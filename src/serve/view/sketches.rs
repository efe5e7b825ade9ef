//! What is counted by sketches: events as they come out of the dataflow, and who has left segments.
//!
//! ```text
//! counted events ──► pending ──► panes of each event, and of each property
//! differences    ──────────────► panes of each segment: who has left it
//!                    │  all of a time at once, when the frontier has passed it
//! ```
//! Who was in a segment at some time of a window are those who are in it at its end, and those who
//! have left it within. The panes are shared with whoever reads them, so nobody waits while they are
//! put together.
//!
//! A run that goes on from an earlier one goes on counting what that has counted, in the same panes;
//! what it has not begins anew, and says from when on all is counted.

mod counter;

use std::sync::{Arc, Mutex};

use dataflows::clock::Emit;
use dataflows::model::{Difference, Duration, EventTime, Path, Sign, UserKey};
use dataflows::operators::checkpoint::{Count, Counts};
use dataflows::segmentation::Seen;
use dataflows::sketch::{Distinct, Set, Top, Unreadable};

use super::lock;
use crate::serve::settings;
use counter::Counter;

/// All that is counted.
pub struct Sketches {
    settings: settings::Sketches,
    emit: Emit,
    state: Mutex<State>,
}

struct State {
    /// What may be of times that are not over.
    pending: Vec<Seen>,
    events: Vec<Counter<Distinct>>,
    tops: Vec<Counter<Top>>,
    segments: Vec<Counter<Set>>,
    /// Everything before this was counted by an earlier run.
    before: EventTime,
    as_of: Option<EventTime>,
}

/// Whose users are counted: by its place in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Those who did this.
    Event(usize),
    /// Those who have left this segment.
    Segment(usize),
}

/// A stretch of time that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub from: EventTime,
    /// Its last one.
    pub to: EventTime,
    /// All is counted from here on; `None` if that is all of the window.
    pub complete_from: Option<EventTime>,
    /// Whether nothing more can come of these times.
    pub is_final: bool,
}

/// The sketches of one thing over a window.
pub enum Held {
    /// Of an event.
    Event(Vec<Arc<Distinct>>),
    /// Of those who have left a segment.
    Segment(Vec<Arc<Set>>),
}

impl Held {
    /// All of its users together.
    pub fn set(&self) -> Set {
        match self {
            Held::Event(panes) => Set::union(panes.iter().map(|it| it.set())),
            Held::Segment(panes) => Set::union(panes.iter().map(|it| &**it)),
        }
    }
}

impl Sketches {
    /// Nothing is counted yet. Events come as they are emitted.
    pub fn new(settings: settings::Sketches, emit: Emit) -> Self {
        let span = settings.span;
        let top = |(event, by): &(Arc<str>, Path)| format!("{event} by {}", by.as_str());
        let state = State {
            pending: Vec::new(),
            events: settings.events.iter().map(|it| Counter::new(("event", it), span)).collect(),
            tops: settings.top.iter().map(|it| Counter::new(("top", top(it)), span)).collect(),
            segments: settings
                .segments
                .iter()
                .map(|it| Counter::new(("segment", it), span))
                .collect(),
            before: EventTime::MIN,
            as_of: None,
        };
        Sketches { settings, emit, state: Mutex::new(state) }
    }

    /// What is counted.
    pub fn settings(&self) -> &settings::Sketches {
        &self.settings
    }

    /// Everything before this time was counted by an earlier run, which may have been another's.
    pub(super) fn begin(&self, before: EventTime) {
        let mut state = lock(&self.state);
        state.before = before;
        state.events.iter_mut().for_each(|it| it.since = before);
        state.tops.iter_mut().for_each(|it| it.since = before);
        state.segments.iter_mut().for_each(|it| it.since = before);
    }

    /// Goes on from what an earlier run has counted before a time; tells what it has not, in words.
    pub(super) fn restore(
        &self,
        counts: &Counts,
        before: EventTime,
    ) -> Result<Vec<String>, Unreadable> {
        let (mut state, mut anew) = (lock(&self.state), Vec::new());
        for (counter, what) in state.events.iter_mut().zip(&self.settings.events) {
            if !counter.go_on(counts, before)? {
                anew.push(format!("event {what:?}"));
            }
        }
        for (counter, (event, by)) in state.tops.iter_mut().zip(&self.settings.top) {
            if !counter.go_on(counts, before)? {
                anew.push(format!("property {:?} of event {event:?}", by.as_str()));
            }
        }
        for (counter, what) in state.segments.iter_mut().zip(&self.settings.segments) {
            if !counter.go_on(counts, before)? {
                anew.push(format!("segment {what:?}"));
            }
        }
        Ok(anew)
    }

    /// What has changed since this was last asked, as of the instant before a time.
    pub(super) fn counts(&self, before: EventTime) -> Vec<Count> {
        let mut state = lock(&self.state);
        let State { events, tops, segments, .. } = &mut *state;
        let events = events.iter_mut().flat_map(|it| it.counts(before));
        let tops = tops.iter_mut().flat_map(|it| it.counts(before));
        let segments = segments.iter_mut().flat_map(|it| it.counts(before));
        events.chain(tops).chain(segments).collect()
    }

    /// Takes events. They are counted once time is beyond them.
    pub(super) fn take(&self, seen: &[Seen]) {
        lock(&self.state).pending.extend_from_slice(seen);
    }

    /// All up to this time has been taken; these differences are what is new.
    pub(super) fn advance(&self, due: &[Difference], up_to: EventTime) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        if up_to < state.before.saturating_sub(1) {
            return; // that was counted by the earlier run
        }
        for seen in state.pending.extract_if(.., |seen| seen.at <= up_to) {
            count(&seen, &mut state.events, &mut state.tops);
        }
        for left in due.iter().filter(|it| it.sign == Sign::Left && it.time >= state.before) {
            let place = self.settings.segments.iter().position(|it| *it == left.segment);
            let counter = place.and_then(|place| state.segments.get_mut(place));
            // They were in it up to the instant before.
            if let Some(set) = counter.and_then(|it| it.panes.at(left.time - 1)) {
                set.insert(UserKey::of(&left.user));
            }
        }
        state.events.iter_mut().for_each(|it| it.panes.advance(up_to));
        state.tops.iter_mut().for_each(|it| it.panes.advance(up_to));
        state.segments.iter_mut().for_each(|it| it.panes.advance(up_to));
        state.as_of = Some(up_to);
    }

    /// What is held of some of these over one window; `None` if nothing is known yet.
    pub fn held(&self, of: &[Counted], window: Duration) -> Option<(Vec<Held>, Window)> {
        let state = lock(&self.state);
        let as_of = state.as_of?;
        let (mut begins, mut since) = (as_of, EventTime::MIN);
        let mut held = Vec::with_capacity(of.len());
        for counted in of {
            let (from, panes, of) = match *counted {
                Counted::Event(place) => {
                    let counter = state.events.get(place)?;
                    let (from, panes) = counter.panes.window(window, as_of);
                    (from, Held::Event(panes), counter.since)
                }
                Counted::Segment(place) => {
                    let counter = state.segments.get(place)?;
                    let (from, panes) = counter.panes.window(window, as_of);
                    (from, Held::Segment(panes), counter.since)
                }
            };
            (begins, since) = (begins.min(from), since.max(of));
            held.push(panes);
        }
        Some((held, self.stretch(since, begins, as_of)))
    }

    /// What is held of the values of a property over a window; `None` if nothing is known yet.
    pub fn top(&self, place: usize, window: Duration) -> Option<(Vec<Arc<Top>>, Window)> {
        let state = lock(&self.state);
        let as_of = state.as_of?;
        let counter = state.tops.get(place)?;
        let (from, panes) = counter.panes.window(window, as_of);
        Some((panes, self.stretch(counter.since, from, as_of)))
    }

    fn stretch(&self, since: EventTime, from: EventTime, to: EventTime) -> Window {
        let complete_from = Some(since).filter(|since| *since > from);
        Window { from, to, complete_from, is_final: self.emit == Emit::OnWatermark }
    }
}

/// Counts an event, by the counters of [`settings::Sketches::streams`].
fn count(seen: &Seen, events: &mut [Counter<Distinct>], tops: &mut [Counter<Top>]) {
    let Ok(counter) = usize::try_from(seen.counter) else { return };
    let others = events.len();
    if let Some(it) = events.get_mut(counter) {
        it.panes.at(seen.time).into_iter().for_each(|it| it.insert(seen.user));
    } else if let Some(it) = tops.get_mut(counter - others) {
        it.panes.at(seen.time).into_iter().for_each(|it| it.insert(seen.value.as_ref()));
    }
}
