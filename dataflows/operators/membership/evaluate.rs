//! Whether a user is in a node, as of the instant.

use super::Context;
use crate::model::record::sample_place;
use crate::operators::plan::{Check, Condition, Expression, FactId, FactKind, NodeId};
use crate::operators::users::{State, StateKind, User};
use crate::operators::window::{Aggregate, Aggregated, blank};

impl Context<'_> {
    pub(super) fn node_holds(&self, user: &User, node: NodeId) -> bool {
        self.plan.node(node).expression.as_ref().is_some_and(|it| self.holds(user, it))
    }

    fn holds(&self, user: &User, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.holds(user, part)),
            Expression::Any(parts) => parts.iter().any(|part| self.holds(user, part)),
            Expression::Not(part) => !self.holds(user, part),
            Expression::Condition(id) => {
                self.plan.condition(*id).is_some_and(|it| self.condition_holds(user, it))
            }
            Expression::Everyone => true,
            Expression::Members(names) => names.binary_search(&user.name).is_ok(),
            Expression::Sample(sample) => {
                let place = sample_place(&sample.key, &user.name);
                (sample.from..sample.from + sample.size).contains(&place)
            }
        }
    }

    fn condition_holds(&self, user: &User, condition: &Condition) -> bool {
        let Some(fact) = self.plan.fact(condition.fact) else { return false };
        match (&fact.kind, &condition.check) {
            (FactKind::Attribute { path, .. }, Check::Value(test)) => {
                let long_enough = || match (condition.held, self.held_since(user, condition.fact)) {
                    (Some(held), Some(since)) => since + held.ms() <= self.at,
                    (held, _) => held.is_none(),
                };
                test.holds_at(user.attributes.at(path), self.at).holds() && long_enough()
            }
            (FactKind::Number { aggregate, .. }, Check::Number(test)) => {
                match aggregated(user, condition.fact, aggregate) {
                    Aggregated::Quantity(quantity) => test.holds(Some(quantity)),
                    _ => test.holds(None),
                }
            }
            (FactKind::Value { aggregate, .. }, Check::Value(test)) => {
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
