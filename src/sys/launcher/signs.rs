//! The variables with which launchers give a process its rank: one table, read by [`super::Launch`] and
//! [`super::NodePlace`].
//! Owns their names and what they mean in combination. A rank without a number of ranks, or without anything that
//! connects it to the others, is left over from a different program: it does not count as a launcher.

use super::{Launch, Launcher, NodePlace, Pmi};

/// What one launcher sets for each of its processes.
struct Signs {
    launcher: Launcher,
    /// The rank.
    rank: &'static str,
    /// The number of ranks; the first one that is set counts.
    sizes: &'static [&'static str],
    /// Rank on the node and number of ranks there.
    on_node: &'static [(&'static str, &'static str)],
    /// If not empty: one of these must be set as well.
    proof: &'static [&'static str],
    /// Whether a process without a number of ranks may still be one of several.
    may_not_tell_size: bool,
}

/// What most launchers do not have.
const NO_SIGNS: Signs =
    Signs { launcher: Launcher::Srun, rank: "", sizes: &[], on_node: &[], proof: &[], may_not_tell_size: false };

/// The order matters: launchers that also set the variables of others come first. The names are from the documentation
/// of jsrun, Flux, PALS, MVAPICH and Slurm, and from ranks of the other launchers.
const TABLE: [Signs; 10] = [
    Signs {
        launcher: Launcher::Jsrun,
        rank: "JSM_NAMESPACE_RANK",
        sizes: &["JSM_NAMESPACE_SIZE"],
        on_node: &[("JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_LOCAL_SIZE")],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::OpenMpi,
        rank: "OMPI_COMM_WORLD_RANK",
        sizes: &["OMPI_COMM_WORLD_SIZE"],
        on_node: &[("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::Hydra,
        rank: "PMI_RANK",
        sizes: &["PMI_SIZE"],
        on_node: &[("MPI_LOCALRANKID", "MPI_LOCALNRANKS")],
        proof: &["HYDI_CONTROL_FD"],
        ..NO_SIGNS
    },
    Signs { launcher: Launcher::Flux, rank: "FLUX_TASK_RANK", sizes: &["FLUX_JOB_SIZE"], ..NO_SIGNS },
    Signs {
        launcher: Launcher::Pals,
        rank: "PALS_RANKID",
        sizes: &["PMI_SIZE"],
        on_node: &[("PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE")],
        proof: &["PALS_APID"],
        may_not_tell_size: true,
    },
    Signs {
        launcher: Launcher::MpirunRsh,
        rank: "MV2_COMM_WORLD_RANK",
        sizes: &["MV2_COMM_WORLD_SIZE"],
        on_node: &[("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE")],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::MpirunRsh,
        rank: "MVP_COMM_WORLD_RANK",
        sizes: &["MVP_COMM_WORLD_SIZE"],
        on_node: &[("MVP_COMM_WORLD_LOCAL_RANK", "MVP_COMM_WORLD_LOCAL_SIZE")],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::Srun,
        rank: "SLURM_PROCID",
        sizes: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
        proof: &["SLURM_STEP_ID"],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::Hydra,
        rank: "PMI_RANK",
        sizes: &["PMI_SIZE"],
        on_node: &[("MPI_LOCALRANKID", "MPI_LOCALNRANKS"), ("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE")],
        ..NO_SIGNS
    },
    Signs {
        launcher: Launcher::Prun,
        rank: "PMIX_RANK",
        proof: &["PMIX_NAMESPACE"],
        may_not_tell_size: true,
        ..NO_SIGNS
    },
];

/// The variables that show that a process can find the other ranks by PMIx; by PMI-1, PMI-2 or a relative; and the name
/// that Slurm gives to its plug-in, which provides any of them.
const PMIX: [&str; 2] = ["PMIX_NAMESPACE", "PMIX_RANK"];
/// Where PMIx's server is, for versions 2 to 5. Without one of these, Open MPI 5 crashes.
const PMIX_SERVER: [&str; 7] = [
    "PMIX_SERVER_TMPDIR",
    "PMIX_SERVER_URI",
    "PMIX_SERVER_URI2",
    "PMIX_SERVER_URI21",
    "PMIX_SERVER_URI3",
    "PMIX_SERVER_URI4",
    "PMIX_SERVER_URI41",
];
const PMI: [&str; 2] = ["PMI_FD", "PMI_PORT"];
const OTHER: [&str; 4] = ["PMI_CONTROL_PORT", "ALPS_APP_PE", "PALS_APID", "SLURM_MPI_TYPE"];

/// The first step ID that Slurm uses for batch scripts and other special steps.
const SLURM_STEP_SPECIAL: u32 = 0xffff_fff0;

impl Launch {
    /// How a process with these variables was launched; `None` without a launcher. `get` looks a variable up.
    ///
    /// Launchers may be nested, such as `mpirun` in the shell of a job step, and nothing shows which one is the inner one.
    /// A launcher of several processes takes precedence over one of a single process: otherwise, each of the several would
    /// run a farm of its own.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let mut found: Vec<Self> = TABLE.iter().filter_map(|signs| signs.read(&get)).collect();
        let sets_pmix = |launch: &Self| {
            matches!(launch.launcher, Launcher::Jsrun | Launcher::OpenMpi | Launcher::Flux | Launcher::Pals)
        };
        if found.iter().any(sets_pmix) || get("PMIX_NAMESPACE").is_some_and(|name| name.starts_with("slurm.")) {
            found.retain(|launch| launch.launcher != Launcher::Prun);
        }
        found.iter().find(|launch| launch.size != Some(1)).or(found.first()).copied()
    }
}

/// The place of a rank of this launcher on its node; `None` if its variables do not give it.
pub(super) fn place(launcher: Launcher, get: &impl Fn(&str) -> Option<String>) -> Option<NodePlace> {
    let rows = TABLE.iter().filter(|signs| signs.launcher == launcher);
    let told = rows
        .flat_map(|signs| signs.on_node)
        .find_map(|(rank, ranks)| Some(NodePlace { rank: number(get, rank)?, ranks: number(get, ranks)? }));
    match launcher {
        Launcher::Flux => flux_place(get),
        // Open MPI sets its own variables under srun as well, but not all of them.
        Launcher::Srun | Launcher::OpenMpi => told.or_else(|| slurm_place(get)),
        _ => told,
    }
}

impl Signs {
    fn read(&self, get: &impl Fn(&str) -> Option<String>) -> Option<Launch> {
        let rank = number(get, self.rank)?;
        let size = self.sizes.iter().find_map(|name| number(get, name));
        let is_proven = self.proof.is_empty() || self.proof.iter().any(|name| get(name).is_some());
        let is_here = self.launcher != Launcher::Srun || is_in_step(get) && !is_of_another_pmi(get, rank, size);
        let is_whole = size.is_some() || self.may_not_tell_size;
        (is_proven && is_here && is_whole).then(|| Launch {
            launcher: self.launcher,
            rank,
            size,
            pmi: pmi(self.launcher, get),
        })
    }
}

fn number(get: &impl Fn(&str) -> Option<String>, name: &str) -> Option<u32> {
    get(name)?.trim().parse().ok()
}

/// Whether this is a job step: a batch script has Slurm's variables too, but no step; salloc's shell likewise.
fn is_in_step(get: &impl Fn(&str) -> Option<String>) -> bool {
    number(get, "SLURM_STEP_ID").is_some_and(|id| id < SLURM_STEP_SPECIAL)
}

/// Whether PMI's variables are not srun's: mpiexec starts its helpers on other nodes as a job step, so ranks have the
/// variables of the step, which has one process per node, in addition to their own.
fn is_of_another_pmi(get: &impl Fn(&str) -> Option<String>, rank: u32, size: Option<u32>) -> bool {
    number(get, "PMI_RANK").zip(number(get, "PMI_SIZE")).is_some_and(|pmi| Some(pmi) != size.map(|size| (rank, size)))
}

/// How ranks of this launcher find each other.
fn pmi(launcher: Launcher, get: &impl Fn(&str) -> Option<String>) -> Pmi {
    let has = |names: &[&str]| names.iter().any(|name| get(name).is_some_and(|value| value != "none"));
    match launcher {
        Launcher::Prun if has(&PMIX_SERVER) => Pmi::Pmix,
        Launcher::OpenMpi if has(&PMIX) => Pmi::Pmix,
        Launcher::OpenMpi | Launcher::Prun => Pmi::Missing,
        Launcher::Hydra if has(&PMI) => Pmi::Classic,
        Launcher::Hydra if has(&PMIX) => Pmi::Pmix,
        Launcher::Hydra if has(&OTHER) => Pmi::Other,
        Launcher::Hydra => Pmi::Missing,
        Launcher::Srun if has(&["PMI_RANK"]) && has(&["PMI_SIZE"]) => Pmi::Classic,
        Launcher::Srun if has(&PMIX) => Pmi::Pmix,
        Launcher::Srun if has(&PMI) || has(&["PMI_RANK"]) || has(&OTHER) => Pmi::Other,
        Launcher::Srun => Pmi::Missing,
        Launcher::Jsrun | Launcher::Flux | Launcher::Pals | Launcher::MpirunRsh => Pmi::Other,
    }
}

fn slurm_place(get: &impl Fn(&str) -> Option<String>) -> Option<NodePlace> {
    if !is_in_step(get) {
        return None;
    }
    let counts = get("SLURM_STEP_TASKS_PER_NODE").or_else(|| get("SLURM_TASKS_PER_NODE"))?;
    let ranks = count_of_node(&counts, number(get, "SLURM_NODEID")?)?;
    Some(NodePlace { rank: number(get, "SLURM_LOCALID")?, ranks })
}

/// Flux's variables give the number of ranks on a node only if it is the same on all nodes.
fn flux_place(get: &impl Fn(&str) -> Option<String>) -> Option<NodePlace> {
    let (ranks, nodes) = (number(get, "FLUX_JOB_SIZE")?, number(get, "FLUX_JOB_NNODES").filter(|&nodes| nodes > 0)?);
    let rank = number(get, "FLUX_TASK_LOCAL_ID")?;
    (ranks % nodes == 0).then_some(NodePlace { rank, ranks: ranks / nodes })
}

/// Slurm's short form: `2(x3),1` are three nodes with two tasks (or CPUs) and one with one.
pub(super) fn count_of_node(counts: &str, node: u32) -> Option<u32> {
    let mut before: u32 = 0;
    for part in counts.split(',') {
        let (count, times) = match part.trim().strip_suffix(')').and_then(|part| part.split_once("(x")) {
            Some((count, times)) => (count, times.parse().ok()?),
            None => (part.trim(), 1_u32),
        };
        before = before.saturating_add(times);
        if node < before {
            return count.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;
