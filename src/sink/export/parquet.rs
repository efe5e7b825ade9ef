//! Parquet: a column a field, none of them ever null, compressed by zstd.
//!
//! | column | type |
//! |---|---|
//! | `time` | INT64, TIMESTAMP(millis, UTC) |
//! | `segment`, `user` | BYTE_ARRAY, UTF8; those that repeat, by a dictionary |
//! | `diff` | INT32, INTEGER(8, signed) |

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::ZstdLevel;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::encode::{Encode, Row, Table};

/// How many rows make a group: what a reader takes at a time, and what is held as it came.
const GROUP_ROWS: usize = 131_072;

/// A file of Parquet.
pub(super) struct Parquet {
    table: Table,
    writer: SerializedFileWriter<Vec<u8>>,
    group: Group,
}

/// Rows that are not written yet, by column.
#[derive(Default)]
struct Group {
    times: Vec<i64>,
    segments: Vec<ByteArray>,
    /// All users, one behind the other, and where each ends.
    users: Vec<u8>,
    ends: Vec<usize>,
    diffs: Vec<i32>,
}

impl Parquet {
    pub(super) fn new(table: Table) -> io::Result<Self> {
        let (schema, properties) = (schema(table).map_err(other)?, properties(table)?);
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties).map_err(other)?;
        Ok(Parquet { table, writer, group: Group::default() })
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        let group = std::mem::take(&mut self.group);
        if group.ends.is_empty() {
            return Ok(());
        }
        let texts = Bytes::from(group.users);
        let starts = std::iter::once(0).chain(group.ends.iter().copied());
        let ranges = starts.zip(&group.ends).map(|(start, end)| start..*end);
        let users: Vec<ByteArray> = ranges.map(|range| texts.slice(range).into()).collect();
        let mut writer = self.writer.next_row_group()?;
        if self.table == Table::Differences {
            column::<Int64Type>(&mut writer, &group.times)?;
        }
        column::<ByteArrayType>(&mut writer, &group.segments)?;
        column::<ByteArrayType>(&mut writer, &users)?;
        if self.table == Table::Differences {
            column::<Int32Type>(&mut writer, &group.diffs)?;
        }
        writer.close().map(drop)
    }
}

impl Encode for Parquet {
    fn rows(&mut self, rows: &[Row<'_>]) -> io::Result<()> {
        for row in rows {
            if self.table == Table::Differences {
                self.group.times.push(row.time);
                self.group.diffs.push(row.diff.into());
            }
            // Neighbours are mostly of one segment, and share its name.
            let last = self.group.segments.last();
            let same = last.filter(|last| last.data() == row.segment.as_bytes()).cloned();
            self.group.segments.push(same.unwrap_or_else(|| row.segment.into()));
            self.group.users.extend_from_slice(row.user.as_bytes());
            self.group.ends.push(self.group.users.len());
            if self.group.ends.len() >= GROUP_ROWS {
                self.end_group().map_err(other)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.group.users.len()
    }

    fn finish(mut self: Box<Self>) -> io::Result<Vec<u8>> {
        self.end_group().map_err(other)?;
        self.writer.into_inner().map_err(other)
    }
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("there are more values than columns".to_owned()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

fn schema(table: Table) -> Result<TypePtr, ParquetError> {
    let field = |name: &str, physical, logical| {
        let field = Type::primitive_type_builder(name, physical);
        let field = field.with_repetition(Repetition::REQUIRED);
        field.with_logical_type(Some(logical)).build().map(Arc::new)
    };
    let text = |name| field(name, Physical::BYTE_ARRAY, LogicalType::String);
    let time = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let fields = match table {
        Table::Differences => vec![
            field("time", Physical::INT64, time)?,
            text("segment")?,
            text("user")?,
            field("diff", Physical::INT32, LogicalType::integer(8, true))?,
        ],
        Table::Users => vec![text("segment")?, text("user")?],
    };
    Type::group_type_builder("rivulet").with_fields(fields).build().map(Arc::new)
}

fn properties(table: Table) -> io::Result<WriterPropertiesPtr> {
    let level = ZstdLevel::try_new(1).map_err(other)?;
    let by = concat!("rivulet ", env!("CARGO_PKG_VERSION"));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(by.to_owned());
    let user = || ColumnPath::from("user");
    let properties = match table {
        Table::Differences => properties,
        // Each user is there once a segment, in bytewise order.
        Table::Users => properties
            .set_column_dictionary_enabled(user(), false)
            .set_column_encoding(user(), Encoding::DELTA_BYTE_ARRAY),
    };
    Ok(Arc::new(properties.build()))
}

fn other(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::super::encode::tests::{ODD, encoded};
    use super::super::{Format, Table};
    use super::*;

    fn read(bytes: Vec<u8>) -> SerializedFileReader<Bytes> {
        SerializedFileReader::new(Bytes::from(bytes)).unwrap()
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let reader = read(encoded(Format::Parquet, Table::Differences));
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), ODD.len());
        for (row, (time, segment, user, diff)) in rows.iter().zip(ODD) {
            assert_eq!(row.get_timestamp_millis(0).unwrap(), *time);
            assert_eq!(row.get_string(1).unwrap(), segment);
            assert_eq!(row.get_string(2).unwrap(), user);
            assert_eq!(row.get_byte(3).unwrap(), *diff);
        }
        let reader = read(encoded(Format::Parquet, Table::Users));
        let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
        let users: Vec<_> = rows.map(|row| row.get_string(1).unwrap().clone()).collect();
        assert_eq!(users, ODD.iter().map(|odd| odd.2).collect::<Vec<_>>());
    }

    #[test]
    fn groups_are_bounded_and_users_in_order_small() {
        let users: Vec<_> = (0..GROUP_ROWS * 2 + 5).map(|it| format!("user-{it:09}")).collect();
        let rows = users.iter().map(|user| Row { time: 0, segment: "all", user, diff: 1 });
        let rows: Vec<_> = rows.collect();
        let mut file = Parquet::new(Table::Users).unwrap();
        file.rows(&rows).unwrap();
        let bytes = Box::new(file).finish().unwrap();
        assert!(bytes.len() < rows.len() * 4, "{} bytes", bytes.len());
        let reader = read(bytes);
        let groups = reader.metadata().row_groups().iter().map(|it| it.num_rows());
        let group = i64::try_from(GROUP_ROWS).unwrap();
        assert_eq!(groups.collect::<Vec<_>>(), [group, group, 5]);
        let last = reader.get_row_iter(None).unwrap().last().unwrap().unwrap();
        assert_eq!(last.get_string(1).unwrap(), users.last().unwrap());
    }
}
