//! How much memory the tasks of this rank may use.
//!
//! Owns where limits are looked for: control groups (versions 1 and 2), Slurm's variables, and what is available on the
//! node. Never enforces anything.

use std::fs;
use std::path::Path;

use super::launcher::NodePlace;

/// This part of the memory is left to the farm and the system …
const RESERVE_PART: u64 = 50;

/// … but no more than this, in MiB.
const RESERVE_MAX_MIB: u64 = 1_024;

/// The memory of this rank, in MiB; 0 if nothing tells.
pub(crate) fn of_this_rank(place: NodePlace) -> u64 {
    let node = of_node(|name| std::env::var(name).ok(), Path::new("/"));
    (node - (node / RESERVE_PART).min(RESERVE_MAX_MIB)) / u64::from(place.ranks.max(1))
}

/// The smallest limit for all ranks of the node together, in MiB.
fn of_node(get: impl Fn(&str) -> Option<String>, root: &Path) -> u64 {
    let number = |name: &str| get(name)?.parse::<u64>().ok().filter(|&number| number > 0);
    // In MiB. --mem=0 asks for all memory, and Slurm then sets what the node has.
    let of_slurm = number("SLURM_MEM_PER_NODE");
    let per_cpu =
        number("SLURM_MEM_PER_CPU").zip(number("SLURM_CPUS_ON_NODE")).and_then(|(mib, cpus)| mib.checked_mul(cpus));
    let limits = [of_slurm, per_cpu, of_control_group(root), available(root)];
    limits.into_iter().flatten().min().unwrap_or(0)
}

fn available(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib >> 10)
}

/// The smallest limit of this process's control group and those above it.
fn of_control_group(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        // "" is version 2, which has one tree for all controllers.
        let (tree, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let tree = root.join(tree);
        let group = tree.join(path.trim_start_matches('/'));
        let groups = group.ancestors().take_while(|group| group.starts_with(&tree));
        groups.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok()).min()
    });
    // "max" is no number; version 1 writes a number near 2^63 instead, which no other limit exceeds.
    limits.min().map(|bytes| bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(variables: &[(&str, &str)], files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        of_node(get, root.path())
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:  4194304 kB\nMemAvailable:   2097152 kB\nBuffers: 1 kB\n");

    /// The smallest of all limits counts, wherever it is set.
    #[test]
    fn the_smallest_limit_counts() {
        assert_eq!(node(&[], &[]), 0, "nothing tells");
        assert_eq!(node(&[], &[MEMINFO]), 2_048);
        assert_eq!(node(&[("SLURM_MEM_PER_NODE", "1000")], &[MEMINFO]), 1_000);
        let per_cpu = [("SLURM_MEM_PER_CPU", "100"), ("SLURM_CPUS_ON_NODE", "4")];
        assert_eq!(node(&per_cpu, &[MEMINFO]), 400);
        assert_eq!(node(&[("SLURM_MEM_PER_NODE", "many")], &[MEMINFO]), 2_048);
    }

    /// A limit may be set on a group above the process's own.
    #[test]
    fn groups_above_count() {
        let group = ("proc/self/cgroup", "0::/slurm/job_1/step_0\n");
        let max = ("sys/fs/cgroup/slurm/job_1/step_0/memory.max", "max\n");
        let job = ("sys/fs/cgroup/slurm/job_1/memory.max", "1073741824\n");
        assert_eq!(node(&[], &[MEMINFO, group, max, job]), 1_024);
        assert_eq!(node(&[], &[MEMINFO, group, max]), 2_048);
        let old = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/slurm/job_1\n");
        let limit = ("sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes", "536870912\n");
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(node(&[], &[MEMINFO, old, limit, none]), 512);
        assert_eq!(node(&[], &[MEMINFO, old, none]), 2_048);
    }
}
