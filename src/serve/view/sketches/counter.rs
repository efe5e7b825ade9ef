//! One thing that is counted, in panes, and what a later run needs to go on counting it.

use std::fmt;

use dataflows::model::EventTime;
use dataflows::operators::checkpoint::{Count, CountKey, Counts, content};
use dataflows::sketch::{Pane, Panes, Sketch, Span, Unreadable};

/// Where since when it is counted stands, among its panes.
const SINCE: i64 = EventTime::MIN;

/// One thing that is counted.
pub(super) struct Counter<S> {
    /// A fingerprint of what is counted, in what panes, and how: what of this is otherwise is counted
    /// anew.
    what: u64,
    span: Span,
    pub(super) panes: Panes<S>,
    /// All is counted from here on.
    pub(super) since: EventTime,
}

impl<S: Sketch + Send + Sync + 'static> Counter<S> {
    /// Nothing is counted yet of what is of this kind and has this name.
    pub(super) fn new((kind, name): (&str, impl fmt::Display), span: Span) -> Self {
        let how = (span.pane.ms(), span.window.ms(), S::FORM);
        let what = CountKey::of(&(kind, name.to_string(), how), SINCE).what;
        Counter { what, span, panes: Panes::new(span), since: EventTime::MIN }
    }

    /// What is not as it was when this was last asked, as of the instant before a time.
    pub(super) fn counts(&mut self, before: EventTime) -> impl Iterator<Item = Count> {
        let (what, pane_ms, since) = (self.what, self.span.pane.ms().max(1), self.since);
        // It is said again each time, so that it is forgotten where it is counted no longer.
        let until = before.saturating_add(self.span.window.ms().saturating_mul(2));
        let key = CountKey { what, part: SINCE };
        let since = Count { key, until, content: Some(Box::new(move || content(&since))) };
        let panes = self.panes.changed().into_iter().map(move |changed| {
            let part = changed.pane.begins / pane_ms * 2 + i64::from(changed.pane.is_coarse);
            let bytes = move || changed.sketch.to_bytes();
            let key = CountKey { what, part };
            Count { key, until: changed.until, content: Some(Box::new(bytes)) }
        });
        [since].into_iter().chain(panes)
    }

    /// Goes on from what an earlier run had counted of all before a time; whether it had.
    pub(super) fn go_on(&mut self, counts: &Counts, before: EventTime) -> Result<bool, Unreadable> {
        let Some(since) = counts.read(CountKey { what: self.what, part: SINCE }) else {
            return Ok(false);
        };
        self.since = since;
        let as_of = before.saturating_sub(1);
        for key in counts.keys().filter(|it| it.what == self.what && it.part != SINCE) {
            let begins = key.part.div_euclid(2).saturating_mul(self.span.pane.ms().max(1));
            let pane = Pane { begins, is_coarse: key.part.rem_euclid(2) == 1 };
            let sketch = S::from_bytes(counts.bytes(key).unwrap_or_default())?;
            self.panes.put_back(pane, sketch, as_of);
        }
        self.panes.advance(as_of);
        Ok(true)
    }
}
