//! What every record must be before its fields matter, checked plainly through `serde_json`.
//!
//! [`arrival`](super::arrival) asks this of every line; [`Reader`](super::Reader) only to say why
//! it refuses one, so that both give the same reason.

use dataflows::model::value::MAX_DEPTH;
use serde::de::IgnoredAny;

use super::MAX_RECORD_BYTES;

/// Why a record of this size is refused, if it is. For lines too long to be kept whole, too.
pub fn oversize(bytes: u64) -> Option<String> {
    (bytes > MAX_RECORD_BYTES as u64)
        .then(|| format!("record of {bytes} bytes is beyond {MAX_RECORD_BYTES}"))
}

/// Bytes as text, if all of them are; looked at once, that is quicker than line by line.
pub fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// The line as text, if it is one JSON object of bounded size and depth.
///
/// # Errors
/// One line: the first of size, encoding, grammar, nesting and kind that is wrong.
pub(super) fn check(line: &[u8]) -> Result<&str, String> {
    if let Some(reason) = oversize(line.len() as u64) {
        return Err(reason);
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("record: not UTF-8 after {} bytes", error.valid_up_to()))?;
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or(&said);
        return Err(format!("record: not JSON: {what}, at byte {}", error.column()));
    }
    if has_half_surrogate(text) {
        return Err("record: half a surrogate pair in a \\u escape".into());
    }
    if depth(text) > MAX_DEPTH {
        return Err(format!("record: nested deeper than {MAX_DEPTH}"));
    }
    match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'{') => Ok(text),
        first => Err(super::field::wrong_kind("record", kind(first), "an object")),
    }
}

/// What kind of JSON value begins with this byte.
pub(super) fn kind(first: Option<&u8>) -> &'static str {
    match first {
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// How deep the lists and objects of well-formed JSON nest.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => {
                bytes.next();
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// Whether well-formed JSON escapes half a surrogate pair, which stands for no character.
/// `serde_json` sees that only in text it decodes.
fn has_half_surrogate(text: &str) -> bool {
    let unit = |rest: &str| u32::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        rest = rest.get(at..).unwrap_or_default();
        let escape_length = match unit(rest) {
            Some(0xD800..0xDC00) => match unit(rest.get(6..).unwrap_or_default()) {
                Some(0xDC00..0xE000) => 12,
                _ => return true,
            },
            Some(0xDC00..0xE000) => return true,
            _ => 2,
        };
        rest = rest.get(escape_length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_in_their_order() {
        let reason = |line: &str| check(line.as_bytes()).unwrap_err();
        assert_eq!(reason("[1]"), "record: list where an object is needed");
        assert_eq!(reason(" 7"), "record: number where an object is needed");
        assert_eq!(reason(r#"{"a":"b"#), "record: not JSON: EOF while parsing a string, at byte 7");
        assert_eq!(reason(""), "record: not JSON: EOF while parsing a value, at byte 0");
        assert_eq!(reason(r#"{"a":1} x"#), "record: not JSON: trailing characters, at byte 9");
        assert_eq!(reason(r#"{"a":"\ud83d"}"#), "record: half a surrogate pair in a \\u escape");
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(reason(&deep), "record: nested deeper than 64");
        assert!(reason(&"[".repeat(1_000_000)).starts_with("record: not JSON: EOF"));
        assert_eq!(check(b"{\"a\":\"\xff\"}").unwrap_err(), "record: not UTF-8 after 6 bytes");
        let long = vec![b' '; MAX_RECORD_BYTES + 1];
        assert_eq!(check(&long).unwrap_err(), "record of 1048577 bytes is beyond 1048576");
    }

    #[test]
    fn pairs_of_surrogates_and_escaped_backslashes_are_fine() {
        assert!(check(br#"{"a":"\ud83d\ude00 \\ud800 \u0041"}"#).is_ok());
        assert!(check(br#"{"a":"\\\ud800"}"#).is_err());
        assert!(check(br#"{"[[\"[":"[["}"#).is_ok());
    }
}
