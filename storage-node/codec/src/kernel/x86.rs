//! The kernels for x86-64 processors with AVX2, and with GFNI besides.
//!
//! Up to four outputs are computed in one pass over the inputs, their sums in registers, so each input byte is loaded
//! once per four outputs and each output byte is stored once.
#![allow(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions that need a processor feature"
)]

use super::STEP;
use reed_solomon_erasure::galois_8;
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_gf2p8affine_epi64_epi8,
    _mm256_loadu_si256, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

/// Outputs computed in one pass: with two vectors each they leave half of the sixteen registers to work in.
const GROUP: usize = 4;
const VECTOR: usize = 32;

/// Calls `$kernel::<OUT>` for each group of at most [`GROUP`] rows, with the group's part of `$tables`.
macro_rules! by_group {
    ($kernel:ident, $tables:expr, $inputs:expr, $outputs:expr, $len:expr) => {
        for (group, tables) in $outputs.chunks_mut(GROUP).zip($tables.chunks(GROUP * $inputs.len())) {
            // SAFETY: the tables' constructor has checked that the processor has the features of the kernel.
            unsafe {
                match group {
                    [a] => $kernel(tables, $inputs, [a], $len),
                    [a, b] => $kernel(tables, $inputs, [a, b], $len),
                    [a, b, c] => $kernel(tables, $inputs, [a, b, c], $len),
                    [a, b, c, d] => $kernel(tables, $inputs, [a, b, c, d], $len),
                    _ => unreachable!("chunks of GROUP"),
                }
            }
        }
    };
}

/// One bit matrix per coefficient, row by row. Exists only where the processor has AVX2 and GFNI.
pub(super) struct GfniTables(Vec<u64>);

impl GfniTables {
    pub(super) fn new(coefficients: &[u8]) -> Self {
        assert!(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("gfni"), "GFNI is not there");
        Self(coefficients.iter().map(|c| bit_matrix(*c)).collect())
    }

    /// Computes the first `len` bytes, a multiple of [`STEP`], of every output; gives `len` back.
    pub(super) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]], len: usize) -> usize {
        by_group!(gfni, self.0, inputs, outputs, len);
        len
    }
}

/// Multiplication by `c` as the 8x8 bit matrix of `vgf2p8affineqb`: its byte `7 - i` holds the row that gives bit `i`
/// of the product, and bit `j` of that row says whether bit `j` of the factor counts.
fn bit_matrix(c: u8) -> u64 {
    let mut matrix = 0u64;
    for j in 0..8 {
        let column = galois_8::mul(c, 1 << j);
        for i in 0..8 {
            let bit = u64::from(column >> i & 1);
            matrix |= bit << (8 * (7 - i) + j);
        }
    }
    matrix
}

#[target_feature(enable = "avx2,gfni")]
fn gfni<const OUT: usize>(matrices: &[u64], inputs: &[&[u8]], outputs: [&mut &mut [u8]; OUT], len: usize) {
    let columns = inputs.len();
    for at in (0..len).step_by(STEP) {
        let mut sums = [[_mm256_setzero_si256(); 2]; OUT];
        for (column, input) in inputs.iter().enumerate() {
            let block = load(&input[at..at + STEP]);
            for (row, sum) in sums.iter_mut().enumerate() {
                let matrix = _mm256_set1_epi64x(matrices[row * columns + column].cast_signed());
                for (sum, bytes) in sum.iter_mut().zip(block) {
                    *sum = _mm256_xor_si256(*sum, _mm256_gf2p8affine_epi64_epi8::<0>(bytes, matrix));
                }
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            store(&mut outputs[row][at..at + STEP], sum);
        }
    }
}

/// The products of each coefficient with the sixteen low and the sixteen high nibbles. Exists only where the processor
/// has AVX2.
pub(super) struct Avx2Tables(Vec<[[u8; 16]; 2]>);

impl Avx2Tables {
    pub(super) fn new(coefficients: &[u8]) -> Self {
        assert!(is_x86_feature_detected!("avx2"), "AVX2 is not there");
        let products = |c: u8, shift: u32| {
            let mut table = [0; 16];
            for (nibble, product) in (0u8..).zip(&mut table) {
                *product = galois_8::mul(c, nibble << shift);
            }
            table
        };
        Self(coefficients.iter().map(|c| [products(*c, 0), products(*c, 4)]).collect())
    }

    /// Computes the first `len` bytes, a multiple of [`STEP`], of every output; gives `len` back.
    pub(super) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]], len: usize) -> usize {
        by_group!(avx2, self.0, inputs, outputs, len);
        len
    }
}

#[target_feature(enable = "avx2")]
fn avx2<const OUT: usize>(
    tables: &[[[u8; 16]; 2]],
    inputs: &[&[u8]],
    outputs: [&mut &mut [u8]; OUT],
    len: usize,
) {
    let columns = inputs.len();
    let nibble = _mm256_set1_epi8(0x0f);
    for at in (0..len).step_by(STEP) {
        let mut sums = [[_mm256_setzero_si256(); 2]; OUT];
        for (column, input) in inputs.iter().enumerate() {
            let block = load(&input[at..at + STEP]);
            let low = block.map(|bytes| _mm256_and_si256(bytes, nibble));
            let high = block.map(|bytes| _mm256_and_si256(_mm256_srli_epi64::<4>(bytes), nibble));
            for (row, sum) in sums.iter_mut().enumerate() {
                let [of_low, of_high] =
                    tables[row * columns + column].each_ref().map(|table| broadcast(table));
                for half in 0..2 {
                    let product = _mm256_xor_si256(
                        _mm256_shuffle_epi8(of_low, low[half]),
                        _mm256_shuffle_epi8(of_high, high[half]),
                    );
                    sum[half] = _mm256_xor_si256(sum[half], product);
                }
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            store(&mut outputs[row][at..at + STEP], sum);
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8]) -> [__m256i; 2] {
    assert_eq!(bytes.len(), STEP);
    // SAFETY: the slice has two vectors' worth of bytes, and the load needs no alignment.
    unsafe {
        [_mm256_loadu_si256(bytes.as_ptr().cast()), _mm256_loadu_si256(bytes[VECTOR..].as_ptr().cast())]
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(bytes: &mut [u8], [first, second]: [__m256i; 2]) {
    assert_eq!(bytes.len(), STEP);
    let (low, high) = bytes.split_at_mut(VECTOR);
    // SAFETY: each half has one vector's worth of bytes, and the store needs no alignment.
    unsafe {
        _mm256_storeu_si256(low.as_mut_ptr().cast(), first);
        _mm256_storeu_si256(high.as_mut_ptr().cast(), second);
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(table: &[u8; 16]) -> __m256i {
    // SAFETY: the array has the sixteen bytes of the load, which needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}
