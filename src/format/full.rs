//! A record in full, read for plainness: through `serde_json`, one small step at a time.
//!
//! This is what the oracle reads, so it shares no parser with the hot path.

use std::fmt;
use std::sync::Arc;

use dataflows::model::time::parse_time;
use dataflows::model::{Action, Arrival, Decimal, EventTime, Path, Position, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{self, Kind};
use super::{Mapping, structure};

/// Reads a record and keeps all of it.
///
/// ```
/// use dataflows::model::Position;
/// use rivulet::format::{Mapping, arrival};
/// let line = br#"{"type":"track","userId":"u1","event":"click","timestamp":1767225600000}"#;
/// let record = arrival(&Mapping::default(), Position { partition: 0, offset: 0 }, line).unwrap();
/// assert_eq!((&*record.user, record.time), ("u1", Some(1_767_225_600_000)));
/// ```
///
/// # Errors
/// One line, `field: what is wrong`.
pub fn arrival(mapping: &Mapping, position: Position, line: &[u8]) -> Result<Arrival, String> {
    let text = structure::check(line)?;
    let record = Members::of(text)?;
    if mapping.is_segment() {
        segment(&record, position)
    } else {
        mapped(mapping, &record, position)
    }
}

/// A record of the Segment shape.
fn segment(record: &Members<'_>, position: Position) -> Result<Arrival, String> {
    let kind = match record.last("type") {
        None => return Err(field::missing("type")),
        Some(raw) => field::kind(&text("type", raw)?)?,
    };
    let user = match (record.last("userId"), record.last("anonymousId")) {
        (Some(raw), _) => user("userId", raw)?,
        (None, Some(raw)) => user("anonymousId", raw)?,
        (None, None) => return Err(field::missing("userId")),
    };
    let time = record.last("timestamp").map(|raw| time("timestamp", raw)).transpose()?;
    let id = record.last("messageId").map(|raw| id("messageId", raw)).transpose()?;
    let action = match kind {
        Kind::Track => {
            let name = event_name("event", record.last("event"))?;
            let properties = object("properties", record.last("properties"))?;
            Action::Event { name, properties: Value::object(properties) }
        }
        Kind::View(name) => {
            let mut properties = object("properties", record.last("properties"))?;
            if let Some(raw) = record.last("name") {
                let title = value("name", raw)?;
                if Value::object(properties.clone()).at("name").is_none() {
                    properties.push(("name".into(), title));
                }
            }
            Action::Event { name: name.into(), properties: Value::object(properties) }
        }
        Kind::Identify => attributes(object("traits", record.last("traits"))?),
        Kind::Delete => Action::Delete,
    };
    Ok(Arrival { position, time, user, id, action })
}

/// A record in the shape a mapping describes.
fn mapped(mapping: &Mapping, record: &Members<'_>, position: Position) -> Result<Arrival, String> {
    let event = record.find(&mapping.event);
    let traits = record.find(&mapping.traits);
    let attribute = record.find(&mapping.attribute);
    if event.is_none() && traits.is_none() && attribute.is_none() {
        return Err(mapping.says_nothing());
    }
    let user = match record.find(&mapping.user) {
        Some(raw) => user(label(&mapping.user, "user"), raw)?,
        None => return Err(field::missing(label(&mapping.user, "user"))),
    };
    let time = record.find(&mapping.time);
    let time = time.map(|raw| self::time(label(&mapping.time, "time"), raw)).transpose()?;
    let id = record.find(&mapping.id);
    let id = id.map(|raw| self::id(label(&mapping.id, "id"), raw)).transpose()?;
    let action = if event.is_some() {
        let name = event_name(label(&mapping.event, "event"), event)?;
        let properties = record.find(&mapping.properties);
        let properties = object(label(&mapping.properties, "properties"), properties)?;
        Action::Event { name, properties: Value::object(properties) }
    } else if traits.is_some() {
        attributes(object(label(&mapping.traits, "traits"), traits)?)
    } else {
        let name = event_name(label(&mapping.attribute, "attribute"), attribute)?;
        let value = match record.find(&mapping.value) {
            Some(raw) => value(label(&mapping.value, "value"), raw)?,
            None => Value::Null,
        };
        Action::Attributes(vec![(name, value)])
    };
    Ok(Arrival { position, time, user, id, action })
}

fn label<'a>(path: &'a Option<Path>, otherwise: &'a str) -> &'a str {
    path.as_ref().map_or(otherwise, Path::as_str)
}

fn kind(raw: &RawValue) -> &'static str {
    structure::kind(raw.get().as_bytes().first())
}

