//! The compression function of RFC 1321.

use super::BLOCK;

pub(super) const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Rotations of each round's four kinds of steps.
pub(super) const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// `floor(2^32 * abs(sin(i + 1)))`.
#[rustfmt::skip]
pub(super) const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The word that step `i` of a round takes.
pub(super) const fn word(round: usize, i: usize) -> usize {
    match round {
        0 => i,
        1 => (5 * i + 1) % 16,
        2 => (3 * i + 5) % 16,
        _ => 7 * i % 16,
    }
}

/// Hashes whole blocks, one after the other.
pub(super) fn compress(state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
    for block in blocks {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let mut mixed = *state;
        round::<0>(&mut mixed, &words);
        round::<1>(&mut mixed, &words);
        round::<2>(&mut mixed, &words);
        round::<3>(&mut mixed, &words);
        for (word, added) in state.iter_mut().zip(mixed) {
            *word = word.wrapping_add(added);
        }
    }
}

#[inline(always)]
fn round<const ROUND: usize>(state: &mut [u32; 4], words: &[u32; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for i in 0..16 {
        let mixed = match ROUND {
            0 => d ^ (b & (c ^ d)),
            // The two halves share no bit, so they can be added; that leaves one step fewer to wait for.
            1 => (d & b).wrapping_add(!d & c),
            2 => b ^ (c ^ d),
            _ => c ^ (b | !d),
        };
        let sum = a.wrapping_add(words[word(ROUND, i)]).wrapping_add(SINES[16 * ROUND + i]);
        let turned = sum.wrapping_add(mixed).rotate_left(TURNS[ROUND][i % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(turned));
    }
    *state = [a, b, c, d];
}
