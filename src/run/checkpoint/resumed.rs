//! What an earlier run has left behind, and how this one goes on from it.

mod contents;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::clock::ClockSettings;
use dataflows::model::time::format_time;
use dataflows::model::{Duration, EventTime};
use dataflows::operators::checkpoint::Share;
use dataflows::rule::Definition;
use dataflows::segmentation::{referred_first, steps};
use serde_json::Value as Json;

use super::history::{History, Since};
use super::merging::Old;
use super::scribe::Earlier;
use crate::ingest::{Decision, GoOn, Recalled, index};
use crate::job::StateSettings;
use crate::mesh::{Checkpoint, digest};
use crate::run::lock;
use crate::say::{Chain, say, warn};
use crate::source;
use crate::state::{LineStart, Listed, Manifest, Retention, Skipped, StateError, Store};

/// Where a job keeps its state, and what stands there.
pub struct Resumed {
    began: Instant,
    store: Store,
    keep: usize,
    /// How events are retained, if they are.
    retained: Option<Retention>,
    next: u64,
    /// What the job is, by which another's state is told.
    job: String,
    manifest: Option<Manifest>,
    old: Old,
    /// The definitions in force from the start, and since when others are.
    history: Arc<History>,
    /// Whether these were written down before.
    is_defined: bool,
    earlier: Arc<Mutex<Earlier>>,
    /// What is being read for the workers.
    ahead: Mutex<BTreeMap<usize, JoinHandle<Result<Share, StateError>>>>,
}

/// How a run begins.
pub struct Start {
    /// The definitions, those of earlier runs first.
    pub timeline: Timeline,
    /// What has been edited since.
    pub edits: Vec<Edit>,
    /// By index, where partitions go on.
    pub go_on: BTreeMap<u32, GoOn>,
    /// What was decided about partitions that no checkpoint knows.
    pub recalled: Recalled,
}

impl Resumed {
    /// Finds the newest checkpoint that is whole, and says of those that are not.
    ///
    /// # Errors
    /// The place cannot be read or made; its state is that of another job.
    pub fn find(settings: &StateSettings, job: String) -> Result<Self, StateError> {
        let store = Store::create(&settings.location)?;
        Ok(Self::find_in(store, settings.keep, job)?.retaining(settings.retain))
    }

    /// The same, where every event is retained for so long. What is not there begins to be where
    /// the run goes on.
    #[must_use]
    pub(in crate::run) fn retaining(mut self, retain: Option<Duration>) -> Self {
        let before = self.manifest.as_ref().and_then(|manifest| manifest.retained);
        let goes_on = self.before().map_or(EventTime::MIN, |before| before - 1);
        self.retained = retain.map(|retain| {
            let retain_ms = retain.ms();
            let since = before.filter(|before| retain_ms <= before.retain_ms).map(|it| it.since);
            Retention { retain_ms, since: since.unwrap_or(goes_on) }
        });
        self
    }

    /// How events are retained, if they are.
    pub(in crate::run) fn retained(&self) -> Option<Retention> {
        self.retained
    }

    /// The same in a store that is open, of which so many manifests stay.
    pub(in crate::run) fn find_in(
        store: Store,
        keep: usize,
        job: String,
    ) -> Result<Self, StateError> {
        let began = Instant::now();
        // Before the manifests: what another process decides meanwhile is not lost with them.
        let earlier = Arc::new(Mutex::new(Earlier::read(&store)?));
        let latest = store.latest()?;
        for Skipped { number, reason } in &latest.skipped {
            tell_damage(*number, reason);
        }
        let manifest = latest.manifest.map(|newest| whole(&store, newest)).transpose()?.flatten();
        let history = History::default();
        if let Some(manifest) = &manifest {
            let place = store.place().to_owned();
            if manifest.job != job {
                let (wanted, found) = (job, manifest.job.clone());
                return Err(StateError::OtherJob { place, wanted, found });
            }
            for definition in &manifest.definitions {
                history.extend([since(&place, manifest.number, definition)?]);
            }
        }
        Ok(Resumed {
            began,
            store,
            keep,
            retained: None,
            next: latest.next,
            job,
            manifest,
            old: Old { margin: Duration::default(), identifiers: Duration::default() },
            history: Arc::new(history),
            is_defined: false,
            earlier,
            ahead: Mutex::default(),
        })
    }

    /// When it was begun to be looked for.
    pub(in crate::run) fn began(&self) -> Instant {
        self.began
    }

    /// Before which time everything is done.
    pub fn before(&self) -> Option<EventTime> {
        self.manifest.as_ref().map(|manifest| manifest.frontier)
    }

