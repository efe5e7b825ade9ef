//! The plan as it is edited.

use super::*;
use crate::catalog::Timeline;
use crate::model::{AttributeKey, Path};
use crate::operators::store::Store;
use crate::rule::{AttributeCondition, Comparison, Rule, Test};

fn is(value: &str, held: Option<Duration>) -> Rule {
    let test = Test::new(Comparison::Eq(Value::text(value)));
    Rule::Attribute(AttributeCondition { path: Path::new("plan"), test, held })
}

fn definition(id: &str, rule: Rule) -> Arc<Definition> {
    Arc::new(Definition { id: id.into(), name: None, description: None, rule })
}

fn plan() -> Plan {
    Plan::new(Arc::new(Streams::of(&Timeline { initial: Vec::new(), edits: Vec::new() })))
}

#[test]
fn equal_conditions_are_one_until_the_last_rule_that_asks_is_gone() {
    let (mut plan, mut store) = (plan(), Store::default());
    plan.put(&definition("a", is("x", None)), 0, &mut store);
    let both = Rule::All(vec![is("x", None), is("x", None), is("y", None)]);
    plan.put(&definition("b", both), 0, &mut store);
    let number = store.number(AttributeKey::of("plan"));
    let readers = plan.attribute_readers(number).to_vec();
    assert_eq!(readers.len(), 1);
    assert_eq!(plan.fact(readers[0]).unwrap().conditions.len(), 2);
    assert!(plan.delete("b", &mut store).dropped.is_empty());
    assert_eq!(plan.fact(readers[0]).unwrap().conditions.len(), 1);
    assert_eq!(plan.delete("a", &mut store).dropped, readers);
    assert!(plan.fact(readers[0]).is_none());
    assert!(plan.attribute_readers(number).is_empty());
}

#[test]
fn what_is_referred_to_is_passed_on_until_nothing_refers() {
    let (mut plan, mut store) = (plan(), Store::default());
    let changed = plan.put(&definition("a", is("x", None)), 0, &mut store).changed;
    let refers = Rule::Not(Box::new(Rule::Segment("a".into())));
    let edited = plan.put(&definition("b", refers.clone()), 0, &mut store);
    assert!(edited.gained.contains(&changed[0]));
    // Put again: neither gained nor lost.
    let edited = plan.put(&definition("b", Rule::All(vec![refers.clone(), refers])), 1, &mut store);
    assert!(!edited.gained.contains(&changed[0]) && edited.lost != changed);
    let edited = plan.put(&definition("b", Rule::Everyone), 2, &mut store);
    assert!(edited.lost.contains(&changed[0]));
    assert_eq!(plan.node(changed[0]).feeds, 0);
}

#[test]
fn users_of_whom_nothing_is_known_are_where_nothing_is_asked_for() {
    let (mut plan, mut store) = (plan(), Store::default());
    let not = |rule| Rule::Not(Box::new(rule));
    plan.put(&definition("a", not(is("x", None))), 0, &mut store);
    plan.put(&definition("b", is("x", None)), 0, &mut store);
    plan.put(&definition("c", not(Rule::Members(["u".into()].into()))), 0, &mut store);
    plan.put(&definition("d", Rule::Everyone), 0, &mut store);
    let names = |nodes: &[NodeId]| -> Vec<Arc<str>> {
        nodes.iter().map(|node| plan.node(*node).segment.clone()).collect()
    };
    assert_eq!(names(plan.defaults()), ["a".into(), "d".into()]);
    assert_eq!(names(plan.personal()), ["c".into()]);
}

#[test]
fn asking_since_when_begins_and_ends() {
    let (mut plan, mut store) = (plan(), Store::default());
    let held = definition("a", is("x", Some(Duration::from_ms(1))));
    plan.put(&definition("b", is("x", None)), 0, &mut store);
    let kept = plan.keep(&held, Keep::Held, 0, &mut store).holding;
    assert_eq!(kept.len(), 1);
    let put = plan.put(&held, 1, &mut store);
    assert!(put.holding.is_empty() && put.unheld.is_empty() && plan.pins.len() < 2);
    assert_eq!(plan.delete("a", &mut store).unheld, kept);
}
