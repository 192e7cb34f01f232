//! The format is frozen: these fragments never change, whatever computes them.

use bytes::Bytes;
use reed_solomon_erasure::galois_8::ReedSolomon;
use ringfort_codec::EcCodec;

const VECTORS: &str = include_str!("../testdata/fragments-v1.txt");

/// One line of the file: `K+M CHUNK_LEN FRAGMENT FRAGMENT_LEN BLAKE3`.
struct Vector {
    k: u8,
    m: u8,
    chunk_len: usize,
    fragment: usize,
    fragment_len: usize,
    hash: String,
}

fn parse(line: &str) -> Vector {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [shape, chunk_len, fragment, fragment_len, hash] = fields[..] else { panic!("five fields: {line}") };
    let (k, m) = shape.split_once('+').expect("K+M");
    Vector {
        k: k.parse().expect("k"),
        m: m.parse().expect("m"),
        chunk_len: chunk_len.parse().expect("chunk_len"),
        fragment: fragment.parse().expect("fragment"),
        fragment_len: fragment_len.parse().expect("fragment_len"),
        hash: hash.to_owned(),
    }
}

/// The chunk of every vector of this length: blake3's output stream for a fixed input.
fn chunk(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"ringfort-codec test vector").finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// The fragments as `reed-solomon-erasure` makes them of a zero-padded copy, with none of our code.
fn by_the_crate(k: u8, m: u8, chunk: &[u8]) -> Vec<Vec<u8>> {
    let fragment_len = chunk.len().div_ceil(usize::from(k)).next_multiple_of(64);
    let mut padded = chunk.to_vec();
    padded.resize(fragment_len * usize::from(k), 0);
    let mut fragments: Vec<Vec<u8>> = padded.chunks(fragment_len).map(<[u8]>::to_vec).collect();
    fragments.resize(usize::from(k) + usize::from(m), vec![0; fragment_len]);
    let code = ReedSolomon::new(usize::from(k), usize::from(m)).expect("a shape the crate takes");
    code.encode(&mut fragments).expect("fragments of one length");
    fragments
}

#[test]
fn fragments_are_as_frozen() {
    let vectors: Vec<Vector> =
        VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(parse).collect();
    assert_eq!(vectors.len(), 4 * (3 + 6 + 11));
    for vector in &vectors {
        let codec = EcCodec::new(vector.k, vector.m).expect("a known shape");
        let fragments = codec.encode(&[chunk(vector.chunk_len)]).expect("encoded");
        let fragment = &fragments[vector.fragment];
        let name = format!("{codec:?}, {} bytes, fragment {}", vector.chunk_len, vector.fragment);
        assert_eq!(fragment.len(), vector.fragment_len, "{name}");
        assert_eq!(blake3::hash(fragment).to_hex().as_str(), vector.hash, "{name}");
    }
}

/// Prints the file; only ever run to add lines for a new shape.
#[test]
#[ignore = "makes the vectors that the other test checks"]
fn print_vectors() {
    for (k, m) in [(2, 1), (4, 2), (8, 3)] {
        for chunk_len in [1, 4096, 100_003, 1 << 20] {
            for (index, fragment) in by_the_crate(k, m, &chunk(chunk_len)).iter().enumerate() {
                println!(
                    "{k}+{m} {chunk_len} {index} {} {}",
                    fragment.len(),
                    blake3::hash(fragment).to_hex()
                );
            }
        }
    }
}
