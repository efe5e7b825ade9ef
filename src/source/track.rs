//! How far a partition that goes on while it is read has been read.

use std::sync::Arc;

use super::{http, kafka};

/// How far a partition has been read, and how far it goes.
#[derive(Clone)]
pub enum Track {
    /// Of a topic.
    Topic(Arc<kafka::Track>),
    /// What a collector has taken.
    Log(Arc<http::Track>),
}

impl Track {
    /// The topic; of a collector, what its log is called.
    pub fn source(&self) -> &str {
        match self {
            Track::Topic(track) => &track.topic,
            Track::Log(_) => http::NAME,
        }
    }

    /// The log of a collector.
    pub fn log(&self) -> Option<&Arc<http::Log>> {
        match self {
            Track::Topic(_) => None,
            Track::Log(track) => Some(track.log()),
        }
    }

    /// The number of the partition.
    pub fn partition(&self) -> i32 {
        match self {
            Track::Topic(track) => track.partition,
            Track::Log(_) => 0,
        }
    }

    /// The offset from which it is to be read on.
    pub fn next(&self) -> u64 {
        match self {
            Track::Topic(track) => u64::try_from(track.next()).unwrap_or(0),
            Track::Log(track) => track.next(),
        }
    }

    /// How many offsets are still to be read, as far as is known.
    pub fn lag(&self) -> u64 {
        match self {
            Track::Topic(track) => track.lag(),
            Track::Log(track) => track.lag(),
        }
    }

    /// Whether all it held when it was begun has been taken.
    pub fn is_caught_up(&self) -> bool {
        match self {
            Track::Topic(track) => track.is_caught_up(),
            Track::Log(track) => track.is_caught_up(),
        }
    }

    /// Whether there is nothing more to be taken, as far as is known of late.
    pub fn is_at_end(&self) -> bool {
        match self {
            Track::Topic(track) => track.is_at_end(),
            Track::Log(track) => track.lag() == 0,
        }
    }

    /// Says that the run has passed all records before this offset.
    pub fn pass(&self, next: u64) {
        match self {
            Track::Topic(track) => track.pass(next),
            Track::Log(_) => {} // no one observes it
        }
    }
}
