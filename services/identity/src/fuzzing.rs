//! The decoders on any bytes, for fuzzing: each function panics when a promise is broken.

use crate::auth::{signs_request, signs_text};
use crate::time;
use crate::token::fuzzing as token;
use ringfort_policy::Policy;
use serde_json::Value;

/// Tokens: none is forged, what was sealed opens, and a payload is what its encoding decodes to.
pub fn tokens(bytes: &[u8]) {
    token::seals(bytes);
    token::payloads(bytes);
}

/// Texts of requests: times, signatures, and the rules of an operator's file.
pub fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(us) = time::parse(text) {
        assert_eq!(time::parse(&time::text(us)), Some(us));
    }
    // Nobody signed these.
    let (token, signature) = text.split_once('\n').unwrap_or((text, ""));
    assert!(!signs_text("secret", token, signature) || signature.len() >= 28);
    if let Ok(body) = serde_json::from_str::<Value>(text) {
        assert!(
            !signs_request("secret", &body)
                || body["signature"].as_str().is_some_and(|text| text.len() >= 44)
        );
    }
    if let Ok(policy) = Policy::new(&[("admin_required", "role:admin")], Some(text)) {
        let names: Vec<&str> = policy.names().collect();
        for name in names {
            let _ = policy.allows(name, &Value::Null, &Value::Null);
        }
    }
}
