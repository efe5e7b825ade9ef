//! What a comparison means for a value: the table of operators of the rule language.
//!
//! A missing (or null) value makes every test false save [`Comparison::IsNull`]. A value of a type
//! the operator is not for makes it false and is counted, so that it can be seen
//! ([`Truth::Mismatch`]).

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::model::time::parse_time;
use crate::model::{Duration, EventTime, Value};

/// The truth of a test for one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It does not, because the value is of the wrong type.
    Mismatch,
}

impl Truth {
    /// Whether it holds.
    pub fn holds(self) -> bool {
        self == Truth::True
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::True } else { Truth::False }
    }
}

/// A comparison with constants. Text in a test that ignores case is kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Test {
    /// What is compared with what.
    pub comparison: Comparison,
    /// Whether text is compared in lower case.
    pub ignore_case: bool,
}

/// The operators and their constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// The same scalar. A scalar of another type differs; a list or an object is a mismatch.
    Eq(Value),
    /// Another scalar.
    Neq(Value),
    /// One of these scalars.
    In(Vec<Value>),
    /// None of these scalars.
    NotIn(Vec<Value>),
    /// Greater than: numbers; two times, if both are RFC 3339 text; other text bytewise.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less than.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// From the one to the other, both included.
    Between(Value, Value),
    /// Text that has this within, or a list that has this item.
    Contains(Value),
    /// Text that begins so.
    StartsWith(Arc<str>),
    /// Text that ends so.
    EndsWith(Arc<str>),
    /// Text in which this pattern is found.
    Matches(Pattern),
    /// A list that shares an item with these.
    AnyOf(Vec<Value>),
    /// A list that has every one of these.
    AllOf(Vec<Value>),
    /// A list that has none of these.
    NoneOf(Vec<Value>),
    /// A time before this one.
    Before(EventTime),
    /// A time after this one.
    After(EventTime),
    /// A time with `value <= now < value + duration`.
    WithinLast(Duration),
    /// A time with `value - duration <= now < value`.
    WithinNext(Duration),
    /// Missing, or null.
    IsNull,
    /// Present.
    IsNotNull,
}

impl Test {
    /// A test that minds case.
    pub fn new(comparison: Comparison) -> Self {
        Test { comparison, ignore_case: false }
    }

    /// Whether it can change by itself as time passes.
    pub fn is_timed(&self) -> bool {
        matches!(self.comparison, Comparison::WithinLast(_) | Comparison::WithinNext(_))
    }

    /// The instants between which a timed test holds for this value, half open: true at `now` iff
    /// `from <= now < until`. `None` for a value that is not a time, and for other tests.
    pub fn span(&self, value: &Value) -> Option<(EventTime, EventTime)> {
        let time = value.as_time()?;
        match self.comparison {
            Comparison::WithinLast(duration) => Some((time, time + duration.ms())),
            Comparison::WithinNext(duration) => Some((time - duration.ms(), time)),
            _ => None,
        }
    }

    /// Its truth for this value at this time.
    pub fn holds_at(&self, value: Option<&Value>, now: EventTime) -> Truth {
        match value {
            Some(present) if self.is_timed() => match self.span(present) {
                Some((from, until)) => (from <= now && now < until).into(),
                None => Truth::Mismatch,
            },
            _ => self.holds(value),
        }
    }

