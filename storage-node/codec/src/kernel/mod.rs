//! Sums of products in GF(2^8): the inner loop of the code.
//!
//! `reed-solomon-erasure` picks its vector instructions when it is *compiled*, so a binary for every x86-64 gets SSSE3
//! and a quarter of what the machine can do. Here the choice is made at run time. The crate stays the oracle of every
//! kernel, does the tails, and is the kernel where there is no better one.

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::matrix::Coefficients;
use reed_solomon_erasure::galois_8;

/// Bytes per step of the vector kernels.
#[cfg(target_arch = "x86_64")]
const STEP: usize = 64;

/// A way to multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The crate's own slices.
    Portable,
    /// `vpshufb` on nibbles.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `vgf2p8affineqb`: multiplication by a constant is linear over GF(2), whatever the field's polynomial.
    #[cfg(target_arch = "x86_64")]
    Gfni,
}

impl Kernel {
    /// The fastest kernel this processor has.
    pub(crate) fn detect() -> Self {
        Self::supported().pop().unwrap_or(Self::Portable)
    }

    /// The kernels this processor has, slowest first.
    pub(crate) fn supported() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            kernels.push(Self::Avx2);
            if is_x86_feature_detected!("gfni") {
                kernels.push(Self::Gfni);
            }
        }
        kernels
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Gfni => "gfni",
        }
    }

    /// The tables that apply `coefficients` with this kernel.
    pub(crate) fn prepare(self, coefficients: &Coefficients) -> Multiplier {
        let tables = match self {
            Self::Portable => Tables::None,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Tables::Avx2(x86::Avx2Tables::new(coefficients.all())),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni => Tables::Gfni(x86::GfniTables::new(coefficients.all())),
        };
        Multiplier { coefficients: coefficients.clone(), tables }
    }
}

enum Tables {
    None,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2Tables),
    #[cfg(target_arch = "x86_64")]
    Gfni(x86::GfniTables),
}

/// Coefficients ready to be applied to any number of slices.
pub(crate) struct Multiplier {
    coefficients: Coefficients,
    tables: Tables,
}

impl Multiplier {
    /// Overwrites each output with the sum of its row's coefficients times the inputs; all slices are of one length.
    pub(crate) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let len = inputs.first().map_or(0, |input| input.len());
        assert_eq!(inputs.len(), self.coefficients.inputs(), "one input per column");
        assert_eq!(outputs.len(), self.coefficients.outputs(), "one output per row");
        assert!(inputs.iter().all(|input| input.len() == len), "inputs of one length");
        assert!(outputs.iter().all(|output| output.len() == len), "outputs as long as the inputs");
        let done = match &self.tables {
            Tables::None => 0,
            #[cfg(target_arch = "x86_64")]
            Tables::Avx2(tables) => tables.apply(inputs, outputs, len / STEP * STEP),
            #[cfg(target_arch = "x86_64")]
            Tables::Gfni(tables) => tables.apply(inputs, outputs, len / STEP * STEP),
        };
        self.apply_portable(inputs, outputs, done);
    }

    /// What the crate would do, on the bytes from `start` on.
    fn apply_portable(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]], start: usize) {
        for (row, output) in outputs.iter_mut().enumerate() {
            let output = &mut output[start..];
            if output.is_empty() {
                return;
            }
            for (column, (input, coefficient)) in inputs.iter().zip(self.coefficients.row(row)).enumerate() {
                let input = &input[start..];
                if column == 0 {
                    galois_8::mul_slice(*coefficient, input, output);
                } else {
                    galois_8::mul_slice_xor(*coefficient, input, output);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(kernel: Kernel, coefficients: &Coefficients, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut outputs = vec![vec![0xa5; inputs[0].len()]; coefficients.outputs()];
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        kernel.prepare(coefficients).apply(&inputs, &mut slices);
        outputs
    }

    /// The definition, a byte at a time.
    fn oracle(coefficients: &Coefficients, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let byte = |row: &[u8], at: usize| {
            row.iter().zip(inputs).fold(0, |sum, (c, input)| galois_8::add(sum, galois_8::mul(*c, input[at])))
        };
        (0..coefficients.outputs())
            .map(|j| (0..inputs[0].len()).map(|at| byte(coefficients.row(j), at)).collect())
            .collect()
    }

    #[test]
    fn every_product_of_two_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        let coefficients = Coefficients::from_rows(1, all.clone());
        for kernel in Kernel::supported() {
            let outputs = apply(kernel, &coefficients, std::slice::from_ref(&all));
            for (c, products) in all.iter().zip(&outputs) {
                for (x, product) in all.iter().zip(products) {
                    assert_eq!(*product, galois_8::mul(*c, *x), "{kernel:?}: {c} * {x}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn kernels_agree_with_the_definition(
            inputs in 1usize..9,
            outputs in 1usize..11,
            len in 0usize..300,
            seed in proptest::collection::vec(any::<u8>(), 4096),
        ) {
            let coefficients = Coefficients::from_rows(inputs, seed[..inputs * outputs].to_vec());
            let inputs: Vec<Vec<u8>> = (0..inputs).map(|i| seed[100 + i * 300..][..len].to_vec()).collect();
            let expected = oracle(&coefficients, &inputs);
            for kernel in Kernel::supported() {
                prop_assert_eq!(&apply(kernel, &coefficients, &inputs), &expected, "{:?}", kernel);
            }
        }
    }
}
