//! Tests of the built binary with real clients: this library starts and torments it, the tests say what must hold.
//!
//! A missing prerequisite (the binary, a client, a loop device) fails a test; `make test` installs and builds them.

mod certificate;
mod client;
mod content;
mod health;
mod ledger;
mod load;
mod operator;
pub mod power;
mod server;
mod sign;
mod tools;
mod writers;

pub use certificate::Authority;
pub use client::{Connection, Reply};
pub use content::{body_of, stream_of};
pub use health::Status;
pub use ledger::{Ledger, Tally};
pub use load::{Load, read_back};
pub use operator::{HalfUpload, Launch, TmpFs, snapshot, until};
pub use server::{Server, ServerBuilder};
pub use sign::Keys;
pub use tools::{LoopDisk, Tool, cache_folder, flip_bits, package_folder, run_to_end, venv_program, wipe};
pub use writers::WritePlan;
