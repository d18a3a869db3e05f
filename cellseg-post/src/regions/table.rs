//! A table of measurements, for whoever writes it to a file.

/// One entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A count or an id.
    Count(u64),
    /// A measurement.
    Number(f64),
    /// Nothing: the measurement does not exist for this row.
    Empty,
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Empty, Self::Number)
    }
}

/// Named columns and rows of cells; every row has one cell a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns' names.
    pub header: Vec<&'static str>,
    /// The rows, from top to bottom.
    pub rows: Vec<Vec<Cell>>,
}
