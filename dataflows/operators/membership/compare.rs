//! Facts compared with what they were: the conditions that may differ, and the alarm to be set for
//! when time alone may change them.

use super::evaluate::aggregated;
use super::{Alarm, Context};
use crate::model::{EventTime, Position, Value};
use crate::operators::attributes::AttributePath;
use crate::operators::held::Held;
use crate::operators::matching::{Code, Cuts, next_change};
use crate::operators::plan::{Check, Condition, ConditionId, Fact, FactId, FactKind, Reader};
use crate::operators::pool::Pool;
use crate::operators::users::{State, StateKind, UNARMED, User, state_of};
use crate::operators::window::{Aggregate, Aggregated, Log, Quantity, Window, blank};
use crate::rule::Measure;

/// What a fact was before the instant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Before {
    /// Of an attribute.
    Code(Code),
    /// Of an aggregate.
    Value(Option<Value>),
    /// Of a numeric aggregate.
    Number(Option<Quantity>),
    /// It is not compared: the present value of an attribute is what it was, of any other fact
    /// every condition is looked at.
    Unknown,
}

/// Notes what a fact was before the instant, unless that has been noted.
pub(super) fn touch(
    touched: &mut Vec<(FactId, Before)>,
    fact: FactId,
    before: impl FnOnce() -> Before,
) {
    if !touched.iter().any(|(other, _)| *other == fact) {
        touched.push((fact, before()));
    }
}

/// Notes that every condition on a fact must be looked at; of an attribute those that depend on
/// more than its present value, which are looked at anyway.
pub(super) fn touch_all(touched: &mut Vec<(FactId, Before)>, fact: FactId) {
    match touched.iter_mut().find(|(other, _)| *other == fact) {
        Some((_, Before::Code(_))) => {}
        Some((_, before)) => *before = Before::Unknown,
        None => touched.push((fact, Before::Unknown)),
    }
}

fn before(value: Aggregated, aggregate: &Aggregate) -> Before {
    match value {
        Aggregated::Missing => match aggregate.measure {
            Measure::First(_) | Measure::Last(_) => Before::Value(None),
            _ => Before::Number(None),
        },
        Aggregated::Quantity(quantity) => Before::Number(Some(quantity)),
        Aggregated::Value(value) => Before::Value(Some(value)),
    }
}

/// What an aggregate over no events is compared from.
pub(super) fn blank_before(aggregate: &Aggregate) -> Before {
    before(blank(&aggregate.measure), aggregate)
}

/// The same of a window at hand.
pub(super) fn before_of(aggregate: &Aggregate, window: Option<&Window>, log: &Log) -> Before {
    let value =
        window.map_or_else(|| blank(&aggregate.measure), |window| window.value(aggregate, log));
    before(value, aggregate)
}

