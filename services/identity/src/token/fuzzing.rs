//! Tokens on any bytes.

use super::fernet;
use super::keys::TokenKeys;
use super::payload::Payload;

/// The bytes as a token, and as what is sealed into one.
pub(crate) fn seals(bytes: &[u8]) {
    let keys = TokenKeys::new(&[[3; 32], [4; 32]], &[5; 32]);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(keys.open(text).is_none(), "nobody sealed this");
    }
    let sealed = fernet::seal(&[4; 32], bytes, 1);
    if sealed.len() <= 8192 {
        assert_eq!(fernet::open(&[[3; 32], [4; 32]], &sealed).as_deref(), Some(bytes));
    }
    assert_eq!(fernet::open(&[[3; 32]], &sealed), None);
}

/// The bytes as the content of a token.
pub(crate) fn payloads(bytes: &[u8]) {
    if let Some(payload) = Payload::decode(bytes) {
        let again = Payload::decode(&payload.clone().encode());
        assert_eq!(again, Some(payload), "what was written is read");
    }
}
