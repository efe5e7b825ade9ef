//! What else must be so in a rule for a comparison to matter there, and which comparisons tell a
//! new user apart from one of whom nothing is known.
//!
//! In `AND(a, b)` a change of `a` matters only where `b` holds; in `OR(a, b)` only where it does
//! not. Followed up from a comparison to the top of its rule that gives *guards*: comparisons of
//! other facts, any of which can rule the place out. They are chosen by how seldom they let pass.

use super::code::Leaf;
use super::places::GUARDS;
use crate::operators::plan::{ConditionId, Expression, FactId};
use crate::operators::pool::ValueId;

/// What must be known of conditions to compile rules over them.
pub trait Sensitive {
    /// The leaves that all hold iff the condition does.
    fn leaves(&self, condition: ConditionId) -> &[Leaf];
    /// The texts it compares with.
    fn constants(&self, condition: ConditionId) -> &[ValueId];
    /// The fact it compares.
    fn fact(&self, condition: ConditionId) -> Option<FactId>;
    /// How likely it is to hold, roughly.
    fn likely(&self, condition: ConditionId) -> f32;
    /// Whether it holds of a user of whom nothing is known.
    fn by_default(&self, condition: ConditionId) -> bool;
}

/// How many siblings are looked at for guards: a rule may list thousands.
const SIBLINGS: usize = 32;

/// How likely a rule is to hold, as if its parts had nothing to do with one another.
pub(super) fn likelihood(rule: &Expression, leaves: &impl Sensitive) -> f32 {
    match rule {
        Expression::All(parts) => parts.iter().map(|part| likelihood(part, leaves)).product(),
        Expression::Any(parts) => {
            1.0 - parts.iter().map(|part| 1.0 - likelihood(part, leaves)).product::<f32>()
        }
        Expression::Not(part) => 1.0 - likelihood(part, leaves),
        Expression::Condition(id) => leaves.likely(*id),
        Expression::Everyone => 1.0,
        Expression::Members(_) => 0.01,
        Expression::Sample(sample) => sample.size as f32 / 1_000_000.0,
    }
}

/// What a rule costs to ask, in quick comparisons.
pub(super) fn cost(rule: &Expression, leaves: &impl Sensitive) -> f32 {
    match rule {
        Expression::All(parts) | Expression::Any(parts) => {
            parts.iter().map(|part| cost(part, leaves)).sum()
        }
        Expression::Not(part) => cost(part, leaves),
        Expression::Condition(id) => {
            leaves.leaves(*id).iter().map(|leaf| if leaf.is_quick() { 1.0 } else { 10.0 }).sum()
        }
        Expression::Everyone => 0.0,
        Expression::Members(_) | Expression::Sample(_) => 5.0,
    }
}

/// A guard, and how likely it lets pass.
type Guard = (f32, Leaf, FactId);

/// The guards of every place of every condition in a rule.
pub fn place_guards(
    rule: &Expression,
    leaves: &impl Sensitive,
    mut each: impl FnMut(ConditionId, [Leaf; GUARDS]),
) {
    descend(rule, leaves, &mut Vec::new(), &mut each);
}

fn descend(
    rule: &Expression,
    leaves: &impl Sensitive,
    guards: &mut Vec<Guard>,
    each: &mut impl FnMut(ConditionId, [Leaf; GUARDS]),
) {
    match rule {
        Expression::Condition(id) => each(*id, best(guards, leaves.fact(*id))),
        Expression::Not(part) => descend(part, leaves, guards, each),
        Expression::All(parts) | Expression::Any(parts) => {
            let wanted = matches!(rule, Expression::All(_));
            for (place, part) in parts.iter().enumerate() {
                let known = guards.len();
                let siblings = parts.iter().enumerate().filter(|(other, _)| *other != place);
                for (_, sibling) in siblings.take(SIBLINGS) {
                    necessary(sibling, wanted, leaves, guards);
                }
                descend(part, leaves, guards, each);
                guards.truncate(known);
            }
        }
        Expression::Everyone | Expression::Members(_) | Expression::Sample(_) => {}
    }
}

