//! Eight chains side by side, one per 32-bit lane of an AVX2 register.
#![allow(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions that need a processor feature"
)]

use super::BLOCK;
use super::kernel::{SINES, TURNS, word};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sllv_epi32, _mm256_srlv_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// Chains in one call.
pub(super) const LANES: usize = 8;

/// Whether this processor can.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Hashes as many blocks of each lane as the shortest has. All lanes take part; those that are not wanted are given any blocks.
pub(super) fn compress(states: &mut [[u32; 4]; LANES], lanes: &[&[[u8; BLOCK]]; LANES]) {
    assert!(available(), "the caller has asked");
    // SAFETY: the processor has AVX2.
    unsafe { compress_avx2(states, lanes) }
}

#[target_feature(enable = "avx2")]
fn compress_avx2(states: &mut [[u32; 4]; LANES], lanes: &[&[[u8; BLOCK]]; LANES]) {
    let count = lanes.iter().map(|lane| lane.len()).min().unwrap_or(0);
    let mut state = [_mm256_setzero_si256(); 4];
    for (i, vector) in state.iter_mut().enumerate() {
        let mut column = [0_u32; LANES];
        for (value, state) in column.iter_mut().zip(states.iter()) {
            *value = state[i];
        }
        // SAFETY: 32 bytes are read from an array of 32.
        *vector = unsafe { _mm256_loadu_si256(column.as_ptr().cast()) };
    }
    for at in 0..count {
        let (first, second) = (columns(lanes, at, 0), columns(lanes, at, 1));
        let mut words = [_mm256_setzero_si256(); 16];
        words[..8].copy_from_slice(&first);
        words[8..].copy_from_slice(&second);
        let mut mixed = state;
        round::<0>(&mut mixed, &words);
        round::<1>(&mut mixed, &words);
        round::<2>(&mut mixed, &words);
        round::<3>(&mut mixed, &words);
        for (vector, added) in state.iter_mut().zip(mixed) {
            *vector = _mm256_add_epi32(*vector, added);
        }
    }
    for (i, vector) in state.iter().enumerate() {
        let mut column = [0_u32; LANES];
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(column.as_mut_ptr().cast(), *vector) };
        for (value, state) in column.into_iter().zip(states.iter_mut()) {
            state[i] = value;
        }
    }
}

/// The eight words of half `half` of block `at`: vector `i` has word `i` of each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn columns(lanes: &[&[[u8; BLOCK]]; LANES], at: usize, half: usize) -> [__m256i; 8] {
    let mut rows = [_mm256_setzero_si256(); LANES];
    for (row, lane) in rows.iter_mut().zip(lanes) {
        let bytes: &[u8; 32] = &lane[at].as_chunks::<32>().0[half];
        // SAFETY: 32 bytes are read from an array of 32.
        *row = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    }
    let [a, b, c, d, e, f, g, h] = rows;
    let pairs = |x, y| (_mm256_unpacklo_epi32(x, y), _mm256_unpackhi_epi32(x, y));
    let ((ab0, ab1), (cd0, cd1), (ef0, ef1), (gh0, gh1)) =
        (pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h));
    let quads = |x, y| (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
    let ((l0, l1), (l2, l3)) = (quads(ab0, cd0), quads(ab1, cd1));
    let ((h0, h1), (h2, h3)) = (quads(ef0, gh0), quads(ef1, gh1));
    let low = |x, y| _mm256_permute2x128_si256::<0x20>(x, y);
    let high = |x, y| _mm256_permute2x128_si256::<0x31>(x, y);
    [
        low(l0, h0),
        low(l1, h1),
        low(l2, h2),
        low(l3, h3),
        high(l0, h0),
        high(l1, h1),
        high(l2, h2),
        high(l3, h3),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn round<const ROUND: usize>(state: &mut [__m256i; 4], words: &[__m256i; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for i in 0..16 {
        let mixed = match ROUND {
            0 => _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d))),
            1 => _mm256_xor_si256(c, _mm256_and_si256(d, _mm256_xor_si256(b, c))),
            2 => _mm256_xor_si256(b, _mm256_xor_si256(c, d)),
            _ => _mm256_xor_si256(c, _mm256_or_si256(b, _mm256_xor_si256(d, _mm256_set1_epi32(-1)))),
        };
        let sine = _mm256_set1_epi32(SINES[16 * ROUND + i].cast_signed());
        let sum = _mm256_add_epi32(_mm256_add_epi32(a, words[word(ROUND, i)]), sine);
        let sum = _mm256_add_epi32(sum, mixed);
        let by = TURNS[ROUND][i % 4].cast_signed();
        let left = _mm256_sllv_epi32(sum, _mm256_set1_epi32(by));
        let right = _mm256_srlv_epi32(sum, _mm256_set1_epi32(32 - by));
        let turned = _mm256_or_si256(left, right);
        (a, d, c, b) = (d, c, b, _mm256_add_epi32(b, turned));
    }
    *state = [a, b, c, d];
}
