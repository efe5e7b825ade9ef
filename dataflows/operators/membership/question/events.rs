//! The events of one user that are held for windows, as they are listed: each once, though every
//! stream that reads it holds it.
//!
//! A stream keeps of an event when it happened and what conditions compute with, not which event it
//! was: that would cost every event of every user, and a restart, what few will ever ask. So what
//! streams hold of one name at one millisecond is one *entry*: of as many events as the stream that
//! holds most of them, and, where that is one, with all that any of them takes from it.
//!
//! Cost: a pass over as much of each of the user's streams as is listed; nothing is held for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use super::super::Membership;
use crate::model::{Duration, EventTime, StreamId, Value};
use crate::operators::users::User;
use crate::operators::window::{Entry, Log};
use crate::rule::NamePattern;
use crate::streams::{Stream, Take};

/// Which events are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// None that are earlier.
    pub(super) since: Option<EventTime>,
    /// None that are so much earlier than the answer.
    pub(super) last: Option<Duration>,
    /// None at this time or later.
    pub(super) before: Option<EventTime>,
    /// No more entries than this, but that a millisecond is not divided.
    pub(super) limit: usize,
}

/// The events of a user.
#[derive(Debug, Serialize)]
pub(super) struct Listing<'a> {
    user: &'a str,
    as_of: EventTime,
    /// The newest first.
    events: Vec<Listed<'a>>,
    /// The names of events that are held, in order.
    held: Vec<Held>,
    /// Where there are more: before when.
    next: Option<EventTime>,
}

/// Events of one name and time.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    time: EventTime,
    /// The name; ends in `*` where no more is known of it.
    event: String,
    count: usize,
    #[serde(serialize_with = "as_json")]
    properties: BTreeMap<&'a str, Value>,
}

/// What is held of events of one name.
#[derive(Debug, Serialize)]
struct Held {
    event: String,
    /// All of this time and later are held; of any time, if not said.
    complete_from: Option<EventTime>,
    /// Whether only those are that have the properties some condition asks for.
    filtered: bool,
}

/// What one stream holds of a millisecond.
struct Seen<'a> {
    stream: &'a Stream,
    count: usize,
    /// Of the last of them.
    entry: Option<Entry>,
}

impl Membership {
    /// Lists events of a user, as of `at`.
    pub(super) fn listing<'a>(
        &'a self,
        user: &'a User,
        at: EventTime,
        bounds: &Bounds,
    ) -> Listing<'a> {
        let last = bounds.last.map(|last| at.saturating_sub(last.ms()));
        let since = bounds.since.max(last).unwrap_or(EventTime::MIN);
        let before = bounds.before.unwrap_or(EventTime::MAX).min(at.saturating_add(1));
        let mut by_time: BTreeMap<Reverse<EventTime>, Vec<Seen<'a>>> = BTreeMap::new();
        for log in &user.logs {
            let stream = self.plan.streams().get(log.stream()).filter(|it| it.take != Take::Whole);
            let Some(stream) = stream else { continue };
            for (time, count, entry) in newest(log, (since, before), bounds.limit + 1) {
                by_time.entry(Reverse(time)).or_default().push(Seen { stream, count, entry });
            }
        }
        let (mut events, mut next) = (Vec::new(), None);
        for (Reverse(time), seen) in by_time {
            if events.len() >= bounds.limit {
                next = events.last().map(|last: &Listed<'_>| last.time);
                break;
            }
            entries(time, seen, &mut events);
        }
        Listing { user: user.name.text(), as_of: at, events, held: self.held(at), next }
    }

    /// What is held of whom: the windows of the definitions in force say.
    fn held(&self, at: EventTime) -> Vec<Held> {
        let streams = self.plan.streams();
        // Of every name, after when whole streams of it are held, and after when others are.
        let mut names: BTreeMap<String, [Option<EventTime>; 2]> = BTreeMap::new();
        for id in (0..).map(StreamId).take(streams.len()) {
            let stream = streams.get(id).filter(|it| it.take != Take::Whole);
            let Some(stream) = stream else { continue };
            let after = self.plan.held_after(id, at);
            if after == at {
                continue;
            }
            let all = names.entry(name(&stream.events.name)).or_default();
            let is_whole = stream.events.filter.is_none() && stream.take == Take::Nothing;
            let from = &mut all[usize::from(!is_whole)];
            *from = Some(from.map_or(after, |other| other.min(after)));
        }
        let from =
            |after: EventTime| Some(after).filter(|it| *it > EventTime::MIN).map(|it| it + 1);
        let held = |(event, [all, some]): (String, [Option<EventTime>; 2])| {
            let complete_from = all.or(some).and_then(from);
            Held { event, complete_from, filtered: all.is_none() }
        };
        names.into_iter().map(held).collect()
    }
}

