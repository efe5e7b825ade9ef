//! The scribe: a thread that writes down what wall time decides, before it takes effect.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::decided::Decided;
use super::keeper::insist;
use super::resumed::Resumed;
use crate::ingest::{Decision, Ticket};
use crate::run::{Shared, lock};
use crate::say::Trouble;
use crate::state::{StateError, Store};

/// What a scribe knows (see the module).
pub(in crate::run) struct Scribe {
    store: Store,
    keep: usize,
    process: usize,
    shared: Arc<Shared>,
    decided: Decided,
    trouble: Trouble,
}

/// A scribe's thread, which is waited for.
pub(in crate::run) struct ScribeThread(Option<JoinHandle<()>>, Arc<Shared>);

impl Drop for ScribeThread {
    fn drop(&mut self) {
        self.1.partitions.journal.close();
        // One that has panicked was told of already.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

impl Scribe {
    /// Starts a scribe. The first process begins by writing down the definitions, if no checkpoint
    /// has them, and what has been edited since the earlier run.
    pub(in crate::run) fn start(
        resumed: &Resumed,
        process: usize,
        shared: &Arc<Shared>,
    ) -> Result<ScribeThread, StateError> {
        let mut begun = resumed.to_be_defined();
        begun.extend(shared.edited.iter().cloned().map(Decision::Edited));
        shared.edited.iter().for_each(|edit| resumed.history().add(edit.clone()));
        let mut scribe = Scribe {
            store: resumed.store(),
            keep: resumed.keep(),
            process,
            shared: Arc::clone(shared),
            decided: Decided::default(),
            trouble: Trouble::default(),
        };
        if process == 0 && !begun.is_empty() {
            scribe.decided.add(begun);
            scribe.write()?;
        }
        let thread = std::thread::spawn(move || {
            while let Some((decisions, ticket)) = scribe.shared.partitions.journal.take() {
                match scribe.note(decisions, ticket) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => return scribe.shared.fail(error.into()),
                }
            }
        });
        Ok(ScribeThread(Some(thread), Arc::clone(shared)))
    }

    fn write(&self) -> Result<(), StateError> {
        let as_json = |it: &Decision| serde_json::to_value(it).unwrap_or_default();
        self.store.put_decisions(self.process, self.decided.list().iter().map(as_json).collect())
    }

    /// Writes down decisions. `false` if the run ends meanwhile.
    fn note(&mut self, decisions: Vec<Decision>, ticket: Ticket) -> Result<bool, StateError> {
        let kept = self.shared.ending.kept.load(Ordering::Acquire);
        let checkpoints = self.shared.checkpoints.iter();
        for passed in checkpoints.flat_map(|them| them.passed(kept)) {
            self.decided.pass(passed, self.keep);
        }
        self.decided.add(decisions);
        if insist(&self.store, &self.trouble, &self.shared, || self.write())?.is_none() {
            return Ok(false);
        }
        self.shared.partitions.journal.made_durable(ticket);
        self.shared.partitions.wake();
        Ok(true)
    }
}

/// The decisions of earlier runs, and the files they stand in.
pub(super) struct Earlier {
    pub(super) files: Vec<(crate::state::Decisions, Vec<Decision>)>,
}

impl Earlier {
    /// Reads them, and says which cannot be read.
    pub(super) fn read(store: &Store) -> Result<Self, StateError> {
        let mut files = Vec::new();
        for mut file in store.decisions()? {
            let found = std::mem::replace(&mut file.decisions, Ok(Vec::new()));
            let decisions = found.and_then(|found| {
                let read: Result<Vec<Decision>, _> =
                    found.into_iter().map(serde_json::from_value).collect();
                read.map_err(|error| StateError::Content {
                    name: format!("what was decided in {}", store.place()),
                    reason: error.to_string(),
                })
            });
            let decisions = decisions.unwrap_or_else(|error| {
                crate::say::warn(format_args!(
                    "{}: what was decided there since the last checkpoint is not known: records \
                     of partitions that were idle then may count that were late before",
                    crate::say::Chain(&error)
                ));
                Vec::new()
            });
            files.push((file, decisions));
        }
        Ok(Earlier { files })
    }

    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> + Clone {
        self.files.iter().flat_map(|(_, decisions)| decisions)
    }
}

/// Forgets the files of earlier runs of which nothing is open.
pub(super) fn forget(
    store: &Store,
    earlier: &std::sync::Mutex<Earlier>,
    decided: &Decided,
    keep: usize,
) -> Result<(), StateError> {
    let mut earlier = lock(earlier);
    let mut stay = Vec::new();
    for (file, decisions) in std::mem::take(&mut earlier.files) {
        if decided.is_open(&decisions, keep) {
            stay.push((file, decisions));
        } else {
            store.forget_decisions(&file)?;
        }
    }
    earlier.files = stay;
    Ok(())
}
