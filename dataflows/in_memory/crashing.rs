//! A log run through crashes: from checkpoint to checkpoint, each stretch by another dataflow that
//! knows of the one before only what that had given out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

use super::{Block, Dealt, Pace, Ready, deal, lock, prepare};
use crate::catalog::Edit;
use crate::clock::Emit;
use crate::model::{Difference, Duration, EventTime, Sign};
use crate::operators::checkpoint::{
    Collection, Forget, Piece, Place, Restart, Share, Survival, is_needed, merge,
};
use crate::oracle::Log;
use crate::segmentation::{Command, commands, commands_as_they_come, segmentation};
use crate::streams::{self, Streams};

/// One stretch: how it is fed, and after how many blocks its checkpoints are taken. It ends by a
/// crash some time after the last of them.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// How the log is fed.
    pub pace: Pace,
    /// By number of blocks, in order.
    pub checkpoints: Vec<usize>,
    /// Whether what it leaves behind is merged before it is taken over.
    pub merged: bool,
    /// With `on_event`: whether the partitions come in another order than before, and in which. It
    /// is only known of what had its effect before the checkpoint.
    pub order: Option<u64>,
}

/// A number below `bound` that depends on the seed and on which one it is.
fn draw(seed: u64, which: u64, bound: usize) -> usize {
    let mixed =
        (seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 33) as usize % bound.max(1)
}

/// Some stretches of a log of so many records, which depend on the seed only.
pub fn stretches(seed: u64, records: usize) -> Vec<Stretch> {
    let count = 2 + draw(seed, 1, 3) as u64;
    let stretch = |number: u64| {
        let block = 1 + draw(seed, 10 + number, 4);
        let blocks = records / block + 1;
        let mut checkpoints: Vec<usize> = (0..1 + draw(seed, 20 + number, 3) as u64)
            .map(|it| draw(seed, 100 * number + it, blocks))
            .collect();
        checkpoints.sort_unstable();
        Stretch {
            pace: Pace { workers: 1 + draw(seed, 30 + number, 3), block },
            checkpoints,
            merged: draw(seed, 40 + number, 2) == 0,
            order: None,
        }
    };
    (0..count).map(stretch).collect()
}

/// From where a stretch goes on.
#[derive(Clone, Copy)]
struct From {
    /// The instant the one before had come to.
    at: EventTime,
    /// Nothing older than this is still to come.
    settled: EventTime,
}

/// What one dataflow gave out.
#[derive(Default)]
struct Given {
    differences: Vec<Difference>,
    pieces: Vec<Piece>,
}

/// Runs the dataflow over a log, from crash to crash, and the last stretch to the end of time.
/// What a stretch gives out after its last checkpoint is lost.
///
/// # Panics
/// A piece cannot be read back; or what is told again of those taken over is not where they are.
pub fn run_crashing(log: &Log<'_>, stretches: &[Stretch]) -> Vec<Difference> {
    let commands = commands(log.timeline, log.retain);
    crash(log, stretches, (commands, Streams::of(log.timeline)))
}

/// The same for edits that were [saved](super::run_retaining) by an earlier run, which is repeated.
/// Every event is retained for so long.
///
/// # Panics
/// As [`run_crashing`] does.
pub fn run_crashing_saved(
    log: &Log<'_>,
    stretches: &[Stretch],
    retain: Duration,
) -> Vec<Difference> {
    let mut streams = Streams::default();
    streams.add(streams::Stream::of_all());
    let all = &log.timeline.initial;
    all.iter().for_each(|definition| streams.add_rule(&definition.rule));
    for edit in &log.timeline.edits {
        if let Edit::Put(definition) = &edit.edit {
            streams.add_rule(&definition.rule);
        }
    }
    let first = (EventTime::MIN, Command::Retain(retain, EventTime::MIN));
    let commands = [first].into_iter().chain(commands_as_they_come(log.timeline)).collect();
    crash(log, stretches, (commands, streams))
}

