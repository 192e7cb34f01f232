//! What a client may take.

use std::time::Duration;

/// Limits of one port. Every one of them is a promise that some client cannot make the process grow or wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more wait in the kernel's backlog until one closes.
    pub connections_max: usize,
    /// Bytes of request line and headers; more is answered 431.
    pub head_bytes_max: usize,
    /// Headers of a request; more are answered 431. More than 100 cost an allocation per request.
    pub headers_max: usize,
    /// Bytes of read buffer, and of write buffer, that a connection may hold.
    pub buffer_bytes_max: usize,
    /// Time from a head's first byte to its last, however slowly the bytes drip.
    pub head_timeout: Duration,
    /// Time a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Time a request may go without any byte moving while we wait for the client to send or to take one.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            head_bytes_max: 32 * 1024,
            headers_max: 100,
            buffer_bytes_max: 256 * 1024,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
        }
    }
}
