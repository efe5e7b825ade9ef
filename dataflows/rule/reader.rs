//! Reading a tree of JSON whose keys are closed, gathering every fault on the way.
//!
//! A [`Node`] is a value, or the lack of one, and the place where it stands. A [`Reader`] takes
//! values out of nodes; what it cannot take it notes as a [`Fault`] and answers `None`, and the
//! caller goes on with the next node, so that one reading finds all faults. Definitions and job
//! files are both read with it, so their messages are alike.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;

use super::words::did_you_mean;
use crate::model::time::parse_time;
use crate::model::{Duration, EventTime, Value};

/// Most faults of one tree that are told; further ones are counted.
pub const FAULTS_MAX: usize = 100;
/// Most characters of a wrong value that are shown.
const SHOWN_MAX: usize = 60;

/// One thing wrong in a tree: where it stands, what it is, and what could stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The path to the node: `rules.conditions[2].op`; empty for the whole.
    pub node: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
    /// The nearest right word, or what to do instead.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.node.is_empty() {
            write!(f, "{}: ", self.node)?;
        }
        write!(f, "found {}; allowed: {}", self.found, self.allowed)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// A row of a table of words.
pub trait Named {
    /// The word itself.
    fn word(&self) -> &'static str;

    /// What people used to other languages write for it; only for hints.
    fn also(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A value of the tree, or the lack of one, and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    json: Option<&'a Json>,
    place: Place<'a>,
}

/// Kept as links, not as text: a tree without faults never spells its paths out.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Root(&'a str),
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root(name) => f.write_str(name),
            Place::Key(Place::Root(""), key) => f.write_str(key),
            Place::Key(parent, key) => write!(f, "{parent}.{key}"),
            Place::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'a> Node<'a> {
    /// The whole tree; paths begin with `name`, which may be empty.
    pub fn root(json: &'a Json, name: &'a str) -> Self {
        Node { json: Some(json), place: Place::Root(name) }
    }

    /// The member of this name, present or not.
    pub fn get(&'a self, key: &'a str) -> Node<'a> {
        let json = self.json.and_then(|json| json.get(key));
        Node { json, place: Place::Key(&self.place, key) }
    }

    /// The items of this list; none if it is not one.
    pub fn items(&'a self) -> impl Iterator<Item = Node<'a>> {
        let items = self.json.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let node =
            |(index, json)| Node { json: Some(json), place: Place::Index(&self.place, index) };
        items.iter().enumerate().map(node)
    }

    /// The names of the members of this object; none if it is not one.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let members = self.json.and_then(Json::as_object);
        members.into_iter().flat_map(|members| members.keys().map(String::as_str))
    }

    /// The value, if there is one.
    pub fn json(&self) -> Option<&'a Json> {
        self.json
    }

    /// Whether there is a value.
    pub fn is_present(&self) -> bool {
        self.json.is_some()
    }

    /// The path to it.
    pub fn path(&self) -> String {
        self.place.to_string()
    }

    /// What stands here, for messages.
    pub fn found(&self) -> String {
        self.json.map_or_else(|| "nothing".to_owned(), shown)
    }
}

/// A value as messages show it: short, whatever it is.
fn shown(json: &Json) -> String {
    match json {
        Json::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Json::Array(items) => format!("a list of {}", items.len()),
        Json::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Json::Object(members) => {
            let keys: Vec<_> = members.keys().take(8).map(|key| quoted(key)).collect();
            shortened(&format!("an object of {}", keys.join(", ")))
        }
        Json::String(text) => quoted(text),
        scalar => shortened(&scalar.to_string()),
    }
}

/// Text in quotes, on one line, cut where it is long.
pub fn quoted(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_MAX).collect();
    let cut = if start.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", Json::from(start))
}

fn shortened(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() { format!("{start}…") } else { start }
}

/// What text stands for, where it names variables.
type Expand<'e> = &'e dyn Fn(&str) -> Result<String, String>;

/// Takes values out of nodes and gathers the faults.
#[derive(Default)]
pub struct Reader<'e> {
    faults: Vec<Fault>,
    further: usize,
    expand: Option<Expand<'e>>,
}

impl<'e> Reader<'e> {
    /// A reader that passes every text through `expand` before it is understood. Messages show
    /// the text as it is written, never what it was expanded to.
    pub fn expanding(expand: Expand<'e>) -> Self {
        Reader { expand: Some(expand), ..Reader::default() }
    }

