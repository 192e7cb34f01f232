//! Who holds which access key.

use crate::error::{ErrorCode, S3Error};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that may come later.
pub type CredentialFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Arc<Credential>>, CredentialsUnavailable>> + Send + 'a>>;

/// Who keeps the access keys gave no answer: nobody may be told yes or no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access keys cannot be looked up: {0}")]
pub struct CredentialsUnavailable(pub String);

/// Looks up access keys. Asked on every signed request.
pub trait CredentialStore: Send + Sync + 'static {
    /// The credential of `access_key`, if it exists and is enabled.
    fn find<'a>(&'a self, access_key: &'a str) -> CredentialFuture<'a>;

    /// The name of the owner with this id, if that is known without asking anybody: lists show it beside the id.
    fn owner_name(&self, owner_id: &str) -> Option<String> {
        let _ = owner_id;
        None
    }
}

/// What an access key may do with what its account has. What lists and policies allow comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    #[default]
    Owner,
    /// Read.
    Reader,
    /// Nothing: it is in the account without a role there that this gateway knows.
    Guest,
}

/// The person who holds an access key, where an account has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUser {
    /// Unique among all accounts.
    pub id: String,
    /// Unique within a domain.
    pub name: String,
}

/// An access key with its secret and its owner.
pub struct Credential {
    access_key: String,
    account: String,
    owner_id: String,
    owner_name: String,
    rights: Rights,
    user: Option<KeyUser>,
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
            rights: Rights::Owner,
            user: None,
            identity: Identity::from(credentials.clone()),
            secret: credentials,
        }
    }

    /// The same, of one who may do less or more.
    #[must_use]
    pub fn with_rights(self, rights: Rights) -> Self {
        Self { rights, ..self }
    }

    /// The same, held by `user`, whom policies can name.
    #[must_use]
    pub fn held_by(self, user: KeyUser) -> Self {
        Self { user: Some(user), ..self }
    }

    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }

    pub(crate) fn user(&self) -> Option<&KeyUser> {
        self.user.as_ref()
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
    fn find<'a>(&'a self, access_key: &'a str) -> CredentialFuture<'a> {
        Box::pin(std::future::ready(Ok(self.keys.get(access_key).cloned())))
    }

    fn owner_name(&self, owner_id: &str) -> Option<String> {
        self.keys.values().find(|known| known.owner_id == owner_id).map(|known| known.owner_name.clone())
    }
}

/// The credential of `access_key`, which a request names.
pub(crate) async fn find(store: &dyn CredentialStore, access_key: &str) -> Result<Arc<Credential>, S3Error> {
    let known = store.find(access_key).await.map_err(|error| {
        S3Error::with(ErrorCode::ServiceUnavailable, "Access keys cannot be looked up. Please try again.")
            .internal(error)
    })?;
    known.ok_or_else(|| S3Error::from(ErrorCode::InvalidAccessKeyId).detail("AWSAccessKeyId", access_key))
}
