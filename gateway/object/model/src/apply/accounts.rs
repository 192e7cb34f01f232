//! Account records: metadata, and the number of containers.

use super::{Apply, Done};
use crate::account::AccountRecord;
use crate::answer::count_containers;
use crate::{Refusal, keys};
use ringfort_core::HybridTime;

impl Apply<'_> {
    /// The account's record; that of an account whose containers are older than accounts' records is made up.
    fn account(&self, account: &str) -> Result<AccountRecord, Refusal> {
        match self.tx.get(&keys::account(account)) {
            Some(bytes) => AccountRecord::decode(&bytes).ok_or(Refusal::Damaged),
            None => Ok(AccountRecord {
                created: HybridTime(self.stamp),
                containers: count_containers(self.tx, account)?,
                ..AccountRecord::default()
            }),
        }
    }

    /// Keeps the number of containers when one of them begins or ceases to be in use. Called before it is written. An account
    /// whose last container goes goes with it, unless it has metadata.
    pub(super) fn count_container(
        &mut self,
        account: &str,
        before: bool,
        after: bool,
    ) -> Result<(), Refusal> {
        if before == after {
            return Ok(());
        }
        let mut record = self.account(account)?;
        record.containers =
            if after { record.containers.saturating_add(1) } else { record.containers.saturating_sub(1) };
        if record.containers == 0 && record.metadata.is_empty() {
            self.tx.delete(&keys::account(account));
        } else {
            self.tx.put(&keys::account(account), &record.encode());
        }
        Ok(())
    }

    /// Replaces the metadata of an account, or removes the account if it has no container.
    pub(super) fn set_account(
        &mut self,
        account: &str,
        expect: u64,
        metadata: Option<Vec<(String, String)>>,
    ) -> Done {
        let record = self.account(account)?;
        if record.revision != expect {
            return Err(Refusal::Changed);
        }
        match metadata {
            None if record.containers > 0 => return Err(Refusal::NotEmpty),
            None => self.tx.delete(&keys::account(account)),
            Some(metadata) => {
                let record = AccountRecord { revision: self.stamp, metadata, ..record };
                self.tx.put(&keys::account(account), &record.encode());
            }
        }
        Ok(self.revision())
    }
}
