//! What the admin socket does to the identity service: any request of its API, with an operator's rights, and the rotation of
//! token keys.

use crate::secrets::Secrets;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use ringfort_identity::{Identity, TokenKeys};
use ringfort_runtime::TaskGroup;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The identity service as the operator sees it.
pub(crate) struct IdentityAdmin {
    identity: Identity,
    keys: TokenKeys,
    /// One rotation at a time.
    secrets: Arc<Mutex<Secrets>>,
}

impl IdentityAdmin {
    pub(crate) fn new(identity: Identity, keys: TokenKeys, secrets: Secrets) -> Self {
        Self { identity, keys, secrets: Arc::new(Mutex::new(secrets)) }
    }

    /// What the service answers to this request when an operator makes it; else a status and why.
    pub(super) async fn call(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        let request = Request::builder().method(method).uri(target).body(Full::new(body));
        let request = request.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let (head, body) = self.identity.handle_as_operator(request).await.into_parts();
        let bytes = body.collect().await;
        let bytes = bytes.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?.to_bytes();
        if head.status.is_success() {
            return Ok(if bytes.is_empty() { b"null".to_vec() } else { bytes.to_vec() });
        }
        let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = told["error"]["message"].as_str().unwrap_or("the identity service refused it");
        Err((head.status, message.to_owned()))
    }

    /// Seals tokens under a new key from now on; answers how many keys open them.
    pub(super) async fn rotate(&self, tasks: &TaskGroup) -> Result<Vec<u8>, (StatusCode, String)> {
        let secrets = Arc::clone(&self.secrets).lock_owned().await;
        let rotated = tasks.spawn_blocking(move || secrets.rotate_token_keys(TokenKeys::COUNT_MAX)).await;
        let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
        let rotated = rotated.map_err(|error| failed(error.to_string()))?;
        let secrets = rotated.map_err(|error| failed(ringfort_core::with_causes(&error)))?;
        // Only once the disk has them: a token sealed under a key that a restart forgets would end with it.
        self.keys.replace(&secrets.token_keys());
        Ok(secrets.token_keys.len().to_string().into_bytes())
    }
}
