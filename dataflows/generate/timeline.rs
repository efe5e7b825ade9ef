//! Random definitions, and changes to them that would be accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::Rules;
use super::{Dice, Scene};
use crate::catalog::{Edit, TimedEdit, Timeline};
use crate::model::EventTime;
use crate::model::time::MAX_TIME;
use crate::rule::{Definition, Rule};

/// Names of segments, some of which sort oddly or have to be quoted.
const SEGMENTS: [&str; 10] = ["s1", "s2", "s10", "B", "a", "é", "s 3", "vip", "7", "z.9"];
/// How deep rules nest: mostly not much, or hardly anyone would be in any segment.
const DEPTHS: [u32; 6] = [0, 0, 1, 1, 2, 3];

/// The segments in force while a timeline is made.
struct InForce(BTreeMap<Arc<str>, Rule>);

impl InForce {
    fn ids(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// Whether the first is the second or refers to it, in however many steps.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let further = |rule: &Rule| rule.references().iter().any(|id| self.reaches(id, to));
        from == to || self.0.get(from).is_some_and(further)
    }

    /// The segments that the one named so may refer to without a cycle.
    fn may_refer(&self, id: &str) -> Vec<Arc<str>> {
        self.ids().into_iter().filter(|other| !self.reaches(other, id)).collect()
    }

    fn is_referred_to(&self, id: &str) -> bool {
        self.0.values().any(|rule| rule.references().iter().any(|named| ***named == *id))
    }
}

/// The definitions of a case.
pub(super) fn timeline(dice: &mut Dice, scene: &Scene) -> Timeline {
    let mut rules = Rules::new(scene);
    let mut in_force = InForce(BTreeMap::new());
    let some = dice.index(6) + 2;
    let chained = dice.chance(30);
    let mut last: Option<Arc<str>> = None;
    for id in SEGMENTS.into_iter().take(some).map(Arc::<str>::from) {
        let depth = dice.pick(&DEPTHS);
        let rule = rules.rule(dice, depth, &in_force.ids());
        let rule = match last.take().filter(|_| chained) {
            Some(last) => on_top(dice, Rule::Segment(last), rule),
            None => rule,
        };
        in_force.0.insert(Arc::clone(&id), rule);
        last = Some(id);
    }
    let mut initial: Vec<_> = in_force.0.iter().map(|(id, rule)| definition(id, rule)).collect();
    let turn = dice.index(initial.len());
    initial.rotate_left(turn); // what refers may come before what it refers to
    let edits = edits(dice, scene, &mut rules, &mut in_force);
    Timeline { initial, edits }
}

fn definition(id: &Arc<str>, rule: &Rule) -> Arc<Definition> {
    let id = Arc::clone(id);
    Arc::new(Definition { id, name: None, description: None, rule: rule.clone() })
}

/// A rule that is decided by both.
fn on_top(dice: &mut Dice, below: Rule, rule: Rule) -> Rule {
    match dice.below(4) {
        0 => Rule::Not(Box::new(below)),
        1 => Rule::Any(vec![below, rule]),
        2 => Rule::All(vec![rule, Rule::Not(Box::new(below))]),
        _ => Rule::All(vec![below, rule]),
    }
}

fn edits(
    dice: &mut Dice,
    scene: &Scene,
    rules: &mut Rules<'_>,
    in_force: &mut InForce,
) -> Vec<TimedEdit> {
    let some = dice.pick(&[0, 0, 1, 2, 3, 4, 6, 8]);
    let mut times: Vec<EventTime> = (0..some).map(|_| edit_time(dice, scene)).collect();
    times.sort_unstable();
    times
        .into_iter()
        .map(|time| TimedEdit { time, from: None, saved: None, edit: edit(dice, rules, in_force) })
        .collect()
}

/// Mostly the time of records, or beside it, or when windows empty, or beyond both ends.
fn edit_time(dice: &mut Dice, scene: &Scene) -> EventTime {
    let time = scene.time(dice);
    let edited = match dice.below(10) {
        0 => time + dice.between(-1, 1),
        1 => time + scene.duration(dice).ms(),
        2 => time - 20 * scene.step_ms,
        _ => time,
    };
    edited.min(MAX_TIME)
}

fn edit(dice: &mut Dice, rules: &mut Rules<'_>, in_force: &mut InForce) -> Edit {
    let ids = in_force.ids();
    let free: Vec<_> = ids.iter().filter(|id| !in_force.is_referred_to(id)).collect();
    if ids.len() > 1 && dice.chance(30) && !free.is_empty() {
        let id = Arc::clone(dice.pick(&free));
        in_force.0.remove(&id);
        return Edit::Delete(id);
    }
    let id = Arc::<str>::from(dice.pick(&SEGMENTS));
    let may_refer = in_force.may_refer(&id);
    let depth = dice.pick(&DEPTHS);
    let made = rules.rule(dice, depth, &may_refer);
    let rule = match in_force.0.get(&id) {
        Some(old) if dice.chance(10) => old.clone(), // the same once more
        Some(old) if dice.chance(25) => on_top(dice, old.clone(), made),
        _ => made,
    };
    let put = definition(&id, &rule);
    in_force.0.insert(id, rule);
    Edit::Put(put)
}
