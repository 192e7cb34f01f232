//! The service: its parts, how it begins, and from a request to its reply.

use crate::config::{IdentityConfig, ServedAt};
use crate::error::{ApiError, Result};
use crate::http::{self, Call};
use crate::ops;
use crate::password::Hasher;
use crate::policy;
use crate::store::{Seed, SeedService, Store};
use crate::time::now_us;
use crate::token::TokenKeys;
use ::http::{Request, Response};
use bytes::Bytes;
use ringfort_core::ErrorKind;
use ringfort_db::{Db, DbError};
use ringfort_http::{ReplyBody, RequestId, boxed};
use ringfort_policy::{Policy, PolicyError};
use ringfort_runtime::TaskGroup;
use std::sync::Arc;

/// The identity service. A cheap clone.
#[derive(Clone)]
pub struct Identity {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) config: IdentityConfig,
    pub(crate) keys: TokenKeys,
    pub(crate) hasher: Hasher,
    pub(crate) policy: Policy,
}

/// The service can't begin.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its database fails.
    #[error("the identity database cannot be used")]
    Database(#[from] DbError),
    /// The operator's rules are none.
    #[error("the identity policy cannot be used")]
    Policy(#[from] PolicyError),
    /// The first rows could not be written.
    #[error("the identity service cannot begin: {0}")]
    Begin(String),
}

impl IdentityError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(error) => error.kind(),
            Self::Policy(_) => ErrorKind::Invalid,
            Self::Begin(_) => ErrorKind::Internal,
        }
    }
}

/// The administrator that a new cloud begins with.
#[derive(Clone)]
pub struct FirstAdmin {
    /// Id of its project, `admin`.
    pub project_id: String,
    /// Its password.
    pub password: String,
}

impl Identity {
    /// The service over `db`. A new database gets its first rows: `admin` as told, and the catalogue.
    ///
    /// # Errors
    /// When the database can't be used, or the policy is none.
    pub async fn open(
        db: Db,
        keys: TokenKeys,
        admin: &FirstAdmin,
        config: IdentityConfig,
        tasks: &TaskGroup,
    ) -> std::result::Result<Self, IdentityError> {
        let policy = Policy::new(policy::RULES, config.policy.as_deref())?;
        let store = Store::open(db).await?;
        let hasher = Hasher::new(tasks.child());
        let identity = Self { inner: Arc::new(Inner { store, config, keys, hasher, policy }) };
        identity.begin(admin).await.map_err(|error| {
            IdentityError::Begin(error.cause.clone().unwrap_or_else(|| error.body().to_string()))
        })?;
        Ok(identity)
    }

    async fn begin(&self, admin: &FirstAdmin) -> Result<()> {
        let Inner { store, config, hasher, .. } = &*self.inner;
        if !store.is_seeded().await? {
            let password_hash = hasher.hash(&admin.password).await?;
            store.seed(&Seed { project_id: &admin.project_id, password_hash, now_us: now_us() }).await?;
        }
        let own = ServedAt {
            kind: "identity".to_owned(),
            name: "keystone".to_owned(),
            url: format!("{}/v3", config.public_url),
        };
        let services: Vec<SeedService> = std::iter::once(&own)
            .chain(&config.services)
            .map(|ServedAt { kind, name, url }| SeedService {
                kind: kind.clone(),
                name: name.clone(),
                url: url.clone(),
            })
            .collect();
        store.seed_catalog(&config.region, &services).await
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the reply; a change is one transaction, made whole or not at all.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request, false).await
    }

    /// Answers one request of somebody who may operate the machine: no token is asked for, and nothing is refused to them.
    /// For an operator's socket alone.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::handle`].
    pub async fn handle_as_operator<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request, true).await
    }

    async fn answer<B>(&self, request: Request<B>, by_operator: bool) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::generate);
        let method = parts.method.clone();
        let answer = match Call::new(self.clone(), parts, boxed(body)) {
            Ok(mut call) => {
                if by_operator {
                    call.set_operator();
                }
                Box::pin(ops::route(&mut call)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            log_refusal(error, id);
        }
        http::reply(answer, &method, id, &self.inner.config.public_url)
    }

    /// Closes the database, once what runs on it has ended.
    pub async fn close(&self) {
        self.inner.store.db.close().await;
    }
}

fn log_refusal(error: &ApiError, request_id: RequestId) {
    let status = error.status.as_u16();
    if status >= 500 {
        tracing::warn!(%request_id, status, cause = error.cause, "identity request failed");
    } else {
        tracing::debug!(%request_id, status, cause = error.cause, "identity request refused");
    }
}
