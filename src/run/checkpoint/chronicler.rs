//! The chronicler: a thread that writes down which records took effect at which instants
//! (`on_event`), where sinks deliver what comes of it.
//!
//! A worker hands over what it has settled, and lets time pass none of its instants before that is
//! written. So whatever has been given out, by whichever process, came of records all of which are
//! in the chronicle; a run that goes on follows that to its end, and so gives the same again. What
//! was settled meanwhile is written at once, in one step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::keeper::insist;
use super::resumed::Resumed;
use crate::ingest::{Courses, Took, stream_and_number};
use crate::run::Shared;
use crate::say::{Chain, Trouble, warn};
use crate::sink::delivery::MadeFinal;
use crate::state::{Chronicle, Chronicled, StateError, Store};

/// What a chronicler knows (see the module).
pub(in crate::run) struct Chronicler {
    store: Store,
    chronicle: Chronicle,
    keep: usize,
    shared: Arc<Shared>,
    files: Files,
    trouble: Trouble,
}

/// A chronicler's thread, which is waited for.
pub(in crate::run) struct ChroniclerThread(Option<JoinHandle<()>>, Arc<Shared>);

impl Drop for ChroniclerThread {
    fn drop(&mut self) {
        self.1.partitions.chronicle.close();
        // One that has panicked was told of already.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

impl Chronicler {
    /// Has the partitions of this process follow what earlier runs have written, and starts a
    /// chronicler. Earlier runs must have ended.
    pub(in crate::run) fn start(
        resumed: &Resumed,
        process: usize,
        shared: &Arc<Shared>,
    ) -> Result<Option<ChroniclerThread>, StateError> {
        let partitions = &shared.partitions;
        if !partitions.chronicle.is_kept() {
            return Ok(None);
        }
        let store = resumed.store();
        let earlier = store.chronicled()?;
        let chronicle = store.chronicle(process, &earlier);
        let (courses, mut files) = understood(&store, &earlier)?;
        if process != 0 {
            files = Files::default(); // the first process sees to all that is left of earlier runs
        }
        complete(&store, &courses, shared)?;
        let begins = begins(resumed, &courses, shared);
        partitions.follow(courses);
        if process == 0 {
            partitions.begin(begins); // the others are told
        }
        let keep = resumed.keep();
        let (trouble, shared) = (Trouble::default(), Arc::clone(shared));
        let mut chronicler = Chronicler { store, chronicle, keep, shared, files, trouble };
        let shared = Arc::clone(&chronicler.shared);
        let thread = std::thread::spawn(move || {
            while let Some((all, ticket)) = chronicler.shared.partitions.chronicle.take() {
                match chronicler.write(&all) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => return chronicler.shared.fail(error.into()),
                }
                chronicler.shared.partitions.chronicle.made_durable(ticket);
                chronicler.shared.partitions.wake();
                chronicler.forget();
            }
        });
        Ok(Some(ChroniclerThread(Some(thread), shared)))
    }

    /// Writes down what was settled. `false` if the run ends meanwhile.
    fn write(&mut self, all: &[Took]) -> Result<bool, StateError> {
        let content = serde_json::to_vec(all).unwrap_or_default();
        let (store, trouble, shared) = (&self.store, &self.trouble, &self.shared);
        let chronicle = &mut self.chronicle;
        let path = insist(store, trouble, shared, || {
            if shared.partitions.is_stopped() {
                // Time cannot come to its end before this is written.
                shared.checkpoints.iter().for_each(|them| them.is_to_end());
            }
            chronicle.append(&content)
        })?;
        path.iter().for_each(|path| self.files.add(path, last_of(all)));
        Ok(path.is_some())
    }

    /// Forgets what no checkpoint needs that a run may go on from.
    fn forget(&mut self) {
        let kept = self.shared.ending.kept.load(Ordering::Acquire);
        if !self.files.keep(kept, self.keep) {
            return;
        }
        self.chronicle.turn();
        // What is left over takes room, and nothing else: the next time will do.
        if let Err(error) = self.store.forget_chronicle(self.files.passed()) {
            self.trouble.is(format_args!("old parts of the chronicle stay: {}", Chain(&error)));
        }
    }
}

/// What earlier runs have written, and in which files.
fn understood(store: &Store, earlier: &[Chronicled]) -> Result<(Courses, Files), StateError> {
    let (mut courses, mut files) = (Courses::default(), Files::default());
    for Chronicled { path, contents, .. } in earlier {
        for content in contents {
            let all: Vec<Took> = serde_json::from_slice(content).map_err(|error| {
                let name = format!("{path} in {}", store.place());
                StateError::Content { name, reason: error.to_string() }
            })?;
            all.iter().for_each(|took| courses.add(took));
            files.add(path, last_of(&all));
        }
    }
    Ok((courses, files))
}

/// That of the partitions of this process nothing is missing before what is there.
fn complete(store: &Store, courses: &Courses, shared: &Shared) -> Result<(), StateError> {
    let Some((index, from)) = courses.gap(shared.partitions.starts()) else { return Ok(()) };
    let (stream, number) = stream_and_number(index);
    let source = &shared.sources[stream as usize];
    Err(StateError::Content {
        name: format!("what is in chronicle/ of {}", store.place()),
        reason: format!(
            "of {source}, partition {number}, it begins with record {from} only, and is needed from \
             before: sinks may have been given what came of those; put it back from a copy"
        ),
    })
}

/// The first instant of what no earlier run has taken: after all that they have, and not before
/// what sinks have made final.
fn begins(resumed: &Resumed, courses: &Courses, shared: &Shared) -> EventTime {
    let made_final = shared.finals.iter().map(MadeFinal::time).max();
    let made_final = made_final.filter(|time| *time > EventTime::MIN);
    if let (Some(time), false) = (made_final, resumed.is_known()) {
        // That says nothing of what this run is to give.
        warn(format_args!(
            "sinks were given all before {} by runs whose state is not here: until then differences \
             may be missing or come twice; put the state back, or give the job another name",
            format_time(time)
        ));
        return courses.end().unwrap_or(EventTime::MIN);
    }
    // At the end of all time sinks take nothing more, whenever it takes effect.
    let made_final = made_final.filter(|time| *time < EventTime::MAX);
    made_final.max(courses.end()).unwrap_or(EventTime::MIN)
}

fn last_of(all: &[Took]) -> EventTime {
    all.iter().filter_map(Took::last).max().unwrap_or(EventTime::MIN)
}

/// The files of a chronicle that are there, and how far checkpoints are.
#[derive(Debug, Default)]
struct Files {
    /// The path of each, in order, and the last instant it tells of.
    list: VecDeque<(String, EventTime)>,
    /// Before which time the last checkpoints have everything, oldest first.
    kept: VecDeque<EventTime>,
}

impl Files {
    /// Something was appended to a file, that tells of instants up to the last.
    fn add(&mut self, path: &str, last: EventTime) {
        match self.list.back_mut().filter(|(newest, _)| newest == path) {
            Some((_, until)) => *until = last.max(*until),
            None => self.list.push_back((path.to_owned(), last)),
        }
    }

