//! The two engines behind one face.

use crate::replay::Replayed;
use crate::value::{for_postgres, for_sqlite};
use crate::{DbError, Row, Value};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Sqlite, SqlitePool};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// How long a request waits for a connection before it is told that the database is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;

/// A database. A cheap clone.
#[derive(Clone, Debug)]
pub struct Db(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Sqlite { reads: SqlitePool, writes: SqlitePool },
    Postgres(PgPool),
}

/// Statements that happen together or not at all. Dropped without [`Transaction::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Transaction(Open);

#[derive(Debug)]
enum Open {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Replayed),
}

impl Db {
    /// Opens the SQLite file at `path`, making it if it is not there.
    ///
    /// # Errors
    /// When the file can't be opened or is no database.
    pub async fn sqlite(path: &Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk before it is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT);
        let pool = || {
            SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(None).max_lifetime(None)
        };
        // SQLite takes a transaction back by itself when the disk is full, and then there is none to roll back: sqlx counts
        // it as open for ever, and begins no other on that connection.
        let writes = pool().max_connections(1).after_release(|connection, _| {
            Box::pin(async move {
                // What is dropped is rolled back now.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
        let writes = writes.connect_with(options.clone()).await?;
        let readers = options.create_if_missing(false).pragma("query_only", "ON");
        let reads = pool().max_connections(SQLITE_READERS).connect_with(readers).await?;
        Ok(Self(Engine::Sqlite { reads, writes }))
    }

    /// Connects to the PostgreSQL database that `url` names.
    ///
    /// # Errors
    /// When the URL is none, or nobody answers there.
    pub async fn postgres(url: &str) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)?;
        let pool =
            PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).max_connections(POSTGRES_CONNECTIONS);
        Ok(Self(Engine::Postgres(pool.connect_with(options).await?)))
    }

    /// The rows that the query `sql` answers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fetch(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        match &self.0 {
            Engine::Sqlite { reads, .. } => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), for_sqlite(values)?);
                rows_of_sqlite(&query.fetch_all(reads).await?)
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), for_postgres(values)?);
                rows_of_postgres(&query.fetch_all(pool).await?)
            }
        }
    }

    /// Runs one statement by itself and answers how many rows it changed.
    ///
    /// # Errors
    /// When the database fails, or refuses the rows.
    pub async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, DbError> {
        let mut transaction = self.begin().await?;
        let changed = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Begins a transaction. On SQLite there is one writer at a time, so what it reads stays true until it commits; on
    /// PostgreSQL it is serializable, to the same end, and run again when it met another and still reads the same.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self) -> Result<Transaction, DbError> {
        Ok(Transaction(match &self.0 {
            Engine::Sqlite { writes, .. } => Open::Sqlite(writes.begin_with("BEGIN IMMEDIATE").await?),
            Engine::Postgres(pool) => Open::Postgres(Replayed::begin(pool).await?),
        }))
    }

    /// Closes every connection, once what runs on it has ended.
    pub async fn close(&self) {
        match &self.0 {
            Engine::Sqlite { reads, writes } => {
                reads.close().await;
                writes.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// The rows that `sql` answers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        match &mut self.0 {
            Open::Sqlite(open) => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), for_sqlite(values)?);
                rows_of_sqlite(&query.fetch_all(&mut **open).await?)
            }
            Open::Postgres(open) => open.fetch(sql, values).await,
        }
    }

    /// Runs `sql` and answers how many rows it changed.
    ///
    /// # Errors
    /// When the database fails, or refuses the rows.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DbError> {
        Ok(match &mut self.0 {
            Open::Sqlite(open) => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), for_sqlite(values)?);
                query.execute(&mut **open).await?.rows_affected()
            }
            Open::Postgres(open) => open.execute(sql, values).await?,
        })
    }

    /// Makes it happen: once this returns, it outlives a crash.
    ///
    /// # Errors
    /// When the database fails; then nothing of it happened, unless the connection broke during this very call.
    pub async fn commit(self) -> Result<(), DbError> {
        match self.0 {
            Open::Sqlite(open) => open.commit().await?,
            Open::Postgres(open) => open.commit().await?,
        }
        Ok(())
    }

    /// Keeps other processes from changing tables meanwhile. SQLite's writer is alone anyway.
    pub(crate) async fn lock_schema(&mut self) -> Result<(), DbError> {
        if let Open::Postgres(open) = &mut self.0 {
            open.execute("SELECT pg_advisory_xact_lock(7242017)", &[]).await?;
        }
        Ok(())
    }
}

fn rows_of_sqlite(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Vec<Row>, DbError> {
    Ok(rows.iter().map(Row::of_sqlite).collect::<Result<_, _>>()?)
}

fn rows_of_postgres(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<Row>, DbError> {
    Ok(rows.iter().map(Row::of_postgres).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Migration;

    const STEPS: [Migration; 1] = [Migration {
        version: 1,
        sql: "CREATE TABLE things (id TEXT PRIMARY KEY, size BIGINT, note TEXT);\n\
              CREATE INDEX things_by_size ON things (size);\n",
    }];

    #[tokio::test]
    async fn rows_come_back_as_they_went_in_and_outlive_a_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let db = Db::sqlite(&path).await.unwrap();
        assert_eq!(db.migrate("test", &STEPS).await.unwrap(), 0);
        let insert = "INSERT INTO things (id, size, note) VALUES ($1, $2, $3)";
        db.execute(insert, &["a".into(), 7.into(), Value::Text(None)]).await.unwrap();
        let twice = db.execute(insert, &["a".into(), 8.into(), "x".into()]).await;
        assert!(matches!(twice, Err(DbError::Conflict(_))), "{twice:?}");
        let mut left = db.begin().await.unwrap();
        left.execute(insert, &["b".into(), Value::Int(None), "x".into()]).await.unwrap();
        assert_eq!(left.fetch("SELECT COUNT(*) FROM things", &[]).await.unwrap()[0].int(0), 2);
        drop(left);
        // As it does by itself when the disk is full.
        let mut taken_back = db.begin().await.unwrap();
        taken_back.execute(insert, &["c".into(), Value::Int(None), "x".into()]).await.unwrap();
        taken_back.execute("ROLLBACK", &[]).await.unwrap();
        drop(taken_back);
        assert_eq!(db.execute("DELETE FROM things WHERE id = $1", &["c".into()]).await.unwrap(), 0);
        db.close().await;
        let db = Db::sqlite(&path).await.unwrap();
        assert_eq!(db.migrate("test", &STEPS).await.unwrap(), 1);
        let rows = db.fetch("SELECT id, size, note FROM things WHERE size = $1", &[7.into()]).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].text(0), rows[0].int(1), rows[0].opt_text(2)),
            (1, "a".into(), 7, None)
        );
        let newer = db.migrate("test", &[]).await;
        assert!(matches!(newer, Err(DbError::Newer { found: 1, .. })), "{newer:?}");
        let written = db.fetch("DELETE FROM things RETURNING id", &[]).await;
        assert!(written.is_err(), "a query does not write");
    }
}
