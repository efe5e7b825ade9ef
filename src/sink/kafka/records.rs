//! What items look like as records of Kafka.

use dataflows::model::{EventTime, Sign};
use rdkafka::message::{Header, OwnedHeaders};
use serde::Serialize;

use crate::sink::delivery::Item;
use crate::sink::line;

/// A record to be written.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: String,
    /// Without one it is a tombstone.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: OwnedHeaders,
}

/// The value of a record of the users' topic.
#[derive(Serialize)]
struct Current<'a> {
    user: &'a str,
    time: EventTime,
    segments: &'a [&'a str],
}

fn header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// An item as a record: the line a file would hold, without its end.
pub(super) fn record(item: &Item) -> Record {
    let headers = header(OwnedHeaders::new_with_capacity(3), "time", &item.time().to_string());
    match item {
        Item::Difference(difference) => {
            let mut value = Vec::with_capacity(128);
            line::json_difference(difference, &mut value);
            value.pop();
            let diff = match difference.sign {
                Sign::Entered => "1",
                Sign::Left => "-1",
            };
            let headers = header(headers, "segment", &difference.segment);
            let headers = header(headers, "diff", diff);
            Record { key: difference.user.to_string(), value: Some(value), headers }
        }
        Item::Profile { user, json, .. } => {
            Record { key: user.to_string(), value: Some(json.clone().into()), headers }
        }
        Item::Line { key, line, .. } => {
            Record { key: key.clone(), value: Some(line.clone()), headers }
        }
    }
}

/// The segments of a user, as they are from this time on.
pub(super) fn of_user(user: &str, time: EventTime, segments: &[impl AsRef<str>]) -> Record {
    let headers = header(OwnedHeaders::new_with_capacity(1), "time", &time.to_string());
    let segments: Vec<_> = segments.iter().map(AsRef::as_ref).collect();
    let current = Current { user, time, segments: &segments };
    // Text and numbers in known fields: there is nothing that cannot be written.
    let value = serde_json::to_vec(&current).ok().filter(|_| !segments.is_empty());
    Record { key: user.to_owned(), value, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_segments_is_a_tombstone() {
        let record = of_user("u", 7, &["a", "b"]);
        let text = String::from_utf8(record.value.unwrap()).unwrap();
        assert_eq!(text, r#"{"user":"u","time":7,"segments":["a","b"]}"#);
        assert!(of_user("u", 8, &[] as &[&str]).value.is_none());
    }
}
