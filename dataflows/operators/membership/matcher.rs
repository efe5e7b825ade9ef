//! The nodes of one user that a change flips.
//!
//! Conditions that depend on more than present attributes (windows, sequences, time) change first,
//! all at once; then attribute by attribute, each a step from the old code to the new. A guard is
//! of another fact than the comparison it stands beside, so within a step it does not change, and
//! what it rules out stays as it was. A node may flip in one step and back in another: what counts
//! is where it ends.

use super::Context;
use super::compare::Before;
use super::evaluate::Seen;
use crate::model::Value;
use crate::operators::cell::Cell;
use crate::operators::matching::{Code, Codes, Column, Patterns, Stretch};
use crate::operators::members::Members;
use crate::operators::plan::{ConditionId, Fact, FactId, FactKind, NodeId};
use crate::operators::pool::Pool;
use crate::operators::users::User;

/// Buffers used anew for every user.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    codes: Codes,
    /// Per node, the last step in which it was evaluated.
    evaluated: Vec<u64>,
    step: u64,
    /// Nodes that no guard rules out.
    found: Vec<NodeId>,
    /// Nodes as often as they flipped.
    flipped: Vec<NodeId>,
}

/// How a node is looked at; says whether the user's membership is not what it was.
trait Turn: Fn(Seen<'_>, &mut User, NodeId) -> bool + Copy {}
impl<F: Fn(Seen<'_>, &mut User, NodeId) -> bool + Copy> Turn for F {}

/// The user is moved: what follows goes by it.
fn turn(seen: Seen<'_>, user: &mut User, node: NodeId) -> bool {
    let holds = seen.node_holds(user, node);
    user.set_member(node, holds)
}

/// The user is not moved yet.
fn note(seen: Seen<'_>, user: &mut User, node: NodeId) -> bool {
    seen.node_holds(user, node) != user.is_member(node)
}

/// The same where the guards of a cover have let pass.
fn note_beyond(seen: Seen<'_>, user: &mut User, node: NodeId) -> bool {
    seen.node_holds_beyond(user, node) != user.is_member(node)
}

impl Context<'_> {
    /// The present code of an attribute.
    pub(super) fn code_at(&self, user: &User, fact: &Fact, pool: &mut Pool) -> Code {
        let FactKind::Attribute { path, column, patterns, .. } = &fact.kind else {
            return Code::default();
        };
        let cell = if path.inner.is_none() {
            user.attributes.cell(path.whole).unwrap_or_default()
        } else {
            let value = user.attributes.at(path, pool).unwrap_or(Value::Null);
            let cell = Cell::new(&value, pool);
            cell.retire(pool);
            cell
        };
        patterns.code(*column, cell, pool)
    }
}

impl Matcher {
    /// The codes of a user's attributes.
    pub(super) fn load(&mut self, context: Context<'_>, user: &User, pool: &mut Pool) {
        let plan = context.plan;
        self.codes.clear(plan.columns());
        for (number, cell) in user.attributes.cells() {
            let Some(read) = plan.read(*number) else { continue };
            match *cell {
                Cell::Missing => {}
                cell if !read.patterned => self.codes.set(read.column, cell),
                cell => {
                    if let Some(fact) = plan.fact(read.fact)
                        && let FactKind::Attribute { column, patterns, .. } = &fact.kind
                    {
                        let code = patterns.code(*column, cell, pool);
                        self.set((*column, patterns), Code::default(), code);
                    }
                }
            }
        }
        for fact in plan.dotted().iter().filter_map(|id| plan.fact(*id)) {
            if let FactKind::Attribute { column, patterns, .. } = &fact.kind {
                let code = context.code_at(user, fact, pool);
                self.set((*column, patterns), Code::default(), code);
            }
        }
    }

    /// Puts a code into its column in place of an old one, and the truths of its patterns.
    fn set(&mut self, (column, patterns): (Column, &Patterns), old: Code, new: Code) {
        self.codes.set(column, new.cell);
        patterns.columns(old.truths & !new.truths).for_each(|it| self.codes.set_truth(it, false));
        patterns.columns(new.truths & !old.truths).for_each(|it| self.codes.set_truth(it, true));
    }

    /// The user whose codes are loaded, as programs see them.
    pub(super) fn seen<'a>(&'a self, context: Context<'a>, pool: &'a Pool) -> Seen<'a> {
        Seen { context, codes: &self.codes, pool }
    }

    /// Brings the membership of a user who existed before to what it is now. Gives back the nodes
    /// that flipped.
    pub(super) fn change(
        &mut self,
        context: Context<'_>,
        user: &mut User,
        touched: &[(FactId, Before)],
        conditions: &[ConditionId],
        pool: &mut Pool,
    ) -> &[NodeId] {
        self.flipped.clear();
        let old = |before: &Before| match before {
            Before::Code(old) => Some(*old),
            _ => None,
        };
        let coded = touched.iter().filter_map(|(id, before)| Some((*id, old(before)?)));
        if conditions.is_empty() && coded.clone().next().is_none() {
            return &self.flipped;
        }
        self.load(context, user, pool);
        self.evaluated.resize(context.plan.node_count(), 0);
        let mut steps = 0;
        let (mut news, plan) = (Vec::new(), context.plan);
        for (id, old) in coded {
            if let Some(fact) = plan.fact(id)
                && let FactKind::Attribute { column, patterns, .. } = &fact.kind
            {
                let new = context.code_at(user, fact, pool);
                self.set((*column, patterns), new, old);
                news.push((id, old, new));
            }
        }
        if !conditions.is_empty() {
            steps += 1;
            self.begin_step();
            let known = conditions.iter().filter_map(|id| plan.condition(*id));
            known.for_each(|it| self.look(it.places.all(), context, (user, turn), pool));
        }
        for (id, old, new) in news {
            if let Some(fact) = plan.fact(id)
                && let FactKind::Attribute { column, patterns, index, .. } = &fact.kind
                && old.cell != new.cell
            {
                steps += 1;
                self.begin_step();
                self.set((*column, patterns), old, new);
                index.between((old, new), patterns, pool, |places| {
                    self.look(places, context, (user, turn), pool);
                });
            }
        }
        if steps > 1 {
            self.cancel();
        }
        &self.flipped
    }

    /// Works out the membership of a user who is new, and is in by default where nothing speaks
    /// against it.
    pub(super) fn create(
        &mut self,
        context: Context<'_>,
        user: &mut User,
        touched: &[(FactId, Before)],
        conditions: &[ConditionId],
        pool: &mut Pool,
    ) {
        let plan = context.plan;
        self.flipped.clear();
        self.load(context, user, pool);
        self.evaluated.resize(plan.node_count(), 0);
        user.members = Members::of(plan.defaults());
        self.begin_step();
        for node in plan.personal() {
            self.evaluate(*node, context, (user, note), pool);
        }
        for condition in conditions.iter().filter_map(|id| plan.condition(*id)) {
            self.look(condition.places.all(), context, (user, note), pool);
        }
        for (id, _) in touched {
            if let Some(fact) = plan.fact(*id)
                && let FactKind::Attribute { patterns, covers, .. } = &fact.kind
            {
                let code = context.code_at(user, fact, pool);
                covers.between((Code::default(), code), patterns, pool, |places| {
                    self.look(places, context, (user, note_beyond), pool);
                });
            }
        }
        // Looked at once each: all together, in order, is cheaper than one by one.
        self.flipped.sort_unstable();
        user.members.flip(&self.flipped);
    }

    fn begin_step(&mut self) {
        self.step += 1;
    }

    fn look(
        &mut self,
        places: Stretch<'_>,
        context: Context<'_>,
        (user, turn): (&mut User, impl Turn),
        pool: &Pool,
    ) {
        self.found.clear();
        places.for_each(&self.codes, |node| self.found.push(node));
        for at in 0..self.found.len() {
            self.evaluate(self.found[at], context, (user, turn), pool);
        }
    }

    fn evaluate(
        &mut self,
        node: NodeId,
        context: Context<'_>,
        (user, turn): (&mut User, impl Turn),
        pool: &Pool,
    ) {
        let evaluated = &mut self.evaluated[node.0 as usize];
        if std::mem::replace(evaluated, self.step) == self.step {
            return;
        }
        if turn(self.seen(context, pool), user, node) {
            self.flipped.push(node);
        }
    }

    /// Leaves the nodes that flipped an odd number of times, once each.
    fn cancel(&mut self) {
        self.flipped.sort_unstable();
        let mut kept = 0;
        let mut from = 0;
        while let Some(node) = self.flipped.get(from).copied() {
            let times = self.flipped[from..].iter().take_while(|other| **other == node).count();
            from += times;
            if times % 2 == 1 {
                self.flipped[kept] = node;
                kept += 1;
            }
        }
        self.flipped.truncate(kept);
    }
}
