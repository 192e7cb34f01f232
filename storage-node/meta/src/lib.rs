//! Metadata groups: replicated state machines over slots, on Raft.

mod client;
mod config;
mod error;
mod host;
mod status;

pub use client::MetaClient;
pub use config::MetaConfig;
pub use error::MetaError;
pub use host::MetaHost;
pub use status::{DeviceReport, GroupStatus, QueryAnswer, VoterStatus};
