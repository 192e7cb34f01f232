//! Old versions in another container, the older way: `X-Versions-Location` keeps a stack, `X-History-Location` a history.
//!
//! ```text
//!  write   the object that is there is copied to LOCATION/{length}{name}/{timestamp} first
//!  delete  stack:   the newest copy comes back and leaves the stack; without one the object goes
//!          history: as a write, then a marker is put beside the copies, then the object goes
//! ```

use crate::clock;
use crate::containers::Container;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::ops::{HISTORY_LOCATION, Row, VERSIONS_LOCATION, Wanted};
use futures_util::stream;
use http::StatusCode;
use ringfort_core::HybridTime;
use ringfort_object::{
    Attributes, CopyOptions, DeleteOptions, GetOptions, ObjectError, ObjectPath, PutOptions,
};

/// The content type of a marker; a parameter of ours, so that no client makes one.
pub(crate) const DELETED: &str = "application/x-deleted;swift_versions_deleted=1";

impl SwiftGateway {
    /// Keeps a copy of what is about to be replaced, if the container wants that.
    pub(crate) async fn keep_current(&self, call: &Call, container: &Container) -> Result<()> {
        match location_of(container) {
            Some((location, _)) => self.copy_current(call, location).await,
            None => Ok(()),
        }
    }

    async fn copy_current(&self, call: &Call, location: &str) -> Result<()> {
        let at = call.path();
        let info = match self.inner.objects.head(&at, GetOptions::default()).await {
            Ok(info) => info,
            Err(ObjectError::NoSuchKey | ObjectError::DeleteMarker { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let to = ObjectPath::new(call.account.as_str(), location, version_name(&call.object, info.modified));
        match self.inner.objects.copy(&at, None, &to, CopyOptions::default()).await {
            Ok(_) => Ok(()),
            Err(ObjectError::NoSuchContainer) => Err(StatusCode::PRECONDITION_FAILED.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object of a container that keeps old versions elsewhere. `false` if the container does not, or if there
    /// is nothing to do but to delete it.
    pub(crate) async fn delete_kept(&self, call: &Call, container: &Container) -> Result<bool> {
        let Some((location, history)) = location_of(container) else { return Ok(false) };
        if history {
            self.copy_current(call, location).await?;
            let now = HybridTime(ringfort_runtime::wall_us());
            let at = ObjectPath::new(call.account.as_str(), location, version_name(&call.object, now));
            let attributes = Attributes { content_type: Some(DELETED.to_owned()), ..Attributes::default() };
            let options = PutOptions { attributes, size: Some(0), ..PutOptions::default() };
            match self.inner.objects.put(&at, options, Box::pin(stream::empty())).await {
                Ok(_) => return Ok(false),
                Err(ObjectError::NoSuchContainer) => return Err(StatusCode::PRECONDITION_FAILED.into()),
                Err(error) => return Err(error.into()),
            }
        }
        self.pop(call, location).await
    }

    /// Brings the newest copy back.
    async fn pop(&self, call: &Call, location: &str) -> Result<bool> {
        let kept = match self.newest(&call.account, location, &call.object).await {
            Ok(kept) => kept,
            Err(error) if error.status() == StatusCode::NOT_FOUND => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(newest) = kept.last() else { return Ok(false) };
        let path = |row: &Row| ObjectPath::new(call.account.as_str(), location, row.name());
        if !newest.is_deleted() {
            return self.restore(call, &path(newest)).await.map(|()| true);
        }
        let here = match self.inner.objects.head(&call.path(), GetOptions::default()).await {
            Ok(_) => true,
            Err(ObjectError::NoSuchKey | ObjectError::DeleteMarker { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if here {
            // The state before was: deleted.
            return Ok(false);
        }
        if let [.., before, _] = kept.as_slice()
            && !before.is_deleted()
        {
            self.restore(call, &path(before)).await?;
        }
        self.inner.objects.delete(&path(newest), DeleteOptions::default()).await?;
        Ok(true)
    }

    async fn restore(&self, call: &Call, from: &ObjectPath) -> Result<()> {
        self.inner.objects.copy(from, None, &call.path(), CopyOptions::default()).await?;
        self.inner.objects.delete(from, DeleteOptions::default()).await?;
        Ok(())
    }

    /// The two newest copies of an object, the newest last.
    async fn newest(&self, account: &str, location: &str, name: &str) -> Result<Vec<Row>> {
        let mut marker = String::new();
        let mut newest: Vec<Row> = Vec::new();
        loop {
            let wanted = Wanted { marker, ..Wanted::prefix(&prefix_of(name), 1000) };
            let rows = self.rows(account, location, wanted).await?;
            let Some(last) = rows.last() else { return Ok(newest) };
            marker = last.name().to_owned();
            newest.extend(rows);
            let extra = newest.len().saturating_sub(2);
            newest.drain(..extra);
        }
    }
}

/// Where a container's old versions go, and whether it keeps a history.
fn location_of(container: &Container) -> Option<(&str, bool)> {
    let named = |name: &str| container.get(name).filter(|location| !location.is_empty());
    named(HISTORY_LOCATION)
        .map(|location| (location, true))
        .or_else(|| named(VERSIONS_LOCATION).map(|location| (location, false)))
}

fn prefix_of(name: &str) -> String {
    format!("{:03x}{name}/", name.len())
}

fn version_name(name: &str, time: HybridTime) -> String {
    format!("{}{}", prefix_of(name), clock::timestamp(time))
}

impl Row {
    fn is_deleted(&self) -> bool {
        matches!(self, Self::Object { raw_type, .. } if raw_type == DELETED)
    }
}

/// An error for a container that is not there to keep anything.
pub(crate) fn not_versioned() -> SwiftError {
    SwiftError::bad_request("version-aware operations require that the container is versioned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_names_that_sort() {
        assert_eq!(version_name("obj", HybridTime(1_369_353_600_123_456)), "003obj/1369353600.12345");
    }
}
