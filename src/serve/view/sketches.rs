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
//! A run that goes on from an earlier one begins anew here, and says from when on it knows all.

use std::sync::{Arc, Mutex};

use dataflows::clock::Emit;
use dataflows::model::{Difference, Duration, EventTime, Sign, UserKey};
use dataflows::segmentation::Seen;
use dataflows::sketch::{Distinct, Panes, Set, Top};

use super::lock;
use crate::serve::settings;

/// All that is counted.
pub struct Sketches {
    settings: settings::Sketches,
    emit: Emit,
    state: Mutex<State>,
}

struct State {
    /// What may be of times that are not over.
    pending: Vec<Seen>,
    events: Vec<Panes<Distinct>>,
    tops: Vec<Panes<Top>>,
    segments: Vec<Panes<Set>>,
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
        let state = State {
            pending: Vec::new(),
            events: settings.events.iter().map(|_| Panes::new(settings.span)).collect(),
            tops: settings.top.iter().map(|_| Panes::new(settings.span)).collect(),
            segments: settings.segments.iter().map(|_| Panes::new(settings.span)).collect(),
            before: EventTime::MIN,
            as_of: None,
        };
        Sketches { settings, emit, state: Mutex::new(state) }
    }

    /// What is counted.
    pub fn settings(&self) -> &settings::Sketches {
        &self.settings
    }

    /// Everything before this time was counted by an earlier run.
    pub(super) fn begin(&self, before: EventTime) {
        lock(&self.state).before = before;
    }

    /// Takes events. They are counted once time is beyond them.
    pub(super) fn take(&self, seen: &[Seen]) {
        lock(&self.state).pending.extend_from_slice(seen);
    }

    /// All up to this time has been taken; these differences are what is new.
    pub(super) fn advance(&self, due: &[Difference], up_to: EventTime) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        for seen in state.pending.extract_if(.., |seen| seen.at <= up_to) {
            count(&seen, &mut state.events, &mut state.tops);
        }
        for left in due.iter().filter(|it| it.sign == Sign::Left && it.time >= state.before) {
            let place = self.settings.segments.iter().position(|it| *it == left.segment);
            let panes = place.and_then(|place| state.segments.get_mut(place));
            // They were in it up to the instant before.
            if let Some(set) = panes.and_then(|panes| panes.at(left.time - 1)) {
                set.insert(UserKey::of(&left.user));
            }
        }
        state.events.iter_mut().for_each(|panes| panes.advance(up_to));
        state.tops.iter_mut().for_each(|panes| panes.advance(up_to));
        state.segments.iter_mut().for_each(|panes| panes.advance(up_to));
        state.as_of = Some(up_to);
    }

    /// What is held of some of these over one window; `None` if nothing is known yet.
    pub fn held(&self, of: &[Counted], window: Duration) -> Option<(Vec<Held>, Window)> {
        let state = lock(&self.state);
        let as_of = state.as_of?;
        let mut begins = as_of;
        let mut held = Vec::with_capacity(of.len());
        for counted in of {
            let (from, panes) = match *counted {
                Counted::Event(place) => {
                    let (from, panes) = state.events.get(place)?.window(window, as_of);
                    (from, Held::Event(panes))
                }
                Counted::Segment(place) => {
                    let (from, panes) = state.segments.get(place)?.window(window, as_of);
                    (from, Held::Segment(panes))
                }
            };
            begins = begins.min(from);
            held.push(panes);
        }
        Some((held, self.stretch(&state, begins, as_of)))
    }

    /// What is held of the values of a property over a window; `None` if nothing is known yet.
    pub fn top(&self, place: usize, window: Duration) -> Option<(Vec<Arc<Top>>, Window)> {
        let state = lock(&self.state);
        let as_of = state.as_of?;
        let (from, panes) = state.tops.get(place)?.window(window, as_of);
        Some((panes, self.stretch(&state, from, as_of)))
    }

    fn stretch(&self, state: &State, from: EventTime, to: EventTime) -> Window {
        let complete_from = Some(state.before).filter(|before| *before > from);
        Window { from, to, complete_from, is_final: self.emit == Emit::OnWatermark }
    }
}

/// Counts an event, by the counters of [`settings::Sketches::streams`].
fn count(seen: &Seen, events: &mut [Panes<Distinct>], tops: &mut [Panes<Top>]) {
    let Ok(counter) = usize::try_from(seen.counter) else { return };
    let others = events.len();
    if let Some(panes) = events.get_mut(counter) {
        panes.at(seen.time).into_iter().for_each(|it| it.insert(seen.user));
    } else if let Some(panes) = tops.get_mut(counter - others) {
        panes.at(seen.time).into_iter().for_each(|it| it.insert(seen.value.as_ref()));
    }
}
