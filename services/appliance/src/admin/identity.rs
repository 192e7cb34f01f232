//! What the admin socket does to the identity service: any request of its API, with an operator's rights, and the rotation of
//! token keys.

use crate::openrc::OpenRc;
use crate::secrets::{Secrets, draw_password};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use ringfort_identity::{Identity, TokenKeys};
use ringfort_runtime::TaskGroup;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

/// The identity service as the operator sees it.
pub(crate) struct IdentityAdmin {
    identity: Identity,
    keys: TokenKeys,
    /// One rotation at a time.
    secrets: Arc<Mutex<Secrets>>,
    openrc: Arc<OpenRc>,
}

/// Why an operator is refused.
type Refused = (StatusCode, String);

fn failed(error: impl ToString) -> Refused {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

impl IdentityAdmin {
    pub(crate) fn new(identity: Identity, keys: TokenKeys, secrets: Secrets, openrc: OpenRc) -> Self {
        Self { identity, keys, secrets: Arc::new(Mutex::new(secrets)), openrc: Arc::new(openrc) }
    }

    /// What the service answers to this request when an operator makes it; else a status and why.
    pub(super) async fn call(&self, method: Method, target: &str, body: Bytes) -> Result<Vec<u8>, Refused> {
        let request = Request::builder().method(method).uri(target).body(Full::new(body));
        let request = request.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let (head, body) = self.identity.handle_as_operator(request).await.into_parts();
        let bytes = body.collect().await;
        let bytes = bytes.map_err(failed)?.to_bytes();
        if head.status.is_success() {
            return Ok(if bytes.is_empty() { b"null".to_vec() } else { bytes.to_vec() });
        }
        let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = told["error"]["message"].as_str().unwrap_or("the identity service refused it");
        Err((head.status, message.to_owned()))
    }

    /// Seals tokens under a new key from now on; answers how many keys open them.
    pub(super) async fn rotate(&self, tasks: &TaskGroup) -> Result<Vec<u8>, Refused> {
        let secrets = Arc::clone(&self.secrets).lock_owned().await;
        let rotated = tasks.spawn_blocking(move || secrets.rotate_token_keys(TokenKeys::COUNT_MAX)).await;
        let rotated = rotated.map_err(failed)?;
        let secrets = rotated.map_err(|error| failed(ringfort_core::with_causes(&error)))?;
        // Only once the disk has them: a token sealed under a key that a restart forgets would end with it.
        self.keys.replace(&secrets.token_keys());
        Ok(secrets.token_keys.len().to_string().into_bytes())
    }

    /// Gives the administrator a new password and writes it to `openrc`; answers the path of that.
    pub(super) async fn renew_openrc(&self, tasks: &TaskGroup) -> Result<Vec<u8>, Refused> {
        let secrets = Arc::clone(&self.secrets).lock_owned().await;
        let found = self.call(Method::GET, "/v3/users?name=admin&domain_id=default", Bytes::new()).await?;
        let found: Value = serde_json::from_slice(&found).map_err(failed)?;
        let id = found["users"][0]["id"].as_str().ok_or_else(|| {
            (StatusCode::NOT_FOUND, "there is no user `admin` in the domain `default`".to_owned())
        })?;
        let password = draw_password(32);
        let body = json!({"user": {"password": password, "enabled": true}}).to_string();
        self.call(Method::PATCH, &format!("/v3/users/{id}"), body.into()).await?;
        let openrc = Arc::clone(&self.openrc);
        let written = tasks.spawn_blocking(move || {
            secrets.set_admin_password(password.clone())?;
            openrc.write(&password)
        });
        written.await.map_err(failed)?.map_err(|error| failed(ringfort_core::with_causes(&error)))?;
        serde_json::to_vec(self.openrc.path()).map_err(failed)
    }
}
