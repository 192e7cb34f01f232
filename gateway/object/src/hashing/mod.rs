//! MD5 of several bodies at once.
//!
//! MD5 is one long chain of dependent steps, which leaves most of a core idle: one body hashes at some 0.5 GB/s, and that binds
//! large PUTs. Chains of different bodies do not depend on each other, so up to eight of them run side by side in the lanes of
//! one vector unit for little more than the price of one. Bodies that are hashed at the same time share a worker; with a
//! single body, or without AVX2, it is plain MD5.

mod kernel;
mod lanes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use lanes::HashLanes;

const BLOCK: usize = 64;

/// A hash under way.
#[derive(Clone, Debug)]
pub(crate) struct Md5 {
    state: [u32; 4],
    /// What came after the last whole block.
    rest: [u8; BLOCK],
    filled: usize,
    len: u64,
}

impl Md5 {
    pub(crate) fn new() -> Self {
        Self { state: kernel::START, rest: [0; BLOCK], filled: 0, len: 0 }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let taken = self.fill(bytes);
            bytes = &bytes[taken..];
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        self.blocks(blocks);
        self.fill(rest);
    }

    pub(crate) fn finish(mut self) -> [u8; 16] {
        let bits = self.len.wrapping_mul(8).to_le_bytes();
        let zeros = (BLOCK + 55 - self.filled) % BLOCK;
        self.fill(&[0x80]);
        let padding = [0; BLOCK];
        let mut left = zeros;
        while left > 0 {
            left -= self.fill(&padding[..left]);
        }
        self.fill(&bits);
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }

    /// Hashes whole blocks. Nothing may be waiting for the rest of its block.
    fn blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        kernel::compress(&mut self.state, blocks);
        self.len = self.len.wrapping_add((blocks.len() * BLOCK) as u64);
    }

    /// Takes bytes until the block that is waiting is full; how many.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(BLOCK - self.filled);
        self.rest[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        self.len = self.len.wrapping_add(taken as u64);
        if self.filled == BLOCK {
            kernel::compress(&mut self.state, &[self.rest]);
            self.filled = 0;
        }
        taken
    }
}
