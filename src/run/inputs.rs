//! The inputs of a run, opened: each partition by the process whose share it is.
//!
//! Files come first, then topics, in the order of the job; the place of each in it is part of the
//! index of its partitions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Run, RunError};
use crate::format::Mapping;
use crate::ingest::{Partitions, STREAMS_MAX, index};
use crate::source::SourceError;
use crate::source::file::FilePartition;
use crate::source::kafka::{KafkaPartition, KafkaSource, Listener, Share};

/// Opens this process's share of all inputs. `None` if the run was told to stop meanwhile.
pub(super) fn open(
    run: &Run,
    partitions: &Arc<Partitions>,
) -> Result<Option<Vec<KafkaSource>>, RunError> {
    let topics = run.live.iter().flat_map(|live| &live.topics);
    let streams = run.inputs.len() + topics.map(|it| it.settings.topics.len()).sum::<usize>();
    if u32::try_from(streams).is_ok_and(|streams| streams > STREAMS_MAX) {
        return Err(RunError::Streams(streams));
    }
    let (process, processes) = (run.cluster.process, run.cluster.hosts.len().max(1));
    for (stream, input) in (0..).zip(&run.inputs) {
        if stream as usize % processes == process {
            let file = FilePartition::open(&input.path)?;
            partitions.add_file(index(stream, 0), file, input.mapping.clone());
        }
    }
    let mut sources = Vec::new();
    let Some(live) = &run.live else { return Ok(Some(sources)) };
    let mut first = run.inputs.len();
    for topics in &live.topics {
        let share: Share = Box::new(move |place, number| {
            (first + place + usize::try_from(number).unwrap_or(0)) % processes == process
        });
        let joins = Arc::new(Joins {
            partitions: Arc::downgrade(partitions),
            first,
            mapping: topics.mapping.clone(),
        });
        let is_stopped = || live.stop.load(Ordering::Acquire);
        let opened = KafkaSource::open(topics.settings.clone(), share, joins.clone(), &is_stopped);
        let Some((source, found)) = opened.map_err(SourceError::from)? else { return Ok(None) };
        found.into_iter().for_each(|partition| joins.found(partition));
        sources.push(source);
        first += topics.settings.topics.len();
    }
    Ok(Some(sources))
}

/// How the partitions of a source join those of the job.
struct Joins {
    partitions: Weak<Partitions>,
    /// The place of its first topic.
    first: usize,
    mapping: Mapping,
}

impl Listener for Joins {
    fn wake(&self) {
        self.partitions.upgrade().into_iter().for_each(|partitions| partitions.wake());
    }

    fn found(&self, partition: KafkaPartition) {
        let Some(partitions) = self.partitions.upgrade() else { return };
        let track = partition.track();
        let stream = u32::try_from(self.first + track.place).unwrap_or(u32::MAX);
        let number = u32::try_from(track.partition).unwrap_or(u32::MAX);
        partitions.add_topic(index(stream, number), partition, self.mapping.clone());
    }
}
