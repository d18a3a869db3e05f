//! Tables as Parquet.

use std::{path::Path, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::{Cell, uneven};
use crate::{AtomicFile, Error, Overwrite, Result};

/// The rows that are collected, column by column, before they are written.
const GROUP: usize = 1 << 16;

/// Writes a table as Parquet: the same columns as [`write_csv`](crate::write_csv), typed and compressed (Snappy).
///
/// A column of integers is `UINT_64`, one of measurements `DOUBLE`, one of texts a string; what is [`Cell::Empty`] is
/// null. Parquet wants a type where no row has a value too: that of measurements, as those may be missing. `rows`
/// are gone through twice, first for the types; beside them, at most 65,536 rows are held in memory.
///
/// # Errors
/// [`Error::Argument`] if a row has more or fewer cells than there are columns, or a column has values of several
/// types; else as [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write_parquet<'a, N: AsRef<str>, R: IntoIterator<Item = Cell<'a>>>(
    path: impl AsRef<Path>,
    columns: impl IntoIterator<Item = N>,
    rows: impl IntoIterator<Item = R> + Clone,
    overwrite: Overwrite,
) -> Result<()> {
    let path = path.as_ref();
    let file = AtomicFile::create(path, overwrite)?;
    let names: Vec<N> = columns.into_iter().collect();
    let mut columns = typed_columns(path, &names, rows.clone())?;

    let write_error = |e: ParquetError| Error::write(path, e);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = schema(&names, &columns).map_err(write_error)?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(write_error)?;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        for row in rows.by_ref().take(GROUP) {
            columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        }
        let mut group = writer.next_row_group().map_err(write_error)?;
        for column in &mut columns {
            column.write(&mut group).map_err(write_error)?;
        }
        group.close().map_err(write_error)?;
    }
    writer.into_inner().map_err(write_error)?.commit()
}

/// The values of one column that wait to be written.
enum Column {
    Integers(Values<Int64Type>),
    Reals(Values<DoubleType>),
    Texts(Values<ByteArrayType>),
}

/// As Parquet wants them: the values that are there, and for each row 1 if there is one, else 0.
struct Values<T: DataType> {
    values: Vec<T::T>,
    present: Vec<i16>,
}

impl<T: DataType> Values<T> {
    fn none() -> Self {
        Self { values: Vec::new(), present: Vec::new() }
    }

    fn push(&mut self, value: Option<T::T>) {
        self.present.push(value.is_some().into());
        self.values.extend(value);
    }

    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, AtomicFile>) -> parquet::errors::Result<()> {
        let mut writer = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("the schema has fewer columns than the table".into()))?;
        writer.typed::<T>().write_batch(&self.values, Some(&self.present), None)?;
        self.values.clear();
        self.present.clear();
        writer.close()
    }
}

impl Column {
    /// Adds the cell of the next row; [`typed_columns`] has seen that its type is the column's.
    fn push(&mut self, cell: Cell<'_>) {
        match self {
            Self::Integers(column) => column.push(match cell {
                // The same bits: the column says that they are unsigned.
                Cell::Integer(value) => Some(value as i64),
                _ => None,
            }),
            Self::Reals(column) => column.push(match cell {
                Cell::Real(value) => Some(value),
                _ => None,
            }),
            Self::Texts(column) => column.push(match cell {
                Cell::Text(text) => Some(ByteArray::from(text.into_owned().into_bytes())),
                _ => None,
            }),
        }
    }

