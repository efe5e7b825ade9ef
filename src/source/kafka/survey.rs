//! What the brokers are asked: which partitions there are, from where they are to be read, how far
//! they go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaFault, Shared, Start, Track};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a topic may be unknown before it is believed: brokers that start do not know all yet.
const BELIEF: Duration = Duration::from_secs(3);
/// How long to wait before the brokers are asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// What a source begins with.
pub(super) struct Found {
    /// How many partitions each topic has.
    pub(super) counts: Vec<i32>,
    /// This process's share of them.
    pub(super) tracks: Vec<Arc<Track>>,
}

/// What became of a question.
pub(super) enum Answer<T> {
    Given(T),
    /// There is no such topic.
    NoTopic,
}

impl Shared {
    /// Asks until all is known; `None` if it was stopped before.
    pub(super) fn first_survey(
        &self,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Found>, KafkaFault> {
        let began = Instant::now();
        let mut counts = Vec::new();
        while counts.len() < self.settings.topics.len() {
            if is_stopped() {
                return Ok(None);
            }
            let topic = &self.settings.topics[counts.len()];
            match self.partitions_of(topic) {
                Ok(Answer::Given(count)) => counts.push(count),
                Ok(Answer::NoTopic) if began.elapsed() > BELIEF => {
                    return Err(KafkaFault::NoTopic {
                        topic: topic.clone(),
                        brokers: self.brokers(),
                    });
                }
                Ok(Answer::NoTopic) => self.wait(),
                Err(error) => self.troubled(&error),
            }
        }
        loop {
            match self.begin(&self.own(&counts, &vec![0; counts.len()]), self.settings.start) {
                Ok(tracks) => {
                    self.watch.is_well();
                    return Ok(Some(Found { counts, tracks }));
                }
                Err(error) => self.troubled(&error),
            }
            if is_stopped() {
                return Ok(None);
            }
        }
    }

    fn troubled(&self, error: &KafkaError) {
        self.wait(); // what librdkafka has to say of it tells more: it may be a wrong password
        self.watch.trouble(&self.text(error));
    }

    /// Lets some time pass, in which librdkafka says what is the matter.
    fn wait(&self) {
        let _ = self.consumer.poll(AGAIN);
    }

    /// How many partitions a topic has.
    pub(super) fn partitions_of(&self, topic: &str) -> KafkaResult<Answer<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER)?;
        let Some(found) = metadata.topics().iter().find(|it| it.name() == topic) else {
            return Ok(Answer::NoTopic);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(Answer::NoTopic),
            Some(code) => return Err(KafkaError::MetadataFetch(code)),
        }
        Ok(Answer::Given(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
    }

    /// This process's share of the partitions from one count of each topic to another: the place of
    /// the topic, and the number.
    pub(super) fn own(&self, counts: &[i32], after: &[i32]) -> Vec<(usize, i32)> {
        let of = |(place, (count, first)): (usize, (&i32, &i32))| {
            (*first..*count).map(move |partition| (place, partition)).collect::<Vec<_>>()
        };
        let all = counts.iter().zip(after).enumerate().flat_map(of);
        all.filter(|(place, partition)| (self.share)(*place, *partition)).collect()
    }

    /// Finds out from where partitions are to be read, and how far they go.
    pub(super) fn begin(&self, own: &[(usize, i32)], start: Start) -> KafkaResult<Vec<Arc<Track>>> {
        let at = |offset| self.list(own, offset);
        let earliest = self.offsets(at(Offset::Beginning)?)?;
        let starts = match start {
            Start::Earliest => earliest.clone(),
            Start::Latest => self.offsets(at(Offset::End)?)?,
            Start::At(time) => self.offsets(at(Offset::Offset(time.max(0)))?)?,
            Start::Committed if own.is_empty() => TopicPartitionList::new(),
            Start::Committed => self.consumer.committed_offsets(at(Offset::Invalid)?, ANSWER)?,
        };
        // Last, so that whatever is read to its end is read beyond this.
        let ends = self.offsets(at(Offset::End)?)?;
        let offset_in = |list: &TopicPartitionList, topic: &str, partition| {
            list.find_partition(topic, partition).and_then(|it| match it.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        };
        let track = |(place, partition): &(usize, i32)| {
            let (topic, partition) = (&self.settings.topics[*place], *partition);
            let end = offset_in(&ends, topic, partition).unwrap_or(0);
            let usual = match start {
                Start::At(_) => end, // all that there is, is older
                _ => offset_in(&earliest, topic, partition).unwrap_or(0),
            };
            let gone_to = self.settings.go_on.get(&(topic.clone(), partition)).copied();
            let start = offset_in(&starts, topic, partition).unwrap_or(usual);
            let start = gone_to.unwrap_or(start);
            Arc::new(Track::new(topic, *place, partition, start, end))
        };
        Ok(own.iter().map(track).collect())
    }

    /// Asks how far all partitions go.
    pub(super) fn ends(&self) -> KafkaResult<()> {
        let tracks = self.watch.tracks();
        let own: Vec<_> = tracks.iter().map(|it| (it.place, it.partition)).collect();
        let ends = self.offsets(self.list(&own, Offset::End)?)?;
        for track in tracks {
            let found = ends.find_partition(&track.topic, track.partition);
            if let Some(Offset::Offset(end)) = found.map(|it| it.offset()) {
                track.goes_to(end);
            }
        }
        Ok(())
    }

    fn list(&self, own: &[(usize, i32)], offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(own.len());
        for (place, partition) in own {
            list.add_partition_offset(&self.settings.topics[*place], *partition, offset)?;
        }
        Ok(list)
    }

    /// The offsets for times, of which two have a meaning of their own: the beginning and the end.
    fn offsets(&self, list: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        if list.count() == 0 {
            return Ok(list);
        }
        let answer = self.consumer.offsets_for_times(list, ANSWER)?;
        answer.elements().iter().try_for_each(|it| it.error())?;
        Ok(answer)
    }
}
