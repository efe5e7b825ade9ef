//! The keeper: a thread that writes what checkpoints are made of, and on the first process commits
//! them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dataflows::model::{self, EventTime};
use dataflows::operators::checkpoint::{Collection, Piece, counts_piece, is_needed};
use serde_json::{Value as Json, json};

use super::decided::{Decided, Passed};
use super::history::History;
use super::merging::merge_some;
use super::resumed::Resumed;
use super::scribe::{Earlier, forget};
use super::{Report, Shares, Told};
use crate::ingest::{GoOn, index, stream_and_number};
use crate::run::{Shared, lock};
use crate::say::Trouble;
use crate::serve::view::kept::Kept;
use crate::source::{self, Track, http};
use crate::state::{
    Batch, BatchEntry, BatchWriter, LineStart, Listed, Manifest, SourcePosition, StateError, Store,
    now,
};

/// How many pieces each worker gives out for a checkpoint: one a collection, but for what is counted
/// by the view.
const PIECES_A_WORKER: usize = 3;
/// As whose the piece of the view is written.
const FIRST_WORKER: u32 = 0;
/// How long to wait before trying again what has failed: at first, and at most. Tests do not wait.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether outputs are final.
const LOOK: Duration = Duration::from_millis(5);

/// What a keeper knows (see the module).
pub(in crate::run) struct Keeper {
    store: Store,
    /// How many manifests stay.
    keep: usize,
    process: usize,
    processes: usize,
    /// Workers in this process.
    workers: usize,
    shared: Arc<Shared>,
    /// The manifest that was committed last: what the next one has in common with it.
    last: Manifest,
    forget: super::merging::Old,
    /// The definitions, which change meanwhile.
    history: Arc<History>,
    /// The batches of checkpoints whose pieces are not all there.
    own: BTreeMap<u64, Vec<BatchEntry>>,
    /// How many of them are there, and before which time nothing takes effect any more.
    pieces: BTreeMap<u64, (usize, EventTime)>,
    shares: Shares,
    /// The shares of a checkpoint that is complete but for what is to be given out before.
    complete: Option<(EventTime, Vec<Report>)>,
    given_out: EventTime,
    /// How far the last checkpoints are, and what earlier runs have decided that may matter.
    decided: Decided,
    earlier: Arc<Mutex<Earlier>>,
    trouble: Trouble,
}

impl Keeper {
    /// Starts a keeper.
    pub(in crate::run) fn start(
        resumed: &Resumed,
        (process, processes, workers): (usize, usize, usize),
        shared: &Arc<Shared>,
    ) -> Option<JoinHandle<()>> {
        let told = lock(&shared.checkpoints.as_ref()?.told).take()?;
        let mut last = resumed.manifest();
        if shared.view.is_none() {
            // Nobody goes on with it: who did later would not know what is missing.
            last.batches.retain(|batch| batch.collection != name(Collection::Counts));
        }
        let mut keeper = Keeper {
            store: resumed.store(),
            keep: resumed.keep(),
            process,
            processes,
            workers,
            shared: Arc::clone(shared),
            last,
            forget: resumed.old(),
            history: Arc::clone(resumed.history()),
            own: BTreeMap::new(),
            pieces: BTreeMap::new(),
            shares: Shares::default(),
            complete: None,
            given_out: EventTime::MIN,
            decided: Decided::default(),
            earlier: Arc::clone(resumed.earlier()),
            trouble: Trouble::default(),
        };
        Some(std::thread::spawn(move || {
            while let Ok(told) = told.recv() {
                let done = match told {
                    Told::Piece(worker, piece) => keeper.piece(worker, piece),
                    Told::Kept(Kept { number, before, counts }) => {
                        keeper.piece(FIRST_WORKER, counts_piece((number, before), counts))
                    }
                    Told::Report(report) => keeper.report(report),
                    Told::GivenOut(before) => {
                        keeper.given_out = before;
                        keeper.commit()
                    }
                    Told::End => return,
                };
                match done {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => return keeper.shared.fail(error.into()),
                }
            }
        }))
    }

    fn insist<T>(
        &self,
        what: impl FnMut() -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        insist(&self.store, &self.trouble, &self.shared, what)
    }

