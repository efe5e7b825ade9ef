//! Definitions that are understood, and what is said of those that are not.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::model::{Duration, Path, Value};
use crate::rule::language::{AGGREGATES, OPERATORS, RULE_KINDS};
use crate::rule::reader::{FAULTS_MAX, Named};
use crate::rule::{
    AggregateCondition, AttributeCondition, Comparison, Filter, MAX_DEPTH, Measure, NamePattern,
    Sample, Selector, SequenceCondition, Test,
};

/// Every example of the documentation that this version computes.
const EXAMPLES: &[&str] = &[
    r#"{"id":"high_value","name":"High value","rules":{"event":"purchase","aggregate":"sum","property":"amount","window":"10m","op":"gt","value":100}}"#,
    r#"{"id":"window_shopper","rules":{"operator":"AND","conditions":[
        {"event":"page_view","aggregate":"count","window":"10m","op":"gte","value":5},
        {"event":"purchase","aggregate":"count","window":"10m","op":"eq","value":0}]}}"#,
    r#"{"id":"us_premium","rules":{"operator":"AND","conditions":[
        {"attribute":"country","op":"eq","value":"US"},{"attribute":"lifetime_value","op":"gt","value":100},
        {"operator":"OR","conditions":[{"attribute":"account_tier","op":"in","value":["premium","enterprise"]},{"attribute":"referral_source","op":"eq","value":"partner"}]}]}}"#,
    r#"{"id":"target","rules":{"operator":"AND","conditions":[{"segment":"us_premium"},{"segment":"high_value"},{"operator":"NOT","conditions":[{"segment":"window_shopper"}]}]}}"#,
    r#"{"id":"recent","rules":{"attribute":"signed_up_at","op":"within_last","value":"30d"}}"#,
    r#"{"id":"bounced","rules":{"sequence":[{"event":"add_to_cart"},{"event":"page_view","where":{"attribute":"path","op":"eq","value":"/checkout"}}],"within":"1h","window":"1d"}}"#,
    r#"{"id":"big_cart","rules":{"event":"purchase","where":{"attribute":"currency","op":"eq","value":"EUR"},"aggregate":"max","property":"amount","window":"7d","op":"gte","value":500}}"#,
    r#"{"id":"holdout","rules":{"sample":"spring","percent":10}}"#,
    r#"{"id":"stale_trial","rules":{"attribute":"stage","op":"eq","value":"trial","held":"7d"}}"#,
    r#"{"id":"shop_active","rules":{"event":"shop.*","aggregate":"count","window":"1d","op":"gte","value":3}}"#,
    r#"{"id":"last_plan_seen","rules":{"event":"session","aggregate":"last","property":"plan","op":"eq","value":"pro"}}"#,
];

fn read(rules: Json) -> Rule {
    rule(&rules).unwrap_or_else(|faults| panic!("{rules}: {faults:?}"))
}

fn said(faults: Result<impl Sized, Vec<Fault>>) -> Vec<String> {
    faults.err().unwrap_or_default().iter().map(Fault::to_string).collect()
}

/// Checks what is said of rules, fault by fault.
#[track_caller]
fn refused(rules: Json, expected: &[&str]) {
    assert_eq!(said(rule(&rules)), expected, "{rules}");
}

