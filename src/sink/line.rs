//! What an output looks like as a line.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dataflows::model::difference::Word;
use dataflows::model::time::format_time;
use dataflows::model::{Difference, Duration, EventTime, Sign};
use dataflows::segmentation::{Late, Rejected};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Appends `{"time":…,"segment":…,"user":…,"diff":…}`.
pub fn json_difference(difference: &Difference, lines: &mut Vec<u8>) {
    let Difference { time, segment, user, sign } = difference;
    json_row(*time, segment, user, sign.diff(), lines);
}

/// The same of its parts.
pub(super) fn json_row(time: EventTime, segment: &str, user: &str, diff: i8, lines: &mut Vec<u8>) {
    lines.extend_from_slice(b"{\"time\":");
    lines.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
    if is_plain(segment) && is_plain(user) {
        lines.extend_from_slice(b",\"segment\":\"");
        lines.extend_from_slice(segment.as_bytes());
        lines.extend_from_slice(b"\",\"user\":\"");
        lines.extend_from_slice(user.as_bytes());
        lines.push(b'"');
    } else {
        lines.extend_from_slice(b",\"segment\":");
        quote(segment, lines);
        lines.extend_from_slice(b",\"user\":");
        quote(user, lines);
    }
    lines.extend_from_slice(if diff > 0 { b",\"diff\":1}\n" } else { b",\"diff\":-1}\n" });
}

/// Appends `{"segment":…,"user":…}`.
pub(super) fn json_user(segment: &str, user: &str, lines: &mut Vec<u8>) {
    lines.extend_from_slice(b"{\"segment\":");
    quote(segment, lines);
    lines.extend_from_slice(b",\"user\":");
    quote(user, lines);
    lines.extend_from_slice(b"}\n");
}

/// Bytes that do not stand in JSON as they are.
const ODD: [bool; 256] = {
    let mut odd = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        odd[byte] = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize || byte == 0x7f;
        byte += 1;
    }
    odd
};

/// Whether a text stands in JSON as it is. To look at all of a short one is quicker than to stop.
fn is_plain(text: &str) -> bool {
    !text.bytes().fold(false, |odd, byte| odd | ODD[usize::from(byte)])
}

fn quote(text: &str, lines: &mut Vec<u8>) {
    if is_plain(text) {
        lines.push(b'"');
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'"');
    } else {
        lines.extend_from_slice(Json::from(text).to_string().as_bytes());
    }
}

/// Appends `2026-01-01T00:02:00.000Z + high_value u1`, the sign in colour if asked.
pub fn text_difference(difference: &Difference, colour: bool, lines: &mut Vec<u8>) {
    let line = if colour {
        let (paint, sign) = match difference.sign {
            Sign::Entered => (GREEN, '+'),
            Sign::Left => (RED, '-'),
        };
        let (segment, user) = (Word(&difference.segment), Word(&difference.user));
        format!("{} {paint}{sign} {segment}{PLAIN} {user}\n", format_time(difference.time))
    } else {
        format!("{difference}\n")
    };
    lines.extend_from_slice(line.as_bytes());
}

/// Where a record stood, as people know it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The path of its file, or the name of its topic.
    pub source: &'a str,
    /// The number of its partition: among all of the job, or among those of its topic.
    pub partition: u32,
}

/// Appends a late record as a line.
pub fn late(late: &Late, at: Place<'_>, lines: &mut Vec<u8>) {
    let mut line = place(late.position.offset, at);
    line.insert("time".into(), json!(late.time));
    line.insert("clock".into(), json!(late.clock));
    let behind = Duration::from_ms(late.clock - late.time);
    line.insert("late_by".into(), json!(behind.to_string()));
    line.insert("reason".into(), json!(late.reason));
    line.insert("segments".into(), json!(late.segments));
    push(line, &late.record, true, lines);
}

/// Appends a rejected record as a line.
pub fn rejected(rejected: &Rejected, at: Place<'_>, lines: &mut Vec<u8>) {
    let mut line = place(rejected.position.offset, at);
    line.insert("reason".into(), json!(rejected.reason));
    push(line, &rejected.record, false, lines);
}

fn place(offset: u64, at: Place<'_>) -> Map<String, Json> {
    let mut line = Map::new();
    line.insert("source".into(), json!(at.source));
    line.insert("partition".into(), json!(at.partition));
    line.insert("offset".into(), json!(offset));
    line
}

/// The record goes last: as JSON where it is known to be, else as text, or in base64 where it is
/// not text.
fn push(line: Map<String, Json>, record: &[u8], is_json: bool, lines: &mut Vec<u8>) {
    let mut text = Json::Object(line).to_string();
    text.pop();
    let as_text = std::str::from_utf8(record);
    let raw = as_text.ok().filter(|_| is_json);
    let member = match (raw.map(serde_json::from_str::<&RawValue>), as_text) {
        (Some(Ok(raw)), _) => format!(",\"record\":{raw}"),
        (_, Ok(text)) => format!(",\"record\":{}", Json::from(text)),
        (_, Err(_)) => format!(",\"record_base64\":\"{}\"", BASE64_STANDARD.encode(record)),
    };
    lines.extend_from_slice(text.as_bytes());
    lines.extend_from_slice(member.as_bytes());
    lines.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::clock::Reason;
    use dataflows::model::Position;

    const AT: Place<'_> = Place { source: "f", partition: 1 };

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut lines = Vec::new();
        write(&mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn differences_are_json_or_text() {
        let user = "u\"1\n";
        let difference =
            Difference { time: 7, segment: "s".into(), user: user.into(), sign: Sign::Left };
        assert_eq!(
            text(|lines| json_difference(&difference, lines)),
            "{\"time\":7,\"segment\":\"s\",\"user\":\"u\\\"1\\n\",\"diff\":-1}\n"
        );
        assert_eq!(
            text(|lines| text_difference(&difference, false, lines)),
            "1970-01-01T00:00:00.007Z - s \"u\\\"1\\n\"\n"
        );
        assert_eq!(
            text(|lines| text_difference(&difference, true, lines)),
            "1970-01-01T00:00:00.007Z \u{1b}[31m- s\u{1b}[0m \"u\\\"1\\n\"\n"
        );
    }

    #[test]
    fn records_are_given_back_as_they_came() {
        let position = Position { partition: 1, offset: 9 };
        let reject = |record: &[u8]| {
            let it =
                Rejected { position, clock: 1, at: 1, reason: "no".into(), record: record.into() };
            serde_json::from_str::<Json>(&text(|lines| rejected(&it, AT, lines))).unwrap()
        };
        assert_eq!(
            reject(b"{x"),
            json!({"source":"f","partition":1,"offset":9,"reason":"no","record":"{x"})
        );
        assert_eq!(reject(b"\xff")["record_base64"], json!("/w=="));
        let record = br#"{"a": 1e2}"#.to_vec();
        let it = Late {
            position,
            time: 1,
            clock: 61_001,
            at: 61_001,
            reason: Reason::Late,
            segments: vec![],
            record,
        };
        let line = text(|lines| late(&it, AT, lines));
        assert!(line.ends_with("\"record\":{\"a\": 1e2}}\n"), "{line}");
        assert!(line.contains("\"late_by\":\"61s\""), "{line}");
    }
}
