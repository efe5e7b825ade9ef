//! JSON lines, of the same shape as in every other output.

use std::io;

use super::encode::{Encode, Row, Table};
use crate::sink::line::{json_row, json_user};

/// A file of JSON lines.
pub(super) struct Jsonl {
    table: Table,
    lines: Vec<u8>,
}

impl Jsonl {
    pub(super) fn new(table: Table) -> Self {
        Jsonl { table, lines: Vec::new() }
    }
}

impl Encode for Jsonl {
    fn rows(&mut self, rows: &[Row<'_>]) -> io::Result<()> {
        for Row { time, segment, user, diff } in rows {
            match self.table {
                Table::Differences => json_row(*time, segment, user, *diff, &mut self.lines),
                Table::Users => json_user(segment, user, &mut self.lines),
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.lines.len()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::encode::tests::{ODD, encoded};
    use super::super::{Format, Table};

    #[test]
    fn what_is_read_is_what_was_written() {
        let read = |table| -> Vec<Json> {
            let text = String::from_utf8(encoded(Format::Jsonl, table)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        for (line, (time, segment, user, diff)) in read(Table::Differences).iter().zip(ODD) {
            let expected = json!({"time": time, "segment": segment, "user": user, "diff": diff});
            assert_eq!(*line, expected);
        }
        for (line, (_, segment, user, _)) in read(Table::Users).iter().zip(ODD) {
            assert_eq!(*line, json!({ "segment": segment, "user": user }));
        }
    }
}
