//! What the figures were measured on, in words that name nobody's folders.

use anyhow::Result;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

/// Processor, memory, kernel and the data folder's file system, in one line.
pub(crate) fn describe(data_root: &Path) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpu, "model name").unwrap_or("unknown processor");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 =
        field(&memory, "MemTotal").and_then(|v| v.trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let file_system = file_system(rustix::fs::statfs(data_root)?.f_type.try_into().unwrap_or_default());
    let cores = available_parallelism()?;
    let gib = kib.div_ceil(1 << 20);
    Ok(format!("{model}, {cores} cores, {gib} GiB, Linux {}, {file_system}", kernel.trim()))
}

/// The commit that is checked out here, and whether files differ from it; `unknown` outside a repository.
pub(crate) fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} and changes not committed"),
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start().strip_prefix(':')?.trim())
}

fn file_system(magic: u64) -> String {
    match magic {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x794c_7630 => "overlayfs".to_owned(),
        other => format!("file system {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(field("a\t: 1\nmodel name\t: X 9\n", "model name"), Some("X 9"));
        assert_eq!(field("MemTotal:       16 kB\n", "MemTotal"), Some("16 kB"));
        assert_eq!(field("", "x"), None);
    }

    #[test]
    fn no_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = describe(folder.path()).unwrap();
        assert!(text.contains("cores") && !text.contains(folder.path().to_str().unwrap()), "{text}");
    }
}
