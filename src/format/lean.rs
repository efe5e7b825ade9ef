//! The hot path: of a record, what the dataflow needs and nothing else.
//!
//! One pass checks the whole line and notes where the known fields stand; after it only the fields
//! that are read, and of an event only the properties some rule asks for, become values.

use std::borrow::Cow;
use std::sync::Arc;

use dataflows::model::time::parse_time;
use dataflows::model::{AttributeKey, Change, EventTime, Hits, MessageKey, Value};
use dataflows::streams::{Streams, Wanted};
use hashbrown::HashMap;

use super::field::{self, Kind};
use super::layout::{Found, Layout, Slot};
use super::raw::Raw;
use super::scan::{Fault, Scan};
use super::stamp::usual_time;
use super::tree::{check_numbers, tree};
use super::{Mapping, structure};

/// How many event names are remembered. Names beyond are hostile or a mistake; the memory then
/// starts anew.
const REMEMBERED_NAMES: usize = 4_096;

/// Reads records for the dataflow. One per thread.
pub struct Reader {
    streams: Arc<Streams>,
    mapping: Mapping,
    is_segment: bool,
    layout: Layout,
    wanted: HashMap<Box<str>, Wanted>,
    no_properties: Value,
}

/// A record as the dataflow needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<'a> {
    /// Whom it concerns.
    pub user: Cow<'a, str>,
    /// Its event time; `None` takes the partition's clock.
    pub time: Option<EventTime>,
    /// By what a second copy is known.
    pub id: Option<MessageKey>,
    /// What it changes. Attributes are in the order of their keys, each once.
    pub change: Change,
}

impl Reader {
    /// A reader of records in the shape of `mapping`, for the rules behind `streams`.
    pub fn new(streams: Arc<Streams>, mapping: Mapping) -> Self {
        let layout = Layout::of(&mapping);
        let no_properties = Value::object(Vec::new());
        let is_segment = mapping.is_segment();
        Reader { streams, mapping, is_segment, layout, wanted: HashMap::new(), no_properties }
    }

    /// Reads for more rules from now on: those behind `streams`, to which only some were added.
    pub fn grow(&mut self, streams: &Arc<Streams>) {
        self.streams = Arc::clone(streams);
        self.wanted.clear();
    }

