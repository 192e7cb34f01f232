//! Quotas of containers and accounts, asked before the body of an upload.

use crate::containers::{self, Container};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use http::StatusCode;

/// The quotas of an account: their names are those of the headers that set and show them.
pub(crate) const ACCOUNT: [&str; 2] = ["x-account-quota-bytes", "x-account-quota-count"];

/// Account quotas that a request sets; an empty value removes one. Only somebody above the account may.
pub(crate) fn of_request(call: &Call) -> Result<Vec<(&'static str, String)>> {
    let head = &call.parts.headers;
    let about_quotas = |name: &str| {
        let name = name.strip_prefix("x-remove-account-").or_else(|| name.strip_prefix("x-account-"));
        name.is_some_and(|name| {
            let name = name.strip_prefix("meta-").unwrap_or(name);
            name.starts_with("quota-bytes") || name.starts_with("quota-count")
        })
    };
    if !head.keys().any(|name| about_quotas(name.as_str())) {
        return Ok(Vec::new());
    }
    if !call.is_reseller_admin() {
        return Err(StatusCode::FORBIDDEN.into());
    }
    let mut quotas = Vec::new();
    for (name, older) in ACCOUNT.into_iter().zip(["x-account-meta-quota-bytes", ""]) {
        let removes =
            |name: &str| head.contains_key(format!("x-remove-{}", name.get(2..).unwrap_or_default()));
        let given =
            headers::text(head, name)?.or(if older.is_empty() { None } else { headers::text(head, older)? });
        if removes(name) || (!older.is_empty() && removes(older)) {
            quotas.push((name, String::new()));
        } else if let Some(given) = given {
            if !given.is_empty() && given.parse::<u64>().is_err() {
                return Err(StatusCode::BAD_REQUEST.into());
            }
            quotas.push((name, given.to_owned()));
        }
    }
    Ok(quotas)
}

impl SwiftGateway {
    /// Refuses an upload of `size` bytes (0 if nobody knows) that would exceed a quota.
    pub(crate) async fn check_quotas(
        &self,
        call: &Call,
        container: &Container,
        size: Option<u64>,
    ) -> Result<()> {
        let size = size.unwrap_or(0);
        let number = |name: &str| container.get(name).and_then(|quota| quota.parse::<u64>().ok());
        let bytes = container.info.bytes.saturating_add(size);
        let count = container.info.objects.saturating_add(1);
        let over = number("x-container-meta-quota-bytes").is_some_and(|quota| quota < bytes)
            || number("x-container-meta-quota-count").is_some_and(|quota| quota < count);
        if over {
            return Err(exceeded());
        }
        if call.is_reseller_admin() {
            return Ok(());
        }
        let account = self.account_metadata(&call.account).await?;
        if !ACCOUNT.iter().any(|name| containers::get(&account, name).is_some()) {
            return Ok(());
        }
        let totals = self.inner.objects.account(&call.account).await?;
        let quota = |name| containers::get(&account, name).and_then(|quota| quota.parse::<u64>().ok());
        let over = quota(ACCOUNT[0]).is_some_and(|quota| quota < totals.bytes.saturating_add(size))
            || quota(ACCOUNT[1]).is_some_and(|quota| quota < totals.objects.saturating_add(1));
        if over { Err(exceeded()) } else { Ok(()) }
    }
}

fn exceeded() -> SwiftError {
    SwiftError::text(StatusCode::PAYLOAD_TOO_LARGE, "Upload exceeds quota.")
}
