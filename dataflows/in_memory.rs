//! The dataflow over a log that is in memory already: for tests, benches and those who embed it.
//!
//! Records are given in blocks to the workers in turn, in the order of the log, so that they take
//! every way through the dataflow that records from real sources can take.

mod asking;
mod crashing;
mod saving;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

pub use asking::run_asking;
pub use crashing::{Stretch, run_crashing, run_crashing_saved, stretches};
pub use saving::{run_retaining, run_saving};

use crate::clock::{Emit, PartitionClock, Punctuality};
use crate::model::{
    Action, Arrival, AttributeKey, Change, Difference, EventTime, Incoming, MessageKey, Stamp,
    Update, UserKey,
};
use crate::operators::checkpoint::Survival;
use crate::operators::membership::Tally;
use crate::oracle::{Answer, Log};
use crate::segmentation::{commands, segmentation};
use crate::streams::Streams;

use asking::Asks;
use saving::{Reads, Saves};

/// How a log is fed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Worker threads.
    pub workers: usize,
    /// Records in a block; after each the clock advances.
    pub block: usize,
}

/// A record that is on time, ready for the dataflow.
#[derive(Debug, Clone)]
pub struct Ready {
    update: Update,
    stamp: Option<Stamp>,
    name: Arc<str>,
    /// Where the clock of the dataflow stood before it.
    clock: EventTime,
    /// Where the watermark stood before it.
    watermark: EventTime,
    /// Where the clock of its partition stood before it.
    own: EventTime,
}

/// Decides lateness and prepares what is on time; gives back how many records were late, too.
pub fn prepare(log: &Log<'_>, streams: &Streams) -> (Vec<Ready>, u64) {
    let highest = log.arrivals.iter().map(|arrival| arrival.position.partition).max();
    let count = highest.map_or(0, |highest| highest as usize + 1);
    let mut clocks = vec![PartitionClock::new(log.clock.max_out_of_orderness); count];
    let mut left = vec![0_u64; count];
    for arrival in log.arrivals {
        left[arrival.position.partition as usize] += 1;
    }
    let (mut ready, mut late) = (Vec::new(), 0);
    let mut greatest = EventTime::MIN;
    for arrival in log.arrivals {
        let open = clocks.iter().zip(&left).filter(|(_, left)| **left > 0);
        let watermark = open.map(|(clock, _)| clock.now()).min().unwrap_or(EventTime::MIN);
        let partition = arrival.position.partition as usize;
        left[partition] -= 1;
        let own = clocks[partition].now();
        let Punctuality::OnTime(time) = clocks[partition].observe(arrival.time) else {
            late += 1;
            continue;
        };
        let (at, clock) = match log.clock.emit {
            Emit::OnWatermark => (time, watermark),
            Emit::OnEvent => (time.max(greatest), greatest),
        };
        greatest = greatest.max(time);
        ready.push(make_ready(arrival, streams, (time, at), (clock, watermark, own)));
    }
    (ready, late)
}

fn make_ready(
    arrival: &Arrival,
    streams: &Streams,
    (time, at): (EventTime, EventTime),
    (clock, watermark, own): (EventTime, EventTime, EventTime),
) -> Ready {
    let (user, position) = (UserKey::of(&arrival.user), arrival.position);
    let stamp = |id: &Arc<str>| Stamp { time, at, position, id: MessageKey::of(id), user };
    Ready {
        update: Update { user, time, at, position, change: change_of(&arrival.action, streams) },
        stamp: arrival.id.as_ref().map(stamp),
        name: arrival.user.clone(),
        clock,
        watermark,
        own,
    }
}

/// What the dataflow needs of a record in full.
pub fn change_of(action: &Action, streams: &Streams) -> Change {
    match action {
        Action::Event { name, properties } => {
            Change::Event(streams.hits(&streams.wanted(name), properties))
        }
        Action::Attributes(attributes) => {
            let keyed =
                attributes.iter().map(|(name, value)| (AttributeKey::of(name), value.clone()));
            Change::Attributes(keyed.collect())
        }
        Action::Delete => Change::Delete,
    }
}

/// Runs the dataflow over a log, to the end of time.
pub fn run(log: &Log<'_>, pace: Pace) -> Answer {
    run_saving(log, pace, &[]).0
}

/// Records dealt out to workers, as their sources would hand them over.
#[derive(Debug)]
pub struct Dealt {
    /// By worker, the same number of blocks; empty where the block is another worker's.
    blocks: Vec<Mutex<Vec<Block>>>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    clock: EventTime,
    watermark: EventTime,
    incoming: Vec<Incoming>,
    stamps: Vec<Stamp>,
}

