//! Which rules are in force when, and how far back each of them sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::catalog::{Edit, TimedEdit, Timeline};
use crate::model::{Duration, EventTime};
use crate::rule::{AggregateCondition, Definition, Measure, Rule, Selector, SequenceCondition};

/// Before every event.
const START_OF_TIME: EventTime = EventTime::MIN;
/// After every event.
const END_OF_TIME: EventTime = EventTime::MAX;

/// What is kept for a condition: all of it but its comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kept<'a> {
    Aggregate(&'a Selector, &'a Measure, Option<Duration>),
    Sequence(&'a SequenceCondition),
}

impl<'a> Kept<'a> {
    /// What an aggregate condition needs.
    pub(crate) fn of(condition: &'a AggregateCondition) -> Self {
        Kept::Aggregate(&condition.events, &condition.measure, condition.window)
    }
}

/// One definition, while it was in force: from `from`, before `until`.
struct Version<'a> {
    from: EventTime,
    until: EventTime,
    definition: &'a Definition,
    /// If that is recorded: events count that are later than this.
    sees_after: Option<EventTime>,
}

/// The rules in force from a time on.
pub(crate) struct Epoch<'a> {
    /// The first millisecond of it.
    pub from: EventTime,
    /// For each of [`Definitions::ids`], its rule, if there is such a segment now.
    pub rules: Vec<Option<&'a Rule>>,
}

/// All definitions of a timeline.
pub(crate) struct Definitions<'a> {
    ids: Vec<Arc<str>>,
    epochs: Vec<Epoch<'a>>,
    leaves: Vec<&'a Rule>,
    /// With `retain`: from when to when each thing is kept, in ascending, disjoint intervals.
    kept: Option<HashMap<Kept<'a>, Vec<(EventTime, EventTime)>>>,
}

impl<'a> Definitions<'a> {
    /// The definitions of this timeline.
    pub(crate) fn new(timeline: &'a Timeline, retain: Option<Duration>) -> Self {
        let versions = versions(timeline);
        let ids: BTreeSet<&Arc<str>> =
            versions.iter().map(|version| &version.definition.id).collect();
        let ids: Vec<Arc<str>> = ids.into_iter().cloned().collect();
        let starts: BTreeSet<EventTime> = versions
            .iter()
            .flat_map(|version| [version.from, version.until])
            .chain([START_OF_TIME])
            .filter(|from| *from < END_OF_TIME)
            .collect();
        let epochs = starts.into_iter().map(|from| epoch(from, &ids, &versions)).collect();
        let is_recorded = timeline.edits.iter().any(|edit| edit.from.is_some());
        let kept = (retain.is_some() || is_recorded).then(|| kept(&versions, retain));
        Definitions { ids, epochs, leaves: leaves(&versions), kept }
    }

    /// The segments there ever were, in bytewise order.
    pub(crate) fn ids(&self) -> &[Arc<str>] {
        &self.ids
    }

    /// The place of a segment among [`ids`](Self::ids).
    pub(crate) fn index(&self, id: &str) -> Option<usize> {
        self.ids.binary_search_by(|known| (**known).cmp(id)).ok()
    }

    /// The rules in force at a time.
    pub(crate) fn at(&self, now: EventTime) -> Option<&Epoch<'a>> {
        let begun = self.epochs.partition_point(|epoch| epoch.from <= now);
        self.epochs.get(begun.checked_sub(1)?)
    }

    /// The rule in force for a segment at a time.
    pub(crate) fn rule(&self, id: &str, now: EventTime) -> Option<&'a Rule> {
        *self.at(now)?.rules.get(self.index(id)?)?
    }

    /// The times at which any rule changes.
    pub(crate) fn changes(&self) -> impl Iterator<Item = EventTime> {
        self.epochs.iter().map(|epoch| epoch.from)
    }

    /// Every condition that asks about a user's facts, of every version, each once.
    pub(crate) fn leaves(&self) -> &[&'a Rule] {
        &self.leaves
    }

    /// Events count for this at `now` iff they are later than this.
    pub(crate) fn sees_after(&self, what: &Kept<'a>, now: EventTime) -> EventTime {
        let Some(kept) = &self.kept else { return START_OF_TIME };
        let intervals = kept.get(what).map(Vec::as_slice).unwrap_or_default();
        let around = intervals.iter().find(|(from, until)| *from <= now && now <= *until);
        around.map_or(now, |(from, _)| *from)
    }
}