impl Context<'_> {
    /// What an aggregate is compared from: its value as of the last look.
    pub(super) fn before(&self, user: &User, id: FactId, aggregate: &Aggregate) -> Before {
        before(aggregated(user, id, aggregate), aggregate)
    }

    /// Notes the facts whose alarms go off now; alarms set for another instant since are void.
    pub(super) fn ring(
        &self,
        user: &mut User,
        alarms: &[Alarm],
        touched: &mut Vec<(FactId, Before)>,
    ) {
        for alarm in alarms {
            let Some(fact) = self.plan.fact(alarm.fact) else { continue };
            let Ok(place) = user.states.binary_search_by_key(&alarm.fact, |(fact, _)| *fact) else {
                continue;
            };
            if user.states[place].1.armed != self.at {
                continue;
            }
            user.states[place].1.armed = UNARMED;
            touch(touched, alarm.fact, || match &fact.kind {
                FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. } => {
                    self.before(user, alarm.fact, aggregate)
                }
                FactKind::Attribute { .. } | FactKind::Sequence(_) => Before::Unknown,
            });
        }
    }

    /// Finds the conditions that may differ from before, but for those that codes tell; and when
    /// the fact wants to be looked at.
    pub(super) fn compare(
        &self,
        user: &mut User,
        id: FactId,
        before: &Before,
        pool: &Pool,
        conditions: &mut Vec<ConditionId>,
    ) -> Option<EventTime> {
        let fact = self.plan.fact(id)?;
        let found = conditions.len();
        match (&fact.kind, before) {
            (FactKind::Attribute { path, timed, .. }, _) => {
                conditions.extend_from_slice(timed);
                if timed.is_empty() { None } else { self.next_change(user, timed, id, path, pool) }
            }
            (FactKind::Number { aggregate, cuts }, before) => {
                let (value, seen) = self.look(user, id, aggregate);
                let now = match value {
                    Aggregated::Quantity(quantity) => Some(quantity),
                    _ => None,
                };
                match before {
                    Before::Number(old) => cuts.between(*old, now, conditions),
                    _ => conditions.extend_from_slice(&fact.conditions),
                }
                let crossed = conditions.len() > found;
                let next = self.window_change(seen?, aggregate, Some(cuts), crossed)?;
                Some(self.look_again(id, next))
            }
            (FactKind::Value { aggregate }, before) => {
                let (value, seen) = self.look(user, id, aggregate);
                let now = match value {
                    Aggregated::Value(value) => Some(value),
                    _ => None,
                };
                let differs = |id: &&ConditionId| match (before, self.plan.condition(**id)) {
                    (Before::Value(old), Some(Condition { check: Check::Value(test), .. })) => {
                        test.holds(old.as_ref()).holds() != test.holds(now.as_ref()).holds()
                    }
                    _ => true,
                };
                conditions.extend(fact.conditions.iter().filter(differs));
                self.window_change(seen?, aggregate, None, true)
            }
            (FactKind::Sequence(bounds), _) => {
                conditions.extend_from_slice(&fact.conditions);
                match &user.state(id)?.kind {
                    StateKind::Sequence(progress) => progress.next_change(bounds, self.at),
                    _ => None,
                }
            }
        }
    }

    /// Brings an aggregate up to now. Gives back what it is, and if it has a window that, with its
    /// log and the instant of its alarm.
    fn look<'u>(
        &self,
        user: &'u mut User,
        id: FactId,
        aggregate: &Aggregate,
    ) -> (Aggregated, Option<(&'u Window, &'u Log, EventTime)>) {
        let User { states, logs, .. } = user;
        let Ok(place) = states.binary_search_by_key(&id, |(fact, _)| *fact) else {
            return (blank(&aggregate.measure), None);
        };
        let State { armed, kind } = &mut states[place].1;
        let armed = *armed;
        let window = match kind {
            StateKind::Window(window) => window,
            StateKind::Total(total) => return (total.value(aggregate), None),
            _ => return (blank(&aggregate.measure), None),
        };
        let log = logs.binary_search_by_key(&aggregate.stream, Log::stream);
        let Ok(log) = log else { return (blank(&aggregate.measure), None) };
        let log = &mut logs[log];
        window.expire(aggregate, self.settings.granularity, log, self.leaves_until(id));
        let kept = window.len();
        if kept < log.len() {
            // The other windows of the stream may lag behind; what all have passed is released.
            let lagging = self.longest_window(states, aggregate);
            log.keep(lagging.max(kept));
        }
        let StateKind::Window(window) = &states[place].1.kind else {
            return (blank(&aggregate.measure), None);
        };
        (window.value(aggregate, log), Some((window, log, armed)))
    }

    /// Events leave the window of a fact whose time to leave has come by then: now, unless they are
    /// retained for a definition that is being worked out.
    pub(super) fn leaves_until(&self, id: FactId) -> EventTime {
        self.plan.held_at(id).map_or(self.at, |held| held.min(self.at))
    }

    /// When a fact is looked at that is next to change then. Where what is to leave stays, that is
    /// later, in steps that double: time may fly meanwhile.
    fn look_again(&self, id: FactId, next: EventTime) -> EventTime {
        let Some(held) = self.plan.held_at(id) else { return next };
        let step = self.at.saturating_sub(held).max(self.settings.granularity.ms()).max(1);
        next.max(self.at.saturating_add(step))
    }

    /// How many events the longest window over the stream of an aggregate holds.
    pub(super) fn longest_window(
        &self,
        states: &[(FactId, State)],
        aggregate: &Aggregate,
    ) -> usize {
        let readers = self.plan.stream_readers(aggregate.stream).iter();
        let lengths = readers.filter_map(|reader| {
            let Reader::Aggregate(other) = reader else { return None };
            let place = states.binary_search_by_key(other, |(fact, _)| *fact).ok()?;
            match &states[place].1.kind {
                StateKind::Window(window) => Some(window.len()),
                _ => None,
            }
        });
        lengths.max().unwrap_or(0)
    }

    fn window_change(
        &self,
        (window, log, armed): (&Window, &Log, EventTime),
        aggregate: &Aggregate,
        cuts: Option<&Cuts>,
        crossed: bool,
    ) -> Option<EventTime> {
        if armed != UNARMED && !crossed && window.only_falls_later() {
            return None; // the alarm that stands is early enough
        }
        window.next_change(aggregate, self.settings.granularity, log, cuts)
    }

    /// When an attribute's conditions change by themselves.
    fn next_change(
        &self,
        user: &User,
        timed: &[ConditionId],
        id: FactId,
        path: &AttributePath,
        pool: &Pool,
    ) -> Option<EventTime> {
        let value = user.attributes.at(path, pool);
        let since = self.held_since(user, id);
        let each = timed.iter().filter_map(|id| {
            let condition = self.plan.condition(*id)?;
            let Check::Value(test) = &condition.check else { return None };
            let held_from = condition.held.and_then(|held| Some(since? + held.ms()));
            next_change(test, value.as_ref(), held_from, self.at)
        });
        each.min()
    }

    pub(super) fn held_since(&self, user: &User, id: FactId) -> Option<EventTime> {
        let held = match user.state(id).map(|state| &state.kind) {
            Some(StateKind::Attribute(Some(held))) => held.since(),
            _ => None,
        };
        held.or(user.since())
    }

    /// Begins to know since when an attribute is what it is. Nobody asked so far: if it was ever
    /// set, it is known to be so from now on.
    pub(super) fn hold(&self, user: &mut User, id: FactId, pool: &Pool) {
        let Some(Fact { kind: FactKind::Attribute { path, .. }, .. }) = self.plan.fact(id) else {
            return;
        };
        let cells = path.numbers().filter_map(|number| {
            let cell = user.attributes.cell(number)?;
            Some((number, cell.value(pool).unwrap_or(Value::Null)))
        });
        let cells: Vec<_> = cells.collect();
        if cells.is_empty() {
            return;
        }
        let mut held = Held::default();
        let position = Position { partition: 0, offset: 0 };
        for (number, value) in cells {
            held.update(path, ((self.at, position), number, value), self.settled);
        }
        held.begin(self.at);
        let state = state_of(&mut user.states, id, || StateKind::Attribute(None));
        state.kind = StateKind::Attribute(Some(Box::new(held)));
    }

    /// Looks at a fact with new comparisons for a user that exists already.
    pub(super) fn adopt(&self, user: &mut User, id: FactId, pool: &Pool) -> Option<EventTime> {
        if let Ok(place) = user.states.binary_search_by_key(&id, |(fact, _)| *fact) {
            user.states[place].1.armed = UNARMED;
        }
        self.compare(user, id, &Before::Unknown, pool, &mut Vec::new())
    }
}
