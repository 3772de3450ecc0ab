//! What a launcher (mpirun, mpiexec, srun) left in the environment.
//!
//! Owns the names of launcher variables: to learn whether there is a launcher at all, and to take away from
//! tasks what was meant for their rank, so that a task may be an MPI program or call srun itself.
//! Which ones, and what happens otherwise, was measured with Open MPI 4.1, MPICH 4.0 and Slurm 22.05.

/// A launcher, as far as this program must tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Launcher {
    /// Open MPI's mpirun.
    OpenMpi,
    /// MPICH's mpiexec (hydra) and its relatives.
    Hydra,
    /// Slurm's srun.
    Srun,
}

/// How this process was launched, by the launcher's own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Launch {
    /// By which.
    pub launcher: Launcher,
    /// Rank of this process; 0 if not told.
    pub rank: u32,
    /// Ranks in all; 1 if not told.
    pub size: u32,
    /// Whether MPI can find the other ranks: srun started without PMI leaves every rank alone.
    pub has_pmi: bool,
}

impl Launch {
    /// How this very process was launched; `None` without a launcher.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Self::detect(|name| std::env::var(name).ok())
    }

    /// Reads the launcher's variables; `None` without a launcher. `get` looks a variable up.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |names: &[&str]| names.iter().find_map(|name| get(name)?.trim().parse::<u32>().ok());
        let ompi = number(&["OMPI_COMM_WORLD_SIZE"]);
        // A batch script has Slurm's variables too, but no step; salloc's shell likewise.
        let step = get("SLURM_STEP_ID").and_then(|id| id.trim().parse::<u32>().ok());
        let in_step = step.is_some_and(|id| id < SLURM_STEP_SPECIAL) && get("SLURM_PROCID").is_some();
        if let Some(size) = ompi {
            let rank = number(&["OMPI_COMM_WORLD_RANK", "PMIX_RANK"]).unwrap_or(0);
            // Open MPI sets its own variables under srun as well, but only after MPI_Init.
            Some(Self { launcher: Launcher::OpenMpi, rank, size, has_pmi: true })
        } else if let (Some(size), Some(rank)) = (number(&["PMI_SIZE"]), number(&["PMI_RANK"])) {
            let launcher = if in_step && get("HYDI_CONTROL_FD").is_none() { Launcher::Srun } else { Launcher::Hydra };
            Some(Self { launcher, rank, size, has_pmi: true })
        } else if in_step {
            let size = number(&["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]).unwrap_or(1);
            let has_pmi = PMI_SIGNS.iter().any(|name| get(name).is_some_and(|value| value != "none"));
            Some(Self { launcher: Launcher::Srun, rank: number(&["SLURM_PROCID"]).unwrap_or(0), size, has_pmi })
        } else {
            None
        }
    }

    /// What the user can do when every process of this launcher believes to be alone: it is the launcher of
    /// another MPI than the program was built with, or srun was not told which.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self.launcher {
            Launcher::OpenMpi => {
                "start it with the mpirun of the MPI that it was built with (taskfarmer-mpi --version names it)"
            }
            Launcher::Hydra => {
                "start it with the mpiexec of the MPI that it was built with (taskfarmer-mpi --version names it)"
            }
            Launcher::Srun => {
                "use srun --mpi=pmix for Open MPI, srun --mpi=pmi2 for MPICH (srun --mpi=list shows what there is)"
            }
        }
    }
}

/// Where a rank stands among the ranks of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodePlace {
    /// Its number on the node, from 0.
    pub rank: u32,
    /// How many ranks the node has, at least 1.
    pub ranks: u32,
}

impl NodePlace {
    /// Reads the launcher's variables; a rank of which nothing is told is alone. `get` looks a variable up.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| get(name)?.trim().parse::<u32>().ok();
        let slurm = || {
            let node = number("SLURM_NODEID")?;
            let counts = get("SLURM_STEP_TASKS_PER_NODE").or_else(|| get("SLURM_TASKS_PER_NODE"))?;
            Some((number("SLURM_LOCALID")?, tasks_of_node(&counts, node)?))
        };
        let (rank, ranks) = number("OMPI_COMM_WORLD_LOCAL_RANK")
            .zip(number("OMPI_COMM_WORLD_LOCAL_SIZE"))
            .or_else(|| number("MPI_LOCALRANKID").zip(number("MPI_LOCALNRANKS")))
            .or_else(slurm)
            .filter(|(rank, ranks)| rank < ranks)
            .unwrap_or((0, 1));
        Self { rank, ranks }
    }

    /// The place among the others where the first rank of the node, rank 0 of all, leaves its CPUs to them.
    #[must_use]
    pub fn without_first(self) -> Self {
        if self.ranks == 1 { self } else { Self { rank: self.rank.saturating_sub(1), ranks: self.ranks - 1 } }
    }
}

