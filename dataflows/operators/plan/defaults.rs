//! What holds of a user of whom nothing is known.

use super::{Check, ConditionId, FactKind, Plan};
use crate::operators::window::{Aggregated, blank};

impl Plan {
    pub(super) fn condition_by_default(&self, id: ConditionId) -> bool {
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