    /// The same, and before which event time nothing more can come.
    pub(in crate::run) fn before_and_settled(&self) -> Option<(EventTime, EventTime)> {
        let manifest = self.manifest.as_ref()?;
        Some((manifest.frontier, manifest.settled()))
    }

    /// By what other processes know that they go on from the same one.
    pub(in crate::run) fn begins_with(&self) -> Option<Checkpoint> {
        let manifest = self.manifest.as_ref()?;
        let text = serde_json::to_vec(manifest).unwrap_or_default();
        Some(Checkpoint { number: manifest.number, digest: digest(&text) })
    }

    /// How far an output was written, in bytes.
    pub fn position(&self, sink: &str) -> Option<u64> {
        self.manifest.as_ref()?.sinks.get(sink)?.get("bytes")?.as_u64()
    }

    /// Whether an earlier run has left anything, of which it goes on.
    pub(super) fn is_known(&self) -> bool {
        self.is_defined
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn store(&self) -> Store {
        self.store.clone()
    }

    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// What came into force when.
    pub(in crate::run) fn history(&self) -> &Arc<History> {
        &self.history
    }

    pub(super) fn old(&self) -> Old {
        self.old
    }

    /// The manifest the next one is made from.
    pub(super) fn manifest(&self) -> Manifest {
        Manifest {
            job: self.job.clone(),
            definitions: self.history.before(EventTime::MAX),
            retained: self.retained,
            ..self.manifest.clone().unwrap_or_default()
        }
    }

    /// How to begin, given the definitions there are now and the names of files and topics: what
    /// differs from the definitions of before is to be edited.
    pub fn start(
        &mut self,
        definitions: &Timeline,
        sources: &[String],
        clock: &ClockSettings,
    ) -> Start {
        let now = &definitions.initial;
        let before = self.before().unwrap_or(EventTime::MIN);
        for decision in self.decisions() {
            match decision {
                Decision::Defined(it) if self.manifest.is_none() => {
                    self.history.extend([put(it.clone())]);
                }
                Decision::Edited(edit) if edit.time >= before => {
                    self.history.add(self.as_retained(edit.clone()));
                }
                _ => {}
            }
        }
        self.is_defined = self.manifest.is_some() || !self.history.is_empty();
        let mut edits = Vec::new();
        if self.is_defined {
            edits = steps(&self.history.in_force(), now);
        } else {
            self.history.extend(referred_first(now).into_iter().map(put));
        }
        self.old = Old { margin: clock.granularity, identifiers: clock.dedup_horizon };
        let (timeline, recalled) = (self.history.timeline(), Recalled::of(&self.decisions()));
        Start { timeline, edits, go_on: self.go_on(sources, &recalled), recalled }
    }

    /// An edit that is to be repeated, if it cannot look back as far as it did: events may be
    /// retained otherwise by now.
    fn as_retained(&self, edit: TimedEdit) -> TimedEdit {
        let Some(saved) = edit.saved else { return edit };
        let least = self.retained.map_or(saved, |retained| retained.seen_after(saved));
        TimedEdit { from: edit.from.map(|from| from.max(least)), ..edit }
    }

    /// The definitions, where neither a checkpoint nor an earlier run has them.
    pub(super) fn to_be_defined(&self) -> Vec<Decision> {
        let definitions = (!self.is_defined).then(|| self.history.timeline().initial);
        definitions.into_iter().flatten().map(Decision::Defined).collect()
    }

    /// What earlier runs have decided.
    fn decisions(&self) -> Vec<Decision> {
        let mut decisions: Vec<_> = lock(&self.earlier).decisions().cloned().collect();
        // Each run has its file; edits are in the order of time.
        decisions.sort_by_key(|decision| match decision {
            Decision::Edited(edit) => Some(edit.time),
            _ => None,
        });
        decisions
    }

    pub(super) fn earlier(&self) -> &Arc<Mutex<Earlier>> {
        &self.earlier
    }

    fn go_on(&self, sources: &[String], recalled: &Recalled) -> BTreeMap<u32, GoOn> {
        let begin = |offset| GoOn {
            offset,
            read_to: offset,
            start: None,
            clock: EventTime::MIN,
            before: EventTime::MIN,
        };
        let mut all: BTreeMap<_, _> =
            recalled.begins().map(|(index, offset)| (index, begin(offset))).collect();
        let Some(manifest) = &self.manifest else { return all };
        let positions = manifest.sources.iter().filter_map(|position| {
            let stream = sources.iter().position(|source| *source == position.source)?;
            let index = index(u32::try_from(stream).ok()?, position.partition);
            let go_on = GoOn {
                offset: position.offset,
                read_to: position.read_to,
                start: position
                    .start
                    .map(|LineStart { line, byte }| source::LineStart { line, byte }),
                clock: position.clock.unwrap_or(EventTime::MIN),
                before: manifest.settled(),
            };
            Some((index, go_on))
        });
        all.extend(positions);
        all
    }

    /// Says what it goes on from.
    pub fn tell(&self) {
        let Some(manifest) = &self.manifest else { return };
        let again = manifest.sources.iter().map(|it| it.read_to.saturating_sub(it.offset));
        let again: u64 = again.sum();
        let bytes: u64 = manifest.batches.iter().map(|batch| batch.bytes).sum();
        say(format_args!(
            "going on from checkpoint {} of {}: everything before {}, {:.1} MB; {again} records are \
             read again",
            manifest.number,
            self.store.place(),
            format_time(manifest.frontier),
            bytes as f64 / 1e6
        ));
        match self.retained {
            Some(it) if manifest.retained.is_none_or(|old| old.since != it.since) => {
                let since = format_time(it.since);
                say(format_args!("events are retained that are later than {since}"));
            }
            None if manifest.retained.is_some() => {
                say(format_args!("events are retained no longer: [state] says no retain"));
            }
            _ => {}
        }
    }
}

/// The newest manifest from this one on back of which every byte is right.
fn whole(store: &Store, newest: Manifest) -> Result<Option<Manifest>, StateError> {
    let mut candidate = Some(newest);
    while let Some(manifest) = candidate {
        let checked = store.check(manifest.number)?;
        let Some(wrong) = checked.wrong.first() else { return Ok(Some(manifest)) };
        tell_damage(manifest.number, wrong);
        let older = |it: &Listed| it.number < manifest.number;
        let mut older = store.manifests()?.into_iter().filter(older);
        candidate = older.find_map(|it| it.manifest.ok());
    }
    Ok(None)
}

fn tell_damage(number: u64, reason: &StateError) {
    let reason = Chain(reason);
    warn(format_args!("checkpoint {number} is not whole, an earlier one is used: {reason}"));
}

fn since(place: &str, number: u64, definition: &Json) -> Result<Since, StateError> {
    serde_json::from_value(definition.clone()).map_err(|error| StateError::Content {
        name: format!("checkpoint {number} of {place}"),
        reason: format!("a definition cannot be read: {error}"),
    })
}

fn put(definition: Arc<Definition>) -> Since {
    Since { time: None, from: None, saved: None, edit: Edit::Put(definition) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    /// What the next run finds, where one has left this behind at so many days.
    fn left(retained: Option<Retention>, days: i64) -> Resumed {
        let store = Store::over(Arc::new(object_store::memory::InMemory::new())).unwrap();
        let job = "a job".to_owned();
        let frontier = days * DAY_MS;
        let manifest =
            Manifest { number: 1, job: job.clone(), frontier, retained, ..Manifest::default() };
        store.commit(&manifest).unwrap();
        Resumed::find_in(store, 3, job).unwrap()
    }

    fn since(retained: Option<Retention>, retain: Duration) -> EventTime {
        left(retained, 10).retaining(Some(retain)).retained().unwrap().since
    }

    #[test]
    fn what_was_not_retained_begins_to_be_where_it_goes_on() {
        let day = Duration::from_ms(DAY_MS);
        let before = Some(Retention { retain_ms: DAY_MS, since: 7 });
        assert_eq!(since(before, day), 7);
        assert_eq!(since(before, Duration::from_ms(1)), 7);
        assert_eq!(since(before, Duration::from_ms(DAY_MS + 1)), 10 * DAY_MS - 1);
        assert_eq!(since(None, day), 10 * DAY_MS - 1);
        assert_eq!(left(before, 10).retaining(None).retained(), None);
    }

    #[test]
    fn an_edit_is_repeated_looking_back_no_further_than_is_retained() {
        let resumed = left(Some(Retention { retain_ms: DAY_MS, since: EventTime::MIN }), 10);
        let (time, saved) = (12 * DAY_MS, 11 * DAY_MS);
        let again = |resumed: &Resumed, from, saved| {
            let edit = Edit::Delete("s".into());
            resumed.as_retained(TimedEdit { time, from: Some(from), saved, edit }).from.unwrap()
        };
        let from = 10 * DAY_MS + 5;
        let same = resumed.retaining(Some(Duration::from_ms(DAY_MS)));
        assert_eq!(again(&same, from, Some(saved)), from);
        let shorter = same.retaining(Some(Duration::from_ms(1_000)));
        assert_eq!(again(&shorter, from, Some(saved)), saved - 1_000);
        let none = shorter.retaining(None);
        assert_eq!(again(&none, from, Some(saved)), saved);
        assert_eq!(again(&none, from, None), from, "it was seen to when it was saved");
    }
}
