//! Conditions in the words of the rule language, on one line.

use std::fmt::Display;

use crate::model::Value;
use crate::model::time::format_time;
use crate::rule::{
    AggregateCondition, AttributeCondition, Comparison, Filter, NamePattern, Rule, Sample,
    Selector, SequenceCondition, Test,
};

/// A rule; of one that is made of others, only how they are put together.
pub fn of_rule(rule: &Rule) -> String {
    match rule {
        Rule::All(_) => "all of".to_owned(),
        Rule::Any(_) => "any of".to_owned(),
        Rule::Not(_) => "not".to_owned(),
        Rule::Segment(id) => format!("segment {id}"),
        Rule::Everyone => "everyone".to_owned(),
        Rule::Members(names) => format!("members, a list of {}", names.len()),
        Rule::Sample(sample) => of_sample(sample),
        Rule::Attribute(condition) => of_attribute(condition),
        Rule::Aggregate(condition) => of_aggregate(condition),
        Rule::Sequence(sequence) => of_sequence(sequence),
    }
}

fn of_sample(sample: &Sample) -> String {
    let percent = |ppm: u32| format!("{}.{:04} %", ppm / 10_000, ppm % 10_000);
    let percent = |ppm| percent(ppm).replace(".0000 %", " %");
    format!("sample {} {} from {}", sample.key, percent(sample.size), percent(sample.from))
}

fn of_attribute(condition: &AttributeCondition) -> String {
    let held = condition.held.map(|held| format!(" held {held}")).unwrap_or_default();
    format!("{} {}{held}", condition.path, of_test(&condition.test))
}

fn of_aggregate(condition: &AggregateCondition) -> String {
    let AggregateCondition { events, measure, window, test } = condition;
    let property = measure.property().map(|path| format!("({path})")).unwrap_or_default();
    let over = window.map(|window| format!(" over {window}")).unwrap_or_default();
    format!("{} {}{property}{over} {}", of_selector(events), measure.word(), of_test(test))
}

fn of_sequence(sequence: &SequenceCondition) -> String {
    let steps: Vec<String> = sequence.steps.iter().map(of_selector).collect();
    let SequenceCondition { within, window, .. } = sequence;
    format!("sequence {} within {within} window {window}", steps.join(" → "))
}

fn of_selector(selector: &Selector) -> String {
    let name = match &selector.name {
        NamePattern::Exact(name) => name.to_string(),
        NamePattern::Prefix(prefix) => format!("{prefix}*"),
    };
    match &selector.filter {
        Some(filter) => format!("{name} where {}", of_filter(filter)),
        None => name,
    }
}

fn of_filter(filter: &Filter) -> String {
    let join = |filters: &[Filter], word: &str| {
        let each: Vec<String> = filters.iter().map(of_filter).collect();
        format!("({})", each.join(word))
    };
    match filter {
        Filter::All(filters) if filters.is_empty() => "(all of nothing)".to_owned(),
        Filter::Any(filters) if filters.is_empty() => "(any of nothing)".to_owned(),
        Filter::All(filters) => join(filters, " and "),
        Filter::Any(filters) => join(filters, " or "),
        Filter::Not(filter) => format!("not {}", of_filter(filter)),
        Filter::Property(path, test) => format!("{path} {}", of_test(test)),
    }
}

fn of_test(test: &Test) -> String {
    use Comparison::*;
    let said = match &test.comparison {
        Eq(value) => one("eq", value),
        Neq(value) => one("neq", value),
        In(values) => list("in", values),
        NotIn(values) => list("not_in", values),
        Gt(bound) => one("gt", bound),
        Gte(bound) => one("gte", bound),
        Lt(bound) => one("lt", bound),
        Lte(bound) => one("lte", bound),
        Between(low, high) => format!("between {low} and {high}"),
        Contains(item) => one("contains", item),
        StartsWith(part) => one("starts_with", &Value::text(part)),
        EndsWith(part) => one("ends_with", &Value::text(part)),
        Matches(pattern) => format!("matches /{}/", pattern.as_str()),
        AnyOf(values) => list("any_of", values),
        AllOf(values) => list("all_of", values),
        NoneOf(values) => list("none_of", values),
        Before(time) => format!("before {}", format_time(*time)),
        After(time) => format!("after {}", format_time(*time)),
        WithinLast(duration) => one("within_last", duration),
        WithinNext(duration) => one("within_next", duration),
        IsNull => "is_null".to_owned(),
        IsNotNull => "is_not_null".to_owned(),
    };
    if test.ignore_case { format!("{said} ignoring case") } else { said }
}

fn one(word: &str, constant: &impl Display) -> String {
    format!("{word} {constant}")
}

fn list(word: &str, values: &[Value]) -> String {
    format!("{word} {}", Value::List(values.into()))
}
