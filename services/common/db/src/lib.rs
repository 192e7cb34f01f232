//! SQL for the services: one set of texts that SQLite, which is compiled in, and PostgreSQL both take.
//!
//! The texts keep to what both know: `$1` for values, TEXT for ids, names and JSON, BIGINT for numbers, flags and times,
//! `ON CONFLICT`, `RETURNING`. So a value is a text or a number, a [`Row`] is a list of these, and no caller sees which
//! engine answers. SQLite has one connection that writes and a few that read; what is committed is synced.

mod database;
mod error;
mod migrate;
mod replay;
mod value;

pub use database::{Db, Transaction};
pub use error::DbError;
pub use migrate::Migration;
pub use value::{Row, Value};
