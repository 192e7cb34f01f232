//! What a bucket says about access, as it is kept among its settings.

use super::{Acl, Policy};
use crate::error::{ErrorCode, S3Error};
use ringfort_object::ContainerSettings;

/// Names of the settings. No metadata of Swift begins so, and none of these is a header.
pub(crate) mod setting {
    pub(crate) const OWNER: &str = "s3:owner";
    pub(crate) const ACL: &str = "s3:acl";
    pub(crate) const POLICY: &str = "s3:policy";
    pub(crate) const BLOCK_PUBLIC: &str = "s3:public-access-block";
    pub(crate) const OWNERSHIP: &str = "s3:ownership";
    pub(crate) const CORS: &str = "s3:cors";
    pub(crate) const LIFECYCLE: &str = "s3:lifecycle";
    pub(crate) const TAGGING: &str = "s3:tagging";
}

/// Who owns what others write into a bucket, and whether lists count at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

impl Ownership {
    const ALL: [Self; 3] = [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// The switches of a PublicAccessBlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockPublic {
    pub(crate) acls: bool,
    pub(crate) ignore_acls: bool,
    pub(crate) policy: bool,
    pub(crate) restrict_buckets: bool,
}

impl BlockPublic {
    pub(crate) fn to_text(self) -> String {
        let flags = [self.acls, self.ignore_acls, self.policy, self.restrict_buckets];
        flags.map(|flag| if flag { '1' } else { '0' }).iter().collect()
    }

    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let flags: Vec<bool> = text.chars().map(|c| c == '1').collect();
        let [acls, ignore_acls, policy, restrict_buckets] = flags[..] else { return None };
        Some(Self { acls, ignore_acls, policy, restrict_buckets })
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct BucketRules {
    pub(crate) acl: Option<Acl>,
    pub(crate) policy: Option<Policy>,
    pub(crate) block: BlockPublic,
    pub(crate) ownership: Option<Ownership>,
}

impl BucketRules {
    /// Reads a bucket's rules. One that cannot be read shuts the bucket: nobody can say what it would have denied.
    pub(crate) fn of(bucket: &str, settings: &ContainerSettings) -> Result<Self, S3Error> {
        let damaged = |name: &str| {
            S3Error::from(ErrorCode::InternalError)
                .internal(format!("the setting {name} of {bucket} is damaged"))
        };
        let mut rules = Self::default();
        if let Some(text) = settings.get(setting::ACL) {
            rules.acl = Some(Acl::of_text(text).ok_or_else(|| damaged(setting::ACL))?);
        }
        if let Some(text) = settings.get(setting::POLICY) {
            let policy = Policy::parse(text.as_bytes(), bucket).map_err(|_| damaged(setting::POLICY))?;
            rules.policy = Some(policy);
        }
        if let Some(text) = settings.get(setting::BLOCK_PUBLIC) {
            rules.block = BlockPublic::of_text(text).ok_or_else(|| damaged(setting::BLOCK_PUBLIC))?;
        }
        if let Some(text) = settings.get(setting::OWNERSHIP) {
            rules.ownership = Some(Ownership::parse(text).ok_or_else(|| damaged(setting::OWNERSHIP))?);
        }
        Ok(rules)
    }
}