/// Deals out what [`prepare`] made. Each worker names a user once, before the first record.
pub fn deal(ready: Vec<Ready>, pace: Pace) -> Dealt {
    let mut dealt = vec![Vec::new(); pace.workers];
    let mut named = vec![HashSet::new(); pace.workers];
    let mut ready = ready.into_iter().peekable();
    while let Some(Ready { clock, watermark, .. }) = ready.peek() {
        let empty = Block { clock: *clock, watermark: *watermark, ..Block::default() };
        let own = dealt[0].len() % pace.workers;
        dealt.iter_mut().for_each(|blocks| blocks.push(empty.clone()));
        let Some(block) = dealt[own].last_mut() else { break };
        for Ready { update, stamp, name, .. } in ready.by_ref().take(pace.block.max(1)) {
            if named[own].insert(update.user) {
                block.incoming.push(Incoming::Name(update.user, name));
            }
            block.stamps.extend(stamp);
            block.incoming.push(Incoming::Update(update));
        }
    }
    Dealt { blocks: dealt.into_iter().map(Mutex::new).collect() }
}

/// Feeds what was dealt out; gives back what came out, in order.
pub fn feed(log: &Log<'_>, streams: &Arc<Streams>, dealt: Dealt) -> (Vec<Difference>, Tally) {
    let saves = Saves::new(&[], (dealt.blocks.len(), streams.len()), None);
    feed_saving(log, streams, dealt, &saves)
}

fn feed_saving(
    log: &Log<'_>,
    streams: &Arc<Streams>,
    dealt: Dealt,
    saves: &Arc<Saves>,
) -> (Vec<Difference>, Tally) {
    feed_asking(log, streams, dealt, (saves, &Asks::nothing()))
}

fn feed_asking(
    log: &Log<'_>,
    streams: &Arc<Streams>,
    dealt: Dealt,
    (saves, asks): (&Arc<Saves>, &Arc<Asks>),
) -> (Vec<Difference>, Tally) {
    let (settings, streams) = (log.clock, streams.clone());
    let mut commands = commands(log.timeline, log.retain);
    commands.splice(0..0, saves.first());
    let collected = Arc::new(Mutex::new((Vec::new(), Tally::default())));
    let config = timely::Config::process(dealt.blocks.len());
    let (shared, dealt) = (collected.clone(), Arc::new(dealt));
    let (saves, asks) = (saves.clone(), asks.clone());
    let guards = timely::execute(config, move |worker| {
        let probe = ProbeHandle::new();
        let (differences, tallies) = (shared.clone(), shared.clone());
        let mut inputs = worker.dataflow(|scope| {
            let (inputs, outputs) =
                segmentation(scope, settings, streams.clone(), Survival::Nothing);
            outputs
                .differences
                .inspect_batch(move |_, batch| lock(&differences).0.extend_from_slice(batch))
                .probe_with(&probe);
            let told = saves.clone();
            outputs.prepared.inspect(move |_| told.prepared()).probe_with(&probe);
            let replied = asks.clone();
            outputs.replies.inspect(move |reply| replied.replied(reply)).probe_with(&probe);
            outputs.tally.inspect(move |tally| lock(&tallies).1.add(tally)).probe_with(&probe);
            inputs
        });
        for command in &commands {
            inputs.commands.send(command.clone());
        }
        asks.ask(&mut inputs);
        let (mut clock, mut reads) = (EventTime::MIN, Reads::new(&saves));
        for mut block in std::mem::take(&mut *lock(&dealt.blocks[worker.index()])) {
            inputs.advance_to(block.clock, block.watermark);
            clock = block.clock;
            saves.turn(&mut reads, (clock, worker.index()), &mut inputs);
            reads.block(&mut block);
            inputs.stamps.open().append(&mut block.stamps);
            inputs.updates.open().append(&mut block.incoming);
            worker.step();
        }
        saves.finish(&reads, worker.index());
        while worker.index() == 0 && !saves.are_done() {
            // Nothing else comes any more, so time may pass.
            clock = clock.max(saves.prepares()).saturating_add(1);
            inputs.advance_to(clock, clock);
            saves.turn(&mut reads, (clock, worker.index()), &mut inputs);
            worker.step();
        }
        drop(inputs);
        while !probe.done() {
            worker.step_or_park(None);
        }
    });
    drop(guards); // waits for the workers
    let mut collected = lock(&collected);
    std::mem::take(&mut *collected)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
