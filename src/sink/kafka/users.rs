//! The current segments of each user, as the compacted topic holds them.
//!
//! They are kept in memory, because a record of that topic holds all segments of its user. In a new
//! life they are read from the topic itself, which is written in the same transactions as the
//! position and so stands exactly there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::{Difference, EventTime, Sign};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::Deserialize;

use super::connection::{Failure, judge};
use super::context::{Context, Watch};
use super::records::{self, Record};
use super::topics::partitions_of;
use super::{KafkaFault, Settings};
use crate::sink::delivery::Item;

/// How long to wait for the next record before it is looked whether to go on.
const TURN: Duration = Duration::from_millis(100);

type Segments = BTreeSet<Arc<str>>;

/// The current segments of each user that has any.
#[derive(Default)]
pub(super) struct Users {
    of: HashMap<Arc<str>, Segments>,
    /// Each segment's name, once.
    names: HashSet<Arc<str>>,
}

/// A record of the topic.
#[derive(Deserialize)]
struct Known {
    user: Arc<str>,
    segments: Vec<Arc<str>>,
}

impl Users {
    /// Reads the topic to its end. `None` if the run was told to stop before.
    pub(super) fn known(
        settings: &Settings,
        watch: &Arc<Watch>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, KafkaFault> {
        let mut users = Users::default();
        let Some(topic) = &settings.users_topic else { return Ok(Some(users)) };
        let consumer: BaseConsumer<Context> = settings
            .consumer()
            .create_with_context(Context::new(watch))
            .map_err(|error| settings.refused(&error))?;
        let mut left = loop {
            match partitions_of(consumer.client(), topic) {
                Ok(Some(count)) => break (0..count).collect::<BTreeSet<i32>>(),
                Ok(None) => watch.trouble("it is not there yet"),
                Err(error) => watch.trouble(&error.to_string()),
            }
            if is_stopped() {
                return Ok(None);
            }
            std::thread::park_timeout(TURN);
        };
        let client = |error: KafkaError| settings.client(&error.to_string());
        let mut list = TopicPartitionList::new();
        for partition in &left {
            list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(client)?;
        }
        consumer.assign(&list).map_err(client)?;
        while !left.is_empty() {
            match consumer.poll(TURN) {
                None if is_stopped() => return Ok(None),
                None => {}
                Some(Ok(message)) => users.know(message.key(), message.payload()),
                Some(Err(KafkaError::PartitionEOF(partition))) => _ = left.remove(&partition),
                Some(Err(error)) => match judge(settings, &error) {
                    Failure::Fault(fault) => return Err(fault),
                    _ => watch.trouble(&error.to_string()),
                },
            }
        }
        watch.told().is_well();
        Ok(Some(users))
    }

    /// What is not one of our records is passed over.
    fn know(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()) else { return };
        match value {
            None => _ = self.of.remove(key),
            Some(value) => {
                let Ok(known) = serde_json::from_slice::<Known>(value) else { return };
                let segments = known.segments.iter().map(|name| self.name(name)).collect();
                self.of.insert(known.user, segments);
            }
        }
    }

    fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        self.names.insert(Arc::clone(name));
        Arc::clone(name)
    }

    /// Applies differences. Gives back a record for each user they concern, as it is after them.
    pub(super) fn apply(&mut self, items: &[Item]) -> Vec<Record> {
        let mut changed: HashMap<&Arc<str>, EventTime> = HashMap::new();
        let mut order = Vec::new();
        for item in items {
            let Item::Difference(difference) = item else { continue };
            self.apply_one(difference);
            if changed.insert(&difference.user, difference.time).is_none() {
                order.push(&difference.user);
            }
        }
        let none = Segments::new();
        let record = |user: &Arc<str>| {
            let segments: Vec<_> = self.of.get(user).unwrap_or(&none).iter().collect();
            records::of_user(user, changed[user], &segments)
        };
        order.into_iter().map(record).collect()
    }

    fn apply_one(&mut self, difference: &Difference) {
        let segment = self.name(&difference.segment);
        match difference.sign {
            Sign::Entered => {
                _ = self.of.entry(Arc::clone(&difference.user)).or_default().insert(segment);
            }
            Sign::Left => {
                let Some(segments) = self.of.get_mut(&difference.user) else { return };
                segments.remove(&segment);
                if segments.is_empty() {
                    self.of.remove(&difference.user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(time: EventTime, segment: &str, sign: Sign) -> Item {
        Item::Difference(Difference { time, segment: segment.into(), user: "u".into(), sign })
    }

    fn values(records: &[Record]) -> Vec<Option<&str>> {
        let text = |it: &'_ Record| it.value.is_some();
        assert!(records.iter().all(|it| it.key == "u" || text(it)));
        records
            .iter()
            .map(|it| it.value.as_deref().map(|value| std::str::from_utf8(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_user_is_written_once_a_transaction_as_it_is_after_it() {
        let mut users = Users::default();
        let entered = [difference(1, "b", Sign::Entered), difference(2, "a", Sign::Entered)];
        assert_eq!(
            values(&users.apply(&entered)),
            [Some(r#"{"user":"u","time":2,"segments":["a","b"]}"#)]
        );
        let left = [difference(3, "b", Sign::Left), difference(3, "a", Sign::Left)];
        assert_eq!(values(&users.apply(&left)), [None]);
        assert!(users.of.is_empty());
    }

    #[test]
    fn what_was_written_is_known_again() {
        let mut users = Users::default();
        users.know(Some(b"u"), Some(br#"{"user":"u","time":1,"segments":["a"]}"#));
        users.know(Some(b"v"), Some(br#"{"user":"v","time":1,"segments":["a"]}"#));
        users.know(Some(b"v"), None);
        users.know(Some(b"w"), Some(b"not ours"));
        let more = users.apply(&[difference(2, "b", Sign::Entered)]);
        assert_eq!(values(&more), [Some(r#"{"user":"u","time":2,"segments":["a","b"]}"#)]);
        assert_eq!(users.of.len(), 1);
    }
}
