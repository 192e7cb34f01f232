//! The socket file. Its path may be longer than the 107 bytes a socket address holds: it is then reached through the
//! folder's descriptor.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

const NAME: &str = "admin.sock";

/// Opens the socket in a folder that this process has locked: a file from an earlier run is nobody's.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The folder is 0700, so nobody reaches the socket before its mode is set.
    let folder = File::open(data_dir)?;
    let listener = UnixListener::bind(through(&folder))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the process that serves the folder.
pub(super) async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let folder = File::open(data_dir)?;
    UnixStream::connect(through(&folder)).await
}

fn through(folder: &File) -> String {
    format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_paths_and_stale_files_are_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join(NAME), b"stale").unwrap();
        let _listener = bind(&deep).unwrap();
        connect(&deep).await.unwrap();
        assert_eq!(fs::metadata(deep.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