/// Every definition with the time it was in force. Of several edits of one segment at one time only
/// the last counts: the others were never in force at the end of a millisecond.
fn versions(timeline: &Timeline) -> Vec<Version<'_>> {
    let mut done = Vec::new();
    let mut open: BTreeMap<&str, Version<'_>> = BTreeMap::new();
    for definition in &timeline.initial {
        let (from, until) = (START_OF_TIME, END_OF_TIME);
        let version = Version { from, until, definition, sees_after: None };
        open.insert(&definition.id, version);
    }
    for TimedEdit { time, from, edit, .. } in &timeline.edits {
        let id = match edit {
            Edit::Put(definition) => &definition.id,
            Edit::Delete(id) => id,
        };
        let ended = open.remove(&**id).map(|version| Version { until: *time, ..version });
        done.extend(ended.filter(|version| version.from < version.until));
        if let Edit::Put(definition) = edit {
            let sees_after = *from;
            let version = Version { from: *time, until: END_OF_TIME, definition, sees_after };
            open.insert(id, version);
        }
    }
    done.extend(open.into_values());
    done
}

fn epoch<'a>(from: EventTime, ids: &[Arc<str>], versions: &[Version<'a>]) -> Epoch<'a> {
    let rule = |id: &Arc<str>| {
        let mut own = versions.iter().filter(|version| version.definition.id == *id);
        own.find(|version| version.from <= from && from < version.until)
            .map(|version| &version.definition.rule)
    };
    Epoch { from, rules: ids.iter().map(rule).collect() }
}

fn leaves<'a>(versions: &[Version<'a>]) -> Vec<&'a Rule> {
    let mut found: Vec<&Rule> = Vec::new();
    for version in versions {
        version.definition.rule.walk(&mut |rule| {
            let asks = matches!(rule, Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_));
            if asks && !found.contains(&rule) {
                found.push(rule);
            }
        });
    }
    found
}

/// One use of a thing that is kept: from when to when events count, and from when on they are kept.
type Use = (EventTime, EventTime, EventTime);

/// From when to when each thing is kept: every use of it keeps it for the closed interval from
/// `retain` before the definition was put, or from the time recorded, to the end of that version;
/// what overlaps or touches is one, and so is what is used while it is kept already.
fn kept<'a>(
    versions: &[Version<'a>],
    retain: Option<Duration>,
) -> HashMap<Kept<'a>, Vec<(EventTime, EventTime)>> {
    let mut uses: HashMap<Kept<'a>, Vec<Use>> = HashMap::new();
    for version in versions {
        let back = |retain: Duration| version.from.saturating_sub(retain.ms());
        let from = version.sees_after.unwrap_or(retain.map_or(START_OF_TIME, back));
        // What is recorded was looked up once: it is kept from when it came to be used.
        let kept_from = if version.sees_after.is_some() { version.from } else { from };
        let interval = (from, version.until, kept_from.min(version.from));
        version.definition.rule.walk(&mut |rule| match rule {
            Rule::Aggregate(condition) => {
                uses.entry(Kept::of(condition)).or_default().push(interval)
            }
            Rule::Sequence(sequence) => {
                uses.entry(Kept::Sequence(sequence)).or_default().push(interval);
            }
            _ => {}
        });
    }
    uses.values_mut().for_each(merge);
    let interval = |(from, until, _): Use| (from, until);
    uses.into_iter().map(|(it, uses)| (it, uses.into_iter().map(interval).collect())).collect()
}

fn merge(intervals: &mut Vec<Use>) {
    intervals.sort_unstable();
    intervals.dedup_by(|next, last| {
        let meet = next.2 <= last.1;
        if meet {
            last.1 = last.1.max(next.1);
        }
        meet
    });
}
