//! What comes of an instant: users who enter and leave segments and nodes, edges, counts.

use std::sync::Arc;

use super::question::Reply;
use super::tally::Tally;
use crate::model::{EventTime, Profile, Sign};
use crate::operators::checkpoint::Piece;
use crate::operators::plan::{Edge, NodeId, Plan, Sight};
use crate::operators::users::{Slot, User};

/// A user who entered or left a segment without references: the segment, the user, when, which.
pub type Entering = (Arc<str>, Arc<str>, EventTime, Sign);

/// A user who entered or left a node that gates count.
pub type Flip = ((NodeId, Slot), EventTime, isize);

/// What comes of an instant.
#[derive(Debug, Default)]
pub struct Changes {
    /// Users who entered or left segments without references.
    pub differences: Vec<Entering>,
    /// What attributes that outputs ask for have become, and when.
    pub profiles: Vec<(EventTime, Profile)>,
    /// Users who entered or left nodes that gates count.
    pub flips: Vec<Flip>,
    /// Edges that came and went.
    pub edges: Vec<(Edge, EventTime, isize)>,
    /// Definitions that have been worked out for all users of this worker.
    pub prepared: Vec<Sight>,
    /// What was said to questions.
    pub replies: Vec<Reply>,
    /// What a checkpoint adds to what is kept.
    pub pieces: Vec<Piece>,
    /// Who entered and left nodes whose members are noted.
    pub recorded: Vec<(NodeId, Slot, bool)>,
    /// What was counted.
    pub tally: Tally,
}

pub(super) fn leave_all(
    plan: &Plan,
    user: &mut User,
    slot: Slot,
    at: EventTime,
    changes: &mut Changes,
) {
    let left = std::mem::take(&mut user.members);
    if !left.is_empty() {
        user.name.share();
    }
    for node in left.iter() {
        emit(plan, user, slot, node, false, at, changes);
    }
}

pub(super) fn emit(
    plan: &Plan,
    user: &User,
    slot: Slot,
    node: NodeId,
    entered: bool,
    at: EventTime,
    changes: &mut Changes,
) {
    let known_as = plan.node(node).acts_for;
    let passed_on = known_as.is_some_and(|known_as| plan.node(known_as).feeds > 0);
    emit_to(plan, user, slot, node, entered, passed_on, at, changes);
}

/// Tells only those who count the members of a node that the user is in it.
pub(super) fn flip(plan: &Plan, slot: Slot, node: NodeId, at: EventTime, changes: &mut Changes) {
    if let Some(known_as) = plan.node(node).acts_for
        && plan.node(known_as).feeds > 0
    {
        changes.flips.push(((known_as, slot), at, 1));
    }
}

/// Tells that the user is in a segment, and nobody who counts.
pub(super) fn retell(plan: &Plan, user: &User, node: NodeId, at: EventTime, changes: &mut Changes) {
    let node = plan.node(node);
    if node.public {
        let (segment, name) = (node.segment.clone(), user.name.give());
        changes.differences.push((segment, name, at, Sign::Entered));
    }
}

#[expect(clippy::too_many_arguments, reason = "one difference, spelled out")]
pub(super) fn emit_to(
    plan: &Plan,
    user: &User,
    slot: Slot,
    node: NodeId,
    entered: bool,
    passed_on: bool,
    at: EventTime,
    changes: &mut Changes,
) {
    let sign = if entered { Sign::Entered } else { Sign::Left };
    let described = plan.node(node);
    if described.public {
        changes.differences.push((described.segment.clone(), user.name.give(), at, sign));
    }
    if let Some(known_as) = described.acts_for.filter(|_| passed_on) {
        changes.flips.push(((known_as, slot), at, isize::from(sign.diff())));
    }
    if described.recorded {
        changes.recorded.push((node, slot, entered));
    }
}
