//! How processes come to know how far the others are (see [`Standing`]).
//!
//! What changes in kind is told at once; how far a process has come, only while somebody goes by it.

use std::sync::Arc;

use dataflows::operators::feed::Feed;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::Broadcast;
use timely::worker::Worker;

use super::{Cluster, Shared};
use crate::ingest::Standing;

/// A worker's part in it: one a process tells the others.
pub(super) struct Abreast {
    shared: Arc<Shared>,
    feed: Feed<(usize, Standing)>,
    process: usize,
    speaks: bool,
    told: Option<Standing>,
}

impl Abreast {
    pub(super) fn new(worker: &mut Worker, cluster: &Cluster, shared: &Arc<Shared>) -> Self {
        let (process, partitions) = (cluster.process, Arc::clone(&shared.partitions));
        let feed = worker.dataflow(|scope| {
            let (feed, words) = Feed::new(scope, "Abreast");
            words.broadcast().inspect(move |(from, standing): &(usize, Standing)| {
                if *from != process {
                    partitions.hear(*from, *standing);
                }
            });
            feed
        });
        let speaks = worker.index().is_multiple_of(cluster.workers);
        Abreast { shared: Arc::clone(shared), feed, process, speaks, told: None }
    }

    /// Tells the others, if there is anything to tell.
    pub(super) fn turn(&mut self) {
        if !self.speaks {
            return;
        }
        let Some((standing, is_awaited)) = self.shared.partitions.standing() else { return };
        let is_of_a_kind = match (self.told, standing) {
            (Some(Standing::At(_)), Standing::At(_)) => !is_awaited,
            (told, standing) => told == Some(standing),
        };
        if !is_of_a_kind && self.told != Some(standing) {
            self.told = Some(standing);
            self.feed.send((self.process, standing));
            self.feed.flush();
        }
    }
}
