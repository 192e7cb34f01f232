//! Prints how fast chunks are coded on this processor.
//!
//! `cargo run --release -p ringfort-codec --example throughput`

use bytes::Bytes;
use ringfort_codec::EcCodec;
use std::error::Error;
use std::time::{Duration, Instant};

/// MB of chunk per second that `round` gets through, best of a few.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn measure(chunk_len: usize, mut round: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut best: f64 = 0.0;
    for _ in 0..5 {
        let (start, mut rounds) = (Instant::now(), 0usize);
        while start.elapsed() < Duration::from_millis(200) {
            round()?;
            rounds += 1;
        }
        best = best.max((rounds * chunk_len) as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<6} {:>9} {:>10} {:>14} {:>14} {:>14}", "code", "kernel", "chunk", "encode MB/s", "parts MB/s", "rebuild MB/s");
    for (k, m) in [(2, 1), (4, 2), (8, 3), (10, 4)] {
        let codec = EcCodec::new(k, m)?;
        for chunk_len in [1u32 << 20, 4 << 20] {
            let chunk = Bytes::from(vec![0x5a; chunk_len as usize]);
            // What a body looks like when it comes off a socket.
            let parts: Vec<Bytes> = (0..chunk.len()).step_by(60_000).map(|at| chunk.slice(at..chunk.len().min(at + 60_000))).collect();
            let encode = measure(chunk.len(), || Ok(drop(codec.encode_slices(std::slice::from_ref(&chunk))?)))?;
            let gather = measure(chunk.len(), || Ok(drop(codec.encode_slices(&parts)?)))?;
            let fragments = codec.encode(std::slice::from_ref(&chunk))?;
            let left: Vec<(u8, &[u8])> = (0u8..).zip(fragments.iter().map(AsRef::as_ref)).skip(1).collect();
            let rebuild = measure(fragments[0].len(), || Ok(drop(codec.reconstruct_fragment(chunk_len, &left, 0)?)))?;
            println!("{k}+{m:<4} {:>9} {chunk_len:>10} {encode:>14.0} {gather:>14.0} {rebuild:>14.0}", codec.kernel_name());
        }
    }
    Ok(())
}
