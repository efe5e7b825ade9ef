//! Which records count: those neither late nor second copies, in the order they take effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Log;
use crate::clock::{PartitionClock, Punctuality};
use crate::model::{Arrival, EventTime};

/// A record that takes effect, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied<'a> {
    /// Its event time, or its partition's clock if it had none.
    pub time: EventTime,
    /// The record.
    pub arrival: &'a Arrival,
}

/// All records that take effect, and how many did not.
pub(crate) struct AppliedLog<'a> {
    /// In the order of (time, partition, offset).
    pub records: Vec<Applied<'a>>,
    /// Below their partition's clock.
    pub late: u64,
    /// Second copies.
    pub duplicate: u64,
}

impl<'a> AppliedLog<'a> {
    /// Each user's records, in the order they take effect; users in the order of their names.
    pub(crate) fn by_user(&self) -> Vec<(&'a Arc<str>, Vec<Applied<'a>>)> {
        let mut users: HashMap<&str, (&'a Arc<str>, Vec<Applied<'a>>)> = HashMap::new();
        for record in &self.records {
            let user = &record.arrival.user;
            users.entry(&**user).or_insert_with(|| (user, Vec::new())).1.push(*record);
        }
        let mut users: Vec<_> = users.into_values().collect();
        users.sort_by(|left, right| left.0.cmp(right.0));
        users
    }
}

/// Decides lateness partition by partition, then duplicates over all partitions in the order of
/// event time: so neither depends on how partitions interleave.
pub(crate) fn applied<'a>(log: &Log<'a>) -> AppliedLog<'a> {
    let (mut on_time, late) = on_time(log);
    on_time.sort_by_key(|record| (record.time, record.arrival.position));
    let read = on_time.len();
    let horizon_ms = log.clock.dedup_horizon.ms();
    // The last time a record with this id took effect. Times only rise here, so the last one is
    // the one nearest to any further copy.
    let mut seen: HashMap<&str, EventTime> = HashMap::new();
    on_time.retain(|record| {
        let Some(id) = &record.arrival.id else { return true };
        let again = seen.get(&**id).is_some_and(|first| *first >= record.time - horizon_ms);
        if !again {
            seen.insert(id, record.time);
        }
        !again
    });
    let duplicate = super::count(read - on_time.len());
    AppliedLog { records: on_time, late, duplicate }
}

fn on_time<'a>(log: &Log<'a>) -> (Vec<Applied<'a>>, u64) {
    let mut clocks: BTreeMap<u32, PartitionClock> = BTreeMap::new();
    let mut records = Vec::with_capacity(log.arrivals.len());
    let mut late = 0;
    for arrival in log.arrivals {
        let clock = clocks
            .entry(arrival.position.partition)
            .or_insert_with(|| PartitionClock::new(log.clock.max_out_of_orderness));
        match clock.observe(arrival.time) {
            Punctuality::OnTime(time) => records.push(Applied { time, arrival }),
            Punctuality::Late { .. } => late += 1,
        }
    }
    (records, late)
}
