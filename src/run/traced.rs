//! What a tracer is told of a run: where it begins, how far time has come, and, in the first
//! process, which records the others trace.

use std::sync::Arc;

use dataflows::model::{Difference, EventTime};
use dataflows::operators::feed::Feed;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Exchange, Inspect};
use timely::worker::Worker;

use super::Run;
use super::outputs::{Outputs, name};
use crate::trace::{Output, Place, Scene, Tracer};

/// A worker's part in it.
pub(super) struct Traced {
    tracer: Option<Arc<Tracer>>,
    /// Tells the first process of what the others read.
    feed: Option<Feed<Place>>,
}

impl Traced {
    /// All processes build the same, whether they trace or not.
    pub(super) fn new(worker: &mut Worker, run: &Run) -> Self {
        let tracer = run.live.as_ref().and_then(|live| live.tracer.clone());
        let feed = (run.live.is_some() && run.cluster.hosts.len() > 1).then(|| {
            let to = tracer.clone();
            worker.dataflow(|scope| {
                let (feed, places) = Feed::new(scope, "Traced");
                places.exchange(|_| 0).inspect(move |place: &Place| {
                    to.iter().for_each(|tracer| tracer.heard(*place));
                });
                feed
            })
        });
        // One a process is enough.
        let tracer = tracer.filter(|_| worker.index().is_multiple_of(run.cluster.workers));
        Traced { tracer, feed }
    }

    /// Tells what there is to be told.
    pub(super) fn turn(&mut self, probe: &ProbeHandle<EventTime>) {
        let Some(tracer) = &self.tracer else { return };
        tracer.passed(
            probe.with_frontier(|frontier| frontier.first().copied()).unwrap_or(EventTime::MAX),
        );
        if let Some(feed) = &mut self.feed {
            let places = tracer.to_be_told();
            if !places.is_empty() {
                places.into_iter().for_each(|place| feed.send(place));
                feed.flush();
            }
        }
    }
}

/// What a tracer knows of a run before it begins.
pub(super) fn scene(outputs: &Outputs) -> Scene {
    let plain = outputs.differences.iter().map(|(sink, _)| sink.name().to_owned());
    let mut all: Vec<_> = plain.map(|name| Output { name, made_final: None }).collect();
    for delivery in &outputs.deliveries.differences {
        let (name, made_final) = (delivery.standing()().name, delivery.made_final());
        all.push(Output { name, made_final: Some(Box::new(move || made_final.time())) });
    }
    let sources = outputs.sources.clone();
    Scene { outputs: all, name: Box::new(move |index| name(&sources, index)) }
}

/// The outputs a difference is given to, by their place in the [`scene`].
pub(super) fn given_to(outputs: &Outputs, difference: &Difference) -> Vec<usize> {
    let plain = outputs.differences.len();
    let deliveries = outputs.deliveries.differences.iter().enumerate();
    let is_told = deliveries.filter(|(_, delivery)| {
        let is_new = delivery.delivered().is_none_or(|before| before <= difference.time);
        is_new && delivery.takes(&difference.segment)
    });
    (0..plain).chain(is_told.map(|(place, _)| plain + place)).collect()
}
