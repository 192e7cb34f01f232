//! Passwords, failed logins and group members.

use super::records::Record;
use super::tables::USERS;
use crate::error::Result;
use crate::store::Store;
use ringfort_db::{Transaction, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A user's password as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct PasswordRow {
    pub(crate) hash: String,
    pub(crate) created_us: u64,
    pub(crate) expires_us: Option<u64>,
}

/// A password that a user gets.
#[derive(Clone, Debug)]
pub(crate) struct NewPassword {
    pub(crate) hash: String,
    pub(crate) created_us: u64,
    pub(crate) expires_us: Option<u64>,
    /// How many of those before it are remembered.
    pub(crate) remembered: u32,
}

fn micros(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

impl Store {
    /// The password of a user who has one.
    pub(crate) async fn password(&self, user_id: &str) -> Result<Option<PasswordRow>> {
        let sql = "SELECT hash, created_us, expires_us FROM passwords WHERE user_id = $1";
        let rows = self.db.fetch(sql, &[user_id.into()]).await?;
        Ok(rows.first().map(|row| PasswordRow {
            hash: row.text(0),
            created_us: u64::try_from(row.int(1)).unwrap_or_default(),
            expires_us: row.opt_int(2).and_then(|us| u64::try_from(us).ok()),
        }))
    }

    /// When the passwords expire that do, by user.
    pub(crate) async fn password_expiries(&self) -> Result<BTreeMap<String, u64>> {
        let sql = "SELECT user_id, expires_us FROM passwords WHERE expires_us IS NOT NULL";
        let rows = self.db.fetch(sql, &[]).await?;
        Ok(rows.iter().map(|row| (row.text(0), u64::try_from(row.int(1)).unwrap_or_default())).collect())
    }

    /// The hashes of a user's passwords before the present one, the newest first.
    pub(crate) async fn old_passwords(&self, user_id: &str, count: u32) -> Result<Vec<String>> {
        let sql = "SELECT hash FROM old_passwords WHERE user_id = $1 ORDER BY created_us DESC LIMIT $2";
        let rows = self.db.fetch(sql, &[user_id.into(), i64::from(count).into()]).await?;
        Ok(rows.iter().map(|row| row.text(0)).collect())
    }

    /// Sets a user's password, or takes it away. The one before is remembered.
    pub(crate) async fn set_password(
        transaction: &mut Transaction,
        user_id: &str,
        new: Option<&NewPassword>,
    ) -> Result<()> {
        let Some(new) = new else {
            transaction.execute("DELETE FROM passwords WHERE user_id = $1", &[user_id.into()]).await?;
            return Ok(());
        };
        let sql = "INSERT INTO old_passwords (user_id, hash, created_us) \
                   SELECT user_id, hash, created_us FROM passwords WHERE user_id = $1";
        transaction.execute(sql, &[user_id.into()]).await?;
        let sql = "DELETE FROM old_passwords WHERE user_id = $1 AND hash NOT IN (SELECT hash FROM old_passwords \
                   WHERE user_id = $1 ORDER BY created_us DESC LIMIT $2)";
        transaction.execute(sql, &[user_id.into(), i64::from(new.remembered).into()]).await?;
        let sql = "INSERT INTO passwords (user_id, hash, created_us, expires_us) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, created_us = excluded.created_us, \
                   expires_us = excluded.expires_us";
        let (hash, created) = (Value::from(&new.hash), micros(new.created_us).into());
        transaction.execute(sql, &[user_id.into(), hash, created, new.expires_us.map(micros).into()]).await?;
        Ok(())
    }

    /// The user of this name in a domain.
    pub(crate) async fn user_named(&self, name: &str, domain_id: &str) -> Result<Option<Record>> {
        let filters = [("name", Json::from(name)), ("domain_id", Json::from(domain_id))];
        Ok(self.list(&USERS, &filters).await?.into_iter().next())
    }

    /// How often a user failed to log in since it last did, and when last.
    pub(crate) async fn login_failures(&self, user_id: &str) -> Result<(u64, u64)> {
        let sql = "SELECT failures, last_us FROM login_failures WHERE user_id = $1";
        let rows = self.db.fetch(sql, &[user_id.into()]).await?;
        let number = |at| rows.first().and_then(|row| u64::try_from(row.int(at)).ok()).unwrap_or_default();
        Ok((number(0), number(1)))
    }

    /// Counts a failed login. After a pause of `window_us` the count begins anew.
    pub(crate) async fn note_login_failure(&self, user_id: &str, now_us: u64, window_us: u64) -> Result<()> {
        let sql = "INSERT INTO login_failures (user_id, failures, last_us) VALUES ($1, 1, $2) \
                   ON CONFLICT (user_id) DO UPDATE SET last_us = excluded.last_us, failures = \
                   CASE WHEN login_failures.last_us < $3 THEN 1 ELSE login_failures.failures + 1 END";
        let number = |us| Value::from(micros(us));
        let values = [user_id.into(), number(now_us), number(now_us.saturating_sub(window_us))];
        self.db.execute(sql, &values).await?;
        Ok(())
    }

    /// Forgets a user's failed logins.
    pub(crate) async fn clear_login_failures(&self, user_id: &str) -> Result<()> {
        self.db.execute("DELETE FROM login_failures WHERE user_id = $1", &[user_id.into()]).await?;
        Ok(())
    }

    /// Puts a user into a group.
    pub(crate) async fn join_group(
        transaction: &mut Transaction,
        group_id: &str,
        user_id: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO group_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        transaction.execute(sql, &[group_id.into(), user_id.into()]).await?;
        Ok(())
    }

    /// Takes a user out of a group; whether it was in.
    pub(crate) async fn leave_group(
        transaction: &mut Transaction,
        group_id: &str,
        user_id: &str,
    ) -> Result<bool> {
        let sql = "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2";
        Ok(transaction.execute(sql, &[group_id.into(), user_id.into()]).await? > 0)
    }

    /// The users in a group.
    pub(crate) async fn members_of(&self, group_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT user_id FROM group_members WHERE group_id = $1 ORDER BY user_id";
        Ok(self.db.fetch(sql, &[group_id.into()]).await?.iter().map(|row| row.text(0)).collect())
    }
}
