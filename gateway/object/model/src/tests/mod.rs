//! The model against a small world of maps, its bytes against golden ones, and its decoders against any bytes.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

mod accounts;
mod attributes;
mod blobs;
mod golden;
mod listing;
mod moving;
mod objects;
mod pair;
mod reference;
mod retire;
mod total;
mod uploads;
mod world;