    /// Writes a piece. `false` if the run ends meanwhile.
    fn piece(&mut self, worker: u32, mut piece: Piece) -> Result<bool, StateError> {
        let pages = std::mem::take(&mut piece.pages);
        if !pages.is_empty() {
            let lower = self.last.frontier.min(piece.before);
            let batch = batch(piece.collection, worker, pages, (lower, piece.before))?;
            let written = self.insist(|| self.store.put_batch(piece.number, &batch))?;
            let Some(entry) = written else { return Ok(false) };
            let entry = BatchEntry { until: piece.until, ..entry };
            self.own.entry(piece.number).or_default().push(entry);
        }
        let (count, settled) = self.pieces.entry(piece.number).or_insert((0, piece.before));
        *count += 1;
        *settled = piece.settled.min(*settled);
        let of_view = usize::from(self.shared.view.is_some());
        if *count < PIECES_A_WORKER * self.workers + of_view {
            return Ok(true);
        }
        let settled = *settled;
        self.pieces.remove(&piece.number);
        let go_on = self.shared.partitions.go_on(piece.before, settled);
        if let Some(checkpoints) = &self.shared.checkpoints {
            // By what the watermark of other processes stands at, this one knows no floors to drop.
            let floor = if settled < piece.before { EventTime::MIN } else { piece.before };
            lock(&checkpoints.passed).push_back(Passed::new((piece.before, floor), &go_on));
        }
        let report = Report {
            number: piece.number,
            process: self.process,
            before: piece.before,
            settled,
            batches: self.own.remove(&piece.number).unwrap_or_default(),
            sources: self.positions(go_on),
        };
        if self.process == 0 {
            return self.report(report);
        }
        if let Some(checkpoints) = &self.shared.checkpoints {
            lock(&checkpoints.outbox).push(report);
            self.shared.partitions.wake();
        }
        Ok(true)
    }

    fn positions(&self, go_on: Vec<(u32, GoOn)>) -> Vec<SourcePosition> {
        let position = |(index, go_on): (u32, GoOn)| {
            let (stream, partition) = stream_and_number(index);
            SourcePosition {
                source: self.shared.sources[stream as usize].clone(),
                partition,
                offset: go_on.offset,
                clock: Some(go_on.clock),
                read_to: go_on.read_to,
                start: go_on.start.map(|source::LineStart { line, byte }| LineStart { line, byte }),
            }
        };
        go_on.into_iter().map(position).collect()
    }

    /// Takes the share of a process; commits, once all are there. `false` if the run ends
    /// meanwhile.
    fn report(&mut self, report: Report) -> Result<bool, StateError> {
        let before = report.before;
        if let Some(shares) = self.shares.add(report, self.processes) {
            self.complete = Some((before, shares));
        }
        self.commit()
    }

    /// Commits what is complete, once everything before it has been given out.
    fn commit(&mut self) -> Result<bool, StateError> {
        let given_out = self.given_out;
        let Some((before, shares)) = self.complete.take_if(|(before, _)| *before <= given_out)
        else {
            return Ok(true);
        };
        let number = shares.iter().map(|share| share.number).max().unwrap_or(0);
        if !self.await_final(before) {
            return Ok(false);
        }
        let Some(sinks) = self.sinks(before) else { return Ok(false) };
        let mut batches = self.last.batches.clone();
        let (mut sources, mut settled) = (Vec::new(), before);
        for share in shares {
            settled = settled.min(share.settled);
            batches.extend(share.batches);
            sources.extend(share.sources);
        }
        let of_identifiers = name(Collection::Identifiers);
        batches.retain(|batch| {
            let is_told_by = batch.collection == of_identifiers;
            is_needed(batch.until, if is_told_by { settled } else { before })
        });
        let retained = self.last.retained.map(|it| model::Duration::from_ms(it.retain_ms));
        let longest = self.history.longest_window().max(retained.unwrap_or_default());
        let forget = ((before, settled), longest, &self.forget);
        let merged = self.insist(|| merge_some(&self.store, number, &batches, forget))?;
        let Some(batches) = merged else { return Ok(false) };
        sources.sort_by(|left, right| {
            (&left.source, left.partition).cmp(&(&right.source, right.partition))
        });
        let manifest = Manifest {
            number,
            frontier: before,
            watermark: (settled < before).then_some(settled),
            taken_at: now(),
            workers: u32::try_from(self.processes * self.workers).unwrap_or(u32::MAX),
            sources,
            sinks,
            batches,
            definitions: self.history.before(before),
            ..self.last.clone()
        };
        if self.insist(|| self.store.commit(&manifest))?.is_none() {
            return Ok(false);
        }
        self.last = manifest;
        if let Some(checkpoints) = &self.shared.checkpoints {
            checkpoints.is_committed(number, before);
            checkpoints.committed_now(self.last.batches.iter().map(|it| it.bytes).sum());
        }
        self.shared.partitions.wake();
        // What is left over takes room, and nothing else: the next time will do.
        if let Err(error) = self.store.tidy(self.keep).and_then(|_| self.forget()) {
            self.trouble.is(format_args!("old checkpoints stay: {}", crate::say::Chain(&error)));
        }
        self.release();
        Ok(true)
    }

