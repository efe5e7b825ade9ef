//! From an event as a client sends it to the record that is kept: stamped with what the client
//! cannot know, and otherwise as it came.
//!
//! Clients' clocks are wrong, and events wait in them. So where a client says when it sent
//! something, its event happened as long before its arrival as it says it happened before it was
//! sent: `timestamp = receivedAt − (sentAt − originalTimestamp)`, as Segment has it. What happens
//! to be wrong with an event is found where records are read, and told in the job's `rejected`.

use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::model::EventTime;
use dataflows::model::time::{format_time, in_range};
use serde_json::value::RawValue;

use crate::format::{Members, TRACEPARENT, TraceParent, instant};

/// What is set anew in each record.
const STAMPED: &[&str] = &[
    "traceparent",
    "writeKey",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "messageId",
];

/// When a request came, when its client says that it was sent, and of which trace it is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) received: EventTime,
    pub(super) sent: Option<EventTime>,
    pub(super) parent: Option<TraceParent>,
}

/// Names for events that have none: never the same twice.
pub(super) struct Names {
    seed: u64,
    next: AtomicU64,
}

impl Names {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Names { seed: RandomState::new().hash_one("names"), next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("rivulet-{:016x}-{}", self.seed, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Writes the record of an event into `into`. `kind` is its type, where the request says so.
///
/// # Errors
/// It is no JSON object: why.
pub(super) fn record(
    text: &str,
    kind: Option<&str>,
    came: Came,
    names: &Names,
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let members = Members::of(text)?;
    let is_set = |name: &str| STAMPED.contains(&name) || (kind.is_some() && name == "type");
    let mut member = |name: &str, value: &str| {
        into.push(if into.is_empty() { b'{' } else { b',' });
        // Text is always JSON once it is quoted, and memory takes it.
        let _ = serde_json::to_writer(&mut *into, name);
        into.push(b':');
        into.extend_from_slice(value.as_bytes());
    };
    let quoted = |time| format!("\"{}\"", format_time(time));
    // It is looked for at the very beginning.
    came.parent.into_iter().for_each(|it| member(TRACEPARENT, &format!("\"{it}\"")));
    kind.into_iter().for_each(|kind| member("type", &format!("\"{kind}\"")));
    members.iter().filter(|(name, _)| !is_set(name)).for_each(|(name, it)| member(name, it.get()));
    match members.last("messageId").filter(|id| id.get() != "\"\"") {
        Some(id) => member("messageId", id.get()),
        None => member("messageId", &format!("\"{}\"", names.next())),
    }
    let sent = came.sent.or_else(|| members.last("sentAt").and_then(|raw| time(raw).ok()));
    let original = members.last("originalTimestamp").or(members.last("timestamp"));
    match original.map(|raw| (raw, time(raw))) {
        Some((_, Ok(original))) => {
            member("timestamp", &quoted(happened(original, sent, came.received)));
            member("originalTimestamp", &quoted(original));
        }
        // What is wrong with it is told where records are read.
        Some((raw, Err(_))) => member("timestamp", raw.get()),
        None => member("timestamp", &quoted(came.received)),
    }
    sent.into_iter().for_each(|sent| member("sentAt", &quoted(sent)));
    member("receivedAt", &quoted(came.received));
    into.push(b'}');
    Ok(())
}

/// When an event happened, by the clock of this machine.
fn happened(original: EventTime, sent: Option<EventTime>, received: EventTime) -> EventTime {
    let corrected = |sent: EventTime| {
        let waited = sent.saturating_sub(original);
        in_range(received.saturating_sub(waited)).ok()
    };
    sent.and_then(corrected).unwrap_or(original)
}

/// The instant a client names: RFC 3339 text, or epoch milliseconds.
pub(super) fn time(raw: &RawValue) -> Result<EventTime, String> {
    let text = raw.get();
    if text.starts_with('"') {
        let text: String = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return instant(&text);
    }
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let ms = whole.parse().map_err(|_| "it is neither RFC 3339 text nor a number".to_owned())?;
    in_range(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: EventTime = 1_767_225_600_000; // 2026-01-01T00:00:00Z

    fn stamped(text: &str, kind: Option<&str>, sent: Option<EventTime>) -> serde_json::Value {
        let (mut into, names) = (Vec::new(), Names::new());
        record(text, kind, Came { received: RECEIVED, sent, parent: None }, &names, &mut into)
            .unwrap();
        serde_json::from_slice(&into).unwrap()
    }

    #[test]
    fn a_wrong_clock_is_put_right() {
        // It runs an hour ahead; the event waited for ten seconds.
        let text = r#"{"timestamp":"2026-01-01T00:59:50Z","sentAt":"2026-01-01T01:00:00.000Z"}"#;
        let got = stamped(text, Some("track"), None);
        assert_eq!(got["timestamp"], "2025-12-31T23:59:50.000Z");
        assert_eq!(got["originalTimestamp"], "2026-01-01T00:59:50.000Z");
        assert_eq!(got["sentAt"], "2026-01-01T01:00:00.000Z");
        assert_eq!(got["receivedAt"], "2026-01-01T00:00:00.000Z");
        assert_eq!(got["type"], "track");
        // A batch says when it was sent for all in it; Python writes times in another way.
        let text = r#"{"type":"page","timestamp":"2026-01-01T02:59:50.123456+02:00"}"#;
        let got = stamped(text, None, Some(RECEIVED + 3_600_000));
        assert_eq!(got["timestamp"], "2025-12-31T23:59:50.123Z");
        assert_eq!(got["type"], "page");
    }

    #[test]
    fn without_a_word_on_sending_time_stands() {
        let got = stamped(r#"{"timestamp":1767225500000.7}"#, None, None);
        assert_eq!(got["timestamp"], "2025-12-31T23:58:20.000Z");
        assert_eq!(stamped("{}", None, None)["timestamp"], "2026-01-01T00:00:00.000Z");
        assert_eq!(stamped(r#"{"timestamp":"soon"}"#, None, None)["timestamp"], "soon");
        let got = stamped(r#"{"timestamp":"2026-01-01T00:00:00Z","sentAt":"soon"}"#, None, None);
        assert_eq!(got["timestamp"], "2026-01-01T00:00:00.000Z");
        // Not beyond the calendar.
        let text = r#"{"timestamp":"9999-12-31T00:00:00Z","sentAt":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(stamped(text, None, None)["timestamp"], "9999-12-31T00:00:00.000Z");
    }

    #[test]
    fn names_are_kept_or_given_and_keys_are_not_kept() {
        let got = stamped(r#"{"messageId":"m1","writeKey":"k","a\"b":[1],"n":1.50}"#, None, None);
        assert_eq!((&got["messageId"], got.get("writeKey")), (&"m1".into(), None));
        assert_eq!((&got["a\"b"][0], got["n"].to_string()), (&1.into(), "1.50".into()));
        let names = Names::new();
        let name = || {
            let mut into = Vec::new();
            let came = Came { received: RECEIVED, sent: None, parent: None };
            record(r#"{"messageId":""}"#, None, came, &names, &mut into).unwrap();
            serde_json::from_slice::<serde_json::Value>(&into).unwrap()["messageId"].to_string()
        };
        assert_ne!(name(), name());
    }

    #[test]
    fn what_is_no_object_is_told() {
        for text in ["1", "[]", "nonsense", "{", "null"] {
            let came = Came { received: RECEIVED, sent: None, parent: None };
            let refused = record(text, None, came, &Names::new(), &mut Vec::new()).unwrap_err();
            assert!(refused.starts_with("record: "), "{refused}");
        }
    }
}
