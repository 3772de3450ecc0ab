//! The name of this node.

use super::launcher::{Launch, Launcher};

/// Its host name; `unknown` if it cannot be read.
pub(crate) fn name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The name by which the batch system knows this node, for `srun --nodelist` in a task: under srun, Slurm provides it,
/// and it may differ from the host name. Elsewhere, Slurm's variable may name a different node: mpiexec gives all ranks
/// the variables of the first one.
pub(crate) fn node_name(launch: Option<Launch>) -> String {
    let is_srun = launch.is_some_and(|launch| launch.launcher == Launcher::Srun);
    let told = is_srun.then(|| std::env::var("SLURMD_NODENAME").ok()).flatten();
    told.filter(|name| !name.is_empty()).unwrap_or_else(name)
}
