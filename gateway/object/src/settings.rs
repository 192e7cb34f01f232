//! Settings that a dialect keeps with a container: policies, grants, rules, each under a name of its own in the container's
//! metadata.
//!
//! They are read on every request, so they come from the record at hand, which every change of the record forgets. They are
//! changed one by one: two that are set at a time must both stay.

use crate::{ObjectError, ObjectStore};
use ringfort_core::HybridTime;
use ringfort_object_model::{ContainerRecord, Versioning};
use std::sync::Arc;

/// A container's record at hand: no counters, and no copy.
#[derive(Clone, Debug)]
pub struct ContainerSettings(Arc<ContainerRecord>);

impl ContainerSettings {
    /// The value of a setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Versioning state.
    #[must_use]
    pub fn versioning(&self) -> Versioning {
        self.0.versioning
    }

    /// When the container was created.
    #[must_use]
    pub fn created(&self) -> HybridTime {
        self.0.created
    }
}

impl ObjectStore {
    /// A container's settings.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn container_settings(
        &self,
        account: &str,
        name: &str,
    ) -> Result<ContainerSettings, ObjectError> {
        self.record(account, name).await.map(ContainerSettings)
    }

    /// Sets entries of a container's metadata, or removes those without a value, all at once; the others stay as they are.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`], [`ObjectError::MetadataTooLarge`].
    pub async fn set_container_settings(
        &self,
        account: &str,
        name: &str,
        settings: Vec<(&'static str, Option<String>)>,
    ) -> Result<(), ObjectError> {
        self.update_container_metadata(account, name, move |metadata| {
            metadata.retain(|(known, _)| settings.iter().all(|(setting, _)| known != setting));
            let set = settings.iter().filter_map(|(setting, value)| Some((*setting, value.clone()?)));
            metadata.extend(set.map(|(setting, value)| (setting.to_owned(), value)));
            Ok::<_, ObjectError>(())
        })
        .await
        .map(|_| ())
    }
}
