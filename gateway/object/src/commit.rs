//! Committing chunks that are written.
//!
//! A blob is at home in the slot that its key lived in when its body began to arrive. Usually the key is still there, and the
//! commit makes the blob's home record beside the version. If the key was moved to another shard meanwhile, the home record is
//! made first, with one referrer of the other slot, as for a copy.

use crate::store::CallError;
use crate::{ObjectError, ObjectPath, ObjectStore};
use ringfort_core::{BlobId, Policy, SlotId};
use ringfort_object_model::{BlobRef, Command, ShardId};
use std::future::Future;
use std::sync::Arc;

/// Chunks that no commit names yet.
pub(crate) struct Written<'w> {
    pub(crate) blob: BlobId,
    pub(crate) policy: &'w Arc<Policy>,
    pub(crate) size: u64,
    /// The container's incarnation they were written for.
    pub(crate) incarnation: u64,
}

/// How one attempt ended, refusals aside.
enum Attempt<T> {
    Done(T),
    /// It may have happened.
    Unknown(ObjectError),
    /// The key lives in this other slot now.
    Elsewhere(SlotId),
    /// The container was made anew.
    Gone,
}

impl ObjectStore {
    /// Commits a written blob by `send`. If the commit is known not to have happened, the chunks are removed; if nobody knows,
    /// they stay until the session has ended.
    pub(crate) async fn commit_blob<T, F, R>(
        &self,
        at: &ObjectPath,
        written: &Written<'_>,
        send: F,
    ) -> Result<T, ObjectError>
    where
        F: Fn(ShardId, BlobRef) -> R,
        R: Future<Output = Result<T, CallError>>,
    {
        let Written { blob, policy, size, .. } = *written;
        let own = BlobRef { blob, referrer: None, policy: policy.id, chunk_bytes: policy.chunk_bytes };
        let slot = match self.attempt(at, written, own, &send).await {
            Ok(Attempt::Done(done)) => return Ok(done),
            Ok(Attempt::Unknown(error)) => return Err(error),
            Ok(Attempt::Elsewhere(slot)) => slot,
            Ok(Attempt::Gone) => {
                self.discard(blob, policy);
                return Err(ObjectError::NoSuchContainer);
            }
            // Refused, so there was no commit and, this being the only one that names the blob, there will be none.
            Err(refused) => {
                self.discard(blob, policy);
                return Err(refused);
            }
        };
        let referrer = self.new_name(slot);
        let (id, chunk_bytes) = (policy.id, policy.chunk_bytes);
        let add = Command::AddBlob { blob, policy: id, chunk_bytes, size, referrer };
        match self.execute(blob.home(), &add, Vec::new()).await {
            Ok(_) => {}
            Err(refused @ CallError::Refused(_)) => {
                self.discard(blob, policy);
                return Err(refused.into());
            }
            Err(unknown) => return Err(unknown.into()),
        }
        let named = BlobRef { referrer: Some(referrer), ..own };
        let refused = match self.attempt(at, written, named, &send).await {
            Ok(Attempt::Done(done)) => return Ok(done),
            Ok(Attempt::Unknown(error)) => return Err(error),
            Ok(Attempt::Gone) => ObjectError::NoSuchContainer,
            Ok(Attempt::Elsewhere(_)) => {
                ObjectError::Unavailable { reason: "the key keeps moving between shards".to_owned() }
            }
            Err(refused) => refused,
        };
        // Its last referrer goes, which condemns the blob.
        let drop = Command::DropReferrers(vec![(blob, referrer)]);
        if let Err(error) = self.execute(blob.home(), &drop, Vec::new()).await {
            let error = ObjectError::from(error);
            tracing::warn!(%blob, %error, "cannot drop the reference of a refused write yet");
        }
        Err(refused)
    }

    async fn attempt<T, F, R>(
        &self,
        at: &ObjectPath,
        written: &Written<'_>,
        body: BlobRef,
        send: &F,
    ) -> Result<Attempt<T>, ObjectError>
    where
        F: Fn(ShardId, BlobRef) -> R,
        R: Future<Output = Result<T, CallError>>,
    {
        let reachable = body.referrer.unwrap_or(body.blob).home();
        self.on_shard(&at.account, &at.container, &at.key, |home| async move {
            if home.shard.incarnation != written.incarnation {
                return Ok(Attempt::Gone);
            }
            if home.shard.slot() != reachable {
                return Ok(Attempt::Elsewhere(home.shard.slot()));
            }
            match send(home.shard, body).await {
                Ok(done) => Ok(Attempt::Done(done)),
                Err(CallError::Port(error)) => Ok(Attempt::Unknown(error.into())),
                Err(refused) => Err(refused),
            }
        })
        .await
    }
}
