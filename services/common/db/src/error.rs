//! What can go wrong with a database, in the terms a caller can act on.

use ringfort_core::ErrorKind;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Another row has what must be unique, or a row is named that is not there.
    #[error("a row stands against it")]
    Conflict(#[source] sqlx::Error),
    /// No connection, none free in time, or a full disk.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// The statement is not one, or the rows are not what we wrote.
    #[error("the database refuses a statement")]
    Internal(#[source] sqlx::Error),
    /// Made by a newer version of this program.
    #[error(
        "the database has schema {found} of {component}; this program knows up to {known}: start a newer one"
    )]
    Newer {
        /// Whose tables.
        component: &'static str,
        /// The version met.
        found: i64,
        /// The newest version known.
        known: i64,
    },
}

impl DbError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Internal(_) | Self::Newer { .. } => ErrorKind::Internal,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind as Kind;
        match &error {
            sqlx::Error::Database(told) => match told.kind() {
                Kind::UniqueViolation | Kind::ForeignKeyViolation => Self::Conflict(error),
                // SQLite's codes for a lock, an I/O error and a full disk; PostgreSQL's classes for the same, for a
                // connection that ends and for transactions that met.
                _ if told.code().is_some_and(|code| is_transient(&code)) => Self::Unavailable(error),
                _ => Self::Internal(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

fn is_transient(code: &str) -> bool {
    match code.parse::<u32>() {
        // Extended codes of SQLite keep the plain one in their last byte. PostgreSQL's have five characters.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 10 | 13 | 14),
        _ => ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_transient;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in ["5", "13", "522", "08006", "40001", "53100", "57P01"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["1", "19", "2067", "42601", "23505"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