    /// Its truth for this value, for tests that do not depend on the time; a timed test is false.
    pub fn holds(&self, value: Option<&Value>) -> Truth {
        use Comparison::*;
        let value = match (&self.comparison, value) {
            (IsNull, value) => return matches!(value, None | Some(Value::Null)).into(),
            (IsNotNull, value) => return (!matches!(value, None | Some(Value::Null))).into(),
            (_, None | Some(Value::Null)) => return Truth::False,
            (_, Some(value)) => value,
        };
        match &self.comparison {
            Eq(other) => on_scalar(value, |_| self.same(value, other)),
            Neq(other) => on_scalar(value, |_| !self.same(value, other)),
            In(others) => on_scalar(value, |_| others.iter().any(|other| self.same(value, other))),
            NotIn(others) => {
                on_scalar(value, |_| !others.iter().any(|other| self.same(value, other)))
            }
            Gt(bound) => self.ordered(value, bound, Ordering::is_gt),
            Gte(bound) => self.ordered(value, bound, Ordering::is_ge),
            Lt(bound) => self.ordered(value, bound, Ordering::is_lt),
            Lte(bound) => self.ordered(value, bound, Ordering::is_le),
            Between(low, high) => match self.ordered(value, low, Ordering::is_ge) {
                Truth::True => self.ordered(value, high, Ordering::is_le),
                other => other,
            },
            Contains(item) => match (value, item) {
                (Value::Text(text), Value::Text(part)) => {
                    self.folded(text, |t| t.contains(&**part))
                }
                (Value::List(items), item) => items.iter().any(|have| self.same(have, item)).into(),
                _ => Truth::Mismatch,
            },
            StartsWith(part) => self.on_text(value, |text| text.starts_with(&**part)),
            EndsWith(part) => self.on_text(value, |text| text.ends_with(&**part)),
            Matches(pattern) => match value {
                Value::Text(text) => pattern.is_match(text).into(),
                _ => Truth::Mismatch,
            },
            AnyOf(wanted) => self.on_list(value, |has| wanted.iter().any(has)),
            AllOf(wanted) => self.on_list(value, |has| wanted.iter().all(has)),
            NoneOf(wanted) => self.on_list(value, |has| !wanted.iter().any(has)),
            Before(time) => on_time(value, |own| own < *time),
            After(time) => on_time(value, |own| own > *time),
            WithinLast(_) | WithinNext(_) => on_time(value, |_| false),
            IsNull | IsNotNull => Truth::False, // answered above
        }
    }

    fn same(&self, value: &Value, other: &Value) -> bool {
        match (value, other) {
            (Value::Text(value), Value::Text(other)) if self.ignore_case => {
                value.to_lowercase() == **other
            }
            _ => value == other,
        }
    }

    fn folded(&self, text: &str, holds: impl Fn(&str) -> bool) -> Truth {
        if self.ignore_case { holds(&text.to_lowercase()).into() } else { holds(text).into() }
    }

    fn on_text(&self, value: &Value, holds: impl Fn(&str) -> bool) -> Truth {
        match value {
            Value::Text(text) => self.folded(text, holds),
            _ => Truth::Mismatch,
        }
    }

    fn on_list(&self, value: &Value, holds: impl Fn(&dyn Fn(&Value) -> bool) -> bool) -> Truth {
        match value {
            Value::List(items) => {
                holds(&|wanted| items.iter().any(|item| self.same(item, wanted))).into()
            }
            _ => Truth::Mismatch,
        }
    }

    fn ordered(&self, value: &Value, bound: &Value, holds: fn(Ordering) -> bool) -> Truth {
        match (value, bound) {
            (Value::Number(value), Value::Number(bound)) => holds(value.cmp(bound)).into(),
            (Value::Text(value), Value::Text(bound)) => {
                match (parse_time(value), parse_time(bound)) {
                    (Ok(value), Ok(bound)) => holds(value.cmp(&bound)).into(),
                    _ => self.folded(value, |text| holds(text.cmp(bound))),
                }
            }
            _ => Truth::Mismatch,
        }
    }
}

fn on_scalar(value: &Value, holds: impl Fn(&Value) -> bool) -> Truth {
    match value {
        Value::List(_) | Value::Object(_) => Truth::Mismatch,
        scalar => holds(scalar).into(),
    }
}

fn on_time(value: &Value, holds: impl Fn(EventTime) -> bool) -> Truth {
    value.as_time().map_or(Truth::Mismatch, |time| holds(time).into())
}

/// A regular expression in the syntax of the `regex` crate, found anywhere in the text in time
/// linear in its length.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "(Arc<str>, bool)", into = "(Arc<str>, bool)")]
pub struct Pattern {
    source: Arc<str>,
    ignore_case: bool,
    compiled: Regex,
}

impl Pattern {
    /// Most memory a compiled pattern may take, in bytes.
    const SIZE_LIMIT_BYTES: usize = 1 << 20;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// One line: the syntax error, or that it would take too much memory.
    pub fn new(source: &str, ignore_case: bool) -> Result<Self, String> {
        let compiled = RegexBuilder::new(source)
            .case_insensitive(ignore_case)
            .size_limit(Self::SIZE_LIMIT_BYTES)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(bytes) => {
                    format!("the pattern compiles to more than {bytes} bytes")
                }
                error => {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default().trim();
                    last.strip_prefix("error: ").unwrap_or(last).to_owned()
                }
            })?;
        Ok(Pattern { source: source.into(), ignore_case, compiled })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it is found in this text.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.ignore_case == other.ignore_case
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.source, self.ignore_case).hash(state);
    }
}