    /// Forgets what earlier runs have decided, once nobody needs to know.
    fn forget(&mut self) -> Result<(), StateError> {
        let names = &self.shared.sources;
        let offset = |it: &SourcePosition| {
            let stream = names.iter().position(|name| *name == it.source)?;
            Some((index(u32::try_from(stream).ok()?, it.partition), it.offset))
        };
        let offsets = self.last.sources.iter().filter_map(offset).collect();
        let before = self.last.frontier;
        self.decided.pass(Passed { before, floor: self.last.settled(), offsets }, self.keep);
        forget(&self.store, &self.earlier, &self.decided, self.keep)
    }

    /// Lets go what no checkpoint that there is will read again of what a collector took.
    fn release(&self) {
        let tracks = self.shared.partitions.tracks();
        for log in tracks.iter().filter_map(Track::log) {
            let released = match self.store.manifests() {
                Ok(manifests) => needed_from(&manifests, http::NAME).map(|from| log.release(from)),
                Err(_) => None, // the next time will do
            };
            if let Some(Err(error)) = released {
                self.trouble.is(format_args!("{}", crate::say::Chain(&error)));
            }
        }
    }

    /// Waits until every output that is delivered is final before `before`: what is not would be
    /// lost with a checkpoint that has passed it. `false` if the run ends meanwhile.
    fn await_final(&self, before: EventTime) -> bool {
        while self.shared.finals.iter().any(|made_final| made_final.time() < before) {
            if self.shared.stop.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(LOOK);
        }
        true
    }

    /// How far the outputs are, once everything before `before` is in them for good.
    fn sinks(&self, before: EventTime) -> Option<BTreeMap<String, Json>> {
        let positions = lock(&self.shared.outputs).positions(before);
        let positions = match positions {
            Ok(positions) => positions,
            Err(error) => {
                self.shared.fail(error.into());
                return None;
            }
        };
        Some(positions.into_iter().map(|(name, bytes)| (name, json!({ "bytes": bytes }))).collect())
    }
}

/// Does something until it is done; what trying again may mend is tried again, until a run that is
/// to end gives it up: what it did since the last checkpoint is done again by the next. `None` if
/// the run ends meanwhile.
pub(super) fn insist<T>(
    store: &Store,
    trouble: &Trouble,
    shared: &Shared,
    mut what: impl FnMut() -> Result<T, StateError>,
) -> Result<Option<T>, StateError> {
    let mut wait = AGAIN;
    loop {
        match what() {
            Ok(done) => {
                shared.checkpoints.iter().for_each(|them| them.is_written(true));
                trouble.is_over(format_args!("checkpoints go on"));
                return Ok(Some(done));
            }
            Err(error) if error.is_transient() || error.is_full() => {
                if shared.checkpoints.iter().any(|them| them.gives_up()) {
                    return Err(error);
                }
                shared.checkpoints.iter().for_each(|them| them.is_written(false));
                let place = store.place();
                trouble.is(format_args!(
                    "no checkpoint can be written to {place}: {}; trying again",
                    crate::say::Chain(&error)
                ));
            }
            Err(error) => return Err(error),
        }
        if shared.stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        std::thread::park_timeout(wait);
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

/// From which offset on a source with one partition is needed, by whichever of these checkpoints a
/// run goes on from; `None` if one of them does not say.
fn needed_from(manifests: &[Listed], source: &str) -> Option<u64> {
    let of = |listed: &Listed| {
        let sources = &listed.manifest.as_ref().ok()?.sources;
        sources.iter().find(|position| position.source == source).map(|it| it.offset)
    };
    let offsets: Option<Vec<_>> = manifests.iter().map(of).collect();
    offsets?.into_iter().min()
}

/// The batch of some pages of a collection.
pub(super) fn batch(
    collection: Collection,
    worker: u32,
    pages: Vec<Vec<u8>>,
    (lower, upper): (EventTime, EventTime),
) -> Result<Batch, StateError> {
    let writer = BatchWriter::new(name(collection), worker, lower, upper);
    let mut writer = match collection {
        Collection::Users | Collection::Counts => writer,
        // Of an event and an identifier most is a hash.
        Collection::Events | Collection::Identifiers => writer.unpacked(),
    };
    for page in pages {
        writer.write_whole(page)?;
    }
    writer.finish()
}

/// The name of a collection, as batches have it.
pub(super) fn name(collection: Collection) -> &'static str {
    match collection {
        Collection::Users => "users",
        Collection::Events => "events",
        Collection::Identifiers => "identifiers",
        Collection::Counts => "counts",
    }
}

/// The collection of a name.
pub(super) fn collection(name: &str) -> Option<Collection> {
    Collection::ALL.into_iter().find(|it| self::name(*it) == name)
}
