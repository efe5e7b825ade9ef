//! The hot path: of a record, what the dataflow needs and nothing else.
//!
//! One pass checks the whole line and notes where the known fields stand; after it only the fields
//! that are read, and of an event only the properties some rule asks for, become values.

use std::borrow::Cow;
use std::sync::Arc;

use dataflows::model::time::parse_time;
use dataflows::model::{AttributeKey, Change, EventTime, MessageKey, Value};
use dataflows::streams::Streams;

use super::field::{self, Kind};
use super::layout::{Found, Layout, Slot};
use super::names::{Answer, Names};
use super::raw::Raw;
use super::scan::{Fault, Scan};
use super::stamp::usual_time;
use super::tree::{check_numbers, tree};
use super::{MAX_RECORD_BYTES, Mapping, structure};

/// Reads records for the dataflow. One per thread.
pub struct Reader {
    streams: Arc<Streams>,
    mapping: Mapping,
    is_segment: bool,
    layout: Layout,
    names: Names,
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
        let is_segment = mapping.is_segment();
        Reader { streams, mapping, is_segment, layout, names: Names::default() }
    }

    /// Reads for more rules from now on: those behind `streams`, to which only some were added.
    pub fn grow(&mut self, streams: &Arc<Streams>) {
        self.streams = Arc::clone(streams);
        self.names = Names::default();
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
        self.read(line, Layout::find).map_err(|fault| why(fault, line))
    }

    /// Reads one record, too, of which [`line`](Self::line) has found that it is like none before.
    ///
    /// # Errors
    /// The same.
    pub fn unlike<'a>(&mut self, line: &'a [u8]) -> Result<Parsed<'a>, String> {
        self.read(line, Layout::read).map_err(|fault| why(fault, line))
    }

    /// Reads the line a text begins with, if it is a record of a shape that was read before; how
    /// long it is. It costs no search for its end.
    ///
    /// ```
    /// use rivulet::format::{Mapping, Reader};
    /// let mut reader = Reader::new(Default::default(), Mapping::default());
    /// let text = "{\"type\":\"delete\",\"userId\":\"u12\"}\nand so on";
    /// assert!(reader.line(text).is_none());
    /// reader.update(br#"{"type":"delete","userId":"u1"}"#).unwrap();
    /// let (length, record) = reader.line(text).unwrap();
    /// assert_eq!((length, &*record.unwrap().user), (32, "u12"));
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    #[inline]
    pub fn line<'a>(&mut self, text: &'a str) -> Option<(usize, Result<Parsed<'a>, String>)> {
        let mut found = Found::new(text);
        let length = self.layout.find_line(&mut found)?;
        if length > MAX_RECORD_BYTES {
            return None;
        }
        let record = self.parsed(&mut found);
        Some((length, record.map_err(|fault| why(fault, &text.as_bytes()[..length]))))
    }

    /// What [`update`](Self::update) does, before a reason is looked for.
    fn read<'a>(
        &mut self,
        line: &'a [u8],
        find: impl Fn(&mut Layout, &mut Found<'a>) -> Result<(), Fault>,
    ) -> Result<Parsed<'a>, Fault> {
        if let Some(reason) = structure::oversize(line.len() as u64) {
            return Err(Fault::Reason(reason));
        }
        let text = structure::text(line).ok_or(Fault::Structure)?;
        let mut found = Found::new(text);
        find(&mut self.layout, &mut found)?;
        self.parsed(&mut found)
    }

    /// What the fields say.
    #[inline]
    fn parsed<'a>(&mut self, found: &mut Found<'a>) -> Result<Parsed<'a>, Fault> {
        self.layout.follow(found)?;
        let says = if self.is_segment { segment_says(found)? } else { self.says(found)? };
        let user = self.user(found)?;
        let time = self.time(found)?;
        let id = self.id(found)?;
        let change = self.change(says, found)?;
        Ok(Parsed { user, time, id, change })
    }

    /// What kind of record it is, by the mapping.
    #[inline]
    fn says(&self, found: &Found<'_>) -> Result<Says, Fault> {
        if found.plain(Slot::Event).is_some() { Ok(Says::Event) } else { self.says_else(found) }
    }

    #[cold]
    #[inline(never)]
    fn says_else(&self, found: &Found<'_>) -> Result<Says, Fault> {
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

    #[inline]
    fn user<'a>(&self, found: &Found<'a>) -> Result<Cow<'a, str>, Fault> {
        match found.plain(Slot::User) {
            Some(name) if field::is_user_name(name) => Ok(Cow::Borrowed(name)),
            _ => self.unusual_user(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_user<'a>(&self, found: &Found<'a>) -> Result<Cow<'a, str>, Fault> {
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

    #[inline]
    fn time(&self, found: &Found<'_>) -> Result<Option<EventTime>, Fault> {
        match field::usual_epoch(found.written(Slot::Time)) {
            Some(time) => Ok(Some(time)),
            None => self.unusual_time(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_time(&self, found: &Found<'_>) -> Result<Option<EventTime>, Fault> {
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

    #[inline]
    fn id(&self, found: &Found<'_>) -> Result<Option<MessageKey>, Fault> {
        match found.plain(Slot::Id) {
            Some(id) if !id.is_empty() => Ok(Some(MessageKey::of(id))),
            _ => self.unusual_id(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_id(&self, found: &Found<'_>) -> Result<Option<MessageKey>, Fault> {
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

    #[inline]
    fn change(&mut self, says: Says, found: &Found<'_>) -> Result<Change, Fault> {
        match (says, found.plain(Slot::Event)) {
            (Says::Event, Some(name)) if !name.is_empty() => self.event(name, None, found),
            (says, _) => self.unusual_change(says, found),
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_change(&mut self, says: Says, found: &Found<'_>) -> Result<Change, Fault> {
        match says {
            Says::Event => {
                let name = self.text(found, Slot::Event)?;
                self.event_by_properties(&name, None, found)
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
    #[inline]
    fn text<'a>(&self, found: &Found<'a>, slot: Slot) -> Result<Cow<'a, str>, Fault> {
        match found.plain(slot) {
            Some(text) if !text.is_empty() => Ok(Cow::Borrowed(text)),
            _ => self.unusual_text(found, slot),
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_text<'a>(&self, found: &Found<'a>, slot: Slot) -> Result<Cow<'a, str>, Fault> {
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
    #[inline]
    fn event(
        &mut self,
        name: &str,
        title: Option<Raw<'_>>,
        found: &Found<'_>,
    ) -> Result<Change, Fault> {
        if !found.large_numbers
            && found.is_none_or(Slot::Properties, b'{')
            && let Answer::Always(hits) = self.names.answer(&self.streams, name)
        {
            return Ok(Change::Event(hits.clone()));
        }
        self.event_by_properties(name, title, found)
    }

    #[inline(never)]
    fn event_by_properties(
        &mut self,
        name: &str,
        title: Option<Raw<'_>>,
        found: &Found<'_>,
    ) -> Result<Change, Fault> {
        let properties = self.object(found, Slot::Properties)?;
        if let Some(title) = title.filter(|_| found.large_numbers) {
            check_numbers(title).map_err(|fault| self.at(Slot::Name, fault))?;
        }
        let wanted = match self.names.answer(&self.streams, name) {
            Answer::Always(hits) => return Ok(Change::Event(hits.clone())),
            Answer::Reads(wanted) => wanted,
        };
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

/// The reason why a line is refused.
#[cold]
fn why(fault: Fault, line: &[u8]) -> String {
    match fault {
        Fault::Reason(reason) => reason,
        Fault::Structure => match structure::check(line) {
            Err(reason) => reason,
            Ok(_) => "record: not understood".into(), // the two readers would disagree
        },
    }
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