impl TryFrom<(Arc<str>, bool)> for Pattern {
    type Error = String;

    fn try_from((source, ignore_case): (Arc<str>, bool)) -> Result<Self, String> {
        Pattern::new(&source, ignore_case)
    }
}

impl From<Pattern> for (Arc<str>, bool) {
    fn from(pattern: Pattern) -> Self {
        (pattern.source, pattern.ignore_case)
    }
}

#[cfg(test)]
mod tests {
    use super::Comparison::*;
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_json(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[track_caller]
    fn check(comparison: Comparison, json: &str, expected: Truth) {
        let test = Test::new(comparison);
        assert_eq!(test.holds_at(Some(&value(json)), 1_000), expected, "{test:?} on {json}");
    }

    #[test]
    fn scalars_of_another_type_differ_and_lists_mismatch() {
        check(Eq(value("1")), "1.0", Truth::True);
        check(Eq(value("1")), "\"1\"", Truth::False);
        check(Neq(value("1")), "\"1\"", Truth::True);
        check(NotIn(vec![value("1")]), "\"1\"", Truth::True);
        check(Neq(value("1")), "[1]", Truth::Mismatch);
        check(In(vec![value("true")]), "true", Truth::True);
    }

    #[test]
    fn a_missing_value_is_only_null() {
        for test in [Eq(value("1")), Neq(value("1")), NotIn(vec![]), NoneOf(vec![]), IsNotNull] {
            check(test.clone(), "null", Truth::False);
            assert_eq!(Test::new(test).holds(None), Truth::False);
        }
        check(IsNull, "null", Truth::True);
        assert_eq!(Test::new(IsNull).holds(None), Truth::True);
    }

    #[test]
    fn order_needs_the_same_type() {
        check(Gt(value("10")), "9.99", Truth::False);
        check(Gt(value("10")), "\"11\"", Truth::Mismatch);
        check(Gt(value("\"b\"")), "\"a\"", Truth::False);
        check(Between(value("1"), value("2")), "2", Truth::True);
        check(Between(value("1"), value("2")), "true", Truth::Mismatch);
        // The same instant, written at two offsets: not greater, whatever the bytes say.
        check(Gt(value("\"2026-01-01T00:00:00Z\"")), "\"2026-01-01T01:00:00+01:00\"", Truth::False);
    }

    #[test]
    fn lists_and_text() {
        check(Contains(value("\"a\"")), "[\"a\",1]", Truth::True);
        check(Contains(value("\"a\"")), "\"cat\"", Truth::True);
        check(Contains(value("1")), "\"1\"", Truth::Mismatch);
        check(AllOf(vec![value("1"), value("2")]), "[2,1,3]", Truth::True);
        check(NoneOf(vec![value("4")]), "[]", Truth::True);
        check(AnyOf(vec![value("4")]), "4", Truth::Mismatch);
        let folded = Test { comparison: Eq(value("\"straße\"")), ignore_case: true };
        assert_eq!(folded.holds(Some(&value("\"STRASSE\""))), Truth::False);
        assert_eq!(folded.holds(Some(&value("\"Straße\""))), Truth::True);
    }

    #[test]
    fn spans_are_half_open() {
        check(WithinLast(Duration::from_ms(10)), "1000", Truth::True);
        check(WithinLast(Duration::from_ms(10)), "991", Truth::True);
        check(WithinLast(Duration::from_ms(10)), "990", Truth::False);
        check(WithinLast(Duration::from_ms(10)), "1001", Truth::False);
        check(WithinNext(Duration::from_ms(10)), "1000", Truth::False);
        check(WithinNext(Duration::from_ms(10)), "1010", Truth::True);
        check(WithinNext(Duration::from_ms(10)), "1011", Truth::False);
        check(WithinNext(Duration::from_ms(10)), "true", Truth::Mismatch);
    }
}
