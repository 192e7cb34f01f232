//! The tables, and records as the API shows them.
//!
//! Keystone's resources are JSON objects with a few fields of their own and any others that a client adds. So a [`Record`]
//! is such an object, a [`Table`] says which of its fields are columns, and the rest lies in the column `extra`.

mod assignments;
mod bootstrap;
mod records;
mod revocations;
mod tables;
mod users;

pub(crate) use assignments::{Actor, Assignment, Target, TargetKind};
pub(crate) use bootstrap::{DEFAULT_DOMAIN, Seed, SeedService};
pub(crate) use records::{LIST_MAX, Record, Table, flag_of, text_of};
pub(crate) use revocations::Revoked;
pub(crate) use tables::{
    ACCESS_RULES, APP_CREDENTIALS, CREDENTIALS, ENDPOINTS, GROUPS, PROJECTS, REGIONS, ROLES, SERVICES,
    TRUSTS, USERS,
};
pub(crate) use users::NewPassword;

use crate::error::{ApiError, Result};
use rand::Rng;
use ringfort_db::{Db, DbError, Migration, Transaction};

const STEPS: [Migration; 3] = [
    Migration { version: 1, sql: include_str!("schema.sql") },
    Migration { version: 2, sql: include_str!("schema-2.sql") },
    Migration { version: 3, sql: include_str!("schema-3.sql") },
];

/// The tables of the identity service. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

impl Store {
    /// Makes the tables that are missing.
    pub(crate) async fn open(db: Db) -> std::result::Result<Self, DbError> {
        db.migrate("identity", &STEPS).await?;
        Ok(Self { db })
    }

    pub(crate) async fn begin(&self) -> Result<Transaction> {
        self.db.begin().await.map_err(ApiError::from)
    }
}

/// A new id: 32 hexadecimal digits.
pub(crate) fn new_id() -> String {
    hex::encode(rand::rng().random::<[u8; 16]>())
}