fn text(label: &str, raw: &RawValue) -> Result<String, String> {
    serde_json::from_str(raw.get()).map_err(|_| field::wrong_kind(label, kind(raw), "text"))
}

fn user(label: &str, raw: &RawValue) -> Result<Arc<str>, String> {
    let needed = "text or an integer";
    let name = match kind(raw) {
        "text" => text(label, raw)?,
        "number" if field::is_integer(raw.get()) => raw.get().to_owned(),
        "number" => return Err(field::wrong_kind(label, "fractional number", needed)),
        other => return Err(field::wrong_kind(label, other, needed)),
    };
    field::user_name(label, &name)?;
    Ok(name.into())
}

fn time(label: &str, raw: &RawValue) -> Result<EventTime, String> {
    match kind(raw) {
        "text" => parse_time(&text(label, raw)?).map_err(|reason| format!("{label}: {reason}")),
        "number" => field::epoch_ms(label, raw.get()),
        other => Err(field::wrong_kind(label, other, "RFC 3339 text or a number")),
    }
}

fn id(label: &str, raw: &RawValue) -> Result<Arc<str>, String> {
    let id = match kind(raw) {
        "text" => text(label, raw)?,
        "number" => raw.get().to_owned(),
        other => return Err(field::wrong_kind(label, other, "text or a number")),
    };
    if id.is_empty() { Err(field::empty(label)) } else { Ok(id.into()) }
}

fn event_name(label: &str, raw: Option<&RawValue>) -> Result<Arc<str>, String> {
    let name = text(label, raw.ok_or_else(|| field::missing(label))?)?;
    if name.is_empty() { Err(field::empty(label)) } else { Ok(name.into()) }
}

/// The members of an object, in the order of the text; none where it is missing.
fn object(label: &str, raw: Option<&RawValue>) -> Result<Vec<(Arc<str>, Value)>, String> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    if kind(raw) != "object" {
        return Err(field::wrong_kind(label, kind(raw), "an object"));
    }
    members(raw).map_err(|reason| format!("{label}: {reason}"))
}

fn value(label: &str, raw: &RawValue) -> Result<Value, String> {
    tree(raw).map_err(|reason| format!("{label}: {reason}"))
}

fn members(raw: &RawValue) -> Result<Vec<(Arc<str>, Value)>, String> {
    let members = Members::of(raw.get())?.0.into_iter();
    members.map(|(key, raw)| Ok((key.into(), tree(raw)?))).collect()
}

fn tree(raw: &RawValue) -> Result<Value, String> {
    let error = |error: serde_json::Error| error.to_string();
    Ok(match kind(raw) {
        "null" => Value::Null,
        "boolean" => Value::Bool(raw.get() == "true"),
        "number" => Value::Number(Decimal::parse(raw.get())?),
        "text" => Value::Text(serde_json::from_str::<String>(raw.get()).map_err(error)?.into()),
        "list" => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(error)?;
            Value::List(items.into_iter().map(tree).collect::<Result<_, _>>()?)
        }
        _ => Value::object(members(raw)?),
    })
}

/// Attributes in the order of their names, each once.
fn attributes(members: Vec<(Arc<str>, Value)>) -> Action {
    match Value::object(members) {
        Value::Object(members) => Action::Attributes(members.to_vec()),
        _ => Action::Attributes(Vec::new()),
    }
}

/// The members of an object in the order of the text, also those that are named twice.
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the text of an object.
    ///
    /// # Errors
    /// It is no JSON, or no object: one line that says so.
    pub fn of(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("record: {error}"))
    }

    /// All of them, each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }

    /// The last member of this name, unless it is null.
    pub fn last(&self, name: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.0.iter().rev().find(|(key, _)| key == name)?;
        (raw.get() != "null").then_some(raw)
    }

    /// What a dotted path leads to, unless it is null: see [`Path`].
    fn find(&self, path: &Option<Path>) -> Option<&'a RawValue> {
        self.at(path.as_ref()?.as_str())
    }

    fn at(&self, path: &str) -> Option<&'a RawValue> {
        self.last(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            Members::of(self.last(first)?.get()).ok()?.at(rest)
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Members)
    }
}
