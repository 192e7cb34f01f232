//! The end of the serving process.
//!
//! RocksDB's own threads may still run when it comes: an index lives until the last task that held its device is gone, and
//! nobody waits for all of them. The C library's exit handlers would take static objects from under these threads, and the
//! process would now and then die of an abort after a clean stop. Everything that counts is synced by then, so the process
//! ends without them.

use std::io::Write;

/// Ends the process at once with `code`.
pub(crate) fn now(code: u8) -> ! {
    // Nothing is left to be done about a terminal that went away.
    let _ = (std::io::stdout().flush(), std::io::stderr().flush());
    #[allow(unsafe_code, reason = "exit without exit handlers is not in std; it touches no memory")]
    unsafe {
        libc::_exit(i32::from(code))
    }
}
