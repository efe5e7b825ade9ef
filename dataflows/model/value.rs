//! Attribute and property values, and the dotted paths that reach into them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::number::Decimal;
use super::time::{EventTime, MAX_TIME, MIN_TIME, parse_time};

/// How deep lists and objects may nest in a record or a definition.
pub const MAX_DEPTH: usize = 64;

/// A value as a record carries it. Nothing is coerced: `1` and `"1"` differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// The same as a value never set.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; `1` and `1.0` are the same.
    Number(Decimal),
    /// Text; the empty text is a value like any other.
    Text(Arc<str>),
    /// A list.
    List(Arc<[Value]>),
    /// An object, its keys in bytewise order, each once.
    Object(Arc<[(Arc<str>, Value)]>),
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// An object of these members; of equal keys the last one counts.
    pub fn object(mut members: Vec<(Arc<str>, Value)>) -> Self {
        members.reverse();
        members.sort_by(|left, right| left.0.cmp(&right.0));
        members.dedup_by(|later, earlier| later.0 == earlier.0);
        Value::Object(members.into())
    }

    /// The value a JSON tree stands for.
    ///
    /// # Errors
    /// One line: a number beyond range, or nesting deeper than [`MAX_DEPTH`].
    pub fn from_json(json: &serde_json::Value) -> Result<Self, String> {
        Self::from_json_within(json, MAX_DEPTH)
    }

    fn from_json_within(json: &serde_json::Value, depth: usize) -> Result<Self, String> {
        let Some(inner) = depth.checked_sub(1) else {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        };
        Ok(match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => {
                Value::Number(Decimal::parse(&number.to_string())?)
            }
            serde_json::Value::String(text) => Value::text(text),
            serde_json::Value::Array(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| Self::from_json_within(item, inner)).collect();
                Value::List(items?.into())
            }
            serde_json::Value::Object(members) => {
                let member = |(key, value): (&String, _)| {
                    Ok::<_, String>((key.as_str().into(), Self::from_json_within(value, inner)?))
                };
                let members: Result<Vec<_>, _> = members.iter().map(member).collect();
                Value::object(members?)
            }
        })
    }

    /// The instant it stands for: RFC 3339 text, or epoch milliseconds; `None` for anything else.
    pub fn as_time(&self) -> Option<EventTime> {
        match self {
            Value::Text(text) => parse_time(text).ok(),
            Value::Number(number) => number.floor().filter(|ms| (MIN_TIME..=MAX_TIME).contains(ms)),
            _ => None,
        }
    }

    /// The value at a path inside this object; `None` where it is missing or null.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let Value::Object(members) = self else { return None };
        let member = |key: &str| {
            let place = members.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
            members.get(place).map(|(_, value)| value).filter(|value| **value != Value::Null)
        };
        member(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            member(first)?.at(rest)
        })
    }

    /// What kind of value it is, in one word, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Object(_) => "object",
        }
    }
}

/// Prints JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (index, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if index == 0 { "" } else { "," }, quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A name that may reach into objects: `address.city` is the member named so, or else the `city`
/// of the object `address`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path(Arc<str>);

impl Path {
    /// A path as it is written.
    pub fn new(text: &str) -> Self {
        Path(text.into())
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first name and what follows it, if the path has a dot.
    pub fn split(&self) -> Option<(&str, &str)> {
        self.0.split_once('.')
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_json(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn paths_reach_into_objects_and_prefer_the_literal_name() {
        let object = value(r#"{"a":{"b":{"c":1},"b.c":2},"a.x":3,"n":null,"n.m":null}"#);
        assert_eq!(object.at("a.b.c"), Some(&value("2")));
        assert_eq!(object.at("a.x"), Some(&value("3")));
        assert_eq!(object.at("a.b"), Some(&value(r#"{"c":1}"#)));
        assert_eq!(object.at("n"), None);
        assert_eq!(object.at("n.m"), None);
        assert_eq!(object.at("a.b.c.d"), None);
    }

    #[test]
    fn equal_keys_keep_the_last() {
        let object = Value::object(vec![("a".into(), value("1")), ("a".into(), value("2"))]);
        assert_eq!(object, value(r#"{"a":2}"#));
    }

    #[test]
    fn values_print_as_json() {
        let json = r#"{"a":[1,"x\"y",null,true],"b":{"c":-1.5}}"#;
        assert_eq!(value(json).to_string(), json);
    }

    #[test]
    fn times_are_text_or_epoch_milliseconds() {
        assert_eq!(value(r#""2026-01-01T00:00:00Z""#).as_time(), Some(1_767_225_600_000));
        assert_eq!(value("1767225600000").as_time(), Some(1_767_225_600_000));
        assert_eq!(value("true").as_time(), None);
        assert_eq!(value("1e30").as_time(), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
        assert!(Value::from_json(&serde_json::from_str(&deep).unwrap()).is_err());
    }
}
