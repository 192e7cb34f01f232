//! Prints how fast chunks are coded on this processor, beside what `reed-solomon-erasure` does by itself.
//!
//! `cargo run --release -p ringfort-codec --example throughput`

use bytes::Bytes;
use reed_solomon_erasure::galois_8::ReedSolomon;
use ringfort_codec::EcCodec;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Size of the parts in which a body comes off a socket, more or less.
const PART_BYTES: usize = 60_000;

/// MB per second when each `round` gets through `bytes`, best of a few.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn measure<T>(
    bytes: usize,
    mut round: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut best: f64 = 0.0;
    for _ in 0..5 {
        let (start, mut rounds) = (Instant::now(), 0usize);
        while start.elapsed() < Duration::from_millis(200) {
            black_box(round()?);
            rounds += 1;
        }
        best = best.max((rounds * bytes) as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("MB of chunk per second (rebuild: MB of the one lost fragment)");
    println!(
        "{:<6}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "code", "kernel", "chunk", "encode", "in parts", "rebuild", "crate"
    );
    for (k, m) in [(2u8, 1u8), (4, 2), (8, 3), (10, 4)] {
        let codec = EcCodec::new(k, m)?;
        let code = ReedSolomon::new(k.into(), m.into())?;
        for chunk_len in [1u32 << 20, 4 << 20] {
            let chunk = [Bytes::from(vec![0x5a; chunk_len as usize])];
            let len = chunk[0].len();
            let parts: Vec<Bytes> =
                (0..len).step_by(PART_BYTES).map(|at| chunk[0].slice(at..len.min(at + PART_BYTES))).collect();
            let encode = measure(len, || Ok(codec.encode_slices(&chunk)?))?;
            let in_parts = measure(len, || Ok(codec.encode_slices(&parts)?))?;
            let fragments = codec.encode(&chunk)?;
            let left: Vec<(u8, &[u8])> = (0u8..).zip(fragments.iter().map(AsRef::as_ref)).skip(1).collect();
            let rebuild =
                measure(fragments[0].len(), || Ok(codec.reconstruct_fragment(chunk_len, &left, 0)?))?;
            let mut parity = vec![vec![0; fragments[0].len()]; m.into()];
            let data = &fragments[..k.into()];
            let by_crate = measure(len, || Ok(code.encode_sep(data, &mut parity)?))?;
            let (shape, kernel) = (format!("{k}+{m}"), codec.kernel_name());
            println!(
                "{shape:<6}{kernel:>9}{chunk_len:>10}{encode:>10.0}{in_parts:>10.0}{rebuild:>10.0}{by_crate:>10.0}"
            );
        }
    }
    Ok(())
}
