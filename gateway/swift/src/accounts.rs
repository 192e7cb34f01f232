//! Accounts: their metadata and totals. An account is there as soon as its project is.
//!
//! What clients set of an account is kept as the metadata of a container of its own, in an account that no project can
//! have: its name begins with a dot. The colon in the container's name keeps it from taking a bucket's.

use crate::containers::{self, Container};
use crate::error::Result;
use crate::gateway::SwiftGateway;
use crate::headers::Pairs;
use futures_util::{StreamExt, TryStreamExt, stream};
use ringfort_object::CreateContainer;

/// The account in which the others are described.
const RECORDS: &str = ".swift";
/// Containers looked at side by side.
const LOOKS: usize = 16;

/// What all containers of an account hold together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) containers: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

fn record_of(account: &str) -> String {
    format!("account:{account}")
}

impl SwiftGateway {
    /// The metadata of an account, by the names of their headers.
    pub(crate) async fn account_metadata(&self, account: &str) -> Result<Pairs> {
        let record = self.container_if_any(RECORDS, &record_of(account)).await?;
        Ok(record.map(|record| record.info.metadata).unwrap_or_default())
    }

    /// Replaces an account's metadata.
    pub(crate) async fn set_account_metadata(&self, account: &str, metadata: Pairs) -> Result<()> {
        let record = record_of(account);
        let objects = &self.inner.objects;
        objects.create_container(RECORDS, &record, CreateContainer::default()).await?;
        Ok(objects.set_container_metadata(RECORDS, &record, metadata).await?)
    }

    /// The account's access list.
    pub(crate) async fn account_list(&self, account: &str) -> Result<String> {
        let metadata = self.account_metadata(account).await?;
        Ok(containers::get(&metadata, "x-account-access-control").unwrap_or_default().to_owned())
    }

    /// What an account holds, summed up over its containers.
    pub(crate) async fn account_totals(&self, account: &str) -> Result<Totals> {
        let (mut totals, mut marker) = (Totals::default(), String::new());
        loop {
            let page = self.inner.objects.list_containers(account, "", &marker, 1000).await?;
            let Some(last) = page.containers.last() else { return Ok(totals) };
            marker.clone_from(&last.name);
            let truncated = page.truncated;
            let found = stream::iter(page.containers)
                .map(|summary| async move { self.container_if_any(account, &summary.name).await });
            let found: Vec<Option<Container>> = found.buffer_unordered(LOOKS).try_collect().await?;
            for container in found.into_iter().flatten() {
                totals.containers += 1;
                totals.objects += container.info.objects;
                totals.bytes += container.info.bytes;
            }
            if !truncated {
                return Ok(totals);
            }
        }
    }
}
