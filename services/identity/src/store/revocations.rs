//! Tokens that ended before their time.
//!
//! A row says: tokens of this kind and id that were issued up to `before_us` are no longer valid. It is kept until the last of
//! them would have expired anyway.

use crate::error::Result;
use crate::store::Store;
use ringfort_db::{Transaction, Value};

/// What the tokens have in common.
#[derive(Clone, Debug)]
pub(crate) enum Revoked<'a> {
    /// This token, by its audit id.
    Token(&'a str),
    /// Every token of a user.
    User(&'a str),
    /// Every token scoped to a project.
    Project(&'a str),
    /// Every token of a domain: of its users, of its projects, and scoped to it.
    Domain(&'a str),
}

impl Revoked<'_> {
    const fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Token(id) => ("token", id),
            Self::User(id) => ("user", id),
            Self::Project(id) => ("project", id),
            Self::Domain(id) => ("domain", id),
        }
    }
}

fn micros(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

impl Store {
    /// Ends these tokens as of `now_us`; none of them lives longer than `lifetime_us`.
    pub(crate) async fn revoke(
        transaction: &mut Transaction,
        what: &Revoked<'_>,
        now_us: u64,
        lifetime_us: u64,
    ) -> Result<()> {
        let (kind, id) = what.parts();
        let expires = micros(now_us.saturating_add(lifetime_us));
        let sql = "INSERT INTO revocations (kind, id, before_us, expires_us) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (kind, id) DO UPDATE SET before_us = excluded.before_us, expires_us = excluded.expires_us";
        let values: [Value; 4] = [kind.into(), id.into(), micros(now_us).into(), expires.into()];
        transaction.execute(sql, &values).await?;
        // Here, so that the table stays small without anybody to sweep it.
        transaction
            .execute("DELETE FROM revocations WHERE expires_us < $1", &[micros(now_us).into()])
            .await?;
        Ok(())
    }

    /// Whether a token issued at `issued_us` that is all of `kinds` was revoked.
    pub(crate) async fn is_revoked(&self, kinds: &[Revoked<'_>], issued_us: u64) -> Result<bool> {
        let mut values: Vec<Value> = vec![micros(issued_us).into()];
        let mut conditions = Vec::new();
        for kind in kinds {
            let (kind, id) = kind.parts();
            values.extend([Value::from(kind), id.into()]);
            conditions.push(format!("(kind = ${} AND id = ${})", values.len() - 1, values.len()));
        }
        let sql = format!(
            "SELECT COUNT(*) FROM revocations WHERE before_us >= $1 AND ({})",
            conditions.join(" OR ")
        );
        Ok(self.db.fetch(&sql, &values).await?.first().is_some_and(|row| row.int(0) > 0))
    }
}
