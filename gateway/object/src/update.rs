//! Changing the attributes of an object in place: tags, ACLs and metadata of a version, while its bytes, entity tag and id stay.
//!
//! A change is computed from the attributes read and committed only if they are still the ones there; otherwise it is computed
//! anew. So changes made at the same time all take effect, one after the other.

use crate::containers::crowded;
use crate::put::{attributes_of, check_key};
use crate::read::{check_read, info_of};
use crate::store::{CallError, decoded};
use crate::{Attributes, ObjectError, ObjectInfo, ObjectPath, ObjectStore, UpdateOptions};
use ringfort_object_model::{Command, Found, Query, Refusal, SetAttributes, encode_extras};

/// Times a change is computed anew because of others.
const ATTEMPTS: u32 = 100;

impl ObjectStore {
    /// Changes the attributes of a version in place; the version as it is then. `change` is called again with what another
    /// writer left if one got in between, so it must do no more than change what it is given; what it refuses stays as it was.
    ///
    /// # Errors
    /// What `change` refuses with,
    /// [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`], [`ObjectError::DeleteMarker`],
    /// [`ObjectError::PreconditionFailed`], [`ObjectError::MetadataTooLarge`].
    pub async fn update_attributes<E, F>(
        &self,
        at: &ObjectPath,
        options: UpdateOptions,
        change: F,
    ) -> Result<ObjectInfo, E>
    where
        E: From<ObjectError> + Send + 'static,
        F: FnMut(&mut Attributes) -> Result<(), E> + Send + 'static,
    {
        check_key(&at.key)?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move { store.update_steps(&at, &options, change).await }).await
    }

    async fn update_steps<E: From<ObjectError>>(
        &self,
        at: &ObjectPath,
        options: &UpdateOptions,
        mut change: impl FnMut(&mut Attributes) -> Result<(), E> + Send,
    ) -> Result<ObjectInfo, E> {
        let version = options.version;
        for _ in 0..ATTEMPTS {
            let payload = self
                .on_shard(&at.account, &at.container, &at.key, |home| async move {
                    let query = Query::Get { shard: home.shard, key: &at.key, version, body: false };
                    Ok(self.query(home.shard.slot(), &query).await?.0)
                })
                .await?;
            let found = decoded(Found::decode(&payload))?;
            if found.version.marker {
                let (version, modified) = (found.version.id(), found.version.modified());
                let latest = options.version.is_none();
                return Err(ObjectError::DeleteMarker { version, modified, latest }.into());
            }
            if !found.version.visible(ringfort_runtime::wall_us() / 1_000_000) {
                return Err(ObjectError::NoSuchKey.into());
            }
            check_read(&options.conditions, &found.version)?;
            let mut attributes = attributes_of(&found.version)?;
            change(&mut attributes)?;
            self.check_attributes(&attributes)?;
            if let Some(info) = self.swap_attributes(at, &found, &attributes, options.touch).await? {
                return Ok(info);
            }
        }
        Err(crowded().into())
    }

    /// Writes the attributes of the version found if it still has those it was found with.
    async fn swap_attributes(
        &self,
        at: &ObjectPath,
        found: &Found<'_>,
        attributes: &Attributes,
        touch: bool,
    ) -> Result<Option<ObjectInfo>, ObjectError> {
        let extras = encode_extras(attributes);
        let (extras, expect) = (extras.as_slice(), found.version.mark());
        let (stamp, content_type) = (found.version.stamp, attributes.content_type.as_deref());
        let payload = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let shard = home.shard;
                let set = SetAttributes { shard, key: &at.key, stamp, expect, touch, content_type, extras };
                match self.execute(shard.slot(), &Command::SetAttributes(set), Vec::new()).await {
                    Err(CallError::Refused(Refusal::Changed)) => Ok(None),
                    written => written.map(Some),
                }
            })
            .await?;
        payload.map(|payload| info_of(&decoded(Found::decode(&payload))?)).transpose()
    }
}
