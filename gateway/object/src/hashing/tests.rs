//! Hashes agree with the reference, however a body is cut and whatever is hashed beside it.

use super::{HashLanes, Md5};
use bytes::Bytes;
use md5::Digest;
use proptest::prelude::*;
use ringfort_runtime::TaskGroup;

fn expected(pieces: &[Vec<u8>]) -> [u8; 16] {
    md5::Md5::digest(pieces.concat()).into()
}

fn alone(pieces: &[Vec<u8>]) -> [u8; 16] {
    let mut hash = Md5::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finish()
}

/// Hashes all bodies at once, each in two goes.
fn together(bodies: &[Vec<Vec<u8>>]) -> Vec<[u8; 16]> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let lanes = HashLanes::new(TaskGroup::new());
        let hashes = bodies.iter().map(|pieces| async {
            let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
            let (first, second) = pieces.split_at(pieces.len() / 2);
            let hash = lanes.hash(Md5::new(), first.to_vec()).await.unwrap();
            lanes.hash(hash, second.to_vec()).await.unwrap().finish()
        });
        futures_util::future::join_all(hashes).await
    })
}

#[test]
fn the_vectors_of_the_rfc() {
    for (text, digest) in [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    ] {
        let tag = crate::ETag::of_md5(alone(&[text.as_bytes().to_vec()]));
        assert_eq!(tag.to_string(), digest);
    }
}

#[test]
fn every_length_around_a_block() {
    for len in 0..200_usize {
        let bytes = crate::tests::pattern(len, 1);
        assert_eq!(alone(std::slice::from_ref(&bytes)), expected(&[bytes]), "{len}");
    }
}

#[test]
fn many_large_bodies_at_once() {
    let bodies: Vec<_> = (0..20_u8)
        .map(|i| (0..4_usize).map(|n| crate::tests::pattern(50_000 * n + usize::from(i) * 777, i)).collect())
        .collect();
    let hashes = together(&bodies);
    for (pieces, hash) in bodies.iter().zip(hashes) {
        assert_eq!(hash, expected(pieces));
    }
}

proptest! {
    #[test]
    fn bodies_in_any_pieces(
        bodies in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..5), 1..12)
    ) {
        for (pieces, hash) in bodies.iter().zip(together(&bodies)) {
            prop_assert_eq!(hash, expected(pieces));
            prop_assert_eq!(alone(pieces), expected(pieces));
        }
    }
}
