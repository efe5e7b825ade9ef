//! What is kept already of what a rule asks that is not in force: looked up, and never added.

use smallvec::SmallVec;

use super::{Fact, FactId, FactKind, Plan, Reader, Subject};
use crate::model::{EventTime, StreamId};
use crate::operators::window::Aggregate;
use crate::rule::{AggregateCondition, AttributeCondition, SequenceCondition};
use crate::streams::Stream;

/// Streams that are read, or `None` for one that is not.
pub type Known = SmallVec<[Option<StreamId>; 2]>;

impl Plan {
    /// The fact of an attribute of which it is known since when it is what it is.
    pub fn find_held(&self, condition: &AttributeCondition) -> Option<FactId> {
        let id = *self.fact_ids.get(&Subject::Attribute(condition.path.clone()))?;
        let kind = &self.fact(id)?.kind;
        matches!(kind, FactKind::Attribute { holding: 1.., .. }).then_some(id)
    }

    /// An aggregate over a stream that is read, and its fact, if some rule asks it.
    pub fn find_aggregate(
        &self,
        condition: &AggregateCondition,
    ) -> Option<(Aggregate, Option<(FactId, &Fact)>)> {
        let stream = self.streams.id(&Stream::of_aggregate(condition))?;
        let (measure, window) = (condition.measure.clone(), condition.window);
        let aggregate = Aggregate { stream, measure, window };
        let id = self.fact_ids.get(&Subject::Aggregate(aggregate.clone())).copied();
        Some((aggregate, id.and_then(|id| Some((id, self.fact(id)?)))))
    }

    /// The streams of a sequence, and its fact, if some rule asks it.
    pub fn find_sequence(&self, condition: &SequenceCondition) -> (Known, Option<(FactId, &Fact)>) {
        let stream = |step| self.streams.id(&Stream::of_step(step));
        let streams: Known = condition.steps.iter().map(stream).collect();
        let subject = || {
            let all = streams.iter().copied().collect::<Option<Vec<_>>>()?;
            Some(Subject::Sequence(all, condition.within, condition.window))
        };
        let id = subject().and_then(|subject| self.fact_ids.get(&subject).copied());
        let fact = id.and_then(|id| Some((id, self.fact(id)?)));
        (streams, fact)
    }

    /// All events of a stream that are later than this are held, as of `now`, for one window or
    /// another; `now`, if none are.
    pub fn held_after(&self, stream: StreamId, now: EventTime) -> EventTime {
        let windows = self.stream_readers(stream).iter().filter_map(|reader| {
            let Reader::Aggregate(id) = *reader else { return None };
            let fact = self.fact(id)?;
            let (FactKind::Number { aggregate, .. } | FactKind::Value { aggregate }) = &fact.kind
            else {
                return None;
            };
            Some(fact.from.max(now.saturating_sub(aggregate.window?.ms())))
        });
        windows.min().unwrap_or(now)
    }
}
