//! The S3 dialect as a client meets it: signed requests through the whole gateway, over a cluster in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod bad_input;
mod client;
mod conditions;
mod forms;
mod matrix;
mod multipart;
mod requests;
mod settings;
mod signatures;
mod unset;
mod uploads;