/// Slurm's short form: `2(x3),1` are three nodes with two tasks and one with one.
fn tasks_of_node(counts: &str, node: u32) -> Option<u32> {
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

/// Variables of the process managers that srun's plug-ins provide (PMI-1 and PMI-2, PMIx, Cray's), and the name that
/// Slurm gives to the plug-in. Without one, none of them is set.
const PMI_SIGNS: [&str; 8] = [
    "SLURM_MPI_TYPE",
    "PMI_FD",
    "PMI_RANK",
    "PMI_CONTROL_PORT",
    "PMIX_RANK",
    "PMIX_NAMESPACE",
    "ALPS_APP_PE",
    "PALS_RANKID",
];

/// Slurm numbers batch scripts and other special steps from here on.
const SLURM_STEP_SPECIAL: u32 = 0xffff_fff0;

/// Whether a variable was meant for this rank alone and would mislead a task.
#[must_use]
pub fn is_per_rank(name: &[u8]) -> bool {
    const PREFIXES: [&str; 17] = [
        "PMIX_",
        "PMI_",
        "PMI2_",
        "ORTE_",
        "HYD_",
        "HYDI_",
        "HYDRA_",
        "SLURM_STEP",
        "SLURM_SRUN_",
        "SLURM_LAUNCH",
        "SLURM_PMI",
        "OMPI_COMM_WORLD_",
        "OMPI_UNIVERSE_",
        "OMPI_MCA_ess",
        "OMPI_MCA_orte_",
        "OMPI_MCA_pmix",
        "OPAL_",
    ];
    const NAMES: [&str; 30] = [
        "OMPI_APP_CTX_NUM_PROCS",
        "OMPI_ARGV",
        "OMPI_COMMAND",
        "OMPI_FILE_LOCATION",
        "OMPI_FIRST_RANKS",
        "OMPI_NUM_APP_CTX",
        "OMPI_VERSION",
        "OMPI_MCA_initial_wdir",
        "OMPI_MCA_mpi_oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe",
        "OMPI_MCA_shmem_RUNTIME_QUERY_hint",
        "OMPI_MCA_hwloc_base_binding_policy",
        "MPI_LOCALRANKID",
        "MPI_LOCALNRANKS",
        "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
        "GFORTRAN_UNBUFFERED_PRECONNECTED",
        "SRUN_DEBUG",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_GTIDS",
        "SLURM_TASK_PID",
        "SLURM_MPI_TYPE",
        "SLURM_JOBID",
        "SLURM_NODELIST",
        "SLURM_NNODES",
        "SLURM_NTASKS",
        "SLURM_NPROCS",
        "SLURM_TASKS_PER_NODE",
        "OMPI_MCA_mca_base_component_path",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || NAMES.iter().any(|known| name == known.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Promise 5: whatever stands in a launcher's variables, the answer is a launch or none, and a place that there is.
        #[test]
        fn any_values_are_read(
            values in prop::collection::vec("[0-9]{1,2}|[0-9 -]{0,11}|[0-9]{0,3}(\\(x[0-9]{0,10}\\))?(,[0-9]?(\\(x?[0-9]?\\))?){0,3}|\\PC*", 12),
            present: [bool; 12],
        ) {
            let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_ID", "SLURM_PROCID", "PMI_RANK", "SLURM_NODEID",
                "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS",
                "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"];
            let get = |name: &str| {
                let index = names.iter().position(|known| *known == name).filter(|&index| present[index])?;
                Some(values[index].clone())
            };
            let launch = Launch::detect(get);
            prop_assert!(launch.is_none() || present[..4].iter().any(|&present| present));
            let place = NodePlace::detect(get);
            prop_assert!(place.rank < place.ranks);
            let others = place.without_first();
            prop_assert!(others.rank < others.ranks && others.ranks <= place.ranks);
        }
    }

    fn detect(variables: &[(&str, &str)]) -> Option<Launch> {
        Launch::detect(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    /// A laptop, a login node and a batch script without srun do not start MPI.
    #[test]
    fn no_launcher_is_seen_where_there_is_none() {
        assert_eq!(detect(&[]), None);
        let batch = [("SLURM_JOB_ID", "5"), ("SLURM_NTASKS", "64"), ("SLURM_PROCID", "0")];
        assert_eq!(detect(&batch), None);
        assert_eq!(detect(&[("SLURM_STEP_ID", "4294967291"), ("SLURM_PROCID", "0")]), None);
    }

    /// Each launcher is told by what it sets; nonsense is no panic.
    #[test]
    fn launchers_are_told_apart() {
        let ompi = detect(&[("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")]).unwrap();
        assert_eq!(ompi, Launch { launcher: Launcher::OpenMpi, rank: 3, size: 4, has_pmi: true });
        let hydra = [
            ("PMI_SIZE", "2"),
            ("PMI_RANK", "1"),
            ("HYDI_CONTROL_FD", "7"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "0"),
        ];
        assert_eq!(detect(&hydra).unwrap().launcher, Launcher::Hydra);
        assert_eq!(detect(&hydra[..2]).unwrap().launcher, Launcher::Hydra);
        let srun =
            [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "9"), ("SLURM_STEP_NUM_TASKS", "64"), ("SLURM_NTASKS", "1")];
        assert_eq!(detect(&srun), Some(Launch { launcher: Launcher::Srun, rank: 9, size: 64, has_pmi: false }));
        let pmi2 = [&srun[..], &[("PMI_RANK", "9"), ("PMI_SIZE", "64")]].concat();
        assert_eq!(detect(&pmi2).unwrap(), Launch { launcher: Launcher::Srun, rank: 9, size: 64, has_pmi: true });
        let pmix = [&srun[..], &[("PMIX_RANK", "9")]].concat();
        assert!(detect(&pmix).unwrap().has_pmi);
        assert_eq!(detect(&[("OMPI_COMM_WORLD_SIZE", "many")]), None);
    }

    /// Ranks of one node share its CPUs; each launcher tells them in its own way.
    #[test]
    fn the_place_on_the_node_is_read() {
        let place = |variables: &[(&str, &str)]| {
            NodePlace::detect(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(place(&[]), NodePlace { rank: 0, ranks: 1 });
        let ompi = [("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "4")];
        assert_eq!(place(&ompi), NodePlace { rank: 1, ranks: 4 });
        assert_eq!(place(&[("MPI_LOCALRANKID", "0"), ("MPI_LOCALNRANKS", "2")]), NodePlace { rank: 0, ranks: 2 });
        let slurm = [("SLURM_NODEID", "3"), ("SLURM_LOCALID", "0"), ("SLURM_STEP_TASKS_PER_NODE", "2(x3),1")];
        assert_eq!(place(&slurm), NodePlace { rank: 0, ranks: 1 });
        assert_eq!(place(&ompi).without_first(), NodePlace { rank: 0, ranks: 3 });
        assert_eq!(tasks_of_node("2(x3),1", 2), Some(2));
        for bad in ["", "2(x", "2(x3", "(x1)", "2(x99999999999)", "-"] {
            assert_eq!(tasks_of_node(bad, 0), None, "{bad}");
        }
        assert_eq!(place(&[("MPI_LOCALRANKID", "7"), ("MPI_LOCALNRANKS", "2")]), NodePlace { rank: 0, ranks: 1 });
    }

    /// Tasks keep the user's own settings and the job's, and lose the rank's.
    #[test]
    fn only_what_belongs_to_the_rank_is_taken_away() {
        for name in
            ["PMI_RANK", "PMIX_NAMESPACE", "OMPI_COMM_WORLD_RANK", "SLURM_STEP_ID", "SLURM_PROCID", "HYDI_CONTROL_FD"]
        {
            assert!(is_per_rank(name.as_bytes()), "{name}");
        }
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_MCA_btl", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "PATH", "PMIXTURE"]
        {
            assert!(!is_per_rank(name.as_bytes()), "{name}");
        }
    }
}
