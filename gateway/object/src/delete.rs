//! Deleting objects and versions.

use crate::put::check_key;
use crate::store::CallError;
use crate::{DeleteDone, DeleteItem, DeleteOptions, ObjectError, ObjectPath, ObjectStore};
use futures_util::{StreamExt, stream};
use ringfort_object_model::{Command, Deleted, Refusal, Retired};

/// Deletes of one request under way at a time.
const DELETES_IN_FLIGHT: usize = 32;

impl ObjectStore {
    /// Deletes an object or one of its versions. Deleting what is not there succeeds with `existed: false`.
    ///
    /// # Errors
    /// [`ObjectError::PreconditionFailed`], [`ObjectError::NoSuchContainer`].
    pub async fn delete(&self, at: &ObjectPath, options: DeleteOptions) -> Result<DeleteDone, ObjectError> {
        check_key(&at.key)?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move { store.delete_one(&at, &options).await }).await
    }

    async fn delete_one(&self, at: &ObjectPath, options: &DeleteOptions) -> Result<DeleteDone, ObjectError> {
        let deleted = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let (shard, key) = (home.shard, at.key.as_str());
                let command = match options.unchanged {
                    Some((version, modified)) => {
                        Command::Retire { shard, key, version, modified: modified.0, what: Retired::Latest }
                    }
                    None => {
                        let conditions = options.conditions.clone();
                        Command::Delete { shard, key, version: options.version, conditions }
                    }
                };
                let payload = self.execute(home.shard.slot(), &command, Vec::new()).await?;
                Deleted::decode(&payload).ok_or(CallError::Refused(Refusal::Damaged))
            })
            .await?;
        let Deleted { existed, marker, version } = deleted;
        if options.unchanged.is_some() && !existed {
            return Err(ObjectError::PreconditionFailed);
        }
        Ok(DeleteDone { version, delete_marker: marker, existed })
    }

    /// Deletes many objects of a container; one answer per item, in their order.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`]; what happened to each item is in its own answer.
    pub async fn delete_many(
        &self,
        account: &str,
        container: &str,
        items: Vec<DeleteItem>,
    ) -> Result<Vec<Result<DeleteDone, ObjectError>>, ObjectError> {
        self.record(account, container).await?;
        let deletes = items.into_iter().map(|item| {
            let at = ObjectPath::new(account, container, item.key);
            async move { self.delete(&at, item.options).await }
        });
        Ok(stream::iter(deletes).buffered(DELETES_IN_FLIGHT).collect().await)
    }
}
