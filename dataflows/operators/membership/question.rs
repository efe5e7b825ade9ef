//! Questions about users as they are at one instant, answered from what is held of them anyway.
//!
//! A rule that is asked about need not be in force: it is read as it stands, condition by condition,
//! where a rule in force is compiled. Nothing is changed by it. A worker answers for its own users
//! when all before an instant has been worked off and nothing later, so the answers of all of them
//! are of that one instant.
//!
//! Cost: an estimate looks at the key of every user, and evaluates the rule for those of the sample;
//! an explanation costs what the windows of one user hold. Records wait meanwhile.

mod attributes;
mod events;
mod form;
mod person;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Changes, Membership};
use crate::model::{Duration, EventTime, UserKey};
use crate::operators::users::User;
use crate::rule::{Definition, Rule};
use events::Bounds;
use form::Form;
use person::Person;

/// A question about users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// By which its replies are told from those to others.
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
    /// The definitions in force that it refers to, and those they refer to.
    pub definitions: Vec<Arc<Definition>>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// For how many users a rule holds, counted in a sample.
    Estimate {
        /// The rule.
        rule: Rule,
        /// Users whose hash is not above this are in the sample: of all hashes there are.
        share: u64,
    },
    /// Why a user is, or is not, in a segment.
    Explain {
        /// The user's name.
        user: Arc<str>,
        /// The segment's id.
        segment: Arc<str>,
    },
    /// Which events of a user are held.
    Events {
        /// The user's name.
        user: Arc<str>,
        /// None that are earlier than this.
        since: Option<EventTime>,
        /// None that are so much earlier than the answer.
        last: Option<Duration>,
        /// None of this time or later.
        before: Option<EventTime>,
        /// No more than this, but that a millisecond is not divided.
        limit: usize,
    },
    /// Which attributes a user has, of those that rules ask for.
    Attributes {
        /// The user's name.
        user: Arc<str>,
    },
}

/// What one worker says to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The number of the question.
    pub number: u64,
    /// All up to the end of this millisecond is in it, and nothing later.
    pub at: EventTime,
    /// What it says.
    pub told: Told,
}

/// What is said to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// This was counted.
    Counted(Counted),
    /// An [`Explanation`](crate::explained::Explanation), as JSON: it goes to who asked as it is.
    Explained(String),
    /// Events or attributes of the user, as JSON: it goes to who asked as it is.
    Listed(String),
    /// The user is none of this worker's, or does not exist.
    Unknown,
}

/// What an estimate has counted. Those of several workers add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Users there are.
    pub users: u64,
    /// Users looked at.
    pub sampled: u64,
    /// Users of these for whom the rule holds.
    pub matches: u64,
    /// Events later than this count; `EventTime::MIN`: all that the rule asks for.
    pub sees_after: EventTime,
    /// From when on the answers of a segment with this rule would be exact if it were saved now;
    /// `EventTime::MIN`: at once, `EventTime::MAX`: never.
    pub complete_from: EventTime,
}

impl Counted {
    /// Nothing yet.
    pub const NOTHING: Self = Counted {
        users: 0,
        sampled: 0,
        matches: 0,
        sees_after: EventTime::MIN,
        complete_from: EventTime::MIN,
    };

    /// Adds what another worker has counted.
    pub fn add(&mut self, other: &Self) {
        self.users += other.users;
        self.sampled += other.sampled;
        self.matches += other.matches;
        self.sees_after = self.sees_after.max(other.sees_after);
        self.complete_from = self.complete_from.max(other.complete_from);
    }
}

impl Question {
    /// A question, with what it refers to among the definitions in force.
    pub fn new(number: u64, ask: Ask, in_force: impl Fn(&str) -> Option<Arc<Definition>>) -> Self {
        let mut waiting: Vec<Arc<str>> = match &ask {
            Ask::Estimate { rule, .. } => rule.references().into_iter().cloned().collect(),
            Ask::Explain { segment, .. } => vec![Arc::clone(segment)],
            Ask::Events { .. } | Ask::Attributes { .. } => Vec::new(),
        };
        let mut definitions: Vec<Arc<Definition>> = Vec::new();
        while let Some(id) = waiting.pop() {
            if definitions.iter().any(|known| known.id == id) {
                continue;
            }
            if let Some(definition) = in_force(&id) {
                waiting.extend(definition.rule.references().into_iter().cloned());
                definitions.push(definition);
            }
        }
        Question { number, ask, definitions }
    }
}

impl Membership {
    /// Answers a question. Everything up to `at` has been worked off, and nothing later.
    pub(super) fn reply(&self, question: &Question, at: EventTime, changes: &mut Changes) {
        let told = match &question.ask {
            Ask::Estimate { rule, share } => {
                Told::Counted(self.estimate(question, rule, *share, at))
            }
            Ask::Explain { user, segment } => {
                let text = self.explain(question, user, segment, at);
                text.map_or(Told::Unknown, Told::Explained)
            }
            Ask::Events { user, since, last, before, limit } => {
                let (since, last, before, limit) = (*since, *last, *before, *limit);
                let text = self.events(user, at, &Bounds { since, last, before, limit });
                text.map_or(Told::Unknown, Told::Listed)
            }
            Ask::Attributes { user } => {
                let known = self.existing(user).map(|user| self.known(user, at));
                // Its values were read from JSON, so they can be written so.
                let text = known.and_then(|known| serde_json::to_string(&known).ok());
                text.map_or(Told::Unknown, Told::Listed)
            }
        };
        changes.replies.push(Reply { number: question.number, at, told });
    }

    fn estimate(&self, question: &Question, rule: &Rule, share: u64, at: EventTime) -> Counted {
        let form = Form::new(rule, question, (self, at));
        let (sees_after, complete_from) = form.sight(self.settings.granularity, at);
        let mut counted = Counted { sees_after, complete_from, ..Counted::NOTHING };
        for slot in self.users.slots() {
            let user = self.users.get(slot);
            if user.since().is_none() {
                continue;
            }
            counted.users += 1;
            if user.key().bucket() <= share {
                counted.sampled += 1;
                counted.matches += u64::from(Person::new(&form, user, self, at).is_in());
            }
        }
        counted
    }

    /// A user of this worker who exists.
    fn existing(&self, name: &str) -> Option<&User> {
        let user = self.users.get(self.users.find(UserKey::of(name))?);
        user.since().map(|_| user)
    }

    fn events(&self, user: &str, at: EventTime, bounds: &Bounds) -> Option<String> {
        // Its values were read from JSON, so they can be written so.
        serde_json::to_string(&self.listing(self.existing(user)?, at, bounds)).ok()
    }

    fn explain(
        &self,
        question: &Question,
        user: &str,
        segment: &Arc<str>,
        at: EventTime,
    ) -> Option<String> {
        let user = self.existing(user)?;
        let root = Rule::Segment(Arc::clone(segment));
        let form = Form::new(&root, question, (self, at));
        let told = Person::new(&form, user, self, at).explanation();
        // Its values were read from JSON, so they can be written so.
        serde_json::to_string(&told).ok()
    }
}
