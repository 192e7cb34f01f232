//! CPU and memory of the server, from `/proc`.

use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs;

/// `USER_HZ`, the unit of CPU times in `/proc`: part of Linux's ABI, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// The server: processes and all that descend from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(pub(crate) Vec<u32>);

/// Memory in bytes, summed over the server's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The sum of each process's peak.
    pub(crate) peak: u64,
}

impl Watched {
    /// CPU seconds the server has used so far, in user and kernel mode; `None` if nothing is watched.
    ///
    /// Children that have ended count where their parent has waited for them.
    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut ticks = 0;
        for stat in self.tree()? {
            ticks += stat.ticks;
        }
        #[expect(clippy::cast_precision_loss, reason = "centuries of CPU time are exact")]
        Ok(Some(ticks as f64 / TICKS_PER_SECOND))
    }

    /// Memory of the server's processes; `None` if nothing is watched.
    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut memory = Memory::default();
        for stat in self.tree()? {
            // A child may end meanwhile; it then uses nothing.
            let status = fs::read_to_string(format!("/proc/{}/status", stat.pid)).unwrap_or_default();
            memory.resident += status_bytes(&status, "VmRSS:");
            memory.peak += status_bytes(&status, "VmHWM:");
        }
        Ok(Some(memory))
    }

    fn tree(&self) -> Result<Vec<Stat>> {
        for pid in &self.0 {
            Stat::of(*pid).with_context(|| format!("the server's process {pid} is not there"))?;
        }
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            all.extend(pid.and_then(Stat::of));
        }
        let mut members: HashSet<u32> = self.0.iter().copied().collect();
        // Parents need not come before their children, so look until nothing is found.
        while all
            .iter()
            .filter(|stat| members.contains(&stat.parent))
            .any(|stat| !members.contains(&stat.pid))
        {
            members.extend(
                all.iter().filter(|stat| members.contains(&stat.parent)).map(|s| s.pid).collect::<Vec<_>>(),
            );
        }
        all.retain(|stat| members.contains(&stat.pid));
        Ok(all)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (name) state ppid ...`, where the name may hold anything; utime, stime, cutime and cstime are the fields
    /// 14 to 17.
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(") ")?;
        let pid = head.split_once(' ')?.0.parse().ok()?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        let mut ticks = 0;
        for field in fields.get(11..15)? {
            ticks += field.parse::<u64>().ok()?;
        }
        Some(Self { pid, parent, ticks })
    }
}

fn status_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let line =
            "17 (a) b (c) S 5 17 17 0 -1 4194560 9 0 0 0 100 20 3 4 20 0 1 0 12 1000 5 18446744073709551615";
        assert_eq!(Stat::parse(line), Some(Stat { pid: 17, parent: 5, ticks: 127 }));
        assert_eq!(Stat::parse("17 (x) S"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let watched = Watched(vec![std::process::id()]);
        let memory = watched.memory().unwrap().unwrap();
        assert!(memory.resident > 100_000 && memory.peak >= memory.resident / 2);
        assert!(watched.cpu_seconds().unwrap().is_some());
        assert_eq!(Watched::default().cpu_seconds().unwrap(), None);
        assert!(Watched(vec![u32::MAX]).cpu_seconds().is_err());
    }
}
