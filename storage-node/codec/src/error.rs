//! What a caller can get wrong.

use ringfort_core::ErrorKind;

/// Why fragments could not be made or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The codec's parameters are impossible.
    #[error("{k}+{m} fragments are impossible: at least 1+1 and at most 256 in all")]
    Shape {
        /// Data fragments asked for.
        k: u8,
        /// Parity fragments asked for.
        m: u8,
    },
    /// The chunk is longer than a chunk may be.
    #[error("a chunk of {len} bytes is too long to be coded")]
    ChunkTooLong {
        /// Its length.
        len: u64,
    },
    /// A range reaches past the end of the chunk or of its fragments, or is reversed.
    #[error("the range {start}..{end} is not within the {len} bytes there are")]
    Range {
        /// First byte asked for.
        start: u32,
        /// End of the range, exclusive.
        end: u32,
        /// Length of what the range should lie in.
        len: u32,
    },
    /// Fewer than `k` different fragments are at hand: the bytes can't be computed now.
    #[error("{available} fragments are at hand and {needed} are needed")]
    TooFew {
        /// Fragments given.
        available: usize,
        /// Fragments needed (`k`).
        needed: usize,
    },
    /// No fragment has this index under this codec.
    #[error("there is no fragment {index} among {count}")]
    Index {
        /// The index given.
        index: u8,
        /// Fragments in all (`k + m`).
        count: usize,
    },
    /// The same fragment is given twice.
    #[error("fragment {index} is given twice")]
    Duplicate {
        /// Its index.
        index: u8,
    },
    /// A fragment's bytes are not as many as the range has.
    #[error("fragment {index} has {actual} bytes where {expected} are needed")]
    Length {
        /// Its index.
        index: u8,
        /// Bytes given.
        actual: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// The erasure code refused what this crate had checked: a bug of ours.
    #[error("the erasure code failed: {reason}")]
    Code {
        /// In the code's words.
        reason: String,
    },
}

impl CodecError {
    /// The kind by which dialects choose their answer.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooFew { .. } => ErrorKind::Unavailable,
            Self::Shape { .. } | Self::ChunkTooLong { .. } | Self::Range { .. } => ErrorKind::Invalid,
            Self::Index { .. } | Self::Duplicate { .. } | Self::Length { .. } | Self::Code { .. } => {
                ErrorKind::Internal
            }
        }
    }
}
