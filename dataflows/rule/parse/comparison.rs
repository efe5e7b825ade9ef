//! `op`, `value` and `ignore_case` to a [`Test`].

use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::{Duration, Value};
use crate::rule::language::{OPERATORS, Operator, Subject, Takes};
use crate::rule::reader::{Node, Reader, quoted};
use crate::rule::{Comparison, Pattern, Test};

const EXACT_NUMBER: &str = "a number below 10^21 with at most six decimal places";

/// Reads the comparison that the condition `node` makes with `subject`.
pub(super) fn test(reader: &mut Reader<'_>, node: &Node<'_>, subject: Subject) -> Option<Test> {
    let operator = reader.pick(&node.get("op"), OPERATORS, |row| row.is_for(subject));
    let ignore_case = ignore_case(reader, &node.get("ignore_case"));
    let (operator, ignore_case) = (operator?, ignore_case?);
    let constants = Constants { subject, ignore_case };
    let comparison = constants.comparison(reader, &node.get("value"), operator)?;
    if ignore_case && !compares_text(&comparison) {
        let hint = format!("leave it out: {:?} compares no text here", operator.word);
        reader.fault(&node.get("ignore_case"), "only where the value is text", Some(hint));
        return None;
    }
    Some(Test { comparison, ignore_case })
}

fn ignore_case(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<bool> {
    let read = reader.optional(node, |reader, node| match node.json() {
        Some(Json::Bool(flag)) => Some(*flag),
        _ => {
            reader.fault(node, "true, false", None);
            None
        }
    });
    read.map(Option::unwrap_or_default)
}

/// Whether all constants of a comparison are text.
fn compares_text(comparison: &Comparison) -> bool {
    use Comparison::*;
    let text = |value: &Value| matches!(value, Value::Text(_));
    match comparison {
        Eq(value) | Neq(value) | Gt(value) | Gte(value) | Lt(value) | Lte(value)
        | Contains(value) => text(value),
        Between(low, high) => text(low) && text(high),
        In(values) | NotIn(values) | AnyOf(values) | AllOf(values) | NoneOf(values) => {
            values.iter().all(text)
        }
        StartsWith(_) | EndsWith(_) | Matches(_) => true,
        Before(_) | After(_) | WithinLast(_) | WithinNext(_) | IsNull | IsNotNull => false,
    }
}

/// How the constants of one comparison are read.
#[derive(Clone, Copy)]
struct Constants {
    subject: Subject,
    ignore_case: bool,
}

impl Constants {
    fn comparison(
        self,
        reader: &mut Reader<'_>,
        node: &Node<'_>,
        operator: &Operator,
    ) -> Option<Comparison> {
        match &operator.takes {
            Takes::Nothing(comparison) => {
                if node.is_present() {
                    let hint = format!("leave it out: {:?} takes no value", operator.word);
                    reader.fault(node, "nothing", Some(hint));
                    return None;
                }
                Some(comparison.clone())
            }
            Takes::Scalar(of) => self.scalar(reader, node).map(of),
            Takes::Scalars(of) => self.scalars(reader, node).map(of),
            Takes::Bound(of) => self.bound(reader, node).map(of),
            Takes::Range(of) => self.range(reader, node).map(|(low, high)| of(low, high)),
            Takes::Text(of) => reader.text(node, "text").map(|text| of(self.folded(&text))),
            Takes::Pattern => self.pattern(reader, node).map(Comparison::Matches),
            Takes::Time(of) => reader.instant(node).map(of),
            Takes::Span(of) => reader.duration(node, Duration::from_ms(0)).map(of),
        }
    }

    fn scalar(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Value> {
        let allowed =
            if self.subject.is_number() { EXACT_NUMBER } else { "text, a number, true or false" };
        match node.json() {
            Some(Json::Number(_)) => self.number(reader, node),
            Some(Json::Bool(flag)) if !self.subject.is_number() => Some(Value::Bool(*flag)),
            Some(Json::String(text)) if !self.subject.is_number() => {
                Some(Value::Text(self.folded(text)))
            }
            other => {
                reader.fault(node, allowed, self.null_hint(other));
                None
            }
        }
    }

    fn null_hint(self, found: Option<&Json>) -> Option<String> {
        let is_null = found == Some(&Json::Null) && self.subject != Subject::Count;
        is_null.then(|| "for a missing value say \"op\": \"is_null\"".to_owned())
    }

    fn number(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Value> {
        let read = node.json().map(Value::from_json)?;
        let exact = |value: &Value| match value {
            Value::Number(number) => number.to_amount_exactly().is_some(),
            _ => false,
        };
        match read {
            Ok(value) if !self.subject.is_number() || exact(&value) => Some(value),
            Ok(_) => {
                reader.fault(node, EXACT_NUMBER, None);
                None
            }
            Err(reason) => {
                reader.fault(node, "a number within range", Some(reason));
                None
            }
        }
    }

    fn scalars(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<Value>> {
        let allowed = if self.subject.is_number() {
            "a list of numbers"
        } else {
            "a list of texts, numbers, true or false"
        };
        reader.each(node, allowed, |reader, item| self.scalar(reader, item))
    }

    fn bound(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Value> {
        match node.json() {
            Some(Json::Number(_)) => self.number(reader, node),
            Some(Json::String(text)) if !self.subject.is_number() => {
                Some(Value::Text(self.folded(text)))
            }
            other => {
                let allowed =
                    if self.subject.is_number() { EXACT_NUMBER } else { "a number or text" };
                reader.fault(node, allowed, self.null_hint(other));
                None
            }
        }
    }

    fn range(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<(Value, Value)> {
        let allowed = if self.subject.is_number() {
            "a list of two numbers, the lower first"
        } else {
            "a list of two numbers or two texts, the lower first"
        };
        let bounds = reader.each(node, allowed, |reader, item| self.bound(reader, item))?;
        let Ok([low, high]) = <[Value; 2]>::try_from(bounds) else {
            reader.fault(node, allowed, None);
            return None;
        };
        // The test that will be made decides which is the lower: times by their instants.
        let least =
            Test { comparison: Comparison::Gte(low.clone()), ignore_case: self.ignore_case };
        if !least.holds(Some(&high)).holds() {
            let found = format!("{low} and {high}");
            reader.fault_with(node, found, allowed, None);
            return None;
        }
        Some((low, high))
    }

    fn pattern(self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Pattern> {
        let text = reader.text(node, "a regular expression")?;
        match Pattern::new(&text, self.ignore_case) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                let found = quoted(&text);
                reader.fault_with(node, found, "a regular expression", Some(reason));
                None
            }
        }
    }

    fn folded(self, text: &str) -> Arc<str> {
        if self.ignore_case { text.to_lowercase().into() } else { text.into() }
    }
}
