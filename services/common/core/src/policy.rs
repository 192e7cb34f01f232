//! Storage policies: how many copies or fragments, and what loss an acknowledged write survives.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How the bytes of a chunk are made redundant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redundancy {
    /// `n` whole copies.
    Replicated(u8),
    /// `k` data and `m` parity fragments; any `k` give the chunk back.
    Erasure {
        /// Data fragments.
        k: u8,
        /// Parity fragments.
        m: u8,
    },
}

impl Redundancy {
    /// Devices one chunk is placed on.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Replicated(n) => n as usize,
            Self::Erasure { k, m } => k as usize + m as usize,
        }
    }

    /// Pieces that must survive for the chunk to be readable.
    #[must_use]
    pub const fn needed_to_read(self) -> usize {
        match self {
            Self::Replicated(_) => 1,
            Self::Erasure { k, .. } => k as usize,
        }
    }

    /// The greatest number of device losses that any placement of this redundancy can survive.
    #[must_use]
    pub const fn tolerance_max(self) -> usize {
        self.width() - self.needed_to_read()
    }
}

impl fmt::Display for Redundancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicated(n) => write!(f, "replicated:{n}"),
            Self::Erasure { k, m } => write!(f, "erasure:{k}+{m}"),
        }
    }
}

/// Why a policy's text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no storage policy: {reason}; write replicated:N (1 to 16) or erasure:K+M (K 1 to 32, M 1 to 16)"
)]
pub struct PolicyParseError {
    text: String,
    reason: &'static str,
}

impl FromStr for Redundancy {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| PolicyParseError { text: text.to_owned(), reason };
        let number = |digits: &str, most: u8| {
            digits
                .parse::<u8>()
                .ok()
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| fail("a number is out of range"))
        };
        match text.split_once(':') {
            Some(("replicated", n)) => Ok(Self::Replicated(number(n, 16)?)),
            Some(("erasure", km)) => {
                let (k, m) = km.split_once('+').ok_or_else(|| fail("erasure needs K+M"))?;
                Ok(Self::Erasure { k: number(k, 32)?, m: number(m, 16)? })
            }
            _ => Err(fail("unknown kind")),
        }
    }
}

/// A storage policy as the cluster records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Index of the policy; stored in blob records, never reused.
    pub id: u16,
    /// Name shown to operators.
    pub name: String,
    /// Copies or fragments.
    pub redundancy: Redundancy,
    /// Device losses an acknowledged write survives (`f` of promise 1).
    pub tolerance: u8,
    /// Bodies up to this many bytes ride inline in their commit.
    pub inline_bytes_max: u32,
    /// Bytes per chunk.
    pub chunk_bytes: u32,
}

impl Policy {
    /// The default inline threshold in bytes.
    pub const INLINE_BYTES_MAX_DEFAULT: u32 = 32 * 1024;
    /// The default chunk size in bytes.
    pub const CHUNK_BYTES_DEFAULT: u32 = 4 * 1024 * 1024;

    /// The policy `id` with the defaults for everything that is not given: `f` is 1 where the redundancy allows it.
    #[must_use]
    pub fn new(id: u16, name: &str, redundancy: Redundancy) -> Self {
        Self {
            id,
            name: name.to_owned(),
            redundancy,
            tolerance: u8::from(redundancy.tolerance_max() >= 1),
            inline_bytes_max: Self::INLINE_BYTES_MAX_DEFAULT,
            chunk_bytes: Self::CHUNK_BYTES_DEFAULT,
        }
    }

    /// Synced pieces needed before a write is acknowledged: enough to read after `tolerance` device losses.
    #[must_use]
    pub const fn write_quorum(&self) -> usize {
        let wanted = self.redundancy.needed_to_read() + self.tolerance as usize;
        if wanted < self.redundancy.width() { wanted } else { self.redundancy.width() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_quorum() {
        for (text, width, quorum) in
            [("replicated:1", 1, 1), ("replicated:2", 2, 2), ("replicated:3", 3, 2), ("erasure:4+2", 6, 5)]
        {
            let redundancy: Redundancy = text.parse().unwrap();
            assert_eq!(redundancy.to_string(), text);
            assert_eq!(redundancy.width(), width);
            assert_eq!(Policy::new(0, "p", redundancy).write_quorum(), quorum, "{text}");
        }
        for bad in [
            "",
            "replicated",
            "replicated:0",
            "replicated:17",
            "erasure:4",
            "erasure:0+1",
            "erasure:4+0",
            "x:1",
        ] {
            assert!(bad.parse::<Redundancy>().is_err(), "{bad}");
        }
    }
}
