//! `[[export]]`: what is written as files for those who read tables, where to, and when.

use dataflows::model::Duration;
use dataflows::rule::reader::{Node, Reader};

use super::{JobReader, Word};
use crate::job::{Export, Exported, FileFormat};
use crate::state::Location;

const KEYS: &[&str] = &[
    "name",
    "of",
    "segments",
    "format",
    "to",
    "every",
    "when_changed",
    "endpoint",
    "region",
    "access_key",
    "secret_key",
    "allow_http",
    "buffer",
    "buffer_path",
];
const SHARE: &str = "a share of a segment, such as 5% or 0.5%";
const MILLIONTHS_PER_PERCENT: u64 = 10_000;

static KINDS: &[Word<Exported>] =
    &[Word("users", Some(Exported::Users)), Word("differences", Some(Exported::Differences))];

static FORMATS: &[Word<FileFormat>] = &[
    Word("csv", Some(FileFormat::Csv)),
    Word("jsonl", Some(FileFormat::Jsonl)),
    Word("parquet", Some(FileFormat::Parquet)),
];

impl JobReader<'_> {
    pub(super) fn export(&mut self, node: &Node<'_>) -> Option<Export> {
        self.reader.object(node, KEYS)?;
        let name = self.sink_name(node, "export");
        let of = self.pick(&node.get("of"), KINDS, None);
        let format = self.pick(&node.get("format"), FORMATS, Some(FileFormat::Parquet));
        let segments = self.selection(&node.get("segments"));
        let every = self.reader.optional(&node.get("every"), |reader, node| {
            reader.duration(node, Duration::from_ms(1))
        });
        let when_changed = self.reader.optional(&node.get("when_changed"), share);
        let to = self.place(node, "to");
        let buffer = self.buffer(node);
        let (of, to) = (of?, to?);
        if of == Exported::Differences && node.get("when_changed").is_present() {
            let hint = "differences are what has changed: leave it out".to_owned();
            self.reader.fault(&node.get("when_changed"), "nothing", Some(hint));
            return None;
        }
        if !self.is_own_place(&node.get("to"), &to) {
            return None;
        }
        Some(Export {
            name: name?,
            of,
            segments: segments?,
            format: format?,
            to,
            every: every?,
            when_changed: when_changed?,
            buffer: buffer?,
        })
    }

    /// Whether nothing else goes or stands where exports are to go.
    pub(super) fn is_own_place(&mut self, node: &Node<'_>, to: &Location) -> bool {
        let is_read = match (to, &self.segments) {
            (Location::Folder(folder), Some(segments)) => folder.starts_with(segments),
            _ => false,
        };
        if is_read || !self.places.insert(to.to_string()) {
            let hint = match is_read {
                true => "definitions are read from there".to_owned(),
                false => "another export goes there already".to_owned(),
            };
            self.reader.fault(node, "a place of its own", Some(hint));
            return false;
        }
        true
    }
}

/// `5%` as millionths.
fn share(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u64> {
    let text = reader.name(node, SHARE)?;
    let share = text.strip_suffix('%').and_then(|number| millionths(number.trim_end()));
    if share.is_none() {
        reader.fault(node, SHARE, None);
    }
    share
}

fn millionths(percent: &str) -> Option<u64> {
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 4 || whole.len() > 6 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    Some(whole * MILLIONTHS_PER_PERCENT + format!("{part:0<4}").parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        for (text, expected) in
            [("5", 50_000), ("0.5", 5_000), ("100", 1_000_000), ("0.0001", 1), ("0", 0)]
        {
            assert_eq!(millionths(text), Some(expected), "{text}");
        }
        for text in ["", "-5", "5.", ".5", "0.00001", "five", "1e3", "+5"] {
            assert_eq!(millionths(text), None, "{text}");
        }
    }
}
