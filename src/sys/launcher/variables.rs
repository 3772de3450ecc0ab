//! Variables that a launcher sets for its ranks, and that would mislead a task.
//!
//! Owns their names. With these variables, a program in a task would act as a rank of the farm: an MPI program hangs or
//! dies, and `mpirun` or `srun` follows the farm's placement. Without a launcher, nothing is removed; with one, only
//! what that launcher sets. A variable that a user sets, such as OPAL_PREFIX or PMIX_MCA_gds, stays.
//!
//! The names were read from ranks of Open MPI 4.1 and 5.0, MPICH 4.0, 4.3 and 5.0, Intel MPI 2021.19 and Slurm 22.05;
//! those of jsrun, Flux, PALS and mpirun_rsh are from their documentation. Of the variables that srun itself reads, all
//! are removed that determine how large a step is, where it runs, and where its output goes: they are meant for the
//! farm's own step.

use super::Launch;

/// Names and prefixes of the variables that one launcher sets.
#[derive(Debug)]
struct Setter {
    /// If one of these is set, this launcher was used. Empty: applies under every launcher.
    signs: &'static [&'static str],
    prefixes: &'static [&'static str],
    names: &'static [&'static str],
}

/// Open MPI's mpirun, PMIx, PMI, mpirun_rsh, jsrun, Flux, Slurm.
const SETTERS: [Setter; 7] = [
    Setter {
        signs: &["OMPI_COMM_WORLD_SIZE"],
        prefixes: &["OMPI_COMM_WORLD_", "OMPI_UNIVERSE_", "OMPI_WORLD_", "OMPI_MCA_ess_base_", "OMPI_MCA_orte_ess_"],
        names: &[
            "OMPI_APP_CTX_NUM_PROCS",
            "OMPI_ARGV",
            "OMPI_COMMAND",
            "OMPI_FILE_LOCATION",
            "OMPI_FIRST_RANKS",
            "OMPI_LIBDIR_LOC",
            "OMPI_NUM_APP_CTX",
            "OMPI_TOOL_NAME",
            "OMPI_VERSION",
            "OMPI_MCA_PREFIXES",
            "OMPI_MCA_cpu_type",
            "OMPI_MCA_ess",
            "OMPI_MCA_hwloc_base_binding_policy",
            "OMPI_MCA_initial_wdir",
            "OMPI_MCA_mca_base_component_path",
            "OMPI_MCA_mpi_oversubscribe",
            "OMPI_MCA_num_procs",
            "OMPI_MCA_orte_app_num",
            "OMPI_MCA_orte_bound_at_launch",
            "OMPI_MCA_orte_hnp_uri",
            "OMPI_MCA_orte_jobfam_session_dir",
            "OMPI_MCA_orte_launch",
            "OMPI_MCA_orte_local_daemon_uri",
            "OMPI_MCA_orte_node_regex",
            "OMPI_MCA_orte_num_nodes",
            "OMPI_MCA_orte_precondition_transports",
            "OMPI_MCA_orte_tmpdir_base",
            "OMPI_MCA_orte_top_session_dir",
            "OMPI_MCA_pmix",
            "OMPI_MCA_rmaps_base_mapping_policy",
            "OMPI_MCA_rmaps_base_oversubscribe",
            "OMPI_MCA_shmem_RUNTIME_QUERY_hint",
            "OPAL_USER_PARAMS_GIVEN",
            "PRTE_LAUNCHED",
            "PRTE_SHARED_FS",
            "HFI_NO_BACKTRACE",
            "IPATH_NO_BACKTRACE",
        ],
    },
    Setter {
        signs: &["PMIX_NAMESPACE"],
        prefixes: &["PMIX_SERVER_", "PMIX_DSTORE_"],
        names: &[
            "ORTE_SCHIZO_DETECTION",
            "PMIX_BFROP_BUFFER_TYPE",
            "PMIX_GDS_MODULE",
            "PMIX_HOSTNAME",
            "PMIX_ID",
            "PMIX_INSTALL_PREFIX",
            "PMIX_KEEPALIVE_PIPE",
            "PMIX_MCA_mca_base_component_show_load_errors",
            "PMIX_NAMESPACE",
            "PMIX_PARAM_FILE_PASSED",
            "PMIX_PREFIX",
            "PMIX_PTL_MODULE",
            "PMIX_RANK",
            "PMIX_SECURITY_MODE",
            "PMIX_SYSTEM_TMPDIR",
            "PMIX_VERSION",
        ],
    },
    Setter {
        signs: &["PMI_RANK", "PMI_FD", "PMI_CONTROL_PORT", "PALS_RANKID"],
        prefixes: &["PALS_", "PMI2_", "HYDI_", "HYDRA_BSTRAP_", "I_MPI_INFO_", "I_MPI_INTERNAL_"],
        names: &[
            "PMI_APPNUM",
            "PMI_CONTROL_PORT",
            "PMI_FD",
            "PMI_HOSTNAME",
            "PMI_ID",
            "PMI_JOBID",
            "PMI_LOCAL_RANK",
            "PMI_LOCAL_SIZE",
            "PMI_PORT",
            "PMI_RANK",
            "PMI_SHARED_SECRET",
            "PMI_SIZE",
            "PMI_SPAWNED",
            "PMI_UNIVERSE_SIZE",
            "HYDRA_IP_VERSION",
            "HYDRA_LAUNCH_TYPE",
            "I_MPI_BIND_WIN_ALLOCATE",
            "I_MPI_HYDRA_TOPOLIB",
            "I_MPI_HYDRA_UUID",
            "I_MPI_PIN_DOMAIN_SIZE",
            "I_MPI_PIN_INFO",
            "I_MPI_PIN_MAPPING",
            "I_MPI_RETURN_WIN_MEM_NUMA",
            "MPI_LOCALRANKID",
            "MPI_LOCALNRANKS",
            "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
            "GFORTRAN_UNBUFFERED_PRECONNECTED",
        ],
    },
    Setter {
        signs: &["MV2_COMM_WORLD_RANK", "MVP_COMM_WORLD_RANK"],
        prefixes: &["MV2_COMM_WORLD_", "MVP_COMM_WORLD_", "MPISPAWN_"],
        names: &["MPIRUN_ID", "MPIRUN_NPROCS", "MPIRUN_RANK", "MPIRUN_RSH_LAUNCH", "PMI_ID", "PMI_PORT"],
    },
    Setter { signs: &["JSM_NAMESPACE_RANK"], prefixes: &["JSM_NAMESPACE_"], names: &[] },
    Setter {
        signs: &["FLUX_TASK_RANK"],
        prefixes: &[],
        names: &["FLUX_JOB_NNODES", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", "FLUX_TASK_RANK"],
    },
    Setter {
        signs: &[],
        prefixes: &[
            "SLURM_BCAST",
            "SLURM_CPU_BIND",
            "SLURM_DIST",
            "SLURM_GPUS_PER_",
            "SLURM_GPU_BIND",
            "SLURM_LAUNCH",
            "SLURM_MEM_BIND",
            "SLURM_MEM_PER_",
            "SLURM_NTASKS",
            "SLURM_PMI",
            "SLURM_PTY_",
            "SLURM_SRUN_COMM_",
            "SLURM_STEP",
            "SLURM_TRES_",
        ],
        names: &[
            "SLURM_CPUS_PER_GPU",
            "SLURM_CPUS_PER_TASK",
            "SLURM_CPU_FREQ_REQ",
            "SLURM_EXACT",
            "SLURM_EXCLUSIVE",
            "SLURM_GPUS",
            "SLURM_GPU_FREQ",
            "SLURM_GRES",
            "SLURM_GRES_FLAGS",
            "SLURM_GTIDS",
            "SLURM_JOBID",
            "SLURM_LOCALID",
            "SLURM_MPI_TYPE",
            "SLURM_NNODES",
            "SLURM_NODEID",
            "SLURM_NODELIST",
            "SLURM_NPROCS",
            "SLURM_OVERCOMMIT",
            "SLURM_PROCID",
            "SLURM_REMOTE_CWD",
            "SLURM_SIGNAL",
            "SLURM_STDERRMODE",
            "SLURM_STDINMODE",
            "SLURM_STDOUTMODE",
            "SLURM_TASKS_PER_NODE",
            "SLURM_TASK_PID",
            "SLURM_WORKING_DIR",
            "SRUN_CPUS_PER_TASK",
            "SRUN_DEBUG",
            "SRUN_ERROR",
            "SRUN_INPUT",
            "SRUN_OUTPUT",
        ],
    },
];

/// The variables that launchers have set in one environment.
#[derive(Debug)]
pub(crate) struct Leftovers(Vec<&'static Setter>);

impl Leftovers {
    /// Detects which launchers were used. `get` looks a variable up.
    pub(crate) fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        if Launch::detect(&get).is_none() {
            return Self(Vec::new());
        }
        let was_at_work =
            |setter: &&Setter| setter.signs.is_empty() || setter.signs.iter().any(|sign| get(sign).is_some());
        Self(SETTERS.iter().filter(was_at_work).collect())
    }

    /// Whether a variable was meant only for this rank.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|setter| {
            setter.names.iter().any(|known| name == known.as_bytes())
                || setter.prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leftovers(variables: &[(&str, &str)]) -> Leftovers {
        Leftovers::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    /// A user's settings for a launcher's tools.
    const SETTINGS: [&str; 20] = [
        "OMPI_ALLOW_RUN_AS_ROOT",
        "OMPI_MCA_btl",
        "OMPI_MCA_orte_enable_recovery",
        "OMPI_MCA_pmix_base_verbose",
        "OPAL_PREFIX",
        "PMIX_MCA_gds",
        "PMIX_SYSTEM_SETTING",
        "PMI_MMAP_SYNC_WAIT_TIME",
        "PRTE_MCA_prte_silence_shared_fs",
        "HYDRA_HOST_FILE",
        "I_MPI_PIN_DOMAIN",
        "SLURM_JOB_ID",
        "SLURM_JOB_NODELIST",
        "SLURM_CPUS_ON_NODE",
        "SLURM_GPUS_ON_NODE",
        "SLURM_OVERLAP",
        "SLURM_SRUN_REDUCE_TASK_EXIT_MSG",
        "SLURMD_NODENAME",
        "FLUX_JOB_ID",
        "PATH",
    ];

    /// Tasks keep the user's variables and the job's, and lose the rank's.
    #[test]
    fn only_variables_of_the_launcher_are_removed() {
        let mpirun =
            leftovers(&[("OMPI_COMM_WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_RANK", "0"), ("PMIX_NAMESPACE", "x")]);
        let hydra = leftovers(&[("PMI_SIZE", "2"), ("PMI_RANK", "0")]);
        let srun = leftovers(&[("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2")]);
        let flux = leftovers(&[("FLUX_TASK_RANK", "0"), ("FLUX_JOB_SIZE", "2")]);
        let jsrun = leftovers(&[("JSM_NAMESPACE_RANK", "0"), ("JSM_NAMESPACE_SIZE", "2")]);
        let mpirun_rsh = leftovers(&[("MV2_COMM_WORLD_RANK", "0"), ("MV2_COMM_WORLD_SIZE", "2")]);
        let pals = leftovers(&[("PALS_RANKID", "0"), ("PALS_APID", "a")]);
        let prun = leftovers(&[("PMIX_RANK", "0"), ("PMIX_NAMESPACE", "prterun-a-1@1")]);
        for (launcher, theirs, others) in [
            (&mpirun, ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PRTE_LAUNCHED", "SLURM_STEP_ID"], "PMI_RANK"),
            (&hydra, ["PMI_FD", "HYDI_CONTROL_FD", "I_MPI_INFO_BRAND", "SLURM_PROCID"], "PMIX_RANK"),
            (&srun, ["SLURM_STEP_ID", "SLURM_GTIDS", "SRUN_DEBUG", "SLURM_CPU_BIND_LIST"], "PMI_RANK"),
            (&flux, ["FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID", "FLUX_JOB_SIZE", "FLUX_JOB_NNODES"], "FLUX_URI"),
            (
                &jsrun,
                ["JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK", "SLURM_PROCID"],
                "PMI_RANK",
            ),
            (&mpirun_rsh, ["MV2_COMM_WORLD_RANK", "MPISPAWN_NNODES", "PMI_ID", "MPIRUN_RANK"], "MV2_SMP_USE_CMA"),
            (&pals, ["PALS_RANKID", "PALS_LOCAL_RANKID", "PMI_RANK", "SLURM_PROCID"], "PMIX_RANK"),
            (&prun, ["PMIX_RANK", "PMIX_NAMESPACE", "PMIX_SERVER_URI4", "SLURM_PROCID"], "PMI_RANK"),
        ] {
            for name in theirs {
                assert!(launcher.contains(name.as_bytes()), "{name}");
            }
            assert!(!launcher.contains(others.as_bytes()), "{others}");
            for name in SETTINGS {
                assert!(!launcher.contains(name.as_bytes()), "{name}");
            }
        }
    }

    /// On a laptop or a login node or in a batch script, all variables are the user's or the job's.
    #[test]
    fn without_a_launcher_everything_stays() {
        let batch = leftovers(&[("SLURM_JOB_ID", "5"), ("SLURM_PROCID", "0"), ("PMIX_MCA_gds", "hash")]);
        for setter in &SETTERS {
            assert!(setter.names.iter().chain(setter.prefixes).all(|name| !batch.contains(name.as_bytes())));
        }
    }

    /// docs/tasklist.md lists them all, row by row.
    #[test]
    fn the_documentation_has_every_name() {
        const TITLES: [&str; 7] = [
            "Open MPI's `mpirun`",
            "PMIx, of `mpirun` or `srun --mpi=pmix`",
            "`mpiexec` of MPICH, Intel MPI and PALS, `srun --mpi=pmi2` and `cray_shasta`",
            "`mpirun_rsh` of MVAPICH",
            "IBM's `jsrun`",
            "`flux run`",
            "Slurm, if there is a launcher",
        ];
        let text = include_str!("../../../docs/tasklist.md");
        for (title, setter) in TITLES.iter().zip(&SETTERS) {
            let start = format!("| {title} |");
            let row = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {start}"));
            let named = row.split('`').skip(1).step_by(2).filter(|word| word.chars().any(|c| c.is_ascii_uppercase()));
            let mut named: Vec<String> = named.map(str::to_owned).collect();
            let prefixes = setter.prefixes.iter().map(|prefix| format!("{prefix}*"));
            let mut known: Vec<String> = prefixes.chain(setter.names.iter().map(|&name| name.to_owned())).collect();
            named.sort();
            known.sort();
            assert_eq!(named, known, "{title}");
        }
    }
    /// What srun reads in its environment, according to the manuals of Slurm 22.05 and 24.11.
    const READ_BY_SRUN: &str = "PMI_FANOUT PMI_FANOUT_OFF_HOST PMI_TIME SLURM_ACCOUNT SLURM_ACCTG_FREQ SLURM_BCAST \
        SLURM_BCAST_EXCLUDE SLURM_BURST_BUFFER SLURM_CLUSTERS SLURM_COMPRESS SLURM_CONF SLURM_CONSTRAINT \
        SLURM_CORE_SPEC SLURM_CPU_BIND SLURM_CPU_FREQ_REQ SLURM_CPUS_PER_GPU SLURM_CPUS_PER_TASK SRUN_CPUS_PER_TASK \
        SLURM_DEBUG SLURM_DEBUG_FLAGS SLURM_DELAY_BOOT SLURM_DEPENDENCY SLURM_DISABLE_STATUS SLURM_DIST_PLANESIZE \
        SLURM_DISTRIBUTION SLURM_EPILOG SLURM_EXACT SLURM_EXCLUSIVE SLURM_EXIT_ERROR SLURM_EXIT_IMMEDIATE \
        SLURM_EXPORT_ENV SLURM_GPU_BIND SLURM_GPU_FREQ SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK SLURM_GRES \
        SLURM_GRES_FLAGS SLURM_HINT SLURM_IMMEDIATE SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_NUM_NODES \
        SLURM_KILL_BAD_EXIT SLURM_LABELIO SLURM_MEM_BIND SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE \
        SLURM_MPI_TYPE SLURM_NETWORK SLURM_NNODES SLURM_NO_KILL SLURM_NPROCS SLURM_NTASKS SLURM_NTASKS_PER_CORE \
        SLURM_NTASKS_PER_GPU SLURM_NTASKS_PER_NODE SLURM_NTASKS_PER_SOCKET SLURM_OOMKILLSTEP SLURM_OPEN_MODE \
        SLURM_OVERCOMMIT SLURM_OVERLAP SLURM_PARTITION SLURM_PMI_KVS_NO_DUP_KEYS SLURM_POWER SLURM_PROFILE \
        SLURM_PROLOG SLURM_QOS SLURM_REMOTE_CWD SLURM_REQ_SWITCH SLURM_RESERVATION SLURM_RESV_PORTS SLURM_SEND_LIBS \
        SLURM_SIGNAL SLURM_SPREAD_JOB SLURM_SRUN_REDUCE_TASK_EXIT_MSG SLURM_STDERRMODE SLURM_STDINMODE \
        SLURM_STDOUTMODE SLURM_STEP_GRES SLURM_STEP_KILLED_MSG_NODE_ID SLURM_TASK_EPILOG SLURM_TASK_PROLOG \
        SLURM_TEST_EXEC SLURM_THREAD_SPEC SLURM_THREADS SLURM_THREADS_PER_CORE SLURM_TIMELIMIT SLURM_TRES_BIND \
        SLURM_TRES_PER_TASK SLURM_UMASK SLURM_UNBUFFEREDIO SLURM_USE_MIN_NODES SLURM_WAIT SLURM_WAIT4SWITCH \
        SLURM_WCKEY SLURM_WORKING_DIR SLURMD_DEBUG SRUN_CONTAINER SRUN_CONTAINER_ID SRUN_ERROR SRUN_EXPORT_ENV \
        SRUN_INPUT SRUN_OUTPUT SRUN_SEGMENT_SIZE";

    /// A task may start a job step: for each variable that its srun would read, docs/tasklist.md states correctly
    /// whether it is removed or kept.
    #[test]
    fn what_srun_reads_is_removed_or_kept_as_documented() {
        let srun = leftovers(&[("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2")]);
        let text = include_str!("../../../docs/tasklist.md");
        let rows = |word: &str| -> Vec<String> {
            let start = format!("| {word} |");
            let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            let names = text
                .lines()
                .filter(|line| line.starts_with(&start))
                .flat_map(|line| line.split('`').skip(1).step_by(2));
            names.filter(is_name).map(str::to_owned).collect()
        };
        let (mut removed, mut kept) = (rows("removed"), rows("kept"));
        let (mut gone, mut stays): (Vec<String>, Vec<String>) =
            READ_BY_SRUN.split_whitespace().map(str::to_owned).partition(|name| srun.contains(name.as_bytes()));
        for names in [&mut removed, &mut kept, &mut gone, &mut stays] {
            names.sort();
        }
        assert_eq!((removed, kept), (gone, stays));
    }
}
