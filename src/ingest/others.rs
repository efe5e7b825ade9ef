//! What a process knows of how far the others are, so that it can go on with them where its own
//! partitions do not say.
//!
//! The watermark is the least clock over the partitions of all processes that are not idle. A
//! process that has such partitions goes by them, and timely by the least of all. One that has none
//! goes by the others; by wall time only when nobody has any.

use std::collections::BTreeMap;

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};

/// What a process's watermark goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Partitions that are not idle: they have come so far.
    At(EventTime),
    /// None that is not idle at present.
    Idle,
    /// None, and there never will be any.
    Over,
}

/// The other processes.
#[derive(Debug, Default)]
pub(super) struct Others {
    count: usize,
    /// Whether there may yet be partitions that are not there now.
    may_come: bool,
    heard: BTreeMap<usize, Standing>,
}

/// What the others' standings come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// Not all have been heard of, so nobody knows.
    Unknown,
    /// The least of those that have one.
    At(EventTime),
    /// All are idle or over.
    Idle,
    /// All are over.
    Over,
}

impl Others {
    pub(super) fn new(count: usize, may_come: bool) -> Self {
        Others { count, may_come, heard: BTreeMap::new() }
    }

    pub(super) fn hear(&mut self, process: usize, standing: Standing) {
        self.heard.insert(process, standing);
    }

    pub(super) fn are_none(&self) -> bool {
        self.count == 0
    }

    /// Whether one of them goes by what this process says.
    pub(super) fn go_by_others(&self) -> bool {
        self.heard.values().any(|standing| !matches!(standing, Standing::At(_)))
    }

    pub(super) fn joint(&self) -> Joint {
        let at = |standing: &Standing| match standing {
            Standing::At(time) => Some(*time),
            Standing::Idle | Standing::Over => None,
        };
        if self.heard.len() < self.count {
            return Joint::Unknown;
        }
        match self.heard.values().filter_map(at).min() {
            Some(time) => Joint::At(time),
            None if self.heard.values().all(|it| *it == Standing::Over) => Joint::Over,
            None => Joint::Idle,
        }
    }

    /// Where a process stands whose partitions that are not idle have come so far.
    pub(super) fn standing(&self, least: Option<EventTime>, has_open: bool) -> Standing {
        match least {
            Some(time) => Standing::At(time),
            None if has_open || self.may_come => Standing::Idle,
            None => Standing::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_all_have_said_something() {
        let mut others = Others::new(2, false);
        others.hear(1, Standing::At(5));
        assert_eq!(others.joint(), Joint::Unknown);
        others.hear(2, Standing::Idle);
        assert_eq!((others.joint(), others.go_by_others()), (Joint::At(5), true));
        others.hear(1, Standing::Idle);
        assert_eq!(others.joint(), Joint::Idle);
        others.hear(1, Standing::Over);
        others.hear(2, Standing::Over);
        assert_eq!(others.joint(), Joint::Over);
        assert_eq!(Others::new(0, false).joint(), Joint::Over, "a single process");
    }

    #[test]
    fn topics_may_grow() {
        assert_eq!(Others::new(1, true).standing(None, false), Standing::Idle);
        assert_eq!(Others::new(1, false).standing(None, false), Standing::Over);
        assert_eq!(Others::new(1, false).standing(None, true), Standing::Idle);
        assert_eq!(Others::new(1, true).standing(Some(3), true), Standing::At(3));
    }
}
