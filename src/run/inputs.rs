//! The inputs of a run, opened: each partition by the process whose share it is.
//!
//! Files come first, then topics, in the order of the job, then what a collector takes; the place
//! of each in it is part of the index of its partitions.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Run, RunError, Topics};
use crate::format::Mapping;
use crate::ingest::{GoOn, Partitions, STREAMS_MAX, index, stream_and_number};
use crate::source::SourceError;
use crate::source::file::FilePartition;
use crate::source::http::{LogPartition, Wake};
use crate::source::kafka::{KafkaPartition, KafkaSource, Listener, Settings, Share};

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
    let go_on = run.state.as_ref().map(|kept| kept.go_on.clone()).unwrap_or_default();
    let (process, processes) = (run.cluster.process, run.cluster.hosts.len().max(1));
    for (stream, input) in (0..).zip(&run.inputs) {
        if stream as usize % processes == process {
            let mut file = FilePartition::open(&input.path)?;
            let go_on = go_on.get(&index(stream, 0)).copied();
            if let Some(go_on) = &go_on {
                file.skip_to(go_on.offset, go_on.start)?;
            }
            partitions.add_file(index(stream, 0), file, input.mapping.clone(), go_on);
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
            go_on: go_on.clone(),
        });
        let is_stopped = || live.stop.load(Ordering::Acquire);
        let opened = KafkaSource::open(joins.settings(topics), share, joins.clone(), &is_stopped);
        let Some((source, found)) = opened.map_err(SourceError::from)? else { return Ok(None) };
        found.into_iter().for_each(|partition| joins.found(partition));
        sources.push(source);
        first += topics.settings.topics.len();
    }
    if let Some(log) = &live.log {
        let index = index(u32::try_from(first).unwrap_or(u32::MAX), 0);
        let go_on = go_on.get(&index).copied();
        let of = Arc::downgrade(partitions);
        let wake: Wake = Arc::new(move || of.upgrade().iter().for_each(|it| it.wake()));
        let log = LogPartition::new(log, go_on.map(|go_on| go_on.offset), wake);
        partitions.add_log(index, log.map_err(SourceError::from)?, go_on);
    }
    Ok(Some(sources))
}

/// How the partitions of a source join those of the job.
struct Joins {
    partitions: Weak<Partitions>,
    /// The place of its first topic.
    first: usize,
    mapping: Mapping,
    /// By index, where partitions go on that an earlier run had read.
    go_on: BTreeMap<u32, GoOn>,
}

impl Joins {
    fn index(&self, place: usize, partition: i32) -> u32 {
        let stream = u32::try_from(self.first + place).unwrap_or(u32::MAX);
        index(stream, u32::try_from(partition).unwrap_or(u32::MAX))
    }

    /// The settings of topics, with where their partitions go on.
    fn settings(&self, topics: &Topics) -> Settings {
        let mut settings = topics.settings.clone();
        for (index, go_on) in &self.go_on {
            let (stream, number) = stream_and_number(*index);
            let topic = usize::try_from(stream).ok().and_then(|it| it.checked_sub(self.first));
            if let Some(topic) = topic.and_then(|place| topics.settings.topics.get(place))
                && let (Ok(number), Ok(offset)) = (number.try_into(), go_on.offset.try_into())
            {
                settings.go_on.insert((topic.clone(), number), offset);
            }
        }
        settings
    }
}

impl Listener for Joins {
    fn wake(&self) {
        self.partitions.upgrade().into_iter().for_each(|partitions| partitions.wake());
    }

    fn found(&self, partition: KafkaPartition) {
        let Some(partitions) = self.partitions.upgrade() else { return };
        let track = partition.track();
        let index = self.index(track.place, track.partition);
        let go_on = self.go_on.get(&index).copied();
        partitions.add_topic(index, partition, self.mapping.clone(), go_on);
    }
}