    /// Writes what was collected and forgets it.
    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, AtomicFile>) -> parquet::errors::Result<()> {
        match self {
            Self::Integers(column) => column.write(group),
            Self::Reals(column) => column.write(group),
            Self::Texts(column) => column.write(group),
        }
    }

    fn field(&self, name: &str) -> parquet::errors::Result<TypePtr> {
        let (physical, logical) = match self {
            Self::Integers(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Self::Reals(_) => (Physical::DOUBLE, None),
            Self::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(name, physical);
        field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build().map(Arc::new)
    }
}

fn schema<N: AsRef<str>>(names: &[N], columns: &[Column]) -> parquet::errors::Result<TypePtr> {
    let fields = names.iter().zip(columns).map(|(name, column)| column.field(name.as_ref()));
    Type::group_type_builder("table")
        .with_fields(fields.collect::<parquet::errors::Result<_>>()?)
        .build()
        .map(Arc::new)
}

/// One empty column for each name, of the type of its values.
fn typed_columns<'a, N: AsRef<str>, R: IntoIterator<Item = Cell<'a>>>(
    path: &Path,
    names: &[N],
    rows: impl IntoIterator<Item = R>,
) -> Result<Vec<Column>> {
    let mut columns: Vec<Option<Column>> = names.iter().map(|_| None).collect();
    for (index, row) in rows.into_iter().enumerate() {
        let mut cells = 0;
        for cell in row {
            if let Some(column) = columns.get_mut(cells) {
                match (&cell, &column) {
                    (Cell::Empty, _)
                    | (Cell::Integer(_), Some(Column::Integers(_)))
                    | (Cell::Real(_), Some(Column::Reals(_)))
                    | (Cell::Text(_), Some(Column::Texts(_))) => {}
                    (Cell::Integer(_), None) => *column = Some(Column::Integers(Values::none())),
                    (Cell::Real(_), None) => *column = Some(Column::Reals(Values::none())),
                    (Cell::Text(_), None) => *column = Some(Column::Texts(Values::none())),
                    (_, Some(_)) => {
                        return Err(Error::Argument(format!(
                            "row {index} of the table for {} has {cell:?} in the column {}, whose earlier values are of \
                             another type; write it as CSV",
                            path.display(),
                            names[cells].as_ref()
                        )));
                    }
                }
            }
            cells += 1;
        }
        if cells != names.len() {
            return Err(uneven(path, index, cells, names.len()));
        }
    }
    Ok(columns.into_iter().map(|c| c.unwrap_or_else(|| Column::Reals(Values::none()))).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::Field,
    };

    use super::*;

    /// Column names, rows and the number of row groups of the table once written.
    fn written(columns: &[&str], rows: &[Vec<Cell<'_>>]) -> (Vec<String>, Vec<Vec<Field>>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write_parquet(&path, columns, rows.iter().cloned(), Overwrite::Refuse).unwrap();
        let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let meta = file.metadata();
        let names =
            meta.file_metadata().schema_descr().columns().iter().map(|c| c.name().to_owned()).collect();
        let rows = file.get_row_iter(None).unwrap();
        let rows = rows.map(|row| row.unwrap().into_columns().into_iter().map(|(_, value)| value).collect());
        (names, rows.collect(), meta.num_row_groups())
    }

    fn refusal(rows: &[Vec<Cell<'_>>]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let error = write_parquet(&path, ["a", "b"], rows.iter().cloned(), Overwrite::Refuse).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        error.to_string()
    }

    #[test]
    fn values_names_and_types_are_read_back_and_what_is_empty_is_null() {
        let rows = [
            vec![u32::MAX.into(), Cell::Empty, "x,\"y\"\u{e9}".into(), Cell::Empty],
            vec![u64::MAX.into(), 0.1.into(), Cell::Empty, Cell::Empty],
            vec![Cell::Empty, f64::MIN_POSITIVE.into(), "".into(), Cell::Empty],
        ];
        let (names, back, _) = written(&["label", "volume_um3", "name", "nothing"], &rows);
        assert_eq!(names, ["label", "volume_um3", "name", "nothing"]);
        let text = |t: &str| Field::Str(t.into());
        assert_eq!(
            back,
            [
                vec![Field::ULong(u32::MAX.into()), Field::Null, text("x,\"y\"\u{e9}"), Field::Null],
                vec![Field::ULong(u64::MAX), Field::Double(0.1), Field::Null, Field::Null],
                vec![Field::Null, Field::Double(f64::MIN_POSITIVE), text(""), Field::Null],
            ]
        );
    }

    // A table of a million rows in 16 groups, with columns as here, also reads back equal with pyarrow 26.0.1.
    #[test]
    fn a_table_of_several_row_groups_keeps_the_order_of_its_rows() {
        let count = 2 * GROUP + 1;
        let rows: Vec<Vec<Cell<'_>>> =
            (0..count as u64).map(|i| vec![i.into(), (i % 3 > 0).then_some(i as f64 / 7.0).into()]).collect();
        let (_, back, groups) = written(&["label", "value"], &rows);
        assert_eq!((back.len(), groups), (count, 3));
        for (i, row) in back.iter().enumerate() {
            let value = if i % 3 > 0 { Field::Double(i as f64 / 7.0) } else { Field::Null };
            assert_eq!(row, &[Field::ULong(i as u64), value]);
        }
    }

    #[test]
    fn a_table_without_rows_has_its_columns() {
        assert_eq!(written(&["a", "b"], &[]), (vec!["a".into(), "b".into()], vec![], 0));
    }

    #[test]
    fn a_row_of_another_length_is_named_and_nothing_is_written() {
        for length in [1, 3] {
            let error = refusal(&[vec![Cell::Empty; 2], vec![Cell::Empty; length]]);
            assert!(error.contains("row 1") && error.contains(&format!("{length} cells")), "{error}");
        }
    }

    #[test]
    fn a_column_of_several_types_is_named_and_nothing_is_written() {
        let error = refusal(&[vec![Cell::Empty, 1u32.into()], vec![Cell::Empty, 0.5.into()]]);
        assert!(error.contains("row 1") && error.contains("column b"), "{error}");
    }
}
