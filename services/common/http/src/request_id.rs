//! Names of requests.

use http::HeaderValue;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of one request: in the reply, in every error and in every log line about it. Shown as 16 hexadecimal
/// digits. Every request a [`crate::Server`] passes on carries one in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// A new id: a counter, scrambled by a bijection, so that ids of one process never meet and don't look like a
    /// count; the start is random, so that those of two runs hardly ever do.
    #[must_use]
    pub fn generate() -> Self {
        static START: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let start = *START.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        Self(scramble(start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    /// The id as the value of a header.
    #[must_use]
    pub fn header_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.digits()).expect("hexadecimal digits are a header value")
    }

    /// The id as a number, by which tasks and log lines carry it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        for (place, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.0 >> (60 - 4 * place)) & 0xf;
            *digit = b"0123456789ABCDEF"[usize::try_from(nibble).expect("four bits")];
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// The finalizer of splitmix64: a bijection whose output looks random.
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_both_forms_agree() {
        let ids: Vec<RequestId> = (0..1000).map(|_| RequestId::generate()).collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in ids {
            assert_eq!(id.to_string().as_bytes(), id.header_value().as_bytes());
            assert_eq!(id.to_string().len(), 16);
        }
    }
}
