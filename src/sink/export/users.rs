//! Pictures of who is in which segment, taken at instants of event time while a job runs.
//!
//! Who is in what is held in memory, some 40 bytes a membership; a restart is told it anew. What is
//! stored is up to when it has been looked, and, where pictures depend on it, how much each segment
//! has changed since its last one. So a picture is taken once, of the same users, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::model::{Difference, EventTime, Sign};
use serde::{Deserialize, Serialize};

use super::files::Stopped;
use super::manifest::{Head, parse, text};
use super::schedule::Schedule;
use super::snapshot::Snapshot;
use super::{Place, Settings};
use crate::sink::courier::{Destination, Failure, Watch};
use crate::sink::delivery::Item;
use crate::sink::queue::Due;

const PROGRESS: &str = "_progress.json";
/// How many users are handed on at a time.
const SLICE: usize = 16_384;

/// Who is in which segment.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<Arc<str>, BTreeSet<Arc<str>>>);

impl Members {
    pub(super) fn apply(&mut self, difference: &Difference) {
        let Difference { segment, user, sign, .. } = difference;
        if !self.0.contains_key(segment) {
            self.0.insert(Arc::clone(segment), BTreeSet::new());
        }
        let Some(users) = self.0.get_mut(segment) else { return };
        match sign {
            Sign::Entered => _ = users.insert(Arc::clone(user)),
            Sign::Left => _ = users.remove(user),
        }
    }

    /// Writes those segments that are wanted.
    pub(super) fn write(
        &self,
        snapshot: &mut Snapshot<'_>,
        wanted: &BTreeSet<Arc<str>>,
    ) -> Result<(), Stopped> {
        for segment in wanted {
            snapshot.segment(segment, None);
            let mut users = self.0.get(segment).into_iter().flatten().map(Arc::as_ref);
            let mut slice: Vec<&str> = users.by_ref().take(SLICE).collect();
            while !slice.is_empty() {
                snapshot.add(&slice)?;
                slice.clear();
                slice.extend(users.by_ref().take(SLICE));
            }
        }
        Ok(())
    }

    /// The segments that someone is in. Others are not known after a restart.
    pub(super) fn segments(&self) -> BTreeSet<Arc<str>> {
        let some = self.0.iter().filter(|(_, users)| !users.is_empty());
        some.map(|(segment, _)| Arc::clone(segment)).collect()
    }

    fn size(&self, segment: &Arc<str>) -> u64 {
        self.0.get(segment).map_or(0, |users| users.len() as u64)
    }
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    #[serde(flatten)]
    head: Head,
    /// All before this has been looked at.
    frontier: EventTime,
    /// The next instant a picture may have to be taken at.
    pending: Option<EventTime>,
    /// Of segments with a picture, its size and how often someone has entered or left since.
    since: BTreeMap<Arc<str>, Since>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    size: u64,
    changes: u64,
}

/// Pictures that are being taken.
pub(super) struct Pictures {
    settings: Settings,
    schedule: Schedule,
    place: Box<dyn Place>,
    /// Those given at earlier times were in when the run went on.
    resumes: Option<EventTime>,
    watch: Watch,
    members: Members,
    progress: Progress,
    /// Before which time changes have been counted by earlier lives, if there were any.
    counted: Option<EventTime>,
    /// How many items of this step have been taken in.
    applied: usize,
    is_read: bool,
    /// Whether there is progress that has to be stored: not each step makes some.
    is_stale: bool,
    stored: Option<EventTime>,
}

impl Pictures {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        schedule: Schedule,
        (place, resumes): (Box<dyn Place>, Option<EventTime>),
    ) -> Self {
        let head = Head::new(&settings, "users");
        let (frontier, pending, since) = (EventTime::MIN, None, BTreeMap::new());
        Pictures {
            settings,
            schedule,
            place,
            resumes,
            watch: Watch::new(name.to_owned()),
            members: Members::default(),
            progress: Progress { head, frontier, pending, since },
            counted: None,
            applied: 0,
            is_read: false,
            is_stale: false,
            stored: None,
        }
    }

    fn read(&mut self) -> Result<(), Stopped> {
        if let Some(bytes) = self.place.read(PROGRESS)? {
            let at = (&*self.place, PROGRESS);
            self.progress = parse(at, &bytes, &self.progress.head)?;
            self.counted = Some(self.progress.frontier);
        }
        self.is_read = true;
        Ok(())
    }

    /// Takes in a difference that comes after all that is in.
    fn apply(&mut self, difference: &Difference, time: EventTime) {
        self.members.apply(difference);
        let was_in = self.resumes.is_some_and(|resumes| difference.time < resumes);
        if self.counted.is_some_and(|counted| was_in || time < counted) {
            return;
        }
        if let Some(since) = self.progress.since.get_mut(&difference.segment) {
            since.changes += 1;
            self.is_stale = true;
        }
        if self.progress.pending.is_none() {
            self.progress.pending = Some(self.schedule.after_change(time));
            self.is_stale = true;
        }
    }

    /// Takes the picture that is pending, if its instant is over before this time.
    fn look_before(&mut self, time: EventTime) -> Result<(), Stopped> {
        let Some(instant) = self.progress.pending.filter(|instant| *instant < time) else {
            return Ok(());
        };
        let wanted = self.wanted();
        let has_share = self.schedule.when_changed().is_some();
        if !wanted.is_empty() || !has_share {
            let begun = Snapshot::try_begin(&*self.place, &self.settings, instant)?;
            if let Some(mut snapshot) = begun {
                self.members.write(&mut snapshot, &wanted)?;
                snapshot.try_finish()?;
            }
        }
        if has_share {
            for segment in wanted {
                let since = Since { size: self.members.size(&segment), changes: 0 };
                self.progress.since.insert(segment, since);
            }
        }
        self.progress.pending = None;
        self.is_stale = true;
        Ok(())
    }

    /// The segments that belong into the picture that is due: with a share, those that are empty by
    /// now, too.
    fn wanted(&self) -> BTreeSet<Arc<str>> {
        let mut wanted = self.members.segments();
        if let Some(share) = self.schedule.when_changed() {
            wanted.extend(self.progress.since.keys().cloned());
            wanted.retain(|segment| {
                let since = self.progress.since.get(segment);
                since.is_none_or(|it| share.is_less_than(it.changes, it.size))
            });
        }
        wanted
    }

    fn step(&mut self, due: &Due) -> Result<(), Stopped> {
        // Whoever was in is told of at times long gone, but all of them were in at this one.
        let earliest = self.resumes.map_or(EventTime::MIN, |resumes| resumes - 1);
        while let Some(item) = due.items.get(self.applied) {
            let time = item.time().max(earliest);
            self.look_before(time)?;
            if let Item::Difference(difference) = item {
                self.apply(difference, time);
            }
            self.applied += 1;
        }
        self.look_before(due.upto)?;
        if self.is_stale {
            self.progress.frontier = self.progress.frontier.max(due.upto);
            self.place.put(PROGRESS, text(&self.progress))?;
            self.is_stale = false;
        }
        Ok(())
    }
}

impl Destination for Pictures {
    /// The position is that of this life: what is stored is of no use without the members.
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        if !self.is_read {
            self.read().map_err(|stopped| stopped.at_start(&self.settings))?;
        }
        Ok(self.stored)
    }

    fn disconnect(&mut self) {}

    fn prepare(&mut self, _: &[Item]) {
        self.applied = 0;
    }

    fn write(&mut self, due: &Due, _: Option<EventTime>) -> Result<(), Failure> {
        self.step(due)?;
        self.stored = Some(due.upto);
        Ok(())
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}
