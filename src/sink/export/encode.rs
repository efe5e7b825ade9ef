//! Rows to the bytes of a file, in any of the formats.

use std::{fmt, io};

use dataflows::model::EventTime;

use super::{csv, jsonl, parquet};

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `time`, `segment`, `user`, `diff`.
    Differences,
    /// `segment`, `user`.
    Users,
}

/// What a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line of names, then one of values for each row, as RFC 4180 has it.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet, its columns compressed by zstd.
    Parquet,
}

impl Format {
    /// As job files have it; files end in it, too.
    pub fn word(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }

    /// A file with no rows yet.
    pub(super) fn begin(self, table: Table) -> io::Result<Box<dyn Encode>> {
        Ok(match self {
            Format::Csv => Box::new(csv::Csv::new(table)?),
            Format::Jsonl => Box::new(jsonl::Jsonl::new(table)),
            Format::Parquet => Box::new(parquet::Parquet::new(table)?),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A row. Of users, only those have a meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) time: EventTime,
    pub(super) segment: &'a str,
    pub(super) user: &'a str,
    /// 1 or -1.
    pub(super) diff: i8,
}

/// A file that is being made, in memory.
pub(super) trait Encode {
    /// Adds rows.
    fn rows(&mut self, rows: &[Row<'_>]) -> io::Result<()>;

    /// About how many bytes it takes so far.
    fn bytes(&self) -> usize;

    /// The whole file.
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Names that trip those who paste text together.
    pub(in crate::sink::export) const ODD: &[(i64, &str, &str, i8)] = &[
        (1_767_225_600_000, "plain", "u1", 1),
        (1_767_225_600_000, "a,b", "\"quoted\", twice \"\"", 1),
        (1_767_225_600_001, "new\nline\r\n", " blank ", -1),
        (1_767_225_600_001, "path/../to", "=1+1", 1),
        (-1, "日本語 😀", "\u{7f}\u{1}\t\\", -1),
    ];

    pub(in crate::sink::export) fn encoded(format: Format, table: Table) -> Vec<u8> {
        let row = |&(time, segment, user, diff): &(i64, &'static str, &'static str, i8)| Row {
            time,
            segment,
            user,
            diff,
        };
        let rows: Vec<_> = ODD.iter().map(row).collect();
        let mut encoder = format.begin(table).unwrap();
        rows.chunks(2).for_each(|rows| encoder.rows(rows).unwrap());
        assert!(format == Format::Parquet || encoder.bytes() > 0);
        encoder.finish().unwrap()
    }
}
