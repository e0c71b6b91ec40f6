//! What the process may use: descriptors (`RLIMIT_NOFILE`) and memory (cgroup, else RAM).

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Assumed if the machine does not say how much memory it has.
const SOME_MEMORY: u64 = 1 << 30;

/// Raises the limit of descriptors to the hard limit, and returns it.
pub(super) fn raise_descriptor_limit() -> usize {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            warn!(%error, "the limit of descriptors is unknown");
            return 1024;
        }
    };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            warn!(%error, soft, hard, "the limit of descriptors stays as it is");
            soft
        }
    };
    debug!(soft, hard, "descriptors");
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Descriptors that are open now.
pub(super) fn open_descriptors() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let of_runtimes = RUNTIME_DESCRIPTORS + cores * CORE_DESCRIPTORS;
    fs::read_dir("/proc/self/fd").map_or(of_runtimes, |open| open.count() + of_runtimes)
}

/// Those that the proxy needs and that are not open at its start.
const RUNTIME_DESCRIPTORS: usize = 16;

/// Those of the threads of one core: three runtimes with a poll, a waker and a signal pipe each, a handle of the
/// listening socket and a spare one.
const CORE_DESCRIPTORS: usize = 12;

/// Bytes that the process may use.
pub(super) fn memory() -> u64 {
    let ram = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total(&text))
        .unwrap_or(SOME_MEMORY);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter();
    let limits = limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.min().map_or(ram, |limit: u64| limit.min(ram))
}

/// `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Where the limits of a process may stand that `/proc/self/cgroup` describes so: those of its group and of each group
/// around it, of both versions. Inside of a container, its own group is the root.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        for around in group.ancestors() {
            files.push(Path::new(root).join(around).join(name));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_kinds_of_groups_are_looked_for() {
        let files = |text: &str| -> Vec<String> {
            let files = limit_files(text).into_iter();
            files.map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/system.slice/strangler.service\n"),
            [
                "/sys/fs/cgroup/system.slice/strangler.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            files("5:cpuset:/\n4:memory:/docker/7\n1:cpu,cpuacct:/\n"),
            [
                "/sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert_eq!(files("broken"), [""; 0]);
    }

    #[test]
    fn this_machine_has_some() {
        assert_eq!(
            total("MemTotal:       24683844 kB\nMemFree: 1 kB\n"),
            Some(24_683_844 * 1024)
        );
        assert!(memory() > 1 << 20);
        assert!(open_descriptors() > RUNTIME_DESCRIPTORS);
    }
}