/// Single leaves that must have a certain truth for the rule to have this one.
fn necessary(rule: &Expression, wanted: bool, leaves: &impl Sensitive, into: &mut Vec<Guard>) {
    match rule {
        Expression::All(parts) if wanted => {
            parts.iter().take(SIBLINGS).for_each(|part| necessary(part, true, leaves, into));
        }
        Expression::Any(parts) if !wanted => {
            parts.iter().take(SIBLINGS).for_each(|part| necessary(part, false, leaves, into));
        }
        Expression::Not(part) => necessary(part, !wanted, leaves, into),
        Expression::Condition(id) => {
            let (all, Some(fact)) = (leaves.leaves(*id), leaves.fact(*id)) else { return };
            let likely = leaves.likely(*id);
            let passes = if wanted { likely } else { 1.0 - likely };
            match all {
                // What only may hold lets pass more than it must, never less.
                all if wanted => {
                    let passes = passes.powf(1.0 / all.len().max(1) as f32);
                    let sure =
                        |leaf: &&Leaf| leaf.is_quick() && !(leaf.is_maybe() && leaf.is_inverted());
                    into.extend(all.iter().filter(sure).map(|leaf| (passes, *leaf, fact)));
                }
                [leaf] if leaf.is_quick() && !leaf.is_maybe() => {
                    into.push((passes, leaf.inverted(), fact));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Those that let pass least, of other facts than this one, the most seldom first.
fn best(guards: &[Guard], but: Option<FactId>) -> [Leaf; GUARDS] {
    let mut ordered: Vec<&Guard> = guards.iter().filter(|guard| Some(guard.2) != but).collect();
    ordered.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut best = [Leaf::ALWAYS; GUARDS];
    let mut chosen = 0;
    for (_, leaf, _) in ordered {
        if chosen == GUARDS {
            break;
        }
        if !best.contains(leaf) {
            best[chosen] = *leaf;
            chosen += 1;
        }
    }
    best
}

/// Conditions such that a user is in or out as one of whom nothing is known unless one of them is
/// not as it is by default; how likely one is not. `None`: it depends on who the user is.
pub fn cover(rule: &Expression, leaves: &impl Sensitive) -> Option<(f32, Vec<ConditionId>)> {
    match rule {
        Expression::Everyone => Some((0.0, Vec::new())),
        Expression::Members(_) | Expression::Sample(_) => None,
        Expression::Not(part) => cover(part, leaves),
        Expression::Condition(id) => {
            let likely = leaves.likely(*id);
            Some((if leaves.by_default(*id) { 1.0 - likely } else { likely }, vec![*id]))
        }
        Expression::All(parts) | Expression::Any(parts) => {
            // One part that decides the matter is enough; without one, all are needed.
            let decides = matches!(rule, Expression::Any(_));
            let deciding: Vec<&Expression> =
                parts.iter().filter(|part| by_default(part, leaves) == Some(decides)).collect();
            let covers = deciding.iter().filter_map(|part| cover(part, leaves));
            if let Some(least) = covers.min_by(|left, right| left.0.total_cmp(&right.0)) {
                return Some(least);
            }
            let all: Option<Vec<_>> = parts.iter().map(|part| cover(part, leaves)).collect();
            let all = all?.into_iter();
            Some(all.fold((0.0, Vec::new()), |(likely, mut ids), (also, more)| {
                ids.extend(more);
                (likely + also, ids)
            }))
        }
    }
}

/// Whether a user of whom nothing is known is in; `None`: it depends on who the user is.
pub fn by_default(rule: &Expression, leaves: &impl Sensitive) -> Option<bool> {
    match rule {
        Expression::Everyone => Some(true),
        Expression::Members(_) | Expression::Sample(_) => None,
        Expression::Not(part) => by_default(part, leaves).map(|holds| !holds),
        Expression::Condition(id) => Some(leaves.by_default(*id)),
        Expression::All(parts) | Expression::Any(parts) => {
            let decides = matches!(rule, Expression::Any(_));
            let mut known = Some(!decides);
            for part in parts {
                match by_default(part, leaves) {
                    Some(holds) if holds == decides => return Some(decides),
                    Some(_) => {}
                    None => known = None,
                }
            }
            known
        }
    }
}

/// Guards of the places of a rule's cover: what else must be so for a user not to be as by default.
pub fn cover_guards(
    rule: &Expression,
    default: bool,
    leaves: &impl Sensitive,
    of: ConditionId,
) -> [Leaf; GUARDS] {
    let mut guards = Vec::new();
    necessary(rule, !default, leaves, &mut guards);
    guards.retain(|(_, leaf, _)| leaf.condition() != of);
    best(&guards, None)
}

/// What is left of a rule to be asked where these guards have let pass, if they are part of it.
pub fn beyond(rule: &Expression, guards: &[Leaf], leaves: &impl Sensitive) -> Option<Expression> {
    let Expression::All(parts) = rule else { return None };
    let is_sure = |leaf: Leaf| !leaf.is_maybe() && guards.contains(&leaf);
    let is_known = |part: &Expression| match part {
        Expression::Condition(id) => {
            let own = leaves.leaves(*id);
            !own.is_empty() && own.iter().all(|leaf| is_sure(*leaf))
        }
        Expression::Not(part) => match &**part {
            Expression::Condition(id) => {
                leaves.leaves(*id).iter().any(|leaf| is_sure(leaf.inverted()))
            }
            _ => false,
        },
        _ => false,
    };
    let rest: Box<[Expression]> = parts.iter().filter(|part| !is_known(part)).cloned().collect();
    (rest.len() < parts.len()).then_some(Expression::All(rest))
}
