//! Metadata groups: small, strongly consistent records, replicated by Raft over the devices of a process.
//!
//! A group holds the records of some of the 4096 slots. [`MetaClient::execute`] runs a command of a
//! [`ringfort_storage_api::StateModel`] on one slot, [`MetaClient::query`] answers from it; [`MetaHost`] owns the voters.
//!
//! ```text
//! execute -> queue of the group -> batcher -> one proposal -> openraft -> engine log (one sync for all groups of the device)
//!    ^                                                                       |
//!    +---- outcome per command <---- state machine (apply thread) <----------+ committed
//! query ----------------------------> leader's state, under its lease; openraft is not asked
//! ```
//!
//! Why these parts are as they are: `docs/adr/0001-raft-library-and-one-log.md`. What must hold:
//!
//! - A command takes effect at most once per [`ringfort_core::CommandId`]; its result is recorded beside its effects.
//! - A state machine reads no clock and nothing outside its group: voters that applied the same entries are equal.
//! - A read is served only by a leader that has applied an entry of its own term, and everything that was in its log when it
//!   started, while its lease runs ([`lease`]).
//! - A log is purged only below what flushed tables of the state hold; a voter never acknowledges what is not synced.
//! - A voter id is never used with a log of another voter, nor again after its log was lost.

mod apply;
mod apply_thread;
mod client;
mod config;
#[doc(hidden)]
pub mod direct;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod host;
pub mod kv;
mod lease;
mod log_store;
mod membership;
mod network;
mod overlay;
mod proposal;
mod purge;
mod raft_types;
mod records;
mod snapshot;
mod state_machine;
mod status;
mod voter;

#[cfg(test)]
mod tests;

pub use client::MetaClient;
pub use config::MetaConfig;
pub use error::MetaError;
pub use host::MetaHost;
pub use status::{DeviceReport, GroupStatus, QueryAnswer, VoterStatus};
