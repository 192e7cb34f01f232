//! Erasure coding: a chunk becomes `k` data and `m` parity fragments, and any `k` of them give it back.
//!
//! The hard part is not the algebra but the reads: most of them want a few KiB of a chunk of several MiB. So a data
//! fragment is a *contiguous slice* of the chunk, and a small read touches one device. Reed-Solomon over GF(2^8) works
//! on each byte position by itself, so when that device is lost, the same byte range of any `k` other fragments is
//! enough: a degraded read moves `k` times the bytes asked for, not the chunk.
//!
//! # Format (frozen, `testdata/`)
//!
//! With `F = round_up(ceil(len / k), 64)`:
//!
//! ```text
//! fragment 0 .. k-1    bytes [i*F, (i+1)*F) of the chunk, zeros past its end
//! fragment k .. k+m-1  parity, F bytes: row i of the generator matrix times the data fragments
//! ```
//!
//! The field is GF(2^8) modulo x^8+x^4+x^3+x^2+1, the generator matrix the systematic one that `reed-solomon-erasure`
//! derives from a Vandermonde matrix. The chunk's length is not in the fragments; whoever names the chunk knows it.
//! Nothing here can tell a damaged fragment from a good one: the engine's checksums do that before we see the bytes.
//!
//! No I/O, no clock. CPU-bound: call it from a device's thread or a blocking pool, not from async code.

mod codec;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod kernel;
mod layout;
mod matrix;

pub use codec::EcCodec;
pub use error::CodecError;
pub use layout::{FRAGMENT_ALIGN, FragmentRange};
