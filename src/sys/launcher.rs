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
            let has_pmi = PMI_SIGNS.iter().any(|name| get(name).is_some());
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

/// Variables of the process managers that srun's plug-ins provide: PMI-1 and PMI-2, PMIx, Cray's.
const PMI_SIGNS: [&str; 7] =
    ["PMI_FD", "PMI_RANK", "PMI_CONTROL_PORT", "PMIX_RANK", "PMIX_NAMESPACE", "ALPS_APP_PE", "PALS_RANKID"];

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
        /// Promise 5: whatever stands in a launcher's variables, the answer is a launch or none.
        #[test]
        fn any_values_are_read(values: [String; 4], present: [bool; 8]) {
            let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_ID", "SLURM_PROCID", "PMI_RANK", "PMIX_RANK",
                "SLURM_NTASKS", "HYDI_CONTROL_FD"];
            let _ = Launch::detect(|name| {
                let index = names.iter().position(|known| *known == name).filter(|&index| present[index])?;
                Some(values[index % values.len()].clone())
            });
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
