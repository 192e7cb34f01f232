//! Who holds which access key.

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use std::fmt;
use std::sync::Arc;

/// Looks up access keys. Called on every request from async code: it answers from memory and never blocks.
pub trait CredentialStore: Send + Sync + 'static {
    /// The credential of `access_key`, if it exists and is enabled.
    fn find(&self, access_key: &str) -> Option<Arc<Credential>>;

    /// The name of the owner with this id, if that is known: lists show it beside the id.
    fn owner_name(&self, owner_id: &str) -> Option<String> {
        let _ = owner_id;
        None
    }
}

/// An access key with its secret and its owner.
pub struct Credential {
    access_key: String,
    account: String,
    owner_id: String,
    owner_name: String,
    reads_only: bool,
    // Both forms of the secret are wiped on drop (the type of aws-credential-types does it).
    secret: Credentials,
    identity: Identity,
}

impl Credential {
    /// `account` owns the buckets; `owner_id` and `owner_name` are what listings show as the owner.
    #[must_use]
    pub fn new(access_key: &str, secret: &str, account: &str, owner_id: &str, owner_name: &str) -> Self {
        let credentials = Credentials::new(access_key, secret, None, None, "ringfort");
        Self {
            access_key: access_key.to_owned(),
            account: account.to_owned(),
            owner_id: owner_id.to_owned(),
            owner_name: owner_name.to_owned(),
            reads_only: false,
            identity: Identity::from(credentials.clone()),
            secret: credentials,
        }
    }

    /// The same, of one who may only read what the account has.
    #[must_use]
    pub fn reads_only(self) -> Self {
        Self { reads_only: true, ..self }
    }

    pub(crate) fn only_reads(&self) -> bool {
        self.reads_only
    }

    /// The access key id.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The account (project) whose buckets this key sees.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The `ID` of the owner in listings.
    #[must_use]
    pub fn owner_id(&self) -> &str {
        &self.owner_id
    }

    /// The `DisplayName` of the owner in listings.
    #[must_use]
    pub fn owner_name(&self) -> &str {
        &self.owner_name
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.secret_access_key()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key", &self.access_key)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A fixed set of credentials: the bootstrap key of a new cluster, and tests.
#[derive(Debug, Default)]
pub struct FixedCredentials {
    keys: std::collections::HashMap<String, Arc<Credential>>,
}

impl FixedCredentials {
    /// The store of exactly these.
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        Self { keys: credentials.into_iter().map(|c| (c.access_key.clone(), Arc::new(c))).collect() }
    }
}

impl CredentialStore for FixedCredentials {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        self.keys.get(access_key).cloned()
    }

    fn owner_name(&self, owner_id: &str) -> Option<String> {
        self.keys.values().find(|known| known.owner_id == owner_id).map(|known| known.owner_name.clone())
    }
}
