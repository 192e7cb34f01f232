//! Tokens for those who proved who they are.

use super::payload::{AuditId, Method, Payload, Scope};
use super::validate::Caller;
use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::{Record, text_of};
use crate::time::now_us;

/// What somebody proved, and how.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) user_id: String,
    pub(crate) methods: Vec<Method>,
    /// The token that it was proved with, which bounds the new one's life and names its chain.
    pub(crate) parent: Option<Payload>,
    pub(crate) app_credential_id: Option<String>,
    /// The trust that lends the roles, of which the user is the trustee.
    pub(crate) trust: Option<Record>,
}

impl Identity {
    /// A token of this scope. Who has no role there, or may not log in, is refused as an unknown user would be.
    pub(crate) async fn issue(&self, proof: Proof, scope: Scope) -> Result<(String, Caller)> {
        let payload = self.payload(proof, scope, now_us());
        let caller = self.resolve(payload.clone()).await?;
        let Some(trust_id) = &payload.trust_id else {
            let caller = caller.ok_or_else(ApiError::unauthorized)?;
            return Ok((self.inner.keys.seal(payload), caller));
        };
        let caller = caller.ok_or_else(|| ApiError::denied("The trustor has no longer what it lends."))?;
        if !self.inner.store.use_trust(trust_id).await? {
            return Err(ApiError::unauthorized());
        }
        Ok((self.inner.keys.seal(payload), caller))
    }

    /// What a token issued at `issued_us` would say.
    pub(crate) fn payload(&self, proof: Proof, scope: Scope, issued_us: u64) -> Payload {
        let mut payload = Payload {
            user_id: proof.user_id,
            methods: proof.methods,
            scope,
            issued_us,
            expires_us: issued_us.saturating_add(self.token_lifetime_us()),
            audit_id: AuditId::generate(),
            chain_id: None,
            app_credential_id: proof.app_credential_id,
            trust_id: proof.trust.as_ref().map(|trust| text_of(trust, "id").to_owned()),
        };
        let trust_ends = proof.trust.as_ref().and_then(|trust| trust["expires_us"].as_u64());
        if let Some(parent) = proof.parent {
            payload.expires_us = parent.expires_us;
            payload.chain_id = Some(parent.chain_id.unwrap_or(parent.audit_id));
            payload.methods.extend(parent.methods);
            payload.methods.sort_unstable();
            payload.methods.dedup();
        }
        payload.expires_us = payload.expires_us.min(trust_ends.unwrap_or(u64::MAX));
        payload
    }

    pub(crate) fn token_lifetime_us(&self) -> u64 {
        u64::try_from(self.inner.config.token_lifetime.as_micros()).unwrap_or(u64::MAX)
    }
}
