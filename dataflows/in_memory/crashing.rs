//! A log run through crashes: from checkpoint to checkpoint, each stretch by another dataflow that
//! knows of the one before only what that had given out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

use super::{Block, Dealt, Pace, Ready, deal, lock, prepare};
use crate::model::{Difference, EventTime, Sign};
use crate::operators::checkpoint::{Forget, Piece, Place, Survival, merge};
use crate::oracle::Log;
use crate::segmentation::{Command, Inputs, commands, segmentation};
use crate::streams::Streams;

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
    let streams = Arc::new(Streams::of(log.timeline));
    let (ready, _) = prepare(log, &streams);
    let (mut pieces, mut differences) = (Vec::new(), Vec::new());
    let (mut come_to, mut number) = (None, 0);
    for (index, stretch) in stretches.iter().enumerate() {
        let rest = ready.iter().filter(|it| come_to.is_none_or(|at| it.update.at > at));
        let rest: Vec<Ready> = rest.cloned().collect();
        let dealt = deal(rest, stretch.pace);
        let tells_members = index % 2 == 1;
        let saves = (tells_members, number, &*stretch.checkpoints);
        let given = one(log, &streams, dealt, (come_to, &pieces), saves);
        if let (Some(at), true) = (come_to, tells_members) {
            assert_eq!(members(&given.differences, at), members(&differences, at), "told again");
        }
        let since = |it: &&Difference| come_to.is_none_or(|at| it.time > at);
        let mut new: Vec<_> = given.differences.iter().filter(since).cloned().collect();
        if index + 1 < stretches.len() {
            let last = given.pieces.iter().map(|piece| (piece.number, piece.before)).max();
            if let Some((last, before)) = last {
                (number, come_to) = (last, Some(before - 1));
            }
            new.retain(|it| come_to.is_some_and(|at| it.time <= at));
            pieces.extend(given.pieces);
            pieces.retain(|piece| come_to.is_some_and(|at| piece.until > at));
            if stretch.merged {
                pieces = merged(pieces);
            }
        }
        differences.append(&mut new);
    }
    differences
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
    streams: &Arc<Streams>,
    dealt: Dealt,
    (come_to, pieces): (Option<EventTime>, &[Piece]),
    (tells_members, number, checkpoints): (bool, u64, &[usize]),
) -> Given {
    let (settings, streams) = (log.clock, streams.clone());
    let commands = commands(log.timeline, log.retain);
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
        let first = come_to.map_or(EventTime::MIN, |at| {
            inputs.advance_to(at, at);
            if tells_members && worker.index() == 0 {
                inputs.saves.send((at, Command::TellMembers));
            }
            // Any worker may read any page.
            for (index, piece) in pieces.iter().enumerate() {
                if index % workers == worker.index() {
                    restore(&mut inputs, piece, (workers, at));
                }
            }
            at + 1
        });
        let mut number = number;
        let blocks = std::mem::take(&mut *lock(&dealt.blocks[worker.index()]));
        for (index, Block { clock, watermark, mut incoming, mut stamps }) in
            blocks.into_iter().enumerate()
        {
            let clock = clock.max(first);
            inputs.advance_to(clock, watermark.max(first));
            if worker.index() == 0 && clock > EventTime::MIN && checkpoints.contains(&index) {
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

fn restore(inputs: &mut Inputs, piece: &Piece, to: (usize, EventTime)) {
    let Piece { number, collection, .. } = *piece;
    for (page, index) in piece.pages.iter().zip(0..) {
        let restored = inputs.restore(Place { collection, number, page: index }, page, to);
        restored.expect("a page that was just written can be read");
    }
}
