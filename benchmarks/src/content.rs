//! What the objects are called and what is in them, as functions of their number: nothing to remember between a
//! prefill and the reads that check it.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Objects start at different places of this many bytes, so that no two neighbours are alike.
const WINDOW: u64 = 1 << 20;

/// Bodies of one size, all slices of one incompressible buffer: sending one copies nothing.
#[derive(Clone)]
pub(crate) struct Content {
    buffer: Bytes,
    size: usize,
}

impl Content {
    pub(crate) fn new(size: usize) -> Self {
        let window = usize::try_from(WINDOW).expect("a MiB fits");
        let mut buffer = vec![0; size + window];
        StdRng::seed_from_u64(0x52_49_4e_47).fill_bytes(&mut buffer);
        Self { buffer: buffer.into(), size }
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// The body of object `number`.
    pub(crate) fn body(&self, number: u64) -> Bytes {
        let start = usize::try_from(mix(number) % WINDOW).expect("within the window");
        self.buffer.slice(start..start + self.size)
    }
}

/// How keys follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrder {
    /// Scattered over the key space, as clients that use uuids or hashes do.
    Scattered,
    /// Ascending, so that the start of page `n` is known.
    Ascending,
}

impl KeyOrder {
    /// The key of object `number`.
    pub(crate) fn key(self, prefix: &str, number: u64) -> String {
        match self {
            Self::Scattered => format!("{prefix}{:016x}", mix(number)),
            Self::Ascending => format!("{prefix}{number:010}"),
        }
    }
}

/// splitmix64's finisher: one to one, so that scattered keys don't collide.
const fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_repeat_by_number_and_share_memory() {
        let content = Content::new(4096);
        assert_eq!(content.body(7), Content::new(4096).body(7));
        assert_ne!(content.body(7), content.body(8));
        assert_eq!(content.body(7).as_ptr(), content.clone().body(7).as_ptr());
        assert_eq!(content.body(u64::MAX).len(), content.size());
    }

    #[test]
    fn keys() {
        assert_eq!(KeyOrder::Ascending.key("p/", 42), "p/0000000042");
        assert_ne!(KeyOrder::Scattered.key("", 1), KeyOrder::Scattered.key("", 2));
    }
}
