//! The CPUs that tasks may use.
//!
//! Owns counting them and undoing the binding of a launcher. docs/guide.md tells users how many slots that makes.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that this process may run on, limited by the batch system's `SLURM_CPUS_PER_TASK` and by a quota of its
/// control group; at least 1.
#[must_use]
pub fn usable() -> u32 {
    let affinity = sched_getaffinity(Pid::from_raw(0)).map_or(1, |set| {
        let bound = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).count();
        u32::try_from(bound).unwrap_or(u32::MAX)
    });
    let slurm = std::env::var("SLURM_CPUS_PER_TASK").ok().and_then(|text| text.parse::<u32>().ok());
    // The standard library knows control group quotas (versions 1 and 2) and rounds them down to whole CPUs.
    let quota = std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
    [slurm, quota].into_iter().flatten().filter(|&limit| limit > 0).fold(affinity, u32::min).max(1)
}

/// Takes back the one core that Open MPI's mpirun binds a rank to: the kernel limits the request to the CPUs of
/// the job. A refusal leaves things as they are.
pub fn unbind() {
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        if all.set(cpu).is_err() {
            return;
        }
    }
    if let Err(error) = sched_setaffinity(Pid::from_raw(0), &all) {
        log::debug!("cannot widen the CPUs of tasks: {error}");
    }
}
