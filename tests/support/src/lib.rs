//! What the tests of several crates share. Only their tests use it.

mod body;
mod damage;
mod postgres;

pub use body::PolledBody;
pub use damage::damaged;
pub use postgres::PostgresServer;
