//! The CPUs that tasks of this rank may use.
//!
//! Owns the sharing of a node's CPUs among the ranks on it. Open MPI's mpirun binds each rank to a core, and tasks
//! would inherit that: eight tasks on one core. So its binding is taken back, and every rank of the node takes its
//! own share of what the job has. A binding by Slurm, or one that a user asked MPICH's mpiexec for, is kept.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::launcher::{Launcher, NodePlace};

/// Where Linux describes CPUs.
const TOPOLOGY: &str = "/sys/devices/system/cpu";

/// CPUs that this process may run on, limited by the batch system's `SLURM_CPUS_PER_TASK` and by a quota of its
/// control group; at least 1.
#[must_use]
pub fn usable() -> u32 {
    let bound = u32::try_from(affinity().len()).unwrap_or(u32::MAX);
    let slurm = std::env::var("SLURM_CPUS_PER_TASK").ok().and_then(|text| text.parse::<u32>().ok());
    // The standard library knows control group quotas (versions 1 and 2) and rounds them down to whole CPUs.
    let quota = std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
    [slurm, quota].into_iter().flatten().filter(|&limit| limit > 0).fold(bound, u32::min).max(1)
}

/// Gives this process, and the tasks that it will start, the CPUs that are this rank's: see the module. What was
/// done is logged; a refusal by the system leaves things as they are.
pub fn take_share(launcher: Option<Launcher>, place: NodePlace) {
    let before = affinity();
    // The kernel limits the request to what the job has.
    let all = if bind(0..CpuSet::count()) { affinity() } else { before.clone() };
    let launcher_binds = before != all && launcher != Some(Launcher::OpenMpi);
    let share = if launcher_binds { before.clone() } else { share_of(in_order(&all, Path::new(TOPOLOGY)), place) };
    if !bind(share.iter().copied()) {
        log::debug!("cannot set the CPUs of tasks");
    }
    let (now, all) = (affinity(), list(&all));
    let whose = match place.ranks {
        1 => String::new(),
        ranks => format!(", shared by {ranks} ranks"),
    };
    log::info!("tasks run on CPUs {} (launched on {}; the job has {all}{whose})", list(&now), list(&before));
}

fn affinity() -> Vec<usize> {
    sched_getaffinity(Pid::from_raw(0))
        .map_or(vec![], |set| (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

fn bind(cpus: impl IntoIterator<Item = usize>) -> bool {
    let mut set = CpuSet::new();
    cpus.into_iter().all(|cpu| set.set(cpu).is_ok()) && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// CPUs sorted so that those of one core, then of one socket, stand together: a cut between ranks splits neither
/// as long as it can be helped. Without a description the order of the numbers has to do.
fn in_order(cpus: &[usize], topology: &Path) -> Vec<usize> {
    let number = |cpu: usize, name: &str| -> u64 {
        let path = topology.join(format!("cpu{cpu}/topology/{name}"));
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    let mut keyed: Vec<_> =
        cpus.iter().map(|&cpu| (number(cpu, "physical_package_id"), number(cpu, "core_id"), cpu)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, cpu)| cpu).collect()
}

/// This rank's part of the node's CPUs; all of them where there are fewer CPUs than ranks.
fn share_of(cpus: Vec<usize>, place: NodePlace) -> Vec<usize> {
    let (ranks, rank) = (place.ranks.max(1) as usize, place.rank as usize);
    if cpus.len() < ranks || rank >= ranks {
        return cpus;
    }
    let cut = |rank: usize| rank * cpus.len() / ranks;
    cpus[cut(rank)..cut(rank + 1)].to_vec()
}

/// `0-3,8` for humans.
fn list(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let Some(&first) = rest.first() {
        let len = rest.iter().zip(first..).take_while(|(cpu, expected)| **cpu == *expected).count();
        let comma = if text.is_empty() { "" } else { "," };
        let range = if len > 1 { format!("{first}-{}", first + len - 1) } else { first.to_string() };
        write!(text, "{comma}{range}").expect("a String takes all");
        rest = &rest[len..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No CPU belongs to two ranks, and none is left over.
    #[test]
    fn ranks_of_a_node_share_its_cpus() {
        for ranks in 1..10 {
            let shares: Vec<_> = (0..ranks).map(|rank| share_of((0..8).collect(), NodePlace { rank, ranks })).collect();
            if ranks <= 8 {
                assert_eq!(shares.concat(), (0..8).collect::<Vec<_>>(), "{ranks} ranks");
                let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
                assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            } else {
                assert!(shares.iter().all(|share| share.len() == 8), "too many ranks share all");
            }
        }
    }

    /// Two threads of a core go to the same rank: Linux often numbers them far apart.
    #[test]
    fn a_core_is_not_split() {
        let folder = tempfile::tempdir().unwrap();
        for cpu in 0..8 {
            let topology = folder.path().join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("physical_package_id"), format!("{}\n", cpu / 2 % 2)).unwrap();
            fs::write(topology.join("core_id"), format!("{}\n", cpu % 2)).unwrap();
        }
        let order = in_order(&[0, 1, 2, 3, 4, 5, 6, 7], folder.path());
        assert_eq!(order, [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(in_order(&[3, 1], Path::new("/nowhere")), [1, 3]);
    }

    /// As taskset and Slurm write it.
    #[test]
    fn lists_are_short() {
        assert_eq!(list(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
        assert_eq!(list(&[]), "");
    }
}
