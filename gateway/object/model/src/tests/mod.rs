//! The model against a small world of maps, its bytes against golden ones, and its decoders against any bytes.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

mod golden;
mod reference;
mod total;
mod world;
