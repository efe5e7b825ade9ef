//! Delivery: sinks that give each item once in effect, however often the run is killed and started
//! again.
//!
//! Such a sink stores, together with what it has given, up to which event time that is all there
//! was. The run says how far time has come; what lies before that can be made final. After a restart
//! the run computes the same items again and leaves out those the sink has made final in an earlier
//! life.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dataflows::model::{Difference, EventTime, Path};

use super::SinkError;

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Someone entered or left.
    Difference(Difference),
    /// What the attributes have become that the sink asks for.
    Profile {
        /// From when on.
        time: EventTime,
        /// Whose they are.
        user: Arc<str>,
        /// All of them that are not missing, as a JSON object.
        json: String,
    },
    /// A late or rejected record.
    Line {
        /// Its event time: the clock of its partition.
        time: EventTime,
        /// Where it came from.
        key: String,
        /// The line that tells of it, without its end.
        line: Vec<u8>,
    },
}

impl Item {
    /// Its event time.
    pub fn time(&self) -> EventTime {
        match self {
            Item::Difference(difference) => difference.time,
            Item::Profile { time, .. } | Item::Line { time, .. } => *time,
        }
    }

    /// About how many bytes it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let own = match self {
            Item::Difference(_) => 0, // its names are shared
            Item::Profile { json, .. } => json.len(),
            Item::Line { key, line, .. } => key.len() + line.len(),
        };
        own + size_of::<Item>()
    }
}

/// A sink that makes final what it was given, and knows after a restart what that was.
pub trait Delivery: Send {
    /// All before this was made final by earlier lives of the job: it is not to be given again.
    fn delivered(&self) -> Option<EventTime>;

    /// Whether it keeps who is in which segment and knows of nobody yet: a run that goes on from a
    /// checkpoint gives it first who is in which then, as if they had just entered.
    fn wants_members(&self) -> bool {
        false
    }

    /// Whether it is told who enters and leaves this segment.
    fn takes(&self, _segment: &str) -> bool {
        true
    }

    /// The attributes of users it is told of, beside differences.
    fn attributes(&self) -> &[Path] {
        &[]
    }

    /// Gives items, in the order of time. All items before the last one's time have been given
    /// with it. It blocks while much is waiting.
    ///
    /// # Errors
    /// They cannot be delivered, or not since the run was told to stop.
    fn give(&mut self, items: Vec<Item>) -> Result<(), SinkError>;

    /// Says that all items before this time have been given.
    ///
    /// # Errors
    /// What was given cannot be delivered.
    fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError>;

    /// Up to when all is final, for others to look at.
    fn made_final(&self) -> MadeFinal;

    /// How it stands, for people who watch it.
    fn standing(&self) -> HowItStands;

    /// Waits until all before the last frontier is final.
    ///
    /// # Errors
    /// It cannot be delivered, or not since the run was told to stop.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// Tells how a sink stands. Other threads may ask at any time, also while it blocks.
pub type HowItStands = Arc<dyn Fn() -> Standing + Send + Sync>;

/// How a sink stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is written, as people know it.
    pub name: String,
    /// Whether it could not be written when it was last tried.
    pub is_down: bool,
    /// How many items wait, or are on their way: in memory, and on disk.
    pub waiting: usize,
    /// About how many bytes of memory they take.
    pub bytes: usize,
    /// How many of them wait on disk.
    pub on_disk: usize,
    /// How many items were written.
    pub written: u64,
    /// In how many steps.
    pub steps: u64,
    /// All before this event time is final, if any is.
    pub made_final: Option<EventTime>,
}

/// Up to when all that a sink was given is final. Other threads may look at it at any time.
#[derive(Debug, Clone)]
pub struct MadeFinal(Arc<AtomicI64>);

impl MadeFinal {
    /// From this time on.
    pub fn since(time: EventTime) -> Self {
        MadeFinal(Arc::new(AtomicI64::new(time)))
    }

    /// All before this time is final.
    pub fn time(&self) -> EventTime {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, time: EventTime) {
        self.0.fetch_max(time, Ordering::AcqRel);
    }
}
