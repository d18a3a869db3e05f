//! Tables as CSV, and as Parquet where the feature of that name is on.

mod format;
#[cfg(feature = "parquet")]
mod parquet;

use std::{borrow::Cow, path::Path};

pub use self::format::{TableFormat, write_table};
#[cfg(feature = "parquet")]
pub use self::parquet::write_parquet;

use crate::{AtomicFile, Error, Overwrite, Result};

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A count, a label, a number of voxels.
    Integer(u64),
    /// A measurement, written with as many digits as it takes to read the same bits back.
    Real(f64),
    /// No value: an empty field.
    Empty,
}

impl Cell<'_> {
    fn to_field(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Integer(value) => Cow::Owned(value.to_string()),
            // Unlike `{}`, `{:?}` writes large and small numbers with an exponent, and whole ones with `.0`.
            Self::Real(value) => Cow::Owned(format!("{value:?}")),
            Self::Empty => Cow::Borrowed(""),
        }
    }
}

impl From<u64> for Cell<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Cell<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Cell<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// Writes a table: a header of column names, then one line a row.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("cells.csv");
/// use cellseg_io::{Cell, Overwrite, write_csv};
///
/// let rows = [(1u32, 0.1), (2, 1e-9)].map(|(label, volume)| [Cell::from(label), Cell::from(volume)]);
/// write_csv(&path, ["label", "volume_um3"], rows, Overwrite::Refuse)?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "label,volume_um3\n1,0.1\n2,1e-9\n");
/// # Ok::<(), cellseg_io::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if a row has more or fewer cells than there are columns; else as
/// [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write_csv<'a, N: AsRef<str>, R: IntoIterator<Item = Cell<'a>>>(
    path: impl AsRef<Path>,
    columns: impl IntoIterator<Item = N>,
    rows: impl IntoIterator<Item = R>,
    overwrite: Overwrite,
) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path, overwrite)?;
    let write_error = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(e) => Error::write(path, e),
        kind => Error::write(path, format!("{kind:?}")),
    };
    // The length of rows is checked here, where the row can be named.
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(&mut file);
    let header: Vec<N> = columns.into_iter().collect();
    writer.write_record(header.iter().map(AsRef::as_ref)).map_err(write_error)?;
    for (index, row) in rows.into_iter().enumerate() {
        let row: Vec<Cell<'a>> = row.into_iter().collect();
        if row.len() != header.len() {
            return Err(uneven(path, index, row.len(), header.len()));
        }
        writer.write_record(row.iter().map(|cell| cell.to_field().into_owned())).map_err(write_error)?;
    }
    writer.flush().map_err(|e| Error::write(path, e))?;
    drop(writer);
    file.commit()
}

/// Names a row that is longer or shorter than the header.
fn uneven(path: &Path, row: usize, cells: usize, columns: usize) -> Error {
    Error::Argument(format!(
        "row {row} of the table for {} has {cells} cells, but there are {columns} columns",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(columns: &[&str], rows: Vec<Vec<Cell<'_>>>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        write_csv(&path, columns, rows, Overwrite::Refuse).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn texts_with_commas_quotes_and_line_breaks_are_quoted() {
        let text =
            written(&["a", "b"], vec![vec!["x,\"y\"\n".into(), Cell::Empty], vec![7u64.into(), 2.0.into()]]);
        assert_eq!(text, "a,b\n\"x,\"\"y\"\"\n\",\n7,2.0\n");
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        assert_eq!(written(&["a", "b"], vec![]), "a,b\n");
    }

    #[test]
    fn a_row_of_another_length_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let rows = vec![vec![Cell::Empty; 2], vec![Cell::Empty; 3]];
        let error = write_csv(&path, ["a", "b"], rows, Overwrite::Refuse).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_to_the_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = written(&["v"], vec![vec![value.into()]]);
            let back: f64 = text.lines().nth(1).unwrap().parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