fn crash(
    log: &Log<'_>,
    stretches: &[Stretch],
    (commands, streams): (Vec<(EventTime, Command)>, Streams),
) -> Vec<Difference> {
    let streams = Arc::new(streams);
    let (mut ready, _) = prepare(log, &streams);
    let (mut pieces, mut differences) = (Vec::new(), Vec::new());
    let (mut from, mut number): (Option<From>, _) = (None, 0);
    for (index, stretch) in stretches.iter().enumerate() {
        let come_to = from.map(|from| from.at);
        ready.retain(|it| come_to.is_none_or(|at| it.update.at > at));
        if let (Some(at), Some(order), Emit::OnEvent) = (come_to, stretch.order, log.clock.emit) {
            ready = in_another_order(ready, at + 1, order);
        }
        let rest = ready.clone();
        let dealt = deal(rest, stretch.pace);
        let tells_members = index % 2 == 1;
        let saves = (tells_members, number, &*stretch.checkpoints);
        let given = one(log, (&streams, &commands), dealt, (from, &pieces), saves);
        if let (Some(at), true) = (come_to, tells_members) {
            assert_eq!(members(&given.differences, at), members(&differences, at), "told again");
        }
        let since = |it: &&Difference| come_to.is_none_or(|at| it.time > at);
        let mut new: Vec<_> = given.differences.iter().filter(since).cloned().collect();
        if index + 1 < stretches.len() {
            let last = given.pieces.iter().map(|piece| (piece.number, piece.before)).max();
            if let Some((last, before)) = last {
                let own = given.pieces.iter().filter(|piece| piece.number == last);
                let settled = own.map(|piece| piece.settled).min().unwrap_or(before);
                (number, from) = (last, Some(From { at: before - 1, settled }));
            }
            new.retain(|it| from.is_some_and(|from| it.time <= from.at));
            pieces.extend(given.pieces);
            pieces.retain(|piece| from.is_some_and(|from| from.needs(piece)));
            if stretch.merged {
                pieces = merged(pieces);
            }
        }
        differences.append(&mut new);
    }
    differences
}

impl From {
    fn needs(self, piece: &Piece) -> bool {
        let before = match piece.collection {
            Collection::Identifiers => self.settled,
            Collection::Users | Collection::Events | Collection::Counts => self.at + 1,
        };
        is_needed(piece.until, before)
    }
}

/// The same records, those of each partition in their order, where the clock has come to `clock`.
fn in_another_order(ready: Vec<Ready>, mut clock: EventTime, mut order: u64) -> Vec<Ready> {
    let mut partitions: BTreeMap<u32, VecDeque<Ready>> = BTreeMap::new();
    for it in ready {
        partitions.entry(it.update.position.partition).or_default().push_back(it);
    }
    let mut ready = Vec::new();
    while !partitions.is_empty() {
        let next = partitions.values().filter_map(VecDeque::front);
        let watermark = next.map(|next| next.own).min().unwrap_or(EventTime::MIN);
        order = order.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let which = (order >> 33) as usize % partitions.len();
        let partition = partitions.values_mut().nth(which);
        let Some(mut it) = partition.and_then(VecDeque::pop_front) else { break };
        let at = it.update.time.max(clock);
        it.update.at = at;
        it.stamp.iter_mut().for_each(|stamp| stamp.at = at);
        (it.clock, it.watermark, clock) = (clock, watermark, at);
        ready.push(it);
        partitions.retain(|_, left| !left.is_empty());
    }
    ready
}

/// Who is in which segment at a time.
fn members(differences: &[Difference], at: EventTime) -> BTreeSet<(Arc<str>, Arc<str>)> {
    let mut members = BTreeSet::new();
    for it in differences.iter().filter(|it| it.time <= at) {
        let place = (it.segment.clone(), it.user.clone());
        let is_new = match it.sign {
            Sign::Entered => members.insert(place),
            Sign::Left => members.remove(&place),
        };
        assert!(is_new, "signs alternate");
    }
    members
}

