//! Wall time, which the computation never sees: it decides what is idle and what is too far ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dataflows::model::EventTime;

/// The clock on the wall. Tests hold its hands.
#[derive(Debug, Clone)]
pub struct Wall {
    began: Instant,
    held: Option<Arc<AtomicI64>>,
}

impl Wall {
    /// The system's.
    pub fn system() -> Self {
        Wall { began: Instant::now(), held: None }
    }

    /// One that shows what this holds, in epoch milliseconds.
    pub fn held(at: Arc<AtomicI64>) -> Self {
        Wall { began: Instant::now(), held: Some(at) }
    }

    /// What time it is, in epoch milliseconds. It may be set back.
    pub fn now(&self) -> EventTime {
        match &self.held {
            Some(held) => held.load(Ordering::Acquire),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                EventTime::try_from(since.as_millis()).unwrap_or(EventTime::MAX)
            }
        }
    }

    /// Milliseconds since some moment, which never go back: to measure how long something lasts.
    pub(super) fn elapsed_ms(&self) -> i64 {
        match &self.held {
            Some(held) => held.load(Ordering::Acquire),
            None => i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }
}
