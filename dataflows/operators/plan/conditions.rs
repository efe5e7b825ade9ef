//! Conditions: rules without references become expressions over them; equal ones are one, kept as
//! long as a node asks.

use super::{
    Check, Condition, ConditionId, Edited, Expression, FactId, FactKind, NodeId, Plan, Subject,
    index, kind_bit,
};
use crate::model::{Duration, EventTime, Value};
use crate::operators::matching::NumberTest;
use crate::rule::{AttributeCondition, Measure, Rule, Test, Truth};

impl Plan {
    pub(super) fn expression(
        &mut self,
        rule: &Rule,
        node: NodeId,
        now: EventTime,
        edited: &mut Edited,
    ) -> Expression {
        match rule {
            Rule::All(rules) => Expression::All(self.expressions(rules, node, now, edited)),
            Rule::Any(rules) => Expression::Any(self.expressions(rules, node, now, edited)),
            Rule::Not(rule) => Expression::Not(Box::new(self.expression(rule, node, now, edited))),
            Rule::Everyone => Expression::Everyone,
            Rule::Members(members) => Expression::Members(members.clone()),
            Rule::Sample(sample) => Expression::Sample(sample.clone()),
            Rule::Segment(_) => unreachable!("a rule with references is built of gates"),
            Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_) => {
                let (subject, check, held) = self.ask(rule);
                let fact = self.fact_of(subject, now);
                edited.compared.push(fact);
                Expression::Condition(self.condition_of(fact, check, held, node, edited))
            }
        }
    }

    fn expressions(
        &mut self,
        rules: &[Rule],
        node: NodeId,
        now: EventTime,
        edited: &mut Edited,
    ) -> Box<[Expression]> {
        rules.iter().map(|rule| self.expression(rule, node, now, edited)).collect()
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

    fn condition_of(
        &mut self,
        fact: FactId,
        check: Check,
        held: Option<Duration>,
        node: NodeId,
        edited: &mut Edited,
    ) -> ConditionId {
        let key = (fact, check, held);
        if let Some(id) = self.condition_ids.get(&key).copied() {
            if let Some(condition) = self.conditions.get_mut(id.0 as usize).and_then(Option::as_mut)
            {
                condition.nodes.push(node);
            }
            return id;
        }
        let id = ConditionId(index(self.conditions.len()));
        let (_, check, _) = &key;
        self.use_fact(fact, held.is_some(), edited);
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.push(id);
            match (&mut fact.kind, check) {
                (FactKind::Attribute { index, suspect_kinds, .. }, Check::Value(test)) => {
                    index.add(id, test, held.is_some() || test.is_timed());
                    *suspect_kinds |= kinds_to_suspect(test);
                }
                (FactKind::Value { index, .. }, Check::Value(test)) => index.add(id, test, false),
                (FactKind::Number { cuts, .. }, Check::Number(test)) => cuts.add(id, test),
                _ => {}
            }
        }
        let condition = Condition { fact, check: check.clone(), held, nodes: vec![node] };
        self.conditions.push(Some(condition));
        self.condition_ids.insert(key, id);
        id
    }

    /// Gives back every condition of a rule that was installed as these nodes.
    pub(super) fn release_conditions(
        &mut self,
        rule: &Rule,
        root: NodeId,
        nodes: &[NodeId],
        edited: &mut Edited,
    ) {
        let mut leaves = Vec::new();
        rule.walk(&mut |leaf| {
            if matches!(leaf, Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_)) {
                leaves.push(leaf.clone());
            }
        });
        for leaf in &leaves {
            let (subject, check, held) = self.ask(leaf);
            let Some(fact) = self.fact_ids.get(&subject).copied() else { continue };
            let key = (fact, check, held);
            let Some(id) = self.condition_ids.get(&key).copied() else { continue };
            let Some(condition) = self.conditions.get_mut(id.0 as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            let mine = |node: &NodeId| *node == root || nodes.contains(node);
            if let Some(place) = condition.nodes.iter().position(mine) {
                condition.nodes.remove(place);
            }
            if condition.nodes.is_empty() {
                self.conditions.get_mut(id.0 as usize).and_then(Option::take);
                self.condition_ids.remove(&key);
                self.forget_condition(fact, id);
                self.release_fact(fact, held.is_some(), edited);
            }
        }
    }

    fn forget_condition(&mut self, fact: FactId, id: ConditionId) {
        if let Some(fact) = self.facts.get_mut(fact.0 as usize).and_then(Option::as_mut) {
            fact.conditions.retain(|other| *other != id);
            match &mut fact.kind {
                FactKind::Attribute { index, .. } | FactKind::Value { index, .. } => {
                    index.remove(id);
                }
                FactKind::Number { cuts, .. } => cuts.remove(id),
                FactKind::Sequence(_) => {}
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
