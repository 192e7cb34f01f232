//! The gateway over a cluster in memory: who is let in, what is refused, what large objects and uploads come to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod bad_input;
mod client;
mod large;
mod metadata;
mod uploads;
