//! What one worker does, over and over; and the dataflow it does it for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration as WallDuration;

use dataflows::model::{Difference, Duration, EventTime};
use dataflows::operators::checkpoint::Survival;
use dataflows::operators::memory::Memory;
use dataflows::operators::together::together;
use dataflows::segmentation::{Command, Inputs, commands, commands_as_they_come, segmentation};
use dataflows::streams::Streams;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

use super::abreast::Abreast;
use super::edits::Edits;
use super::ending::Ends;
use super::on_the_way::OnTheWay;
use super::pace::{Closing, Pace};
use super::reports::Reports;
use super::traced::Traced;
use super::{Run, Shared, StopOnPanic, lock, viewed};
use crate::ingest::{Batch, Ingest, Taken};
use crate::sink::SinkError;
use crate::state::Retention;
use crate::threads;

/// How many chunks a worker may have read that wait for their turn.
const BATCHES_WAITING: usize = 4;
/// The longest a worker sleeps before it looks whether another one has failed.
const PARK: WallDuration = WallDuration::from_millis(50);

pub(super) fn work(worker: &mut Worker, run: &Run, streams: &Arc<Streams>, shared: &Arc<Shared>) {
    let _guard = StopOnPanic(shared.clone());
    shared.partitions.enlist(std::thread::current());
    if shared.view.is_some() {
        threads::give_way();
    }
    let probe = ProbeHandle::new();
    let (mut inputs, memory) = build(worker, run, streams, shared, &probe);
    let mut pace = Pace::new(worker, run, shared);
    let mut ends = run
        .live
        .as_ref()
        .map(|live| Ends::new(worker, live, (&run.cluster, run.clock.emit), shared));
    let commands = match &run.state {
        None => commands(&run.timeline, run.retain),
        Some(kept) => {
            let retained = kept.resumed.retained().map(|Retention { retain_ms, since }| {
                (EventTime::MIN, Command::Retain(Duration::from_ms(retain_ms), since))
            });
            retained.into_iter().chain(commands_as_they_come(&run.timeline)).collect()
        }
    };
    commands.into_iter().for_each(|command| inputs.commands.send(command));
    if let Some(kept) = &run.state {
        let tells_members = shared.tells_members && worker.index() == 0;
        let place = (worker.index(), worker.peers());
        let restored = kept.resumed.restore(&mut inputs, place, tells_members);
        restored.unwrap_or_else(|error| shared.fail(error.into()));
        pace.time = kept.resumed.before().unwrap_or(EventTime::MIN);
    }
    let mut reports = Reports::new(worker, &run.cluster, shared);
    let has_others = run.live.is_some() && run.cluster.hosts.len() > 1;
    let mut abreast = has_others.then(|| Abreast::new(worker, &run.cluster, shared));
    if has_others && run.state.is_some() && worker.index() == 0 {
        inputs.hold_saves();
    }
    let mut traced = Traced::new(worker, run);
    let mut edits = run.live.as_ref().map(|_| Edits::new(worker, run, shared));
    edits.iter_mut().for_each(|edits| edits.begin(&mut inputs));
    let mut ingest =
        Ingest::new(shared.partitions.clone(), run.clock, streams, run.timeline.clone())
            .shown_to(viewed::onlooker(shared))
            .traced(run.live.as_ref().and_then(|live| live.tracer.clone()));
    let mut waiting: VecDeque<Batch> = VecDeque::new();
    let mut on_the_way = OnTheWay::default();
    while !shared.stop.load(Ordering::Acquire) {
        let (mut busy, mut silent) = (false, false);
        while let Some(batch) = ready(&mut waiting, &ingest) {
            on_the_way.sent(ingest.settle(batch, &mut inputs));
            busy = true;
        }
        let watermark = shared.partitions.watermark();
        abreast.iter_mut().for_each(Abreast::turn);
        let Some(watermark) = watermark else { break };
        if !edits.as_ref().is_some_and(Edits::hold_time) {
            pace.advance(&mut inputs, watermark, ingest.holds_time());
        }
        on_the_way.passed(&probe);
        reports.turn();
        traced.turn(&probe);
        ends.iter_mut().for_each(|ends| ends.tell_up_to_date(waiting.is_empty(), pace.time));
        if worker.index() == 0 {
            if !edits.as_ref().is_some_and(Edits::are_saving) {
                let reached = inputs.reached(pace.time);
                checkpoint(&mut inputs, shared, reached, false);
            }
            let checkpoints = shared.checkpoints.iter();
            checkpoints.for_each(|them| them.give_out(|before| !probe.less_than(&before)));
            viewed::turn(shared, &probe);
        }
        if let Some(edits) = &mut edits {
            edits.turn(run, &mut ingest, (waiting.is_empty(), pace.time), &mut inputs);
        }
        if let Some(ends) = &mut ends
            && let Some(end) = ends.turn(waiting.is_empty(), pace.time, &probe)
        {
            if worker.index() == 0 {
                checkpoint(&mut inputs, shared, end, true);
            }
            if ends.is_kept(end) {
                return stay(
                    worker,
                    shared,
                    &memory(),
                    (inputs, pace, ends, reports, edits, abreast),
                );
            }
        }
        let is_stuck = shared.checkpoints.iter().any(|them| them.is_stuck());
        let is_awaited = is_stuck || edits.as_ref().is_some_and(Edits::are_awaited);
        let is_full = on_the_way.is_full(&probe, pace.time)
            || (on_the_way.is_much() && ingest.holds_time().is_some());
        if waiting.len() < BATCHES_WAITING && !is_awaited && !is_full {
            match ingest.take(on_the_way.is_much()) {
                Ok(Taken::Chunk(task)) => {
                    waiting.push_back(ingest.read(task));
                    busy = true;
                }
                Ok(Taken::Nothing) => silent = true,
                Ok(Taken::Exhausted) => {}
                Err(error) => shared.fail(error.into()),
            }
            shared.progress.tell(&shared.partitions);
        }
        let idle = !busy && !waiting.iter().any(|batch| ingest.is_next(batch));
        match pace.close(idle && silent) {
            Closing::Done => {}
            Closing::In(wait) if idle => _ = worker.step_or_park(Some(wait.min(PARK))),
            Closing::Nothing if idle => _ = worker.step_or_park(Some(PARK)),
            Closing::In(_) | Closing::Nothing => _ = worker.step(),
        }
        if shared.view.is_some() {
            threads::let_pass();
        }
    }
    drop((inputs, pace, ends, reports, edits, abreast));
    while !probe.done() && !shared.stop.load(Ordering::Acquire) {
        worker.step_or_park(Some(PARK));
    }
    traced.turn(&probe);
    lock(&shared.outputs).memory(&memory());
    if probe.done()
        && let Err(error) = lock(&shared.outputs).advance(EventTime::MAX)
    {
        shared.fail(error.into());
    }
    if shared.stop.load(Ordering::Acquire) {
        // There is no one left to work for.
        leave(worker);
    }
}

