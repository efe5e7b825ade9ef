//! Whether a user is in a node, as of the instant.

use super::Context;
use crate::model::record::sample_place;
use crate::operators::matching::{Asked, Codes, Leaf, Programs};
use crate::operators::plan::{Check, Condition, Expression, FactId, FactKind, NodeId};
use crate::operators::pool::Pool;
use crate::operators::users::{State, StateKind, User};
use crate::operators::window::{Aggregate, Aggregated, blank};

/// A user as programs see them: the codes may be behind the user's attributes, step by step.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) context: Context<'a>,
    pub(super) codes: &'a Codes,
    pub(super) pool: &'a Pool,
}

impl Seen<'_> {
    pub(super) fn node_holds(&self, user: &User, node: NodeId) -> bool {
        self.holds_by(self.context.plan.programs(), user, node)
    }

    /// The same of one who is new, where the guards of a cover have let pass.
    pub(super) fn node_holds_beyond(&self, user: &User, node: NodeId) -> bool {
        let beyond = self.context.plan.beyond_covers();
        if self.codes.are_wide() || !beyond.contains(node) {
            return self.node_holds(user, node);
        }
        self.holds_by(beyond, user, node)
    }

    #[inline]
    fn holds_by(&self, programs: &Programs, user: &User, node: NodeId) -> bool {
        programs.holds(node, self.codes, |asked| match asked {
            Asked::Leaf(leaf) => self.leaf_holds(user, leaf),
            Asked::Person(Expression::Members(names)) => {
                names.binary_search_by(|name| (**name).cmp(user.name.text())).is_ok()
            }
            Asked::Person(Expression::Sample(sample)) => {
                let place = sample_place(&sample.key, user.name.text());
                (sample.from..sample.from + sample.size).contains(&place)
            }
            Asked::Person(_) => false,
        })
    }

    /// What a code alone does not tell.
    pub(super) fn leaf_holds(&self, user: &User, leaf: Leaf) -> bool {
        let Some(condition) = self.context.plan.condition(leaf.condition()) else { return false };
        let Some(column) = condition.column else {
            return self.context.condition_holds(user, condition, self.pool);
        };
        let Check::Value(test) = &condition.check else { return false };
        test.holds(self.codes.cell(column).value(self.pool).as_ref()).holds()
    }
}

impl Context<'_> {
    /// What depends on more than the present value of an attribute.
    fn condition_holds(&self, user: &User, condition: &Condition, pool: &Pool) -> bool {
        let Some(fact) = self.plan.fact(condition.fact) else { return false };
        match (&fact.kind, &condition.check) {
            (FactKind::Attribute { path, .. }, Check::Value(test)) => {
                let long_enough = || match (condition.held, self.held_since(user, condition.fact)) {
                    (Some(held), Some(since)) => since + held.ms() <= self.at,
                    (held, _) => held.is_none(),
                };
                let value = user.attributes.at(path, pool);
                test.holds_at(value.as_ref(), self.at).holds() && long_enough()
            }
            (FactKind::Number { aggregate, .. }, Check::Number(test)) => {
                match aggregated(user, condition.fact, aggregate) {
                    Aggregated::Quantity(quantity) => test.holds(Some(quantity)),
                    _ => test.holds(None),
                }
            }
            (FactKind::Value { aggregate }, Check::Value(test)) => {
                match aggregated(user, condition.fact, aggregate) {
                    Aggregated::Value(value) => test.holds(Some(&value)).holds(),
                    _ => test.holds(None).holds(),
                }
            }
            (FactKind::Sequence(bounds), _) => match user.state(condition.fact) {
                Some(State { kind: StateKind::Sequence(progress), .. }) => {
                    progress.holds(bounds, self.at)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// The value of an aggregate, as of the last look.
pub(super) fn aggregated(user: &User, id: FactId, aggregate: &Aggregate) -> Aggregated {
    match user.state(id).map(|state| &state.kind) {
        Some(StateKind::Window(window)) => match user.log(aggregate.stream) {
            Some(log) => window.value(aggregate, log),
            None => blank(&aggregate.measure),
        },
        Some(StateKind::Total(total)) => total.value(aggregate),
        _ => blank(&aggregate.measure),
    }
}
