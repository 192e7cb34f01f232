//! The code's coefficients, asked of `reed-solomon-erasure` instead of derived again.
//!
//! Coding is linear, so the crate tells its matrix when it is fed the identity: with fragment `a` of the `k` at hand
//! set to the unit vector `e_a` (`k` bytes long), every fragment it computes comes out as that fragment's row of
//! coefficients over those `k`. The same question answers encoding (the `k` are the data fragments) and every
//! pattern of loss; the crate keeps the inverted matrices it met lately.

use crate::CodecError;
use reed_solomon_erasure::galois_8::ReedSolomon;

/// Rows of coefficients: output `j` is the sum over `i` of `row(j)[i] * input[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coefficients {
    inputs: usize,
    rows: Vec<u8>,
}

impl Coefficients {
    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.rows.len() / self.inputs
    }

    pub(crate) fn row(&self, output: usize) -> &[u8] {
        &self.rows[output * self.inputs..(output + 1) * self.inputs]
    }

    /// All rows after each other.
    pub(crate) fn all(&self) -> &[u8] {
        &self.rows
    }

    #[cfg(test)]
    pub(crate) fn from_rows(inputs: usize, rows: Vec<u8>) -> Self {
        assert_eq!(rows.len() % inputs, 0);
        Self { inputs, rows }
    }
}

/// The rows that compute the fragments `wanted` from the fragments `chosen`, exactly `k` different ones.
pub(crate) fn coefficients(
    code: &ReedSolomon,
    chosen: &[u8],
    wanted: &[u8],
) -> Result<Coefficients, CodecError> {
    let k = code.data_shard_count();
    let mut fragments: Vec<Option<Vec<u8>>> = vec![None; code.total_shard_count()];
    for (position, index) in chosen.iter().enumerate() {
        let mut unit = vec![0; k];
        unit[position] = 1;
        fragments[usize::from(*index)] = Some(unit);
    }
    code.reconstruct(&mut fragments).map_err(|error| CodecError::Code { reason: error.to_string() })?;
    let mut rows = Vec::with_capacity(k * wanted.len());
    for index in wanted {
        let row = fragments[usize::from(*index)]
            .as_deref()
            .ok_or_else(|| CodecError::Code { reason: format!("fragment {index} was not computed") })?;
        rows.extend_from_slice(row);
    }
    Ok(Coefficients { inputs: k, rows })
}
