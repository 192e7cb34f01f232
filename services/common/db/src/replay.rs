//! Transactions on PostgreSQL that meet others.
//!
//! A serializable transaction may be refused at any statement because it met another (40001, 40P01), through no fault of its
//! caller. It is then run again here: the statements so far, each of which must give what it gave before, since the caller
//! went on from that. One that gives something else means that the caller decided on what is no longer so, and that only the
//! caller can decide anew.

use crate::value::for_postgres;
use crate::{DbError, Row, Value};
use sqlx::{AssertSqlSafe, PgPool, Postgres};

/// How often a transaction begins anew. Of those that meet on one row one gets through each time, and there are no more of them
/// than connections.
const RUNS_MAX: u32 = 20;
const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

#[derive(Debug)]
pub(crate) struct Replayed {
    pool: PgPool,
    open: Option<sqlx::Transaction<'static, Postgres>>,
    done: Vec<Statement>,
    runs: u32,
}

#[derive(Debug)]
struct Statement {
    sql: String,
    values: Vec<Value>,
    gave: Gave,
}

/// What a statement gave, of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Gave {
    Rows(Vec<Row>),
    Changed(u64),
}

/// Whether a transaction failed only because another was in its way.
fn met_another(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(told) = error else { return false };
    told.code().is_some_and(|code| code == "40001" || code == "40P01")
}

impl Replayed {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, DbError> {
        let open = pool.begin_with(BEGIN).await?;
        Ok(Self { pool: pool.clone(), open: Some(open), done: Vec::new(), runs: 1 })
    }

    pub(crate) async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        match self.run(sql, values, true).await? {
            Gave::Rows(rows) => Ok(rows),
            Gave::Changed(_) => Ok(Vec::new()),
        }
    }

    pub(crate) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DbError> {
        match self.run(sql, values, false).await? {
            Gave::Changed(count) => Ok(count),
            Gave::Rows(_) => Ok(0),
        }
    }

    async fn run(&mut self, sql: &str, values: &[Value], fetch: bool) -> Result<Gave, DbError> {
        loop {
            let gave = match self.once(sql, values, fetch).await {
                Err(error) if met_another(&error) => {
                    self.again(error).await?;
                    continue;
                }
                other => other?,
            };
            self.done.push(Statement { sql: sql.to_owned(), values: values.to_vec(), gave: gave.clone() });
            return Ok(gave);
        }
    }

    /// One statement in the transaction that is open.
    async fn once(&mut self, sql: &str, values: &[Value], fetch: bool) -> Result<Gave, sqlx::Error> {
        let open = self.open.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), for_postgres(values)?);
        if fetch {
            let rows = query.fetch_all(&mut **open).await?;
            return rows.iter().map(Row::of_postgres).collect::<Result<_, _>>().map(Gave::Rows);
        }
        Ok(Gave::Changed(query.execute(&mut **open).await?.rows_affected()))
    }

    /// Begins anew after `error`, and runs what was run.
    async fn again(&mut self, mut error: sqlx::Error) -> Result<(), DbError> {
        'anew: loop {
            if self.runs >= RUNS_MAX {
                return Err(error.into());
            }
            self.runs += 1;
            // First, so that nobody waits for a connection while holding one.
            if let Some(failed) = self.open.take() {
                failed.rollback().await?;
            }
            self.open = Some(self.pool.begin_with(BEGIN).await?);
            tracing::debug!(runs = self.runs, "a transaction met another and is run again");
            let done = std::mem::take(&mut self.done);
            for statement in &done {
                let fetch = matches!(statement.gave, Gave::Rows(_));
                match self.once(&statement.sql, &statement.values, fetch).await {
                    Ok(gave) if gave == statement.gave => {}
                    Ok(_) => return Err(error.into()),
                    Err(next) if met_another(&next) => {
                        self.done = done;
                        error = next;
                        continue 'anew;
                    }
                    Err(next) => return Err(next.into()),
                }
            }
            self.done = done;
            return Ok(());
        }
    }

    pub(crate) async fn commit(mut self) -> Result<(), DbError> {
        loop {
            let Some(open) = self.open.take() else { return Err(sqlx::Error::PoolClosed.into()) };
            match open.commit().await {
                Err(error) if met_another(&error) => self.again(error).await?,
                other => return Ok(other?),
            }
        }
    }
}
