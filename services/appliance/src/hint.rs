//! What to do about an error of the operating system: its words say what is wrong, seldom what helps.

use ringfort_http::ServerError;
use std::io::ErrorKind;

/// What helps against `error`, if its cause is known.
pub(crate) fn of(error: &anyhow::Error) -> Option<&'static str> {
    let port = error.chain().any(|cause| cause.is::<ServerError>());
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?.kind();
    Some(match (kind, port) {
        (ErrorKind::AddrInUse, true) => {
            "another program listens there: stop it, or give other ports with --port-base"
        }
        (ErrorKind::AddrNotAvailable, true) => {
            "this host has no such address: give one of its own with --bind"
        }
        (ErrorKind::PermissionDenied, true) => "ports below 1024 are root's: give others with --port-base",
        (ErrorKind::PermissionDenied, false) => {
            "run ringfort as the user that owns this path, or give this user access to it"
        }
        (ErrorKind::ReadOnlyFilesystem, false) => {
            "the file system is read-only: mount it writable, or give another path"
        }
        (ErrorKind::StorageFull, false) => "the disk is full: free some space, or give another path",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_found_down_the_chain() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let error = Err::<(), _>(full).context("cannot write /x").unwrap_err();
        assert!(of(&error).unwrap().contains("full"));
        assert!(of(&anyhow::anyhow!("no I/O")).is_none());
    }
}