/// The newest milliseconds of a log within bounds, so many of them: how many entries each has, and
/// the last.
fn newest(
    log: &Log,
    (since, before): (EventTime, EventTime),
    most: usize,
) -> Vec<(EventTime, usize, Option<Entry>)> {
    let mut found: Vec<(EventTime, usize, Option<Entry>)> = Vec::new();
    for place in (0..earlier(log, before)).rev() {
        let Some(time) = log.time(place).filter(|time| *time >= since) else { break };
        let is_full = found.len() == most;
        match found.last_mut().filter(|(last, ..)| *last == time) {
            Some((_, count, _)) => *count += 1,
            None if is_full => break,
            None => found.push((time, 1, log.entry(place).map(|(_, entry)| entry))),
        }
    }
    found
}

/// How many entries of a log are before a time.
fn earlier(log: &Log, before: EventTime) -> usize {
    let (mut least, mut most) = (0, log.len());
    while least < most {
        let middle = least.midpoint(most);
        match log.time(middle).is_some_and(|time| time < before) {
            true => least = middle + 1,
            false => most = middle,
        }
    }
    least
}

/// What there is at one time, by name: what no more is known of than how it begins is what is left of
/// the longest beginning, when those have been taken from it that are known better.
fn entries<'a>(time: EventTime, seen: Vec<Seen<'a>>, events: &mut Vec<Listed<'a>>) {
    let mut by_name: BTreeMap<&'a NamePattern, Vec<Seen<'a>>> = BTreeMap::new();
    for it in seen {
        by_name.entry(&it.stream.events.name).or_default().push(it);
    }
    let mut names: Vec<_> = by_name.into_iter().collect();
    names.sort_by_key(|(pattern, _)| Reverse(exactness(pattern)));
    let first = events.len();
    for (pattern, seen) in names {
        let count = seen.iter().map(|it| it.count).max().unwrap_or(0);
        let own = &mut events[first..];
        let within = |it: &&mut Listed<'a>| pattern.matches(it.event.trim_end_matches('*'));
        let known: Vec<_> = own.iter_mut().filter(within).collect();
        let left = count.saturating_sub(known.iter().map(|it| it.count).sum());
        let properties = properties(count, &seen);
        match (left, <[_; 1]>::try_from(known)) {
            (0, Ok([only])) if only.count == 1 => only.properties.extend(properties),
            (0, _) => {}
            (left, _) => {
                let properties = if left == count { properties } else { BTreeMap::new() };
                events.push(Listed { time, event: name(pattern), count: left, properties });
            }
        }
    }
    events[first..].sort_by(|left, right| left.event.cmp(&right.event));
}

/// An exact name before all beginnings of names, of which the longest is first.
fn exactness(pattern: &NamePattern) -> (bool, usize) {
    match pattern {
        NamePattern::Exact(_) => (true, 0),
        NamePattern::Prefix(prefix) => (false, prefix.len()),
    }
}

/// What conditions take from an event, if it is the only one.
fn properties<'a>(count: usize, seen: &[Seen<'a>]) -> BTreeMap<&'a str, Value> {
    let property = |it: &Seen<'a>| {
        let (Take::Amount(path) | Take::Value(path)) = &it.stream.take else { return None };
        let value = match it.entry.as_ref()? {
            Entry::Happened | Entry::Whole(..) => return None,
            Entry::Amount(amount) => Value::Number(amount.to_decimal()),
            Entry::Value(_, value) => value.clone(),
        };
        Some((path.as_str(), value))
    };
    if count == 1 { seen.iter().filter_map(property).collect() } else { BTreeMap::new() }
}

fn name(pattern: &NamePattern) -> String {
    match pattern {
        NamePattern::Exact(name) => name.to_string(),
        NamePattern::Prefix(prefix) => format!("{prefix}*"),
    }
}

/// Writes values as the JSON they were read from, not as our own type.
pub(super) fn as_json<S: Serializer>(
    properties: &BTreeMap<&str, Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let json = |(path, value): (&&str, &Value)| {
        let json: Result<serde_json::Value, _> = serde_json::from_str(&value.to_string());
        json.map(|json| ((*path).to_owned(), json)).map_err(S::Error::custom)
    };
    let json: BTreeMap<_, _> = properties.iter().map(json).collect::<Result<_, _>>()?;
    json.serialize(serializer)
}
