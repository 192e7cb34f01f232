//! Container records, cluster-wide names, and shard roots.

use super::{Apply, Done};
use crate::codec::Writer;
use crate::container::{AliasRecord, ContainerRecord};
use crate::shard::ShardRoot;
use crate::{Refusal, ShardId, Versioning, keys};
use ringfort_core::HybridTime;

impl Apply<'_> {
    pub(super) fn revision(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(8);
        out.u64(self.stamp);
        out.0
    }

    pub(super) fn set_container(
        &mut self,
        account: &str,
        name: &str,
        expect: u64,
        record: Option<ContainerRecord>,
    ) -> Done {
        let at = keys::container(account, name);
        let found = self.tx.get(&at);
        let found = found.map(|bytes| ContainerRecord::decode(&bytes).ok_or(Refusal::Damaged)).transpose()?;
        if found.as_ref().map_or(0, |found| found.revision) != expect {
            return Err(Refusal::Changed);
        }
        let in_use = |record: &Option<ContainerRecord>| record.as_ref().is_some_and(ContainerRecord::in_use);
        self.count_container(account, in_use(&found), in_use(&record))?;
        match record {
            None => self.tx.delete(&at),
            Some(mut record) => {
                record.revision = self.stamp;
                if record.versioning_revision == ContainerRecord::THIS_REVISION {
                    record.versioning_revision = self.stamp;
                }
                if expect == 0 {
                    record.created = HybridTime(self.stamp);
                }
                self.tx.put(&at, &record.encode());
            }
        }
        Ok(self.revision())
    }

    pub(super) fn set_alias(&mut self, name: &str, expect: u64, holder: Option<(&str, u64)>) -> Done {
        let at = keys::alias(name);
        let found = match self.tx.get(&at) {
            None => 0,
            Some(bytes) => AliasRecord::decode(&bytes).ok_or(Refusal::Damaged)?.revision,
        };
        if found != expect {
            return Err(Refusal::Changed);
        }
        match holder {
            None => self.tx.delete(&at),
            Some((account, incarnation)) => {
                let record = AliasRecord { revision: self.stamp, incarnation, account: account.to_owned() };
                self.tx.put(&at, &record.encode());
            }
        }
        Ok(self.revision())
    }

    pub(super) fn create_shard(&mut self, shard: ShardId, versioning: Versioning, revision: u64) -> Done {
        if shard.slot() != self.tx.slot() {
            return Err(Refusal::Malformed);
        }
        if self.tx.get(&keys::shard(shard)).is_none() {
            let root = ShardRoot { versioning, versioning_revision: revision, ..ShardRoot::default() };
            self.save_shard(shard, &root);
        }
        Ok(Vec::new())
    }

    pub(super) fn set_versioning(&mut self, shard: ShardId, versioning: Versioning, revision: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.versioning_revision < revision {
            root.versioning = versioning;
            root.versioning_revision = revision;
            self.save_shard(shard, &root);
        }
        Ok(Vec::new())
    }

    pub(super) fn seal(&mut self, shard: ShardId, token: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        root.sealed = true;
        root.seal_token = token;
        self.save_shard(shard, &root);
        Ok(root.encode())
    }

    pub(super) fn unseal(&mut self, shard: ShardId, token: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.sealed && root.seal_token == token {
            root.sealed = false;
            self.save_shard(shard, &root);
        }
        Ok(Vec::new())
    }

    pub(super) fn remove_shard(&mut self, shard: ShardId) -> Done {
        match self.any_shard(shard) {
            Err(Refusal::NoShard) => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
            Ok(root) if root.sealed && root.versions == 0 && root.uploads == 0 => {
                self.drop_staged(shard, &root);
                self.tx.delete(&keys::shard(shard));
                Ok(Vec::new())
            }
            Ok(_) => Err(Refusal::NotEmpty),
        }
    }
}
