//! Conditions: rules without references become expressions over them; equal ones are one, kept as
//! long as a rule asks.

use super::{
    Check, Condition, ConditionId, Edited, Expression, FactId, FactKind, Plan, Subject, index,
    kind_bit,
};
use crate::model::{Duration, EventTime, Value};
use crate::operators::matching::{Column, Leaf, NumberTest, Places, constants, leaves};
use crate::operators::store::Store;
use crate::rule::{AttributeCondition, Measure, Rule, Test, Truth};
use smallvec::{SmallVec, smallvec};

/// Where rules become expressions.
pub(super) struct Asking<'a> {
    pub(super) now: EventTime,
    pub(super) store: &'a mut Store,
    pub(super) edited: &'a mut Edited,
    /// Every condition asked, each as often as it is.
    pub(super) conditions: Vec<ConditionId>,
}

impl Plan {
    pub(super) fn expression(&mut self, rule: &Rule, asking: &mut Asking<'_>) -> Expression {
        match rule {
            Rule::All(rules) => Expression::All(self.expressions(rules, asking)),
            Rule::Any(rules) => Expression::Any(self.expressions(rules, asking)),
            Rule::Not(rule) => Expression::Not(Box::new(self.expression(rule, asking))),
            Rule::Everyone => Expression::Everyone,
            Rule::Members(members) => Expression::Members(members.clone()),
            Rule::Sample(sample) => Expression::Sample(sample.clone()),
            Rule::Segment(_) => unreachable!("a rule with references is built of gates"),
            Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_) => {
                let (subject, check, held) = self.ask(rule);
                let fact = self.fact_of(subject, asking.now, asking.store);
                asking.edited.compared.push(fact);
                let id = self.condition_of((fact, check, held), asking);
                asking.conditions.push(id);
                Expression::Condition(id)
            }
        }
    }

    fn expressions(&mut self, rules: &[Rule], asking: &mut Asking<'_>) -> Box<[Expression]> {
        rules.iter().map(|rule| self.expression(rule, asking)).collect()
    }

    /// What a leaf asks about, and how it compares it.
    fn ask(&self, rule: &Rule) -> (Subject, Check, Option<Duration>) {
        match rule {
            Rule::Attribute(AttributeCondition { path, test, held }) => {
                (Subject::Attribute(path.clone()), Check::Value(test.clone()), *held)
            }
            Rule::Aggregate(condition) => {
                let check = match condition.measure {
                    Measure::First(_) | Measure::Last(_) => Check::Value(condition.test.clone()),
                    _ => Check::Number(NumberTest::new(&condition.test)),
                };
                (self.aggregate_subject(condition), check, None)
            }
            Rule::Sequence(condition) => (self.sequence_subject(condition), Check::Holds, None),
            _ => unreachable!("only leaves ask"),
        }
    }

    /// The condition with this comparison, which one more rule asks from now on.
    fn condition_of(
        &mut self,
        key: (FactId, Check, Option<Duration>),
        asking: &mut Asking<'_>,
    ) -> ConditionId {
        if let Some(id) = self.condition_ids.get(&key).copied() {
            if let Some(condition) = self.conditions.get_mut(id.0 as usize).and_then(Option::as_mut)
            {
                condition.uses += 1;
            }
            return id;
        }
        let id = ConditionId(index(self.conditions.len()));
        let (fact, check, held) = &key;
        self.use_fact(*fact, held.is_some(), asking.edited);
        let mut condition = Condition {
            fact: *fact,
            check: check.clone(),
            held: *held,
            nodes: SmallVec::new(),
            places: Places::default(),
            leaves: smallvec![Leaf::ask(id)],
            pattern: 0,
            constants: Box::default(),
            column: None,
            likely: self.asked.likely(self.attribute(*fact), check),
            uses: 1,
        };
        let mut patterned = None;
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.push(id);
            match (&mut fact.kind, check) {
                (
                    FactKind::Attribute { path, timed, suspect_kinds, column, patterns, .. },
                    Check::Value(test),
                ) => {
                    *suspect_kinds |= kinds_to_suspect(test);
                    if held.is_some() || test.is_timed() {
                        timed.push(id);
                    } else {
                        condition.column = Some(*column);
                        condition.constants = constants(test, &mut asking.store.pool);
                        let columns = &mut self.columns;
                        let new = || {
                            *columns += 1;
                            Column(index(*columns - 1))
                        };
                        let pattern = || patterns.enter(id, test, new);
                        (condition.leaves, condition.pattern) =
                            leaves(id, test, &condition.constants, *column, pattern);
                        patterned =
                            (path.inner.is_none() && !patterns.is_empty()).then_some(path.whole);
                    }
                }
                (FactKind::Number { cuts, .. }, Check::Number(test)) => cuts.add(id, test),
                _ => {}
            }
        }
        if let Some(read) = patterned.and_then(|number| self.read_of(number).as_mut()) {
            read.patterned = true;
        }
        self.conditions.push(Some(condition));
        self.condition_ids.insert(key, id);
        id
    }

    /// Gives back conditions of a rule, each as often as it asked.
    pub(super) fn release_conditions(
        &mut self,
        ids: &[ConditionId],
        store: &mut Store,
        edited: &mut Edited,
    ) {
        for id in ids {
            let Some(slot) = self.conditions.get_mut(id.0 as usize) else { continue };
            let Some(condition) = slot else { continue };
            condition.uses -= 1;
            if condition.uses > 0 {
                continue;
            }
            let Some(condition) = slot.take() else { continue };
            condition.constants.iter().for_each(|text| store.pool.retire(*text));
            let Condition { fact, check, held, .. } = condition;
            self.forget_condition(fact, *id);
            self.condition_ids.remove(&(fact, check, held));
            self.release_fact(fact, held.is_some(), edited);
        }
    }

    fn forget_condition(&mut self, fact: FactId, id: ConditionId) {
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.retain(|other| *other != id);
            match &mut fact.kind {
                FactKind::Attribute { timed, patterns, .. } => {
                    timed.retain(|other| *other != id);
                    patterns.leave(id);
                }
                FactKind::Number { cuts, .. } => cuts.remove(id),
                FactKind::Value { .. } | FactKind::Sequence(_) => {}
            }
        }
    }
}

/// The kinds of values that a test may find to be of the wrong type.
fn kinds_to_suspect(test: &Test) -> u8 {
    let specimens = [
        Value::Bool(true),
        Value::Number(i64::MAX.into()), // as a time, out of range
        Value::text(""),
        Value::List([].into()),
        Value::object(Vec::new()),
    ];
    let suspect = |value: &&Value| test.holds(Some(value)) == Truth::Mismatch;
    specimens.iter().filter(suspect).map(kind_bit).fold(0, |bits, bit| bits | bit)
}
