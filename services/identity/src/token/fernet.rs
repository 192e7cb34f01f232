//! Fernet: the outer form of a token, by its specification.
//!
//! ```text
//!  0      1          9        25                      end-32      end
//!  +------+----------+--------+-----------------------+-----------+
//!  | 0x80 | seconds  | IV     | AES-128-CBC, PKCS #7  | HMAC-256  |   all of it base64url
//!  +------+----------+--------+-----------------------+-----------+
//! ```
//!
//! A key is 32 bytes: 16 for the HMAC, which covers all before it, and 16 for AES. The HMAC is checked in constant time
//! before anything is believed.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

const VERSION: u8 = 0x80;
const HEAD_LEN: usize = 1 + 8 + 16;
const MAC_LEN: usize = 32;
/// Longer texts are no tokens of ours.
const TEXT_MAX: usize = 8192;

/// One key.
pub(crate) type Key = [u8; 32];

fn mac(key: &Key) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(&key[..16]).expect("an HMAC takes keys of any length")
}

/// Seals `content` as of `now_s`.
pub(crate) fn seal(key: &Key, content: &[u8], now_s: u64) -> String {
    let iv: [u8; 16] = rand::rng().random();
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&now_s.to_be_bytes());
    bytes.extend_from_slice(&iv);
    let aes_key: [u8; 16] = std::array::from_fn(|at| key[16 + at]);
    let cipher = cbc::Encryptor::<Aes128>::new(&aes_key.into(), &iv.into());
    bytes.extend(cipher.encrypt_padded_vec_mut::<Pkcs7>(content));
    let mut mac = mac(key);
    mac.update(&bytes);
    bytes.extend_from_slice(&mac.finalize().into_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The content of `text`, if one of `keys` sealed it.
pub(crate) fn open(keys: &[Key], text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN)?)?;
    let (head, sealed) = signed.split_at_checked(HEAD_LEN)?;
    if head[0] != VERSION {
        return None;
    }
    let key = keys.iter().find(|key| {
        let mut mac = mac(key);
        mac.update(signed);
        mac.verify_slice(tag).is_ok()
    })?;
    let iv: [u8; 16] = head[9..].try_into().ok()?;
    let aes_key: [u8; 16] = key[16..].try_into().ok()?;
    cbc::Decryptor::<Aes128>::new(&aes_key.into(), &iv.into()).decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of Fernet's specification (`verify.json`): another implementation's token.
    #[test]
    fn tokens_of_others_open() {
        let key = base64::engine::general_purpose::URL_SAFE
            .decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
            .unwrap();
        let key: Key = key.try_into().unwrap();
        let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(open(&[[7; 32], key], token).unwrap(), b"hello");
        assert_eq!(open(&[[7; 32]], token), None);
    }

    #[test]
    fn any_change_is_noticed() {
        let key = [9; 32];
        let good = seal(&key, b"the content of a token", 1_700_000_000);
        assert_eq!(open(&[key], &good).unwrap(), b"the content of a token");
        for at in 0..good.len() {
            assert_eq!(open(&[key], &good[..at]), None, "cut to {at}");
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            // The last character may carry bits that belong to no byte; base64 refuses those that are set.
            assert_eq!(open(&[key], &bad), None, "changed at {at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            assert_eq!(open(&[[1; 32]], &text), None);
        }
    }
}
