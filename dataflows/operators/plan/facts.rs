//! Facts: equal ones are one, kept as long as a condition or a definition to come needs it.

use std::sync::Arc;

use super::{Edited, Fact, FactId, FactKind, Plan, Read, Reader, Subject, index};
use crate::codec::fingerprint;
use crate::model::{EventTime, StreamId};
use crate::operators::attributes::AttributePath;
use crate::operators::matching::{Column, Cuts, Patterns, ValueIndex};
use crate::operators::sequence::Bounds;
use crate::operators::store::{AttributeNumber, Store};
use crate::operators::window::Aggregate;
use crate::rule::{AggregateCondition, Measure, Rule, SequenceCondition};
use crate::streams::Stream;

impl Plan {
    /// Makes known the streams that a rule asks for.
    pub fn ask_for(&mut self, rule: &Rule) {
        if !self.streams.know(rule) {
            Arc::make_mut(&mut self.streams).add_rule(rule);
            self.stream_readers.resize(self.streams.len(), Vec::new());
        }
    }

    pub(super) fn aggregate_subject(&self, condition: &AggregateCondition) -> Subject {
        Subject::Aggregate(Aggregate {
            stream: self.stream(&Stream::of_aggregate(condition)),
            measure: condition.measure.clone(),
            window: condition.window,
        })
    }

    pub(super) fn sequence_subject(&self, condition: &SequenceCondition) -> Subject {
        let steps = condition.steps.iter().map(|step| self.stream(&Stream::of_step(step)));
        Subject::Sequence(steps.collect(), condition.within, condition.window)
    }

    pub(super) fn stream(&self, stream: &Stream) -> StreamId {
        self.streams.id(stream).expect("every stream of a definition is known before it is put")
    }

    pub(super) fn fact_of(
        &mut self,
        subject: Subject,
        from: EventTime,
        store: &mut Store,
    ) -> FactId {
        if let Some(id) = self.fact_ids.get(&subject) {
            return *id;
        }
        let id = FactId(index(self.facts.len()));
        let kind = match &subject {
            Subject::Attribute(path) => {
                let path = AttributePath::new(path, store);
                for number in path.numbers() {
                    self.attribute_readers_of(number).push(id);
                }
                let column = Column(index(self.columns));
                assert!(self.columns < Column::LIMIT, "rules read fewer attributes than 2^24");
                self.columns += 1;
                if path.inner.is_some() {
                    self.dotted.push(id);
                } else {
                    *self.read_of(path.whole) = Some(Read { column, fact: id, patterned: false });
                }
                FactKind::Attribute {
                    path,
                    column,
                    patterns: Patterns::default(),
                    index: ValueIndex::default(),
                    covers: ValueIndex::default(),
                    timed: Vec::new(),
                    holding: 0,
                    suspect_kinds: 0,
                }
            }
            Subject::Aggregate(aggregate) => {
                self.readers_of(aggregate.stream).push(Reader::Aggregate(id));
                self.longest_window = self.longest_window.max(aggregate.window.unwrap_or_default());
                let aggregate = aggregate.clone();
                match aggregate.measure {
                    Measure::First(_) | Measure::Last(_) => FactKind::Value { aggregate },
                    _ => FactKind::Number { aggregate, cuts: Cuts::default() },
                }
            }
            Subject::Sequence(steps, within, window) => {
                for (step, stream) in steps.iter().enumerate() {
                    self.readers_of(*stream).push(Reader::Step(id, step));
                }
                FactKind::Sequence(Bounds { steps: steps.len(), within: *within, window: *window })
            }
        };
        let fact = Fact {
            kind,
            conditions: Vec::new(),
            from,
            fingerprint: self.fingerprint(&subject),
            uses: 0,
            subject: subject.clone(),
        };
        self.facts.push(Some(fact));
        self.fact_ids.insert(subject, id);
        id
    }

    /// What stands for a subject in any run: streams go by their own.
    fn fingerprint(&self, subject: &Subject) -> u64 {
        let stream = |id: &StreamId| self.streams.fingerprint(*id);
        match subject {
            Subject::Attribute(path) => fingerprint(&("attribute", path)),
            Subject::Aggregate(Aggregate { stream: id, measure, window }) => {
                fingerprint(&("aggregate", stream(id), measure, window))
            }
            Subject::Sequence(steps, within, window) => {
                let steps: Vec<u64> = steps.iter().map(stream).collect();
                fingerprint(&("sequence", steps, within, window))
            }
        }
    }

    pub(super) fn read_of(&mut self, number: AttributeNumber) -> &mut Option<Read> {
        let place = number.0 as usize;
        if self.reads.len() <= place {
            self.reads.resize(place + 1, None);
        }
        &mut self.reads[place]
    }

    fn attribute_readers_of(&mut self, number: AttributeNumber) -> &mut Vec<FactId> {
        let place = number.0 as usize;
        if self.attribute_readers.len() <= place {
            self.attribute_readers.resize_with(place + 1, Vec::new);
        }
        &mut self.attribute_readers[place]
    }

    fn readers_of(&mut self, stream: StreamId) -> &mut Vec<Reader> {
        self.stream_readers.get_mut(stream.0 as usize).expect("a stream id names a known stream")
    }

    pub(super) fn use_fact(&mut self, id: FactId, holds: bool, edited: &mut Edited) {
        if let Some(fact) = self.facts.get_mut(id.0 as usize).and_then(Option::as_mut) {
            fact.uses += 1;
            if let FactKind::Attribute { holding, .. } = &mut fact.kind {
                if holds && *holding == 0 {
                    edited.holding.push(id);
                }
                *holding += u32::from(holds);
            }
        }
    }

    pub(super) fn release_fact(&mut self, id: FactId, held: bool, edited: &mut Edited) {
        let Some(slot) = self.facts.get_mut(id.0 as usize) else { return };
        let Some(fact) = slot else { return };
        fact.uses -= 1;
        if let FactKind::Attribute { holding, .. } = &mut fact.kind {
            *holding -= u32::from(held);
            if held && *holding == 0 {
                edited.unheld.push(id);
            }
        }
        if fact.uses > 0 {
            return;
        }
        let Some(fact) = slot.take() else { return };
        self.fact_ids.remove(&fact.subject);
        match &fact.kind {
            FactKind::Attribute { path, .. } => {
                for number in path.numbers() {
                    self.attribute_readers_of(number).retain(|reader| *reader != id);
                }
                if path.inner.is_none() {
                    *self.read_of(path.whole) = None;
                }
                self.dotted.retain(|other| *other != id);
            }
            _ => {
                for readers in &mut self.stream_readers {
                    readers.retain(|reader| match reader {
                        Reader::Aggregate(fact) | Reader::Step(fact, _) => *fact != id,
                    });
                }
            }
        }
        edited.dropped.push(id);
    }
}
