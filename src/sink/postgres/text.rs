//! Rows as `COPY` takes them: text, with tabs between.

use std::borrow::Cow;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use xxhash_rust::xxh3::xxh3_128;

/// What is longer cannot stand in an index, together with another of that length.
const ID_BYTES: usize = 1_200;
/// How much of it is kept: with the hash it is longer than any that is kept whole.
const KEPT_BYTES: usize = 1_170;
/// The character PostgreSQL cannot hold, in JSON, and its picture.
const NUL: &str = "\\u0000";
const PICTURE: &str = "\u{2400}";
/// What stands in names before a picture that was one, and before itself: the picture of ESC.
const ESCAPE: &str = "\u{241b}";
/// The times a `timestamptz` is given: from the year 1 to the year 9999. Others are infinite.
const TIMES: std::ops::Range<EventTime> = -62_135_596_800_000..253_402_300_800_000;

/// A row that is being written.
pub(super) struct Row<'a> {
    to: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Row<'a> {
    pub(super) fn new(to: &'a mut Vec<u8>) -> Self {
        Row { to, is_first: true }
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.to.push(b'\t');
        }
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.next();
        for byte in text.bytes() {
            match byte {
                b'\\' => self.to.extend_from_slice(b"\\\\"),
                b'\t' => self.to.extend_from_slice(b"\\t"),
                b'\n' => self.to.extend_from_slice(b"\\n"),
                b'\r' => self.to.extend_from_slice(b"\\r"),
                // The one character PostgreSQL cannot hold: its picture takes its place.
                0 => self.to.extend_from_slice(PICTURE.as_bytes()),
                byte => self.to.push(byte),
            }
        }
        self
    }

    pub(super) fn number(self, number: i64) -> Self {
        self.text(itoa::Buffer::new().format(number))
    }

    pub(super) fn time(self, time: EventTime) -> Self {
        self.text(&timestamp(time))
    }

    pub(super) fn maybe(self, time: Option<EventTime>) -> Self {
        self.maybe_text(time.map(timestamp).as_deref())
    }

    pub(super) fn maybe_text(mut self, text: Option<&str>) -> Self {
        if let Some(text) = text {
            return self.text(text);
        }
        self.next();
        self.to.extend_from_slice(b"\\N");
        self
    }

    pub(super) fn end(self) {
        self.to.push(b'\n');
    }
}

/// A time as a `timestamptz` is written.
pub(super) fn timestamp(time: EventTime) -> Cow<'static, str> {
    if TIMES.contains(&time) {
        format_time(time).into()
    } else if time < TIMES.start {
        "-infinity".into()
    } else {
        "infinity".into()
    }
}

/// A JSON text as `jsonb` takes it: without the one character it cannot hold.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(NUL) {
        return text.into();
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        kept.push_str(before);
        // A backslash stands before one character at least.
        let length = if escape.starts_with(NUL) { NUL.len() } else { 2 };
        kept.push_str(if escape.starts_with(NUL) { PICTURE } else { &escape[..2] });
        rest = &escape[length..];
    }
    kept.push_str(rest);
    kept.into()
}

/// A name as it is kept, another for each: without NUL, and one too long for an index by its
/// beginning and a hash of the whole.
pub(super) fn id(name: &str) -> Cow<'_, str> {
    let name = without_nul(name);
    if name.len() <= ID_BYTES {
        return name;
    }
    let cut = (0..=KEPT_BYTES).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…{:032x}", &name[..cut], xxh3_128(name.as_bytes())).into()
}

/// A name with the picture of NUL in its place, and what was a picture already told from it: of two
/// names, two.
fn without_nul(name: &str) -> Cow<'_, str> {
    if !name.contains(['\0', '\u{2400}', '\u{241b}']) {
        return name.into();
    }
    let mut kept = String::with_capacity(name.len() + PICTURE.len());
    for character in name.chars() {
        match character {
            '\0' => kept.push_str(PICTURE),
            '\u{2400}' | '\u{241b}' => {
                kept.push_str(ESCAPE);
                kept.push(character);
            }
            character => kept.push(character),
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_cannot_stand_as_it_is_stands_in_another_way() {
        let mut bytes = Vec::new();
        Row::new(&mut bytes).text("a\\\t\r\n\0").maybe(None).time(EventTime::MAX).number(7).end();
        assert_eq!(String::from_utf8(bytes).unwrap(), "a\\\\\\t\\r\\n\u{2400}\t\\N\tinfinity\t7\n");
        let long = ["é".repeat(700), format!("{}x", "é".repeat(700))];
        let [one, other] = long.each_ref().map(|it| id(it));
        assert!(one != other && one.len() > ID_BYTES && id("short") == "short");
        assert!(one.len() < ID_BYTES + 10 && id(&one) != one, "none is called so by itself");
    }

    #[test]
    fn no_two_names_are_kept_as_one() {
        let parts = ["", "a", "\0", "\u{2400}", "\u{241b}"];
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer = |name: &String| parts.map(|part| format!("{name}{part}"));
            names = names.iter().flat_map(longer).collect();
        }
        names.extend(names.clone().iter().map(|name| name.repeat(200)));
        let names: HashSet<_> = names.into_iter().collect();
        let kept: HashSet<_> = names.iter().map(|name| id(name)).collect();
        assert_eq!(kept.len(), names.len());
        assert!(kept.iter().all(|name| !name.contains('\0') && name.len() < ID_BYTES + 10));
        assert_eq!(id("a\0b"), "a\u{2400}b");
        assert_eq!(id("a\u{2400}\u{241b}"), "a\u{241b}\u{2400}\u{241b}\u{241b}");
    }
}
