//! How far back the answers of a rule that is saved see.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FactKind, Plan, Subject};
use crate::model::time::leave_time;
use crate::model::{Duration, EventTime};
use crate::rule::{Definition, Rule};

/// From when on a definition sees, and from when on its answers are exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The segment.
    pub segment: Arc<str>,
    /// Events later than this count; `EventTime::MIN`: all, or none are asked for.
    pub from: EventTime,
    /// From when on it is as if all had always counted; `EventTime::MAX`: never.
    pub complete_from: EventTime,
}

impl Plan {
    /// How far a definition will see that is about to be prepared, where what nobody has asked so
    /// far begins at `from`. Windows longer than a day leave at multiples of `granularity`.
    pub fn sight(&self, definition: &Definition, from: EventTime, granularity: Duration) -> Sight {
        let segment = definition.id.clone();
        let mut sight = Sight { segment, from: EventTime::MIN, complete_from: EventTime::MIN };
        definition.rule.walk(&mut |rule| {
            let Some((since, span)) = self.seen_since(rule, from) else { return };
            let complete = match span {
                _ if since == EventTime::MIN => EventTime::MIN,
                Some((within, window)) => {
                    leave_time(since.saturating_add(within.ms()), window, granularity)
                }
                None => EventTime::MAX,
            };
            sight.from = sight.from.max(since);
            sight.complete_from = sight.complete_from.max(complete);
        });
        sight
    }

    /// Since when a condition is asked, and for how long what was before matters: forever, if that
    /// is not said.
    fn seen_since(
        &self,
        rule: &Rule,
        from: EventTime,
    ) -> Option<(EventTime, Option<(Duration, Duration)>)> {
        let since = |subject: &Subject| {
            let fact = self.fact_ids.get(subject).and_then(|id| self.fact(*id));
            fact.map_or(from, |fact| fact.from)
        };
        match rule {
            Rule::Aggregate(condition) => {
                let window = condition.window.map(|window| (Duration::default(), window));
                Some((since(&self.aggregate_subject(condition)), window))
            }
            Rule::Sequence(condition) => {
                let span = (condition.within, condition.window);
                Some((since(&self.sequence_subject(condition)), Some(span)))
            }
            Rule::Attribute(condition) => {
                let held = condition.held?;
                let id = self.fact_ids.get(&Subject::Attribute(condition.path.clone()));
                let kind = id.and_then(|id| self.fact(*id)).map(|fact| &fact.kind);
                let is_known = matches!(kind, Some(FactKind::Attribute { holding: 1.., .. }));
                (!is_known).then_some((from, Some((Duration::default(), held))))
            }
            _ => None,
        }
    }
}
