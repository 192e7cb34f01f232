//! What goes into a statement and comes out of it.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Decode, Row as _, Type, TypeInfo, ValueRef};

/// A value bound to `$n`. An absent one has a type too: PostgreSQL asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, or none.
    Text(Option<String>),
    /// A number, or none.
    Int(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(Some(i64::from(flag)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Null,
    Text(String),
    Int(i64),
}

/// One row of an answer, its columns by their place in the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Cell>);

impl Row {
    /// The text in column `at`; empty if there is none.
    #[must_use]
    pub fn text(&self, at: usize) -> String {
        self.opt_text(at).unwrap_or_default()
    }

    /// The text in column `at`, if there is one.
    #[must_use]
    pub fn opt_text(&self, at: usize) -> Option<String> {
        match self.0.get(at) {
            Some(Cell::Text(text)) => Some(text.clone()),
            Some(Cell::Int(number)) => Some(number.to_string()),
            Some(Cell::Null) | None => None,
        }
    }

    /// The number in column `at`; 0 if there is none.
    #[must_use]
    pub fn int(&self, at: usize) -> i64 {
        self.opt_int(at).unwrap_or_default()
    }

    /// The number in column `at`, if there is one.
    #[must_use]
    pub fn opt_int(&self, at: usize) -> Option<i64> {
        match self.0.get(at) {
            Some(Cell::Int(number)) => Some(*number),
            Some(Cell::Text(_) | Cell::Null) | None => None,
        }
    }

    /// The flag in column `at`.
    #[must_use]
    pub fn flag(&self, at: usize) -> bool {
        self.int(at) != 0
    }

    pub(crate) fn of_sqlite(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        (0..row.len()).map(|at| cell(row, at, row.try_get_raw(at)?)).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn of_postgres(row: &PgRow) -> Result<Self, sqlx::Error> {
        (0..row.len()).map(|at| cell(row, at, row.try_get_raw(at)?)).collect::<Result<_, _>>().map(Self)
    }
}

fn cell<'r, R>(
    row: &'r R,
    at: usize,
    raw: <R::Database as sqlx::Database>::ValueRef<'r>,
) -> Result<Cell, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    if raw.is_null() {
        return Ok(Cell::Null);
    }
    let is_number = matches!(raw.type_info().name(), "INT8" | "INTEGER" | "BIGINT");
    drop(raw);
    if is_number { row.try_get(at).map(Cell::Int) } else { row.try_get(at).map(Cell::Text) }
}

pub(crate) fn for_sqlite(values: &[Value]) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Text(text) => arguments.add(text.clone()),
            Value::Int(number) => arguments.add(*number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

pub(crate) fn for_postgres(values: &[Value]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            // PostgreSQL's texts hold any character but this one, and what can't be stored is found nowhere.
            Value::Text(Some(text)) if text.contains('\0') => {
                return Err(sqlx::Error::Encode("a text with a zero character".into()));
            }
            Value::Text(text) => arguments.add(text.clone()),
            Value::Int(number) => arguments.add(*number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
