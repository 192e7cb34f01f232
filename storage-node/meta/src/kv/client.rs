//! Typed access to the records of the system slot.

use super::codec::{Reader, put_option, put_string};
use super::{DONE, MISMATCH, OP_END, OP_GET, OP_LIST, OP_REGISTER, OP_SESSION, OP_TRANSACTION, TAG};
use crate::{MetaClient, MetaError};
use bytes::Bytes;
use ringfort_core::{HybridTime, SYSTEM_SLOT, SessionId};

/// Records of the system slot through one session. Cheap to clone.
#[derive(Clone)]
pub struct KvClient {
    meta: MetaClient,
}

/// What a transaction demands of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The record's key.
    pub key: Vec<u8>,
    /// Its value; `None` demands that there is none.
    pub value: Option<Vec<u8>>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvOutcome {
    /// Everything was written.
    Done,
    /// Nothing was written: a check failed.
    Mismatch {
        /// The number of the check.
        check: usize,
        /// What the record holds.
        found: Option<Bytes>,
    },
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// It has not ended.
    pub live: bool,
    /// When it was registered.
    pub began: HybridTime,
    /// The node it belongs to.
    pub node: String,
}

impl KvClient {
    /// Records through `meta`'s session.
    #[must_use]
    pub fn new(meta: MetaClient) -> Self {
        Self { meta }
    }

    /// The value under `key`.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MetaError> {
        found(&self.query(get_query(key)).await?)
    }

    /// Writes `value` under `key`.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), MetaError> {
        self.transaction(&[], &[(key.to_vec(), Some(value.to_vec()))]).await.map(|_| ())
    }

    /// Removes `key`.
    pub async fn delete(&self, key: &[u8]) -> Result<(), MetaError> {
        self.transaction(&[], &[(key.to_vec(), None)]).await.map(|_| ())
    }

    /// Writes `value` under `key` (`None` removes it) if it holds `expected` now.
    pub async fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<KvOutcome, MetaError> {
        let check = Expected { key: key.to_vec(), value: expected.map(<[u8]>::to_vec) };
        self.transaction(&[check], &[(key.to_vec(), value.map(<[u8]>::to_vec))]).await
    }

    /// Writes several records at once if all checks hold; a value of `None` removes.
    pub async fn transaction(
        &self,
        checks: &[Expected],
        writes: &[(Vec<u8>, Option<Vec<u8>>)],
    ) -> Result<KvOutcome, MetaError> {
        let mut command = vec![TAG, OP_TRANSACTION];
        command.extend_from_slice(&count(checks.len())?.to_le_bytes());
        for check in checks {
            put_string(&mut command, &check.key);
            put_option(&mut command, check.value.as_deref());
        }
        command.extend_from_slice(&count(writes.len())?.to_le_bytes());
        for (key, value) in writes {
            put_string(&mut command, key);
            put_option(&mut command, value.as_deref());
        }
        let result = self.meta.execute(SYSTEM_SLOT, command.into(), Vec::new()).await?;
        let mut reader = Reader::new(&result);
        match reader.u8() {
            Some(DONE) => Ok(KvOutcome::Done),
            Some(MISMATCH) => {
                let check = usize::from(reader.u16().ok_or_else(malformed)?);
                let found = reader.option().ok_or_else(malformed)?;
                Ok(KvOutcome::Mismatch { check, found: found.map(|found| result.slice_ref(found)) })
            }
            _ => Err(malformed()),
        }
    }

    /// Records whose key begins with `prefix` and lies after `after`, in key order, at most `limit` (and 10 000).
    pub async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Bytes, Bytes)>, MetaError> {
        let mut query = vec![TAG, OP_LIST];
        put_string(&mut query, prefix);
        put_option(&mut query, after);
        query.extend_from_slice(&limit.to_le_bytes());
        let reply = self.query(query).await?;
        let mut reader = Reader::new(reply.get(1..).unwrap_or_default());
        let mut records = Vec::new();
        while !reader.is_empty() {
            let (key, value) =
                (reader.string().ok_or_else(malformed)?, reader.string().ok_or_else(malformed)?);
            records.push((reply.slice_ref(key), reply.slice_ref(value)));
        }
        Ok(records)
    }

    /// Gives `node` a session, the same for the same `nonce`, and tells the earlier ones of that node, which the caller is
    /// to end ([`crate::MetaHost::end_session`]).
    pub async fn register_session(
        &self,
        node: &str,
        nonce: u64,
    ) -> Result<(SessionId, Vec<SessionId>), MetaError> {
        let mut command = vec![TAG, OP_REGISTER];
        put_string(&mut command, node.as_bytes());
        command.extend_from_slice(&nonce.to_le_bytes());
        let result = self.meta.execute(SYSTEM_SLOT, command.into(), Vec::new()).await?;
        let mut reader = Reader::new(&result);
        if reader.u8() != Some(DONE) {
            return Err(malformed());
        }
        let session = SessionId(reader.u64().ok_or_else(malformed)?);
        let ended = (0..reader.u16().ok_or_else(malformed)?)
            .map(|_| reader.u64().map(SessionId).ok_or_else(malformed));
        Ok((session, ended.collect::<Result<_, _>>()?))
    }

    /// Marks a session as ended here; [`crate::MetaHost::end_session`] fences it in every group before.
    pub async fn end_session(&self, session: SessionId) -> Result<(), MetaError> {
        let mut command = vec![TAG, OP_END];
        command.extend_from_slice(&session.0.to_le_bytes());
        let result = self.meta.execute(SYSTEM_SLOT, command.into(), Vec::new()).await?;
        if result.first() == Some(&DONE) { Ok(()) } else { Err(malformed()) }
    }

    /// What is known of a session; `None` if it was never registered.
    pub async fn session(&self, session: SessionId) -> Result<Option<SessionState>, MetaError> {
        let mut query = vec![TAG, OP_SESSION];
        query.extend_from_slice(&session.0.to_le_bytes());
        let reply = self.query(query).await?;
        let mut reader = Reader::new(reply.get(1..).unwrap_or_default());
        let Some(record) = reader.option().ok_or_else(malformed)? else { return Ok(None) };
        let mut reader = Reader::new(record);
        let live = reader.u8() == Some(super::SESSION_LIVE);
        let began = HybridTime(reader.u64().ok_or_else(malformed)?);
        let node = String::from_utf8_lossy(record.get(9..).unwrap_or_default()).into_owned();
        Ok(Some(SessionState { live, began, node }))
    }

    async fn query(&self, query: Vec<u8>) -> Result<Bytes, MetaError> {
        let answer = self.meta.query(SYSTEM_SLOT, query.into()).await?;
        if answer.reply.first() == Some(&DONE) { Ok(answer.reply) } else { Err(malformed()) }
    }
}

/// Asks for the value under `key`.
pub(crate) fn get_query(key: &[u8]) -> Vec<u8> {
    let mut query = vec![TAG, OP_GET];
    put_string(&mut query, key);
    query
}

/// What the answer to [`get_query`] says.
pub(crate) fn found(reply: &Bytes) -> Result<Option<Bytes>, MetaError> {
    let mut reader = Reader::new(reply.get(1..).unwrap_or_default());
    let value = reader.option().ok_or_else(malformed)?;
    Ok(value.map(|value| reply.slice_ref(value)))
}

fn count(len: usize) -> Result<u16, MetaError> {
    u16::try_from(len)
        .map_err(|_| MetaError::Invalid { what: format!("a transaction of {len} records is too large") })
}

fn malformed() -> MetaError {
    MetaError::Corrupt { what: "an answer of the system slot does not decode".to_owned() }
}
