//! Tables as they come to be: numbered steps, each run once, all in one transaction.

use crate::{Db, DbError, Value};

/// One step: its number, from 1 on without gaps, and its statements, each ended by `;` at the end of a line.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version of the tables after this step.
    pub version: i64,
    /// What it does.
    pub sql: &'static str,
}

const VERSIONS: &str =
    "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version BIGINT NOT NULL)";

impl Db {
    /// Brings the tables of `component` to the last of `steps`, and answers the version they had.
    ///
    /// # Errors
    /// When they are newer than this program, or the database fails.
    pub async fn migrate(&self, component: &'static str, steps: &[Migration]) -> Result<i64, DbError> {
        let mut transaction = self.begin().await?;
        transaction.lock_schema().await?;
        transaction.execute(VERSIONS, &[]).await?;
        let rows = transaction
            .fetch("SELECT version FROM schema_versions WHERE component = $1", &[component.into()])
            .await?;
        let found = rows.first().map_or(0, |row| row.int(0));
        let known = steps.last().map_or(0, |step| step.version);
        if found > known {
            return Err(DbError::Newer { component, found, known });
        }
        for step in steps.iter().filter(|step| step.version > found) {
            for statement in step.sql.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
                transaction.execute(statement, &[]).await?;
            }
        }
        if found < known {
            let sql = "INSERT INTO schema_versions (component, version) VALUES ($1, $2) \
                       ON CONFLICT (component) DO UPDATE SET version = excluded.version";
            transaction.execute(sql, &[component.into(), Value::from(known)]).await?;
            transaction.commit().await?;
        }
        Ok(found)
    }
}