    /// The last checkpoint that is committed has everything before this time. Of them, the last
    /// `keep` may be gone on from. Tells whether it is a new one.
    fn keep(&mut self, before: EventTime, keep: usize) -> bool {
        if before == EventTime::MIN || self.kept.back() == Some(&before) {
            return false;
        }
        self.kept.push_back(before);
        while self.kept.len() > keep {
            self.kept.pop_front();
        }
        self.kept.len() == keep
    }

    /// The files that tell of nothing any of these needs, each once.
    fn passed(&mut self) -> Vec<String> {
        let oldest = self.kept.front().copied().unwrap_or(EventTime::MIN);
        let count = self.list.iter().take_while(|(_, last)| *last < oldest).count();
        self.list.drain(..count).map(|(path, _)| path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_while_a_checkpoint_that_is_kept_needs_them() {
        let mut files = Files::default();
        for (path, last) in [("a", 10), ("a", 30), ("b", 20), ("c", 50)] {
            files.add(path, last);
        }
        assert!(!files.keep(EventTime::MIN, 2) && !files.keep(40, 2) && !files.keep(40, 2));
        assert!(files.keep(45, 2));
        assert_eq!(files.passed(), ["a", "b"]);
        assert!(files.keep(90, 2));
        assert_eq!(files.passed(), [""; 0], "by the one before it");
        assert!(files.keep(95, 2));
        assert_eq!(files.passed(), ["c"]);
    }
}
