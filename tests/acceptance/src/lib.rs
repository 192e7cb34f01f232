//! Tests of the built binary with real clients.
