//! Accounts: their metadata. An account is there as soon as its project is.

use crate::containers;
use crate::error::Result;
use crate::gateway::SwiftGateway;
use crate::headers::Pairs;

impl SwiftGateway {
    /// The metadata of an account, by the names of their headers.
    pub(crate) async fn account_metadata(&self, account: &str) -> Result<Pairs> {
        Ok(self.inner.objects.account_metadata(account).await?)
    }

    /// The account's access list.
    pub(crate) async fn account_list(&self, account: &str) -> Result<String> {
        let metadata = self.account_metadata(account).await?;
        Ok(containers::get(&metadata, "x-account-access-control").unwrap_or_default().to_owned())
    }
}