    /// Reads one record.
    ///
    /// ```
    /// use dataflows::model::Change;
    /// use rivulet::format::{Mapping, Reader};
    /// let mut reader = Reader::new(Default::default(), Mapping::default());
    /// let record = reader.update(br#"{"type":"delete","userId":"u1"}"#).unwrap();
    /// assert_eq!((&*record.user, record.time), ("u1", None));
    /// assert_eq!(record.change, Change::Delete);
    /// assert_eq!(reader.update(br#"{"type":"delete"}"#).unwrap_err(), "userId: missing");
    /// ```
    ///
    /// # Errors
    /// One line, `field: what is wrong`; the same that [`arrival`](super::arrival) gives.
    pub fn update<'a>(&mut self, line: &'a [u8]) -> Result<Parsed<'a>, String> {
        self.read(line).map_err(|fault| match fault {
            Fault::Reason(reason) => reason,
            Fault::Structure => match structure::check(line) {
                Err(reason) => reason,
                Ok(_) => "record: not understood".into(), // the two readers would disagree
            },
        })
    }

    /// What [`update`](Self::update) does, before a reason is looked for.
    pub(super) fn read<'a>(&mut self, line: &'a [u8]) -> Result<Parsed<'a>, Fault> {
        if let Some(reason) = structure::oversize(line.len() as u64) {
            return Err(Fault::Reason(reason));
        }
        let text = simdutf8::basic::from_utf8(line).map_err(|_| Fault::Structure)?;
        let found = self.layout.find(text)?;
        let says = if self.is_segment { segment_says(&found)? } else { self.says(&found)? };
        let user = self.user(&found)?;
        let time = self.time(&found)?;
        let id = self.id(&found)?;
        let change = self.change(says, &found)?;
        Ok(Parsed { user, time, id, change })
    }

    /// What kind of record it is, by the mapping.
    fn says(&self, found: &Found<'_>) -> Result<Says, Fault> {
        if found.get(Slot::Event).is_some() {
            Ok(Says::Event)
        } else if found.get(Slot::Traits).is_some() {
            Ok(Says::Attributes)
        } else if found.get(Slot::Attribute).is_some() {
            Ok(Says::Attribute)
        } else {
            Err(Fault::Reason(self.mapping.says_nothing()))
        }
    }

    fn user<'a>(&self, found: &Found<'a>) -> Result<Cow<'a, str>, Fault> {
        let (slot, raw) = match (found.get(Slot::User), found.get(Slot::Anonymous)) {
            (Some(raw), _) => (Slot::User, raw),
            (None, Some(raw)) => (Slot::Anonymous, raw),
            (None, None) => return Err(reason(field::missing(self.layout.label(Slot::User)))),
        };
        let label = self.layout.label(slot);
        let needed = "text or an integer";
        let name = match raw.first() {
            b'"' => raw.decode()?,
            b'-' | b'0'..=b'9' if field::is_integer(raw.text) => Cow::Borrowed(raw.text),
            b'-' | b'0'..=b'9' => {
                return Err(reason(field::wrong_kind(label, "fractional number", needed)));
            }
            _ => return Err(reason(field::wrong_kind(label, raw.kind(), needed))),
        };
        field::user_name(label, &name).map_err(Fault::Reason)?;
        Ok(name)
    }

    fn time(&self, found: &Found<'_>) -> Result<Option<EventTime>, Fault> {
        let Some(raw) = found.get(Slot::Time) else { return Ok(None) };
        let label = self.layout.label(Slot::Time);
        let time = match raw.first() {
            b'-' | b'0'..=b'9' => field::epoch_ms(label, raw.text).map_err(Fault::Reason)?,
            b'"' => {
                let text = raw.decode()?;
                let exact = || parse_time(&text).map_err(|why| reason(format!("{label}: {why}")));
                usual_time(&text).map_or_else(exact, Ok)?
            }
            _ => {
                let needed = "RFC 3339 text or a number";
                return Err(reason(field::wrong_kind(label, raw.kind(), needed)));
            }
        };
        Ok(Some(time))
    }

    fn id(&self, found: &Found<'_>) -> Result<Option<MessageKey>, Fault> {
        let Some(raw) = found.get(Slot::Id) else { return Ok(None) };
        let label = self.layout.label(Slot::Id);
        let id = match raw.first() {
            b'"' => raw.decode()?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(raw.text),
            _ => return Err(reason(field::wrong_kind(label, raw.kind(), "text or a number"))),
        };
        if id.is_empty() {
            return Err(reason(field::empty(label)));
        }
        Ok(Some(MessageKey::of(&id)))
    }

    fn change(&mut self, says: Says, found: &Found<'_>) -> Result<Change, Fault> {
        match says {
            Says::Event => {
                let name = self.text(found, Slot::Event)?;
                self.event(&name, None, found)
            }
            Says::View(name) => self.event(name, found.get(Slot::Name), found),
            Says::Attributes => self.attributes(found),
            Says::Attribute => {
                let name = self.text(found, Slot::Attribute)?;
                let value = match found.get(Slot::Value) {
                    Some(raw) => tree(raw).map_err(|fault| self.at(Slot::Value, fault))?,
                    None => Value::Null,
                };
                Ok(Change::Attributes(Box::new([(AttributeKey::of(&name), value)])))
            }
            Says::Delete => Ok(Change::Delete),
        }
    }

    /// Text that must be there and must not be empty.
    fn text<'a>(&self, found: &Found<'a>, slot: Slot) -> Result<Cow<'a, str>, Fault> {
        let label = self.layout.label(slot);
        let raw = found.get(slot).ok_or_else(|| reason(field::missing(label)))?;
        let text = decode_text(label, raw)?;
        if text.is_empty() { Err(reason(field::empty(label))) } else { Ok(text) }
    }

    /// An object, if it is there. Also its numbers are in range.
    fn object<'a>(&self, found: &Found<'a>, slot: Slot) -> Result<Option<Raw<'a>>, Fault> {
        let Some(raw) = found.get(slot) else { return Ok(None) };
        if raw.first() != b'{' {
            let label = self.layout.label(slot);
            return Err(reason(field::wrong_kind(label, raw.kind(), "an object")));
        }
        if found.large_numbers {
            check_numbers(raw).map_err(|fault| self.at(slot, fault))?;
        }
        Ok(Some(raw))
    }

    /// Names the field in a reason found inside it.
    fn at(&self, slot: Slot, fault: Fault) -> Fault {
        match fault {
            Fault::Reason(why) => reason(format!("{}: {why}", self.layout.label(slot))),
            Fault::Structure => fault,
        }
    }

    /// An event; `title` is a property that stands outside of the properties.
    fn event(
        &mut self,
        name: &str,
        title: Option<Raw<'_>>,
        found: &Found<'_>,
    ) -> Result<Change, Fault> {
        let properties = self.object(found, Slot::Properties)?;
        if let Some(title) = title.filter(|_| found.large_numbers) {
            check_numbers(title).map_err(|fault| self.at(Slot::Name, fault))?;
        }
        if self.wanted.len() >= REMEMBERED_NAMES {
            self.wanted.clear();
        }
        let wanted = self.wanted.entry_ref(name).or_insert_with(|| self.streams.wanted(name));
        if wanted.is_nothing() {
            return Ok(Change::Event(Hits::None));
        }
        if wanted.keys.is_empty() && !wanted.is_all() {
            return Ok(Change::Event(self.streams.hits(wanted, &self.no_properties)));
        }
        let mut members: Vec<(Arc<str>, Value)> = Vec::with_capacity(wanted.keys.len());
        if let Some(properties) = properties {
            Scan::new(properties.text).members(|key, value| {
                let key = key.decode()?;
                if let Some(wanted) = wanted.keys.iter().find(|wanted| ***wanted == *key) {
                    members.push((wanted.clone(), tree(value)?));
                } else if wanted.is_all() {
                    members.push(((*key).into(), tree(value)?));
                }
                Ok(())
            })?;
        }
        if let Some(title) = title.filter(|_| wanted.has("name")) {
            let present = members.iter().rev().find(|(key, _)| **key == *"name");
            if present.is_none_or(|(_, value)| *value == Value::Null) {
                members.push(("name".into(), tree(title)?));
            }
        }
        Ok(Change::Event(self.streams.hits(wanted, &Value::object(members))))
    }

    fn attributes(&self, found: &Found<'_>) -> Result<Change, Fault> {
        let mut members: Vec<(AttributeKey, Value)> = Vec::new();
        if let Some(traits) = self.object(found, Slot::Traits)? {
            Scan::new(traits.text).members(|key, value| {
                members.push((AttributeKey::of(&key.decode()?), tree(value)?));
                Ok(())
            })?;
        }
        // Of equal keys the last one counts: the sort is stable, so after turning it is the first.
        members.reverse();
        members.sort_by_key(|(key, _)| *key);
        members.dedup_by_key(|(key, _)| *key);
        Ok(Change::Attributes(members.into()))
    }
}

/// What a record says of its user.
enum Says {
    Event,
    View(&'static str),
    Attributes,
    Attribute,
    Delete,
}

/// What kind of record it is, by its `type`.
fn segment_says(found: &Found<'_>) -> Result<Says, Fault> {
    let raw = found.get(Slot::Type).ok_or_else(|| reason(field::missing("type")))?;
    let kind = field::kind(&decode_text("type", raw)?).map_err(Fault::Reason)?;
    Ok(match kind {
        Kind::Track => Says::Event,
        Kind::View(name) => Says::View(name),
        Kind::Identify => Says::Attributes,
        Kind::Delete => Says::Delete,
    })
}

fn decode_text<'a>(label: &str, raw: Raw<'a>) -> Result<Cow<'a, str>, Fault> {
    match raw.first() {
        b'"' => raw.decode(),
        _ => Err(reason(field::wrong_kind(label, raw.kind(), "text"))),
    }
}

fn reason(text: String) -> Fault {
    Fault::Reason(text)
}
