//! The format that a table's file name asks for.

use std::path::Path;

use super::{Cell, write_csv};
use crate::{Error, Overwrite, Result};

/// Names that are written by this build.
const ADVICE: &str = if cfg!(feature = "parquet") { "name it .csv or .parquet" } else { "name it .csv" };

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Text, values separated by commas.
    Csv,
    /// Columns of typed, compressed values, for tables of millions of rows; needs the feature `parquet`.
    Parquet,
}

impl TableFormat {
    /// The format for a file of this name: Parquet for `.parquet`, CSV for `.csv`, `.txt` and names without extension.
    ///
    /// Ask before long work whose result is a table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other extensions, and for Parquet where the feature `parquet` is off.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.extension() {
            Some(e) if e.eq_ignore_ascii_case("parquet") && cfg!(feature = "parquet") => Ok(Self::Parquet),
            Some(e) if e.eq_ignore_ascii_case("parquet") => Err(Error::unsupported(
                path,
                "Parquet",
                "this program was built without it: give a name that ends in .csv, or build it again with \
                 --features parquet",
            )),
            Some(e) if !["csv", "txt"].iter().any(|csv| e.eq_ignore_ascii_case(csv)) => {
                Err(Error::unsupported(path, format!("a table of the kind .{}", e.display()), ADVICE))
            }
            _ => Ok(Self::Csv),
        }
    }
}

/// Writes a table in the [format](TableFormat::of) that the file name asks for.
///
/// `rows` are gone through twice for Parquet.
///
/// # Errors
/// As [`TableFormat::of`], [`write_csv`] and `write_parquet`.
pub fn write_table<'a, N: AsRef<str>, R: IntoIterator<Item = Cell<'a>>>(
    path: impl AsRef<Path>,
    columns: impl IntoIterator<Item = N>,
    rows: impl IntoIterator<Item = R> + Clone,
    overwrite: Overwrite,
) -> Result<()> {
    match TableFormat::of(&path)? {
        TableFormat::Csv => write_csv(path, columns, rows, overwrite),
        #[cfg(feature = "parquet")]
        TableFormat::Parquet => super::write_parquet(path, columns, rows, overwrite),
        #[cfg(not(feature = "parquet"))]
        TableFormat::Parquet => unreachable!("refused by TableFormat::of"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_chooses_csv_and_others_are_refused() {
        for name in ["a.csv", "a.CSV", "a.txt", "a", "parquet", "a.parquet.csv"] {
            assert_eq!(TableFormat::of(name).unwrap(), TableFormat::Csv, "{name}");
        }
        for name in ["a.xlsx", "a.tsv", "a.csv.gz"] {
            let error = TableFormat::of(name).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("name it .csv"), "{error}");
            assert_eq!(error.contains(".parquet"), cfg!(feature = "parquet"), "{error}");
        }
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn the_extension_chooses_parquet_in_any_case() {
        for name in ["a.parquet", "a.PARQUET"] {
            assert_eq!(TableFormat::of(name).unwrap(), TableFormat::Parquet);
        }
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn parquet_is_refused_with_the_way_to_get_it_where_it_is_not_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let error = write_table(&path, ["a"], [[Cell::Empty]], Overwrite::Refuse).unwrap_err().to_string();
        assert!(error.contains("--features parquet") && error.contains(".csv"), "{error}");
        assert!(!path.exists());
    }
}