/// The pieces of each collection as one.
fn merged(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by_key(|piece| (piece.collection, piece.number));
    let forget = Forget { before: EventTime::MIN, erasures: true };
    let each = pieces.chunk_by(|left, right| left.collection == right.collection);
    let one = |pieces: &[Piece]| merge(pieces[0].collection, pieces, forget);
    each.map(|pieces| one(pieces).expect("pages that were just written can be read")).collect()
}

/// One dataflow, from the pieces of earlier ones.
fn one(
    log: &Log<'_>,
    (streams, commands): (&Arc<Streams>, &[(EventTime, Command)]),
    dealt: Dealt,
    (from, pieces): (Option<From>, &[Piece]),
    (tells_members, number, checkpoints): (bool, u64, &[usize]),
) -> Given {
    let (settings, streams, commands) = (log.clock, streams.clone(), commands.to_vec());
    let edits = log.timeline.edits.clone();
    // Between, what is saved is being worked out.
    let may_be_taken = move |at: EventTime| {
        edits.iter().all(|edit| edit.saved.is_none_or(|saved| at <= saved || at > edit.time))
    };
    let workers = dealt.blocks.len();
    let given = Arc::new(Mutex::new(Given::default()));
    let (shared, dealt) = (given.clone(), Arc::new(dealt));
    let (pieces, checkpoints) = (pieces.to_vec(), checkpoints.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let probe = ProbeHandle::new();
        let (differences, kept) = (shared.clone(), shared.clone());
        let mut inputs = worker.dataflow(|scope| {
            let (inputs, outputs) =
                segmentation(scope, settings, streams.clone(), Survival::Checkpoints);
            outputs
                .differences
                .inspect_batch(move |_, batch| {
                    lock(&differences).differences.extend_from_slice(batch);
                })
                .probe_with(&probe);
            outputs
                .pieces
                .inspect(move |piece| lock(&kept).pieces.push(piece.clone()))
                .probe_with(&probe);
            inputs
        });
        for command in &commands {
            inputs.commands.send(command.clone());
        }
        let bytes =
            pieces.iter().flat_map(|piece| &piece.pages).map(|page| page.len() as u64).sum();
        let first = from.map_or(EventTime::MIN, |From { at, settled }| {
            inputs.advance_to(at, settled.min(at));
            if tells_members && worker.index() == 0 {
                inputs.saves.send((at, Command::TellMembers));
            }
            let mut share = Share::new(Restart { workers, at, bytes });
            // Any worker may read any page.
            for (index, piece) in pieces.iter().enumerate() {
                if index % workers == worker.index() {
                    read(&mut share, piece);
                }
            }
            inputs.restore(share);
            at + 1
        });
        let mut number = number;
        let blocks = std::mem::take(&mut *lock(&dealt.blocks[worker.index()]));
        for (index, Block { clock, watermark, mut incoming, mut stamps }) in
            blocks.into_iter().enumerate()
        {
            let clock = clock.max(first);
            let settled = from.map_or(EventTime::MIN, |from| from.settled);
            inputs.advance_to(clock, watermark.max(settled));
            let is_due = checkpoints.contains(&index) && may_be_taken(clock);
            if worker.index() == 0 && clock > EventTime::MIN && is_due {
                number += 1;
                inputs.saves.send((clock, Command::Checkpoint(number)));
            }
            inputs.stamps.open().append(&mut stamps);
            inputs.updates.open().append(&mut incoming);
            worker.step();
        }
        drop(inputs);
        while !probe.done() {
            worker.step_or_park(None);
        }
    });
    drop(guards); // waits for the workers
    std::mem::take(&mut *lock(&given))
}

fn read(share: &mut Share, piece: &Piece) {
    let Piece { number, collection, .. } = *piece;
    for (page, index) in piece.pages.iter().zip(0..) {
        let read = share.page(Place { collection, number, page: index }, page);
        read.expect("a page that was just written can be read");
    }
}
