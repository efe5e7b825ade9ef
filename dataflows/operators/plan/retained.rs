//! Events retained: all there are, whole, for definitions to come.
//!
//! They are a stream like any other, over which there is one window that nobody compares with
//! anything. So they are spread, kept, written down and taken over as events are that rules ask for,
//! and go when they have left that window.

use std::sync::Arc;

use super::{FactId, Plan, Subject, index};
use crate::model::{Duration, EventTime, StreamId};
use crate::operators::store::Store;
use crate::operators::window::Aggregate;
use crate::rule::Measure;
use crate::streams::Stream;

/// How events are retained.
#[derive(Debug, Clone, Copy)]
pub struct Retained {
    /// The window.
    fact: FactId,
    /// The stream.
    pub stream: StreamId,
    /// While a definition is worked out, what was retained at this instant stays.
    held_at: Option<EventTime>,
}

impl Plan {
    /// Retains every event that is later than `from` for so long.
    pub fn retain(&mut self, span: Duration, from: EventTime, store: &mut Store) {
        let of_all = Stream::of_all();
        if self.streams.id(&of_all).is_none_or(|id| !self.streams.is_asked(id)) {
            Arc::make_mut(&mut self.streams).add(of_all.clone());
            self.stream_readers.resize(self.streams.len(), Vec::new());
        }
        let stream = self.stream(&of_all);
        let aggregate = Aggregate { stream, measure: Measure::Count, window: Some(span) };
        let fact = self.fact_of(Subject::Aggregate(aggregate), from, store);
        self.use_fact(fact, false, &mut Default::default());
        self.retained = Some(Retained { fact, stream, held_at: None });
    }

    /// How events are retained, if they are.
    pub fn retained(&self) -> Option<&Retained> {
        self.retained.as_ref()
    }

    /// After when events count for what is new at this time.
    pub fn seen_after(&self, at: EventTime) -> EventTime {
        let fact = self.retained.as_ref().and_then(|retained| self.fact(retained.fact));
        let Some((fact, aggregate)) = fact.and_then(|fact| Some((fact, fact.aggregate()?))) else {
            return at;
        };
        fact.from.max(at.saturating_sub(aggregate.window.unwrap_or_default().ms()))
    }

    /// From now on nothing that is retained at this instant goes; or what is due goes again.
    pub fn hold_retained(&mut self, at: Option<EventTime>) {
        self.retained.iter_mut().for_each(|retained| retained.held_at = at);
    }

    /// Whether the events of a fact stay though they have left its window, and as of when.
    pub fn held_at(&self, fact: FactId) -> Option<EventTime> {
        self.retained.as_ref().filter(|retained| retained.fact == fact)?.held_at
    }

    /// How many facts there have been.
    pub fn fact_count(&self) -> u32 {
        index(self.facts.len())
    }
}