#[test]
fn the_examples_of_the_documentation_are_understood() {
    for text in EXAMPLES {
        definition_from_text(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    }
}

#[test]
fn a_definition_keeps_its_names() {
    let json = json!({"id": 7, "name": "Seven", "description": "d", "$schema": "segment.json",
        "rules": {"everyone": true}});
    let expected = Definition {
        id: "7".into(),
        name: Some("Seven".into()),
        description: Some("d".into()),
        rule: Rule::Everyone,
    };
    assert_eq!(definition(&json), Ok(expected));
}

#[test]
fn every_part_of_an_aggregate_is_read() {
    let rules = json!({"event": "shop.*", "where": {"operator": "NOT", "conditions": [
        {"attribute": "currency", "op": "eq", "value": "eur", "ignore_case": true}]},
        "aggregate": "avg", "property": "cart.total", "window": "7d", "op": "between",
        "value": [0.5, 100]});
    let text = Test { comparison: Comparison::Eq(Value::text("eur")), ignore_case: true };
    let number = |text| Value::from_json(&serde_json::from_str(text).unwrap()).unwrap();
    let expected = AggregateCondition {
        events: Selector {
            name: NamePattern::Prefix("shop.".into()),
            filter: Some(Filter::Not(Box::new(Filter::Property(Path::new("currency"), text)))),
        },
        measure: Measure::Avg(Path::new("cart.total")),
        window: Some(Duration::from_ms(7 * 86_400_000)),
        test: Test::new(Comparison::Between(number("0.5"), number("100"))),
    };
    assert_eq!(read(rules), Rule::Aggregate(expected));
}

#[test]
fn a_sequence_counts_for_as_long_as_it_may_take_unless_it_says() {
    let any = || Selector { name: NamePattern::Prefix("".into()), filter: None };
    let sequence = |window| {
        let within = Duration::from_ms(3_600_000);
        Rule::Sequence(SequenceCondition { steps: vec![any(), any()], within, window })
    };
    let steps = json!([{"event": "*"}, {"event": "*"}]);
    assert_eq!(
        read(json!({"sequence": steps, "within": "1h"})),
        sequence(Duration::from_ms(3_600_000))
    );
    assert_eq!(
        read(json!({"sequence": steps, "within": "1h", "window": "1s"})),
        sequence(Duration::from_ms(1_000))
    );
}

#[test]
fn members_are_sorted_and_each_once_and_samples_are_exact() {
    assert_eq!(
        read(json!({"members": ["b", 10, "a", "b"]})),
        Rule::Members(["10", "a", "b"].map(Into::into).into())
    );
    assert_eq!(read(json!({"members": []})), Rule::Members([].into()));
    let sample = |from, size| Rule::Sample(Sample { key: "k".into(), from, size });
    assert_eq!(read(json!({"sample": "k", "percent": 0.0001})), sample(0, 1));
    assert_eq!(
        read(json!({"sample": "k", "percent": 33.3333, "from": 66.6667})),
        sample(666_667, 333_333)
    );
}

#[test]
fn constants_that_ignore_case_are_kept_in_lower_case() {
    let condition = |op, value: Json| {
        let rule = json!({"attribute": "a", "op": op, "value": value, "ignore_case": true});
        match read(rule) {
            Rule::Attribute(AttributeCondition { test, .. }) => test,
            other => panic!("{other:?}"),
        }
    };
    let eq = condition("in", json!(["ÄB", "C"]));
    assert_eq!(eq.comparison, Comparison::In(vec![Value::text("äb"), Value::text("c")]));
    assert!(condition("matches", json!("^A")).holds(Some(&Value::text("abc"))).holds());
    assert!(condition("starts_with", json!("A")).holds(Some(&Value::text("ABC"))).holds());
}

#[test]
fn definitions_are_refused_with_all_their_faults() {
    let json = json!({"id": "", "nam": "x", "description": 3, "rules": {"operator": "and",
        "conditions": [{"attribute": "a", "op": "is_null"}, 5, {"attribute": "", "op": "greater"}]}});
    let operators: Vec<_> = OPERATORS.iter().map(|row| row.word).collect();
    let operators = operators.join(", ");
    let expected = [
        "found the key \"nam\"; allowed: id, name, description, rules, $schema; did you mean \"name\"?",
        "id: found \"\"; allowed: text of 1 to 256 bytes, or an integer",
        "description: found 3; allowed: text",
        "rules.operator: found \"and\"; allowed: AND, OR, NOT; did you mean \"AND\"?",
        "rules.conditions[1]: found 5; allowed: an object with one of the keys operator, segment, \
         everyone, members, sample, attribute, event, sequence",
        "rules.conditions[2].attribute: found \"\"; allowed: a name, or a path of names with dots",
        &format!(
            "rules.conditions[2].op: found \"greater\"; allowed: {operators}; did you mean \"gt\"?"
        ),
    ];
    assert_eq!(said(definition(&json)), expected);
    let long = json!({"id": "x".repeat(257), "rules": {"everyone": true}});
    assert_eq!(said(definition(&long)).len(), 1);
    assert_eq!(said(definition(&json!(null))).len(), 1);
    assert!(said(definition(&json!({"id": 1.5})))[0].starts_with("id: found 1.5;"));
}

#[test]
fn rules_that_come_later_are_refused_with_the_reason() {
    for text in [
        r#"{"session":"current","measure":"duration","op":"gt","value":"20m"}"#,
        r#"{"model":"fraud","op":"gte","value":0.9}"#,
        r#"{"rank":"top","percent":5,"by":{"event":"purchase","aggregate":"sum","property":"amount"}}"#,
    ] {
        let faults = said(rule(&serde_json::from_str(text).unwrap()));
        assert!(faults[0].ends_with("come in a later version"), "{faults:?}");
    }
}

#[test]
fn nodes_are_closed() {
    let kinds = "an object with one of the keys operator, segment, everyone, members, sample, \
                 attribute, event, sequence";
    refused(
        json!({"atribute": "a", "op": "eq", "value": 1}),
        &[&format!(
            "rules: found an object of \"atribute\", \"op\", \"value\"; allowed: {kinds}; did you \
             mean \"attribute\"?"
        )],
    );
    refused(json!({}), &[&format!("rules: found an empty object; allowed: {kinds}")]);
    refused(
        json!({"segment": "a", "op": "eq"}),
        &["rules: found the key \"op\"; allowed: segment"],
    );
    refused(
        json!({"attribute": "a", "op": "eq", "value": 1, "heldd": "1d"}),
        &["rules: found the key \"heldd\"; allowed: attribute, op, value, ignore_case, held; did \
           you mean \"held\"?"],
    );
    refused(
        json!({"everyone": false}),
        &["rules.everyone: found false; allowed: true; for nobody say {\"members\": []}"],
    );
    refused(
        json!({"operator": "NOT", "conditions": []}),
        &["rules.conditions: found an empty list; allowed: a list of exactly one"],
    );
    refused(
        json!({"operator": "NOT", "conditions": [{"everyone": true}, {"everyone": true}]}),
        &[
            "rules.conditions: found a list of 2; allowed: a list of exactly one; put them under one \
         AND or OR",
        ],
    );
    refused(
        json!({"operator": "AND"}),
        &["rules.conditions: found nothing; allowed: a list of conditions"],
    );
    assert_eq!(read(json!({"operator": "OR", "conditions": []})), Rule::Any(vec![]));
}

#[test]
fn values_fit_their_operators() {
    let attribute = |op: &str, value: Json| json!({"attribute": "a", "op": op, "value": value});
    let duration = "a duration such as 250ms, 10s, 10m, 24h or 30d, at most 36500d";
    for (op, value, expected) in [
        (
            "eq",
            json!(null),
            "rules.value: found null; allowed: text, a number, true or false; for a missing value say \"op\": \"is_null\"",
        ),
        (
            "eq",
            json!([1]),
            "rules.value: found a list of 1; allowed: text, a number, true or false",
        ),
        (
            "in",
            json!("US"),
            "rules.value: found \"US\"; allowed: a list of texts, numbers, true or false",
        ),
        (
            "any_of",
            json!([1, {"b": 1}]),
            "rules.value[1]: found an object of \"b\"; allowed: text, a number, true or false",
        ),
        ("gt", json!(true), "rules.value: found true; allowed: a number or text"),
        (
            "between",
            json!([1]),
            "rules.value: found a list of 1; allowed: a list of two numbers or two texts, the lower first",
        ),
        (
            "between",
            json!([2, 1]),
            "rules.value: found 2 and 1; allowed: a list of two numbers or two texts, the lower first",
        ),
        (
            "between",
            json!([1, "b"]),
            "rules.value: found 1 and \"b\"; allowed: a list of two numbers or two texts, the lower first",
        ),
        ("starts_with", json!(1), "rules.value: found 1; allowed: text"),
        (
            "matches",
            json!("("),
            "rules.value: found \"(\"; allowed: a regular expression; unclosed group",
        ),
        (
            "before",
            json!("soon"),
            "rules.value: found \"soon\"; allowed: RFC 3339 text such as \"2026-01-01T00:00:00Z\", or epoch milliseconds, of the years 1 to 9999",
        ),
        (
            "within_last",
            json!("30 days"),
            &format!("rules.value: found \"30 days\"; allowed: {duration}"),
        ),
        (
            "within_last",
            json!("36501d"),
            &format!("rules.value: found \"36501d\"; allowed: {duration}"),
        ),
        (
            "is_null",
            json!(true),
            "rules.value: found true; allowed: nothing; leave it out: \"is_null\" takes no value",
        ),
    ] {
        refused(attribute(op, value), &[expected]);
    }
    let huge: Json = serde_json::from_str(r#"{"attribute":"a","op":"eq","value":1e9999}"#).unwrap();
    assert_eq!(
        said(rule(&huge)),
        [
            "rules.value: found 1e+9999; allowed: a number within range; number 1e+9999 is beyond 10^6144"
        ]
    );
    // The same instant at two offsets: in order, though not bytewise.
    read(attribute("between", json!(["2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z"])));
}

#[test]
fn ignoring_case_needs_text() {
    let eq =
        |value: Json| json!({"attribute": "a", "op": "in", "value": value, "ignore_case": true});
    refused(
        eq(json!(["a", 1])),
        &["rules.ignore_case: found true; allowed: only where the value is text; leave it out: \
         \"in\" compares no text here"],
    );
    let timed = json!({"attribute": "a", "op": "before", "value": 0, "ignore_case": true});
    assert_eq!(said(rule(&timed)).len(), 1);
    refused(
        json!({"attribute": "a", "op": "is_null", "ignore_case": 1}),
        &["rules.ignore_case: found 1; allowed: true, false"],
    );
    read(json!({"attribute": "a", "op": "gt", "value": 1, "ignore_case": false}));
}

#[test]
fn filters_are_timeless() {
    let within = |filter: Json| json!({"event": "e", "where": filter, "aggregate": "count", "op": "gt", "value": 1});
    refused(
        within(json!({"attribute": "a", "op": "eq", "value": 1, "held": "1d"})),
        &["rules.where: found the key \"held\"; allowed: attribute, op, value, ignore_case"],
    );
    refused(
        within(json!({"segment": "s"})),
        &["rules.where: found an object of \"segment\"; allowed: an object with one of the keys \
         operator, attribute"],
    );
    let faults = said(rule(&within(json!({"attribute": "a", "op": "within_last", "value": "1d"}))));
    assert!(
        faults[0]
            .ends_with("before, after, is_null, is_not_null; \"within_last\" cannot stand here")
    );
}

#[test]
fn aggregates_are_compared_with_exact_numbers() {
    let sum = |value: Json| json!({"event": "e", "aggregate": "sum", "property": "p", "op": "gt", "value": value});
    let exact = "a number below 10^21 with at most six decimal places";
    refused(sum(json!("5")), &[&format!("rules.value: found \"5\"; allowed: {exact}")]);
    refused(sum(json!(0.1234567)), &[&format!("rules.value: found 0.1234567; allowed: {exact}")]);
    read(sum(json!(0.123456)));
    refused(
        json!({"event": "e", "aggregate": "count", "property": "p", "op": "gt", "value": 1}),
        &[
            "rules.property: found \"p\"; allowed: nothing; leave it out: \"count\" is of the events \
         themselves",
        ],
    );
    refused(
        json!({"event": "e", "aggregate": "mean", "property": "p", "op": "gt", "value": 1}),
        &["rules.aggregate: found \"mean\"; allowed: count, sum, avg, min, max, distinct, first, \
         last; did you mean \"avg\"?"],
    );
    refused(
        json!({"event": "a*b", "aggregate": "max", "op": "is_null", "window": "0s"}),
        &[
            "rules.event: found \"a*b\"; allowed: the name of an event, or the beginning of names and \
         one * at the very end",
            "rules.window: found \"0s\"; allowed: a duration such as 250ms, 10s, 10m, 24h or 30d, \
         longer than 0 and at most 36500d",
            "rules.property: found nothing; allowed: a name, or a path of names with dots",
        ],
    );
    let on = |aggregate: &str, op: &str, value: Json| json!({"event": "e", "aggregate": aggregate, "property": "p", "op": op, "value": value});
    for row in AGGREGATES {
        for op in OPERATORS {
            let numeric = ["eq", "gt", "between", "in"].contains(&op.word);
            let value = match op.word {
                "between" => json!([1, 2]),
                "in" => json!([1]),
                _ => json!(1),
            };
            if numeric && row.word != "count" {
                read(on(row.word, op.word, value));
            } else if op.word.starts_with("within") || op.word.starts_with("is_") {
                let rules =
                    json!({"event": "e", "aggregate": row.word, "property": "p", "op": op.word});
                let may = op.word.starts_with("is_")
                    && ["avg", "min", "max", "first", "last"].contains(&row.word);
                assert_eq!(rule(&rules).is_ok(), may, "{rules}");
            }
        }
    }
    read(on("first", "contains", json!("x")));
}

#[test]
fn sequences_and_samples_have_bounds() {
    let steps = |count| vec![json!({"event": "e"}); count];
    for count in [0, 1, 17] {
        let faults = said(rule(&json!({"sequence": steps(count), "within": "1h"})));
        assert!(faults[0].ends_with("allowed: a list of 2 to 16 steps"), "{faults:?}");
    }
    read(json!({"sequence": steps(16), "within": "1h"}));
    refused(
        json!({"sequence": [{"event": "a"}, {"evnt": "b"}]}),
        &[
            "rules.sequence[1]: found the key \"evnt\"; allowed: event, where; did you mean \"event\"?",
            "rules.sequence[1].event: found nothing; allowed: the name of an event, or the beginning \
         of names and one * at the very end",
            "rules.within: found nothing; allowed: a duration such as 250ms, 10s, 10m, 24h or 30d, \
         longer than 0 and at most 36500d",
        ],
    );
    refused(
        json!({"sample": "k", "percent": 50, "from": 60}),
        &[
            "rules.percent: found 50 from 60 on; allowed: \"from\" and \"percent\" of together at most \
         100",
        ],
    );
    let percent = "a number from 0 to 100 with at most four decimal places";
    for wrong in [json!(-1), json!(101), json!(0.00001), json!("5")] {
        refused(
            json!({"sample": "k", "percent": wrong}),
            &[&format!("rules.percent: found {wrong}; allowed: {percent}")],
        );
    }
    refused(
        json!({"members": ["a", "", 1.5]}),
        &[
            "rules.members[1]: found \"\"; allowed: a user: text that is not empty, or an integer",
            "rules.members[2]: found 1.5; allowed: a user: text that is not empty, or an integer",
        ],
    );
}

fn nested(depth: usize) -> String {
    let open = r#"{"operator":"NOT","conditions":["#.repeat(depth - 1);
    format!("[{{\"put\":{open}{{\"everyone\":true}}{}}}]", "]}".repeat(depth - 1))
}

#[test]
fn rules_nest_to_the_limit_and_no_further() {
    let at = |depth| rule(&json(&nested(depth)).unwrap()[0]["put"]);
    assert!(at(MAX_DEPTH).is_ok());
    let faults = said(at(MAX_DEPTH + 1));
    assert!(
        faults[0].ends_with(
            ": found a condition at depth 65; allowed: at most 64 conditions, each within another"
        ),
        "{faults:?}"
    );
}

#[test]
fn text_that_is_not_json_is_placed() {
    let at = |text: &str| json(text).unwrap_err().to_string();
    assert_eq!(at("{\n \"id\": }"), "line 2 column 8: not JSON: expected value");
    assert_eq!(at("{} x"), "line 1 column 4: not JSON: trailing characters");
    let deep = format!("\n{}", "[".repeat(100_000));
    assert_eq!(at(&deep), "line 2 column 137: not JSON: nested deeper than 136");
    assert!(json("\u{feff}{\"a\":\"[[\\\"[\"}").is_ok());
    assert_eq!(
        said(definition_from_text("{")),
        [
            "line 1 column 1: found text that is not JSON; allowed: JSON; EOF while parsing an object"
        ]
    );
}

#[test]
fn faults_are_bounded() {
    let faults = said(rule(&json!({"members": vec![json!(""); FAULTS_MAX + 5]})));
    assert_eq!(faults.len(), FAULTS_MAX + 1);
    assert!(faults[FAULTS_MAX].starts_with("found 5 more faults;"));
}

/// Words the language knows, and some it does not.
fn words() -> impl Strategy<Value = String> {
    let mut words: Vec<&str> =
        RULE_KINDS.iter().flat_map(|kind| kind.keys.iter().copied()).collect();
    words.extend(OPERATORS.iter().map(Named::word));
    words.extend(AGGREGATES.iter().map(Named::word));
    words.extend([
        "AND", "OR", "NOT", "session", "rank", "model", "id", "rules", "", "a*", "*a", "1d",
    ]);
    words.extend([
        "0s",
        "2026-01-01",
        "99999999999d",
        "((",
        "ß",
        "atribute",
        "$serde_json::private::Number",
    ]);
    proptest::sample::select(words).prop_map(str::to_owned)
}

/// JSON trees that look like rules from afar.
fn trees() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        words().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec((words(), inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_tree_makes_the_parser_panic(tree in trees(), under in any::<bool>()) {
        let tree = if under { json!({"id": "x", "rules": tree}) } else { tree };
        let read = definition(&tree);
        prop_assert!(read.is_ok() || !said(read).is_empty());
    }
}
