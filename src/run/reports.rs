//! Reports of checkpoints on their way to the first process.

use std::sync::Arc;

use dataflows::operators::feed::Feed;
use timely::dataflow::operators::{Exchange, Inspect};
use timely::worker::Worker;

use super::checkpoint::Report;
use super::{Cluster, Shared};

/// A worker's part in it: one a process sends what its keeper has to say.
pub(super) struct Reports {
    shared: Arc<Shared>,
    feed: Option<Feed<Report>>,
    sends: bool,
}

impl Reports {
    pub(super) fn new(worker: &mut Worker, cluster: &Cluster, shared: &Arc<Shared>) -> Self {
        let is_needed = cluster.hosts.len() > 1 && shared.checkpoints.is_some();
        let feed = is_needed.then(|| {
            let to = shared.checkpoints.clone();
            worker.dataflow(|scope| {
                let (feed, reports) = Feed::new(scope, "Reports");
                reports.exchange(|_| 0).inspect(move |report: &Report| {
                    to.iter().for_each(|checkpoints| checkpoints.report(report.clone()));
                });
                feed
            })
        });
        let sends = worker.index().is_multiple_of(cluster.workers);
        Reports { shared: Arc::clone(shared), feed, sends }
    }

    /// Sends what there is.
    pub(super) fn turn(&mut self) {
        let (Some(feed), Some(checkpoints)) = (&mut self.feed, &self.shared.checkpoints) else {
            return;
        };
        if !self.sends {
            return;
        }
        for report in checkpoints.reports() {
            feed.send(report);
            feed.flush();
        }
    }
}
