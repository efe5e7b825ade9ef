//! Why a user is, or is not, in a segment at a time: the rule as a tree, each condition with its
//! present value, whether it holds, and the next instant it changes by itself.
//!
//! The tree is worked out by the [`oracle`](crate::oracle) from the log up to that time, so it is
//! also the means to understand a difference that is in doubt.

use std::sync::Arc;

use crate::catalog::{Edit, Timeline};
use crate::explained::of_rule;
pub use crate::explained::{Explanation, Node};
use crate::model::{EventTime, UserKey};
use crate::oracle::Log;
use crate::oracle::applied::{Applied, applied};
use crate::oracle::definitions::Definitions;
use crate::oracle::facts::Facts;
use crate::oracle::life::lives;
use crate::rule::{Definition, Rule};

/// Explains the membership of a user in a segment at the end of a millisecond. Records and edits
/// later than that are left out of account, save that they made others late.
///
/// `None` if there is no such segment at that time.
pub fn explain(log: &Log<'_>, user: &str, segment: &str, at: EventTime) -> Option<Explanation> {
    let edits = log.timeline.edits.iter().filter(|edit| edit.time <= at).cloned().collect();
    let timeline = Timeline { initial: log.timeline.initial.clone(), edits };
    let definitions = Definitions::new(&timeline, log.retain);
    definitions.rule(segment, at)?;
    let mut records = applied(log).records;
    records.retain(|Applied { time, arrival }| *time <= at && *arrival.user == *user);
    let lives = lives(&records);
    let life = lives.iter().find(|life| life.covers(at));
    let facts = life.map(|life| Facts::new(user, life, &definitions, log.clock.granularity));
    let root = Rule::Segment(segment.into());
    let tree = Teller { definitions: &definitions, facts: facts.as_ref(), at }.node(&root);
    Some(Explanation {
        member: tree.truth,
        exists: facts.is_some(),
        at,
        next_change: tree.next,
        tree,
    })
}

/// How many users a definition has, counted in a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Users there are.
    pub users: u64,
    /// Users looked at.
    pub sampled: u64,
    /// Users of these who are in it.
    pub matches: u64,
}

/// Counts who is in a segment of this definition at the end of a millisecond, as if it had been in
/// force from the start: among users whose hash is not above the `share`, which follows the number
/// of users there are. Records and edits later than that are left out of account.
pub fn count_members(
    log: &Log<'_>,
    definition: &Arc<Definition>,
    at: EventTime,
    share: impl Fn(u64) -> u64,
) -> Count {
    let mut timeline = Timeline { initial: log.timeline.initial.clone(), edits: Vec::new() };
    timeline.initial.retain(|other| other.id != definition.id);
    timeline.initial.push(Arc::clone(definition));
    let is_other = |edit: &Edit| match edit {
        Edit::Put(other) => other.id != definition.id,
        Edit::Delete(id) => *id != definition.id,
    };
    let edits = log.timeline.edits.iter().filter(|it| it.time <= at && is_other(&it.edit));
    timeline.edits.extend(edits.cloned());
    let definitions = Definitions::new(&timeline, log.retain);
    let rule = Rule::Segment(definition.id.clone());
    let mut records = applied(log);
    records.records.retain(|record| record.time <= at);
    let users = records.by_user().into_iter().filter_map(|(user, records)| {
        let life = lives(&records).into_iter().find(|life| life.covers(at))?;
        Some((user, life))
    });
    let users: Vec<_> = users.collect();
    let mut count = Count { users: users.len() as u64, ..Count::default() };
    let share = share(count.users);
    for (user, life) in users.iter().filter(|(user, _)| UserKey::of(user).bucket() <= share) {
        let facts = Facts::new(user, life, &definitions, log.clock.granularity);
        count.sampled += 1;
        count.matches += u64::from(facts.at(at).holds(&rule));
    }
    count
}

/// What nodes are told from.
struct Teller<'t, 'a> {
    definitions: &'t Definitions<'a>,
    facts: Option<&'t Facts<'a>>,
    at: EventTime,
}

impl Teller<'_, '_> {
    fn node(&self, rule: &Rule) -> Node {
        let finding = self.facts.map(|facts| facts.at(self.at).finding(rule));
        let truth = finding.as_ref().is_some_and(|finding| finding.truth);
        let children = match rule {
            Rule::All(rules) | Rule::Any(rules) => {
                rules.iter().map(|rule| self.node(rule)).collect()
            }
            Rule::Not(rule) => vec![self.node(rule)],
            Rule::Segment(id) => {
                let referred = self.definitions.rule(id, self.at);
                referred.map(|rule| self.node(rule)).into_iter().collect()
            }
            _ => Vec::new(),
        };
        Node {
            what: of_rule(rule),
            mismatch: finding.as_ref().is_some_and(|finding| finding.mismatch),
            value: finding.and_then(|finding| finding.value),
            truth,
            next: self.next(rule, truth),
            children,
        }
    }

    /// The first instant to come at which the rule's truth is another.
    fn next(&self, rule: &Rule, truth: bool) -> Option<EventTime> {
        let facts = self.facts?;
        let to_come = facts.instants().iter().filter(|instant| **instant > self.at);
        to_come.copied().find(|instant| facts.at(*instant).holds(rule) != truth)
    }
}

#[cfg(test)]
mod tests;
