//! How much memory there is, for a cache that suits it.

use std::fs;
use std::path::Path;

/// A quarter of the memory, within 16 and 1024 MiB: less makes every read a disk read, more gains little because the
/// kernel caches the file as well. 64 where the memory is unknown.
pub(super) fn derived_cache_mb(memory_bytes: Option<u64>) -> u64 {
    memory_bytes.map_or(64, |bytes| (bytes / 4 / 1024 / 1024).clamp(16, 1024))
}

/// What this process may use: the limit of its cgroup, or else what the machine has.
pub(super) fn available_bytes() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let limit = smallest_limit(Path::new("/sys/fs/cgroup"), group);
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    limit.into_iter().chain(machine).min()
}

/// The smallest `memory.max` of a cgroup and those it lies in: any of them can stop the process. In a container the
/// group is the root, whose file is the container's limit; the real root has no such file.
fn smallest_limit(root: &Path, group: &str) -> Option<u64> {
    let limit =
        |group: &Path| fs::read_to_string(root.join(group).join("memory.max")).ok()?.trim().parse().ok();
    Path::new(group).ancestors().filter_map(limit).min()
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_a_quarter_of_the_memory_within_bounds() {
        let mib = |count: u64| Some(count * 1024 * 1024);
        for (memory, cache_mb) in [
            (mib(32), 16),
            (mib(64), 16),
            (mib(512), 128),
            (mib(4096), 1024),
            (mib(65_536), 1024),
            (None, 64),
        ] {
            assert_eq!(derived_cache_mb(memory), cache_mb, "{memory:?}");
        }
    }

    #[test]
    fn the_tightest_cgroup_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/coffer.service");
        fs::create_dir_all(&group).unwrap();
        assert_eq!(smallest_limit(root.path(), "system.slice/coffer.service"), None);

        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("system.slice/memory.max"), "536870912\n").unwrap();
        assert_eq!(smallest_limit(root.path(), "system.slice/coffer.service"), Some(536_870_912));

        fs::write(group.join("memory.max"), "268435456\n").unwrap();
        assert_eq!(smallest_limit(root.path(), "system.slice/coffer.service"), Some(268_435_456));
        assert_eq!(smallest_limit(root.path(), ""), None);
    }

    #[test]
    fn the_kernel_counts_memory_in_kib() {
        assert_eq!(total_bytes("MemTotal:       24683656 kB\nMemFree: 1 kB\n"), Some(24_683_656 * 1024));
        assert_eq!(total_bytes(""), None);
    }
}
