//! Nodes a user is in about whom nothing is known.

use super::{Check, ConditionId, Expression, FactKind, Plan};
use crate::operators::window::{Aggregated, blank};

impl Plan {
    pub(super) fn holds_by_default(&self, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.holds_by_default(part)),
            Expression::Any(parts) => parts.iter().any(|part| self.holds_by_default(part)),
            Expression::Not(part) => !self.holds_by_default(part),
            Expression::Condition(id) => self.condition_by_default(*id),
            Expression::Everyone => true,
            Expression::Members(_) | Expression::Sample(_) => false,
        }
    }

    fn condition_by_default(&self, id: ConditionId) -> bool {
        let Some(condition) = self.condition(id) else { return false };
        let aggregate = self.fact(condition.fact).and_then(|fact| match &fact.kind {
            FactKind::Number { aggregate, .. } => Some(aggregate),
            _ => None,
        });
        match &condition.check {
            Check::Value(test) => condition.held.is_none() && test.holds(None).holds(),
            Check::Number(test) => match aggregate.map(|it| blank(&it.measure)) {
                Some(Aggregated::Quantity(quantity)) => test.holds(Some(quantity)),
                _ => test.holds(None),
            },
            Check::Holds => false,
        }
    }
}

/// Whether a rule depends on who the user is.
pub(super) fn is_personal(expression: &Expression) -> bool {
    match expression {
        Expression::All(parts) | Expression::Any(parts) => parts.iter().any(is_personal),
        Expression::Not(part) => is_personal(part),
        Expression::Members(_) | Expression::Sample(_) => true,
        Expression::Condition(_) | Expression::Everyone => false,
    }
}