    /// What was read, or everything that was wrong.
    ///
    /// # Errors
    /// All faults noted, the first [`FAULTS_MAX`] of them in full.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<Fault>> {
        debug_assert!(read.is_some() || !self.faults.is_empty(), "nothing read, and no reason");
        if self.further > 0 {
            self.faults.push(Fault {
                node: String::new(),
                found: format!("{} more faults", self.further),
                allowed: "none".to_owned(),
                hint: Some(format!("the first {FAULTS_MAX} are shown: mend these first")),
            });
        }
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }

    /// Notes that what stands at `node` may not.
    pub fn fault(&mut self, node: &Node<'_>, allowed: impl Into<String>, hint: Option<String>) {
        self.fault_with(node, node.found(), allowed, hint);
    }

    /// Notes a fault at `node`, in other words than its value's.
    pub fn fault_with(
        &mut self,
        node: &Node<'_>,
        found: impl Into<String>,
        allowed: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.faults.len() == FAULTS_MAX {
            self.further += 1;
            return;
        }
        let (found, allowed) = (found.into(), allowed.into());
        self.faults.push(Fault { node: node.path(), found, allowed, hint });
    }

    /// Notes every member of this object that is not one of `keys`.
    pub fn closed(&mut self, node: &Node<'_>, keys: &[&str]) {
        for key in node.keys().filter(|key| !keys.contains(key)) {
            self.unknown_key(node, key, keys);
        }
    }

    /// Notes that this object has a member `key`, where it may have `keys`.
    pub fn unknown_key(&mut self, node: &Node<'_>, key: &str, keys: &[&str]) {
        let hint = did_you_mean(key, keys.iter().copied());
        self.fault_with(node, format!("the key {}", quoted(key)), keys.join(", "), hint);
    }

    /// Whether it is an object; of its members, those that are not among `keys` are noted.
    pub fn object(&mut self, node: &Node<'_>, keys: &[&str]) -> Option<()> {
        if !node.json.is_some_and(Json::is_object) {
            self.fault(node, format!("an object of {}", keys.join(", ")), None);
            return None;
        }
        self.closed(node, keys);
        Some(())
    }

    /// Text; `allowed` says which.
    pub fn text<'a>(&mut self, node: &Node<'a>, allowed: &str) -> Option<Cow<'a, str>> {
        let Some(Json::String(text)) = node.json else {
            self.fault(node, allowed, None);
            return None;
        };
        match self.expand.map(|expand| expand(text)) {
            None => Some(Cow::Borrowed(text)),
            Some(Ok(expanded)) => Some(Cow::Owned(expanded)),
            Some(Err(reason)) => {
                self.fault(node, allowed, Some(reason));
                None
            }
        }
    }

    /// Text that is not empty.
    pub fn name<'a>(&mut self, node: &Node<'a>, allowed: &str) -> Option<Cow<'a, str>> {
        let text = self.text(node, allowed)?;
        if text.is_empty() {
            self.fault(node, allowed, None);
            return None;
        }
        Some(text)
    }

    /// The row of a table whose word stands here; only rows with `holds` may.
    pub fn pick<'t, T: Named>(
        &mut self,
        node: &Node<'_>,
        table: &'t [T],
        holds: impl Fn(&T) -> bool,
    ) -> Option<&'t T> {
        let rows = || table.iter().filter(|row| holds(row));
        let allowed = || rows().map(T::word).collect::<Vec<_>>().join(", ");
        if !matches!(node.json, Some(Json::String(_))) {
            self.fault(node, allowed(), None);
            return None;
        }
        let text = self.text(node, "a word")?;
        if let Some(row) = rows().find(|row| row.word() == text) {
            return Some(row);
        }
        let other = table.iter().any(|row| row.word() == text);
        let alias = rows().find(|row| row.also().contains(&text.to_lowercase().as_str()));
        let hint = match alias {
            _ if other => Some(format!("{} cannot stand here", node.found())),
            Some(row) => Some(format!("did you mean {:?}?", row.word())),
            None => did_you_mean(&text, rows().map(T::word)),
        };
        self.fault(node, allowed(), hint);
        None
    }

    /// A duration of at least `least`.
    pub fn duration(&mut self, node: &Node<'_>, least: Duration) -> Option<Duration> {
        let above = if least.ms() > 0 { "longer than 0 and " } else { "" };
        let allowed = format!(
            "a duration such as 250ms, 10s, 10m, 24h or 30d, {above}at most {}",
            Duration::MAX
        );
        let text = self.text(node, &allowed)?;
        let read = Duration::parse(&text).ok().filter(|duration| *duration >= least);
        if read.is_none() {
            self.fault(node, allowed, None);
        }
        read
    }

    /// An instant: RFC 3339 text, or epoch milliseconds.
    pub fn instant(&mut self, node: &Node<'_>) -> Option<EventTime> {
        let allowed = "RFC 3339 text such as \"2026-01-01T00:00:00Z\", or epoch milliseconds, of \
                       the years 1 to 9999";
        let read = match node.json {
            Some(Json::String(_)) => parse_time(&self.text(node, allowed)?).ok(),
            Some(json @ Json::Number(_)) => Value::from_json(json).ok().and_then(|it| it.as_time()),
            _ => None,
        };
        if read.is_none() {
            self.fault(node, allowed, None);
        }
        read
    }

    /// A list, each item read by `read`; `None` if any of them could not be.
    pub fn each<T>(
        &mut self,
        node: &Node<'_>,
        allowed: &str,
        mut read: impl FnMut(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(Json::Array(items)) = node.json else {
            self.fault(node, allowed, None);
            return None;
        };
        let mut all = Vec::with_capacity(items.len());
        for item in node.items() {
            all.extend(read(self, &item));
        }
        (all.len() == items.len()).then_some(all)
    }

    /// What `read` makes of this node if there is a value: `Some(None)` without one, `None` if it
    /// cannot be read.
    pub fn optional<'a, T>(
        &mut self,
        node: &Node<'a>,
        read: impl FnOnce(&mut Self, &Node<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        if node.is_present() { read(self, node).map(Some) } else { Some(None) }
    }
}
