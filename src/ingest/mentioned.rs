//! Which segments a late record would have concerned.

use std::sync::Arc;

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::mentions::Mentions;
use dataflows::model::EventTime;
use dataflows::streams::Streams;

/// Which segments mention a record, by the definitions in force at a time.
pub(super) struct Mentioned {
    timeline: Arc<Timeline>,
    streams: Arc<Streams>,
    /// How many edits have taken effect, and what the definitions mention then.
    version: Option<(usize, Mentions)>,
}

impl Mentioned {
    pub(super) fn new(streams: &Arc<Streams>, timeline: Arc<Timeline>) -> Self {
        Mentioned { timeline, streams: Arc::clone(streams), version: None }
    }

    /// More is known of what events may be asked for.
    pub(super) fn grow(&mut self, streams: &Arc<Streams>) {
        (self.streams, self.version) = (Arc::clone(streams), None);
    }

    /// An edit is in force.
    pub(super) fn edited(&mut self, edit: TimedEdit) {
        Arc::make_mut(&mut self.timeline).edits.push(edit);
        self.version = None;
    }

    pub(super) fn at(&mut self, clock: EventTime) -> &Mentions {
        let version = self.timeline.edits.partition_point(|edit| edit.time <= clock);
        if self.version.as_ref().is_none_or(|(have, _)| *have != version) {
            let mut definitions: std::collections::BTreeMap<_, _> =
                self.timeline.initial.iter().map(|it| (it.id.clone(), it.clone())).collect();
            for edit in self.timeline.edits.iter().take(version) {
                match &edit.edit {
                    Edit::Put(definition) => {
                        definitions.insert(definition.id.clone(), definition.clone())
                    }
                    Edit::Delete(id) => definitions.remove(id),
                };
            }
            self.version = Some((version, Mentions::of(definitions.values(), &self.streams)));
        }
        self.version.as_ref().map(|(_, mentions)| mentions).expect("a version was just made")
    }
}
