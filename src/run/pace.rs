//! How far a worker says that time has come.

use std::sync::Arc;
use std::time::{Duration as WallDuration, Instant};

use dataflows::clock::Emit;
use dataflows::model::EventTime;
use dataflows::operators::feed::Feed;
use dataflows::segmentation::Inputs;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::Broadcast;
use timely::worker::Worker;

use super::{Run, Shared};

/// How long pipes must be silent before an instant that has just begun may be over (`on_event`): a
/// record of the same millisecond may be close behind.
const SILENCE: WallDuration = WallDuration::from_micros(100);

/// How far a worker has said that time has come.
pub(super) struct Pace {
    emit: Emit,
    pub(super) time: EventTime,
    shared: Arc<Shared>,
    /// Tells the other processes of a greater event time (`on_event`).
    others: Option<(Feed<EventTime>, EventTime)>,
    /// Since when there has been nothing to read.
    silent_since: Option<Instant>,
}

/// What becomes of the latest instant.
pub(super) enum Closing {
    /// It is over.
    Done,
    /// It will be, so much later.
    In(WallDuration),
    /// There is none to be closed.
    Nothing,
}

impl Pace {
    pub(super) fn new(worker: &mut Worker, run: &Run, shared: &Arc<Shared>) -> Self {
        let spread = run.clock.emit == Emit::OnEvent && run.cluster.hosts.len() > 1;
        let others = spread.then(|| {
            let partitions = shared.partitions.clone();
            let feed = worker.dataflow(|scope| {
                let (feed, greatest) = Feed::new(scope, "Greatest");
                greatest.broadcast().inspect(move |time: &EventTime| partitions.see(*time));
                feed
            });
            (feed, EventTime::MIN)
        });
        if spread && shared.partitions.chronicle.is_kept() {
            tell_begin(worker, shared);
        }
        let (emit, shared) = (run.clock.emit, shared.clone());
        Pace { emit, time: EventTime::MIN, shared, others, silent_since: None }
    }

    /// Closes the latest instant, if it is time (`on_event`): where nothing has come for a while,
    /// as soon as all that has come is in it; under load, once it has stood for its millisecond.
    pub(super) fn close(&mut self, silent: bool) -> Closing {
        let partitions = &self.shared.partitions;
        if self.emit == Emit::OnWatermark {
            return Closing::Nothing;
        }
        if !(silent && partitions.is_settled()) {
            self.silent_since = None;
        } else if self.silent_since.is_none() {
            self.silent_since = Some(Instant::now());
        }
        let Some(line_in) = partitions.stays_open(true) else { return Closing::Nothing };
        let wait = match (self.silent_since, partitions.stays_open(false)) {
            (Some(since), Some(soon)) => {
                line_in.min(soon.max(SILENCE.saturating_sub(since.elapsed())))
            }
            _ => line_in,
        };
        if !wait.is_zero() {
            return Closing::In(wait);
        }
        partitions.close_instant();
        Closing::Done
    }

    /// Lets time come as far as it may: not past an instant that is not written down (`holds`).
    pub(super) fn advance(
        &mut self,
        inputs: &mut Inputs,
        watermark: EventTime,
        holds: Option<EventTime>,
    ) {
        let time = match self.emit {
            Emit::OnWatermark => watermark,
            Emit::OnEvent => self.shared.partitions.clock(),
        };
        if let Some((feed, told)) = &mut self.others
            && time > *told
        {
            feed.send(time);
            feed.flush();
            *told = time;
        }
        self.time = self.time.max(holds.map_or(time, |holds| time.min(holds)));
        inputs.advance_to(self.time, watermark.min(self.time));
    }
}

/// Tells the other processes what only the first one knows: from which time on records take effect
/// that no earlier run has taken. They wait for it.
fn tell_begin(worker: &mut Worker, shared: &Shared) {
    let partitions = shared.partitions.clone();
    let mut feed = worker.dataflow(|scope| {
        let (feed, begins) = Feed::new(scope, "Begin");
        begins.broadcast().inspect(move |time: &EventTime| partitions.begin(*time));
        feed
    });
    if worker.index() == 0 {
        feed.send(shared.partitions.begins());
    }
}
