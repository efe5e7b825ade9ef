//! CSV, as RFC 4180 has it: a line of names, quotes where they are needed.
//!
//! A value that begins with `=`, `+`, `-` or `@` is given as it is: a spreadsheet may take it for a
//! formula, which is not ours to change.

use std::io;

use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use dataflows::model::time::format_time;

use super::encode::{Encode, Row, Table};

/// A file of CSV.
pub(super) struct Csv {
    table: Table,
    writer: Writer<Vec<u8>>,
}

impl Csv {
    pub(super) fn new(table: Table) -> io::Result<Self> {
        let mut writer = WriterBuilder::new()
            .terminator(Terminator::CRLF)
            .quote_style(QuoteStyle::Necessary)
            .from_writer(Vec::new());
        match table {
            Table::Differences => writer.write_record(["time", "segment", "user", "diff"])?,
            Table::Users => writer.write_record(["segment", "user"])?,
        }
        Ok(Csv { table, writer })
    }
}

impl Encode for Csv {
    fn rows(&mut self, rows: &[Row<'_>]) -> io::Result<()> {
        for row in rows {
            match self.table {
                Table::Differences => {
                    let diff = if row.diff > 0 { "1" } else { "-1" };
                    let time = format_time(row.time);
                    self.writer.write_record([&time, row.segment, row.user, diff])?;
                }
                Table::Users => self.writer.write_record([row.segment, row.user])?,
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.writer.get_ref().len() + 1 // what it holds back itself is little
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::tests::{ODD, encoded};
    use super::super::{Format, Table};

    #[test]
    fn what_is_read_is_what_was_written() {
        let bytes = encoded(Format::Csv, Table::Differences);
        assert!(
            bytes.starts_with(b"time,segment,user,diff\r\n2026-01-01T00:00:00.000Z,plain,u1,1\r\n")
        );
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let read: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(read.len(), ODD.len());
        for (record, (_, segment, user, diff)) in read.iter().zip(ODD) {
            assert_eq!((&record[1], &record[2]), (*segment, *user));
            assert_eq!(record[3], diff.to_string());
        }
        let users = String::from_utf8(encoded(Format::Csv, Table::Users)).unwrap();
        assert!(users.starts_with("segment,user\r\nplain,u1\r\n\"a,b\",\"\"\"quoted\"\","));
    }
}
