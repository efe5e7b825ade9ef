//! The definitions of a job that keeps state, since it began: what came into force when, so that a
//! later run can repeat it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::model::{Duration, EventTime};
use dataflows::rule::{Definition, Rule};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::run::lock;

/// A definition, and since when it was put or deleted; from the start, if no time is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Since {
    pub(super) time: Option<EventTime>,
    /// Events later than this are seen by what it was the first to ask; than `time`, if it is not
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<EventTime>,
    /// When it was begun to be worked out; at `time`, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) saved: Option<EventTime>,
    pub(super) edit: Edit,
}

/// All of them, in order. It grows while the job runs.
#[derive(Debug, Default)]
pub(in crate::run) struct History(Mutex<Vec<Since>>);

impl History {
    pub(super) fn extend(&self, more: impl IntoIterator<Item = Since>) {
        lock(&self.0).extend(more);
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// An edit has come into force.
    pub(in crate::run) fn add(&self, TimedEdit { time, from, saved, edit }: TimedEdit) {
        self.extend([Since { time: Some(time), from, saved, edit }]);
    }

    /// What came into force before a time, as manifests have it.
    pub(super) fn before(&self, before: EventTime) -> Vec<Json> {
        let is_before = |it: &&Since| it.time.is_none_or(|time| time < before);
        let list = lock(&self.0);
        let as_json = |since| serde_json::to_value(since).unwrap_or(Json::Null);
        list.iter().filter(is_before).map(as_json).collect()
    }

    pub(super) fn timeline(&self) -> Timeline {
        let mut timeline = Timeline::default();
        for Since { time, from, saved, edit } in &*lock(&self.0) {
            match (time, edit) {
                (None, Edit::Put(definition)) => timeline.initial.push(definition.clone()),
                (time, edit) => {
                    let (time, from, saved) = (time.unwrap_or(EventTime::MIN), *from, *saved);
                    timeline.edits.push(TimedEdit { time, from, saved, edit: edit.clone() });
                }
            }
        }
        timeline
    }

    /// The definitions in force after the last of them.
    pub(super) fn in_force(&self) -> HashMap<Arc<str>, Arc<Definition>> {
        let mut in_force = HashMap::new();
        for Since { edit, .. } in &*lock(&self.0) {
            match edit {
                Edit::Put(definition) => {
                    in_force.insert(definition.id.clone(), definition.clone());
                }
                Edit::Delete(id) => {
                    in_force.remove(id);
                }
            }
        }
        in_force
    }

    /// The longest window of all there have been: one that has just been replaced is still in force
    /// at the instant from which a run goes on.
    pub(super) fn longest_window(&self) -> Duration {
        let list = lock(&self.0);
        let puts = list.iter().filter_map(|since| match &since.edit {
            Edit::Put(definition) => Some(longest_window(&definition.rule)),
            Edit::Delete(_) => None,
        });
        puts.max().unwrap_or_default()
    }
}

fn longest_window(rule: &Rule) -> Duration {
    let mut longest = Duration::default();
    rule.walk(&mut |rule| {
        if let Rule::Aggregate(condition) = rule {
            longest = longest.max(condition.window.unwrap_or_default());
        }
    });
    longest
}