/// Begins a checkpoint of everything before `time`, if it is time for one.
fn checkpoint(inputs: &mut Inputs, shared: &Shared, time: EventTime, at_once: bool) {
    let Some(checkpoints) = &shared.checkpoints else { return };
    if let Some(number) = checkpoints.begin(time, at_once) {
        lock(&shared.outputs).cut_at(time);
        shared.view.iter().for_each(|view| view.cut_at(number, time));
        inputs.saves.send((time, Command::Checkpoint(number)));
    }
}

/// Ends where time stands: what feeds the dataflow must not be dropped before it, or all time would
/// pass.
fn stay<T>(worker: &mut Worker, shared: &Arc<Shared>, memory: &Memory, feeds: T) {
    lock(&shared.outputs).memory(memory);
    leave(worker);
    drop(feeds);
}

fn leave(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// A batch whose turn it is.
fn ready(waiting: &mut VecDeque<Batch>, ingest: &Ingest) -> Option<Batch> {
    let place = waiting.iter().position(|batch| ingest.is_next(batch))?;
    waiting.remove(place)
}

fn build(
    worker: &mut Worker,
    run: &Run,
    streams: &Arc<Streams>,
    shared: &Arc<Shared>,
    probe: &ProbeHandle<EventTime>,
) -> (Inputs, Box<dyn Fn() -> Memory>) {
    worker.dataflow(|scope| {
        let survival = match run.state {
            Some(_) => Survival::Checkpoints,
            None => Survival::Nothing,
        };
        let (inputs, outputs) = segmentation(scope, run.clock, streams.clone(), survival);
        let (to, index) = (shared.checkpoints.clone(), scope.index());
        // They are handed on as they are: a copy would be as much again as all that has changed.
        let pieces = outputs.pieces.map(move |piece| {
            if let Some(checkpoints) = &to {
                checkpoints.piece(index, piece);
            }
        });
        pieces.probe_with(probe);
        let to = shared.clone();
        let prepared = outputs.prepared.inspect(move |sight| {
            lock(&to.prepared).push(sight.clone());
        });
        prepared.probe_with(probe);
        let to = shared.clone();
        let replies = outputs.replies.inspect(move |reply| {
            to.view.iter().for_each(|view| view.questions().reply(reply.clone()));
        });
        replies.probe_with(probe);
        if let Some(counted) = outputs.counted {
            let to = shared.clone();
            let counted = counted.inspect_batch(move |_, batch| {
                to.view.iter().for_each(|view| view.count(batch));
            });
            counted.probe_with(probe);
        }
        let write = |shared: &Arc<Shared>| {
            let shared = shared.clone();
            move |written: Result<(), SinkError>| {
                if let Err(error) = written {
                    shared.fail(error.into());
                }
            }
        };
        let (to, done) = (shared.clone(), write(shared));
        let differences = outputs.differences;
        match outputs.profiles {
            None => {
                let differences = differences.inspect_batch(move |_, batch: &Vec<Difference>| {
                    done(lock(&to.outputs).differences(batch));
                });
                differences.probe_with(probe);
            }
            Some(profiles) => {
                let outcomes = together(differences, profiles);
                let outcomes =
                    outcomes.inspect_batch(move |_, it| done(lock(&to.outputs).outcomes(it)));
                outcomes.probe_with(probe);
            }
        }
        let (to, done) = (shared.clone(), write(shared));
        let late = outputs.late.inspect_batch(move |_, batch| done(lock(&to.outputs).late(batch)));
        let (to, done) = (shared.clone(), write(shared));
        let rejected =
            outputs.rejected.inspect_batch(move |_, batch| done(lock(&to.outputs).rejected(batch)));
        let (to, done) = (shared.clone(), write(shared));
        let tally =
            outputs.tally.inspect_batch(move |_, batch| done(lock(&to.outputs).tally(batch)));
        late.probe_with(probe);
        rejected.probe_with(probe);
        tally.probe_with(probe);
        (inputs, outputs.memory)
    })
}
