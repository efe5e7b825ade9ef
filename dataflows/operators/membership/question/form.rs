//! A rule that is asked about, and those of the segments it refers to, each once: with where what
//! it asks is kept.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Question;
use crate::model::time::leave_time;
use crate::model::{Duration, EventTime};
use crate::operators::attributes::AttributePath;
use crate::operators::matching::NumberTest;
use crate::operators::membership::Membership;
use crate::operators::plan::{FactId, Known};
use crate::operators::sequence::Bounds;
use crate::operators::window::Aggregate;
use crate::rule::Rule;

/// A rule as it is asked about.
pub(super) struct Form<'a> {
    /// Children come before their parents.
    pub(super) parts: Vec<Part<'a>>,
    rules: HashMap<&'a str, &'a Rule>,
    /// Where the rule of a segment stands; `None` while it is being looked at.
    segments: HashMap<&'a str, Option<usize>>,
}

/// One condition of it.
pub(super) struct Part<'a> {
    pub(super) rule: &'a Rule,
    /// What it is made of; of a reference, the rule of that segment.
    pub(super) children: SmallVec<[usize; 4]>,
    pub(super) place: Place,
}

/// Where what a condition asks is kept.
pub(super) enum Place {
    /// It asks nothing that is kept.
    Nowhere,
    /// An attribute.
    Attribute {
        path: AttributePath,
        /// Where it is known since when it is what it is, if it is.
        held: Option<FactId>,
    },
    /// An aggregate.
    Aggregate {
        /// Over a stream; `None` if nobody reads it.
        aggregate: Option<Aggregate>,
        fact: Option<FactId>,
        /// Events later than this count.
        after: EventTime,
        /// From when on they would, if this were saved.
        saved_after: EventTime,
        test: NumberTest,
    },
    /// A sequence.
    Sequence {
        bounds: Bounds,
        streams: Known,
        fact: Option<FactId>,
        after: EventTime,
        saved_after: EventTime,
    },
}

impl<'a> Form<'a> {
    /// The rule of a question.
    pub(super) fn new(
        rule: &'a Rule,
        question: &'a Question,
        (state, at): (&Membership, EventTime),
    ) -> Self {
        let rules = question.definitions.iter().map(|it| (&*it.id, &it.rule)).collect();
        let mut form = Form { parts: Vec::new(), rules, segments: HashMap::new() };
        form.add(rule, (state, at));
        form
    }

    fn add(&mut self, rule: &'a Rule, with: (&Membership, EventTime)) -> usize {
        let children = match rule {
            Rule::All(rules) | Rule::Any(rules) => {
                rules.iter().map(|rule| self.add(rule, with)).collect()
            }
            Rule::Not(rule) => SmallVec::from_slice(&[self.add(rule, with)]),
            Rule::Segment(id) => self.segment(id, with).into_iter().collect(),
            _ => SmallVec::new(),
        };
        self.parts.push(Part { rule, children, place: Place::of(rule, with) });
        self.parts.len() - 1
    }

    fn segment(&mut self, id: &'a Arc<str>, with: (&Membership, EventTime)) -> Option<usize> {
        if let Some(known) = self.segments.get(&**id) {
            return *known;
        }
        let rule = *self.rules.get(&**id)?;
        self.segments.insert(id, None);
        let part = self.add(rule, with);
        self.segments.insert(id, Some(part));
        Some(part)
    }

    /// Events later than which are seen, and from when on the answers of a segment with this rule
    /// would be exact if it were saved now.
    pub(super) fn sight(&self, granularity: Duration, at: EventTime) -> (EventTime, EventTime) {
        let (mut sees_after, mut complete_from) = (EventTime::MIN, EventTime::MIN);
        for Part { rule, place, .. } in &self.parts {
            let Some((after, saved_after, span)) = place.span(rule, at) else { continue };
            let exact_from = |after: EventTime| match span {
                _ if after == EventTime::MIN => EventTime::MIN,
                Some((within, window)) => {
                    leave_time(after.saturating_add(within.ms()), window, granularity)
                }
                None => EventTime::MAX,
            };
            if exact_from(after) > at {
                sees_after = sees_after.max(after);
            }
            if exact_from(saved_after) > at {
                complete_from = complete_from.max(exact_from(saved_after));
            }
        }
        (sees_after, complete_from)
    }
}

/// How far back a condition sees now, and would see if it were saved; and for how long what was
/// before matters: for ever, if that is not said.
type Span = (EventTime, EventTime, Option<(Duration, Duration)>);

impl Place {
    fn of(rule: &Rule, (state, at): (&Membership, EventTime)) -> Self {
        let Membership { plan, store, .. } = state;
        match rule {
            Rule::Attribute(condition) => Place::Attribute {
                path: AttributePath::find_in(&condition.path, store),
                held: condition.held.and_then(|_| plan.find_held(condition)),
            },
            Rule::Aggregate(condition) => {
                let found = plan.find_aggregate(condition);
                let known = found.as_ref().and_then(|(_, fact)| *fact);
                let from = known.map(|(_, fact)| fact.from);
                let held = found.as_ref().map(|(it, _)| plan.held_after(it.stream, at));
                Place::Aggregate {
                    fact: known.map(|(id, _)| id),
                    after: from.or(held).unwrap_or(at),
                    saved_after: from.unwrap_or_else(|| plan.seen_after(at)),
                    aggregate: found.map(|(aggregate, _)| aggregate),
                    test: NumberTest::new(&condition.test),
                }
            }
            Rule::Sequence(condition) => {
                let (streams, fact) = plan.find_sequence(condition);
                let from = fact.map(|(_, fact)| fact.from);
                let held = |stream: &Option<_>| stream.map_or(at, |it| plan.held_after(it, at));
                Place::Sequence {
                    bounds: Bounds {
                        steps: condition.steps.len(),
                        within: condition.within,
                        window: condition.window,
                    },
                    fact: fact.map(|(id, _)| id),
                    after: from.unwrap_or_else(|| streams.iter().map(held).max().unwrap_or(at)),
                    saved_after: from.unwrap_or_else(|| plan.seen_after(at)),
                    streams,
                }
            }
            _ => Place::Nowhere,
        }
    }

    fn span(&self, rule: &Rule, at: EventTime) -> Option<Span> {
        match (self, rule) {
            (Place::Aggregate { after, saved_after, .. }, Rule::Aggregate(condition)) => {
                let window = condition.window.map(|window| (Duration::default(), window));
                Some((*after, *saved_after, window))
            }
            (Place::Sequence { after, saved_after, bounds, .. }, _) => {
                Some((*after, *saved_after, Some((bounds.within, bounds.window))))
            }
            (Place::Attribute { held: None, .. }, Rule::Attribute(condition)) => {
                Some((at, at, Some((Duration::default(), condition.held?))))
            }
            _ => None,
        }
    }
}
