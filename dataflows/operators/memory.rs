//! How many bytes of what the users of a worker need.
//!
//! Counted from the capacities of what holds it, when someone asks: nothing is added up along the
//! way. What the allocator adds, and what is on its way through the dataflow, is not in it.

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

/// Bytes, and how many there are of what most of them grow with. Those of workers add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Users who exist.
    pub users: u64,
    /// Events held for windows.
    pub events: u64,
    /// Of users: their places, names, and the index by which they are found.
    pub user_bytes: u64,
    /// Of their attributes.
    pub attribute_bytes: u64,
    /// Of the distinct values that attributes have.
    pub pool_bytes: u64,
    /// Of the events held for windows.
    pub event_bytes: u64,
    /// Of what is kept for aggregates, sequences, and changes that time brings.
    pub state_bytes: u64,
    /// Of who is in which segment.
    pub member_bytes: u64,
    /// Of alarms to come.
    pub alarm_bytes: u64,
    /// Of updates that others may have to go before.
    pub disorder_bytes: u64,
}

impl Memory {
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.user_bytes
            + self.attribute_bytes
            + self.pool_bytes
            + self.event_bytes
            + self.state_bytes
            + self.member_bytes
            + self.alarm_bytes
            + self.disorder_bytes
    }

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Memory) {
        self.users += other.users;
        self.events += other.events;
        self.user_bytes += other.user_bytes;
        self.attribute_bytes += other.attribute_bytes;
        self.pool_bytes += other.pool_bytes;
        self.event_bytes += other.event_bytes;
        self.state_bytes += other.state_bytes;
        self.member_bytes += other.member_bytes;
        self.alarm_bytes += other.alarm_bytes;
        self.disorder_bytes += other.disorder_bytes;
    }
}

/// What a thin vector has asked for: its items, and in front of them how many they are.
pub(super) fn thin_bytes<T>(list: &ThinVec<T>) -> usize {
    match list.capacity() {
        0 => 0,
        capacity => 2 * size_of::<usize>() + capacity * size_of::<T>(),
    }
}
