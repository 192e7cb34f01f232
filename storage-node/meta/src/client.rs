//! The way in: commands and queries.

use crate::{MetaError, QueryAnswer};
use bytes::Bytes;
use ringfort_core::{SessionId, SlotId};

/// Executes commands and queries on behalf of one session. Cheap to clone.
#[derive(Clone)]
pub struct MetaClient {}

impl MetaClient {
    /// Executes `command` on `slot` and returns its result; retried under one command id until a deadline.
    pub async fn execute(&self, _slot: SlotId, _command: Bytes, _bodies: Vec<Bytes>) -> Result<Bytes, MetaError> {
        todo!()
    }
    /// Answers `query` from the state of `slot` as of now.
    pub async fn query(&self, _slot: SlotId, _query: Bytes) -> Result<QueryAnswer, MetaError> {
        todo!()
    }
    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        todo!()
    }
}
