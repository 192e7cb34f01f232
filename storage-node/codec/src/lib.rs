//! Erasure coding and the checksums of stored bytes. Pure.
