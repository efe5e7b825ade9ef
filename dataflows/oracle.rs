//! The judge: membership recomputed from the whole log, from first principles.
//!
//! [`answer`] reads a log as a whole and says what must come out of it. For every user it asks, at
//! every instant at which anything could change, of every segment in force whether the user is in
//! it, and notes what differs from the instant before. Nothing is carried from instant to instant
//! but the memberships themselves, and nothing is shared with the operators, so the two can only
//! agree by both being right.
//!
//! The steps are in the order of the modules: `applied` decides which records count, `life` what
//! is known of a user between creation and deletion, `definitions` which rules are in force and how
//! far back they see, `stream` what lies in a window, and `facts` what holds at an instant.

pub(crate) mod applied;
pub(crate) mod definitions;
pub(crate) mod facts;
pub(crate) mod life;
#[cfg(test)]
mod naive;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;

use std::sync::Arc;

use crate::catalog::Timeline;
use crate::clock::ClockSettings;
use crate::model::{Arrival, Difference, Duration, EventTime, Sign};

use applied::applied;
use definitions::Definitions;
use facts::Facts;
use life::lives;

/// Everything an answer depends on.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// The records: each partition's in the order of their offsets, partitions interleaved anyhow.
    pub arrivals: &'a [Arrival],
    /// The definitions and their changes.
    pub timeline: &'a Timeline,
    /// The settings of time. Answers are those of `on_watermark`, whatever `emit` says.
    pub clock: ClockSettings,
    /// How far back a definition put at a time sees; `None`: to the beginning.
    pub retain: Option<Duration>,
}

/// What must come out of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Who entered and left what, in the order of (time, segment, user).
    pub differences: Vec<Difference>,
    /// How many records took effect.
    pub applied: u64,
    /// How many were below their partition's clock.
    pub late: u64,
    /// How many were second copies.
    pub duplicate: u64,
}

/// What must come out of this log, when all time is let pass at its end.
pub fn answer(log: &Log<'_>) -> Answer {
    let applied = applied(log);
    let definitions = Definitions::new(log.timeline, log.retain);
    let mut differences = Vec::new();
    for (user, records) in applied.by_user() {
        let mut ledger = Ledger::new(user, &definitions, &mut differences);
        let lives = lives(&records);
        for (index, life) in lives.iter().enumerate() {
            let facts = Facts::new(user, life, &definitions, log.clock.granularity);
            for &now in facts.instants() {
                ledger.becomes(now, facts.at(now).memberships());
            }
            // A user deleted and created anew in one millisecond is never seen to be gone.
            let born_again = lives.get(index + 1).map(|next| next.born);
            if let Some(died) = life.died.filter(|died| born_again != Some(*died)) {
                ledger.becomes(died, vec![false; definitions.ids().len()]);
            }
        }
    }
    differences.sort();
    Answer {
        differences,
        applied: count(applied.records.len()),
        late: applied.late,
        duplicate: applied.duplicate,
    }
}

fn count(records: usize) -> u64 {
    u64::try_from(records).unwrap_or(u64::MAX)
}

/// One user's memberships as they are now, and where their changes are written.
struct Ledger<'a> {
    user: &'a Arc<str>,
    definitions: &'a Definitions<'a>,
    members: Vec<bool>,
    differences: &'a mut Vec<Difference>,
}

impl<'a> Ledger<'a> {
    fn new(
        user: &'a Arc<str>,
        definitions: &'a Definitions<'a>,
        differences: &'a mut Vec<Difference>,
    ) -> Self {
        let members = vec![false; definitions.ids().len()];
        Ledger { user, definitions, members, differences }
    }

    fn becomes(&mut self, time: EventTime, members: Vec<bool>) {
        let changes = self.definitions.ids().iter().zip(self.members.iter().zip(&members));
        for (segment, (was, is)) in changes {
            if was != is {
                self.differences.push(Difference {
                    time,
                    segment: Arc::clone(segment),
                    user: Arc::clone(self.user),
                    sign: if *is { Sign::Entered } else { Sign::Left },
                });
            }
        }
        self.members = members;
    }
}
