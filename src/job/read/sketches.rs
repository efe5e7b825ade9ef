//! `[serve.sketches]`: what is counted by sketches, and over which windows.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use dataflows::model::{Duration, Path};
use dataflows::rule::reader::Node;
use dataflows::sketch::Span;
use serde_json::Value as Json;

use super::JobReader;
use crate::serve::Sketches;

const KEYS: &[&str] = &["events", "segments", "top", "pane", "window"];
const TOP_KEYS: &[&str] = &["event", "by"];
/// How many events, segments and properties there may be: each may need some MB.
const EVENTS_MAX: usize = 64;
const SEGMENTS_MAX: usize = 64;
const TOPS_MAX: usize = 16;
/// How many panes there may be in a window: 31 days by the minute.
const PANES_MAX: i64 = 44_640;
const PANE: Duration = Duration::from_ms(60_000);
const PANE_LEAST: Duration = Duration::from_ms(100);
const WINDOW: Duration = Duration::from_ms(86_400_000);
const EVENT: &str = "the name of an event, or the beginning of names and one * at the very end";

impl JobReader<'_> {
    pub(super) fn sketches(&mut self, node: &Node<'_>) -> Option<Option<Sketches>> {
        if !node.is_present() {
            return Some(None);
        }
        self.reader.object(node, KEYS)?;
        let events = self.several(&node.get("events"), EVENTS_MAX, "events", Self::counted_event);
        let segments = self.several(&node.get("segments"), SEGMENTS_MAX, "segments", |it, node| {
            it.reader.name(node, "a segment").map(|id| id.as_ref().into())
        });
        let top = self.several(&node.get("top"), TOPS_MAX, "tables of event and by", Self::top);
        let span = self.span(node);
        let sketches = Sketches { events: events?, segments: segments?, top: top?, span: span? };
        if sketches.events.is_empty() && sketches.segments.is_empty() && sketches.top.is_empty() {
            let allowed = "at least one of events, segments, top";
            self.reader.fault(node, allowed, None);
            return None;
        }
        Some(Some(sketches))
    }

    fn span(&mut self, node: &Node<'_>) -> Option<Span> {
        let mut duration = |key, least, default: Duration| {
            let read =
                self.reader.optional(&node.get(key), |reader, node| reader.duration(node, least));
            read.map(|read| read.unwrap_or(default))
        };
        let (pane, window) =
            (duration("pane", PANE_LEAST, PANE), duration("window", PANE_LEAST, WINDOW));
        let span = Span { pane: pane?, window: window? };
        let panes = span.window.ms() / span.pane.ms().max(1);
        if !(1..=PANES_MAX).contains(&panes) {
            let allowed = format!("from one to {PANES_MAX} panes of {}", span.pane);
            self.reader.fault(&node.get("window"), allowed, None);
            return None;
        }
        Some(span)
    }

    /// A list of different things, none if it is not there.
    fn several<T: Clone + Eq + Hash>(
        &mut self,
        node: &Node<'_>,
        most: usize,
        what: &str,
        read: fn(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if !node.is_present() {
            return Some(Vec::new());
        }
        let allowed = format!("a list of 1 to {most} different {what}");
        let length = node.json().and_then(Json::as_array).map_or(0, Vec::len);
        if !(1..=most).contains(&length) {
            self.reader.fault(node, allowed, None);
            return None;
        }
        let items: Vec<_> = node.items().map(|item| read(self, &item)).collect();
        let items = items.into_iter().collect::<Option<Vec<T>>>()?;
        let mut seen = HashSet::new();
        if let Some(place) = items.iter().position(|it| !seen.insert(it.clone())) {
            let twice = node.items().nth(place);
            let hint = "it is there twice".to_owned();
            self.reader.fault(&twice?, allowed, Some(hint));
            return None;
        }
        Some(items)
    }

    fn counted_event(&mut self, node: &Node<'_>) -> Option<Arc<str>> {
        let name = self.reader.name(node, EVENT)?;
        if name.strip_suffix('*').unwrap_or(&name).contains('*') {
            self.reader.fault(node, EVENT, None);
            return None;
        }
        Some(name.as_ref().into())
    }

    fn top(&mut self, node: &Node<'_>) -> Option<(Arc<str>, Path)> {
        self.reader.object(node, TOP_KEYS)?;
        let event = self.counted_event(&node.get("event"));
        let by = self.reader.name(&node.get("by"), "a property, or a path of names with dots");
        Some((event?, Path::new(&by?)))
    }
}
