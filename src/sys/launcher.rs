//! What a launcher (mpirun, mpiexec, srun) left in the environment.
//!
//! Owns what that shows: whether there is a launcher at all, whether it works with the MPI library, and the rank and
//! its place on the node. `signs` is the table of what each launcher sets. [`variables`] removes from the environment of
//! tasks what was meant for their rank. [`allocation`] knows what a farm without a launcher leaves unused.

pub(crate) mod allocation;
mod signs;
pub(crate) mod variables;

use std::time::Duration;

use super::library::{Family, Library};

/// A launcher, as far as this program must distinguish them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Launcher {
    /// Open MPI's mpirun.
    OpenMpi,
    /// MPICH's mpiexec (hydra) and its relatives.
    Hydra,
    /// Slurm's srun.
    Srun,
    /// IBM's jsrun.
    Jsrun,
    /// `flux run` and `flux submit`.
    Flux,
    /// Cray's PALS, whose launchers are called mpiexec and aprun.
    Pals,
    /// MVAPICH's mpirun_rsh.
    MpirunRsh,
    /// PRRTE's prun and prterun, of which mpirun of Open MPI 5 is a part, and others that set nothing but PMIx's
    /// variables.
    Prun,
}

impl Launcher {
    /// The command that a user types.
    pub fn command(self) -> &'static str {
        match self {
            Self::OpenMpi => "mpirun",
            Self::Hydra | Self::Pals => "mpiexec",
            Self::Srun => "srun",
            Self::Jsrun => "jsrun",
            Self::Flux => "flux run",
            Self::MpirunRsh => "mpirun_rsh",
            Self::Prun => "prun",
        }
    }
}

/// The process manager interface by which MPI finds the other ranks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pmi {
    /// None: ranks do not find each other. Under srun, the program was started without one; elsewhere, the launcher's
    /// variables are left over from a different program.
    Missing,
    /// PMI-1 or PMI-2, MPICH's.
    Classic,
    /// PMIx, Open MPI's.
    Pmix,
    /// A different one, such as Cray's.
    Other,
}

/// How this process was launched, according to the launcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The launcher.
    pub launcher: Launcher,
    /// Rank of this process; 0 if unknown.
    pub rank: u32,
    /// Total number of ranks, if known.
    pub size: Option<u32>,
    /// How MPI finds the other ranks.
    pub pmi: Pmi,
}

impl Launch {
    /// How this process was launched; `None` without a launcher.
    pub fn of_this_process() -> Option<Self> {
        let launch = Self::detect(|name| std::env::var(name).ok())?;
        // mpiexec's ranks inherit their connection. A program that starts others, such as a farmer, closes it for them.
        let fd = std::env::var(PMI_FD).ok().and_then(|fd| fd.parse().ok());
        let is_closed = launch.launcher == Launcher::Hydra && fd.is_some_and(|fd| !is_open(fd));
        Some(if is_closed { Self { pmi: Pmi::Missing, ..launch } } else { launch })
    }

    /// Whether these variables are complete, but nothing connects this process to a launcher: they are left over from a
    /// different program, and there is no rank 0 that could report this for all.
    pub fn is_left_over(&self) -> bool {
        self.pmi == Pmi::Missing && self.launcher != Launcher::Srun
    }

    /// Whether there may be ranks besides this one.
    pub fn may_have_others(&self) -> bool {
        self.size != Some(1)
    }

    /// How long this launcher, when it is asked to end, waits between SIGTERM and SIGKILL, if that may be shorter than
    /// a grace period: Open MPI's mpirun waits 0.85 to 1 s; since 5.0 (PRRTE), it waits 0.25 s.
    pub fn patience(&self, library: Option<&Library>) -> Option<Duration> {
        let is_prrte = self.launcher == Launcher::Prun || library.is_some_and(|library| library.version >= (5, 0));
        let ms = if is_prrte { 250 } else { 850 };
        matches!(self.launcher, Launcher::OpenMpi | Launcher::Prun).then(|| Duration::from_millis(ms))
    }

    /// Whether this launcher has bound ranks to CPUs without being asked: Open MPI's does by default, as does Intel
    /// MPI's. I_MPI_PIN and related variables show that the user asked Intel's to. `has`: whether a variable is set.
    pub fn binds_unasked(&self, has: impl Fn(&str) -> bool) -> bool {
        const ASKED: [&str; 6] = [
            "I_MPI_PIN",
            "I_MPI_PIN_CELL",
            "I_MPI_PIN_DOMAIN",
            "I_MPI_PIN_ORDER",
            "I_MPI_PIN_PROCESSOR_LIST",
            "I_MPI_PIN_PROCESSOR_EXCLUDE_LIST",
        ];
        match self.launcher {
            Launcher::OpenMpi | Launcher::Prun => true,
            Launcher::Hydra => has("I_MPI_PIN_INFO") && !ASKED.iter().any(|name| has(name)),
            Launcher::Srun | Launcher::Jsrun | Launcher::Flux | Launcher::Pals | Launcher::MpirunRsh => false,
        }
    }

    /// Whether ranks that this launcher has started can find each other with this library. If they cannot, MPI_Init
    /// ends the process with its own exit code and message, or starts every rank as the only one.
    pub fn serves(&self, library: &Library) -> bool {
        match (self.pmi, library.family) {
            (Pmi::Missing, _) => false,
            (Pmi::Pmix, Family::Mpich) => library.may_speak_pmix,
            (Pmi::Other, Family::OpenMpi) => self.launcher != Launcher::MpirunRsh,
            // Open MPI 4 may have been built for Slurm's PMI, but never for mpiexec's.
            (Pmi::Classic, Family::OpenMpi) => self.launcher == Launcher::Srun && library.version < (5, 0),
            _ => true,
        }
    }

    /// What the user can do if this launcher's processes do not find each other: the launcher belongs to a different
    /// MPI than the one the program was built with, srun was not told which MPI it is, or the MPI was packaged without
    /// support for its own launcher.
    pub fn cure(&self, library: Option<&Library>) -> String {
        let name = library.map_or("the MPI that it was built with", |library| library.name);
        let is_own = library.is_some_and(|library| self.launcher == Launcher::Hydra && library.family == Family::Mpich);
        match (self.launcher, library.map(|library| library.family)) {
            _ if self.is_left_over() => {
                let names = match self.launcher {
                    Launcher::Hydra => "PMI_RANK and PMI_SIZE",
                    Launcher::Prun => "PMIX_RANK and PMIX_NAMESPACE",
                    _ => "OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE",
                };
                let unset: String = names.split(" and ").map(|name| format!(" -u {name}")).collect();
                format!(
                    "{names} are left over from another program: for a farm on this node, remove them \
                     (env{unset} taskfarmer-mpi …)\n  for a farm of several ranks, start it with the mpirun or mpiexec of {name}"
                )
            }
            (Launcher::Srun, _) => {
                "use srun --mpi=pmix for Open MPI, srun --mpi=pmi2 for MPICH (srun --mpi=list shows what is available)"
                    .to_owned()
            }
            (Launcher::Flux, Some(Family::OpenMpi)) => format!(
                "use flux run -o pmi=pmix, which needs Flux's plug-in for PMIx, or start it with the mpirun of {name}"
            ),
            (Launcher::Pals, Some(Family::OpenMpi)) => {
                format!("build with the machine's own MPI (make build MPICC=cc), or start it with the mpirun of {name}")
            }
            (Launcher::MpirunRsh, Some(Family::OpenMpi)) => {
                format!("build with MVAPICH (make build MPICC=mpicc, with its mpicc), or use the mpirun of {name}")
            }
            // Ubuntu 24.04's MPICH 4.2.0 speaks only PMIx, which its mpiexec does not.
            _ if is_own => format!(
                "either this mpiexec belongs to another MPI, or this {name} does not work with its own mpiexec, as on \
                 Ubuntu 24.04\n  in the latter case, build with another MPI: make build MPICC=mpicc.openmpi"
            ),
            (_, Some(Family::OpenMpi)) => format!("start it with the mpirun of {name}"),
            (_, Some(Family::Mpich)) => format!("start it with the mpiexec of {name}"),
            (_, None) => format!("start it with the mpirun or mpiexec of {name}"),
        }
    }
}

/// The variable with the file descriptor by which a rank communicates with mpiexec.
const PMI_FD: &str = "PMI_FD";

fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD reads a flag of the descriptor, if there is one with that number, and touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// The place of a rank among the ranks of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodePlace {
    /// Its number on the node, from 0.
    pub rank: u32,
    /// How many ranks the node has, at least 1.
    pub ranks: u32,
}

impl NodePlace {
    /// The place of this process; without a launcher it is alone.
    pub(crate) fn of_this_process() -> Self {
        Self::detect(|name| std::env::var(name).ok())
    }

    /// Reads the launcher's variables; a rank without such variables is alone, and so is a process without a launcher:
    /// in a batch script, Slurm's variables describe ranks that were never started. `get` looks a variable up.
    pub(crate) fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let told = Launch::detect(&get).and_then(|launch| signs::place(launch.launcher, &get));
        told.filter(|place| place.rank < place.ranks).unwrap_or(Self { rank: 0, ranks: 1 })
    }

    /// The place among the others if the first rank of the node, rank 0 of all, leaves its CPUs to them.
    pub(crate) fn without_first(self) -> Self {
        if self.ranks == 1 { self } else { Self { rank: self.rank.saturating_sub(1), ranks: self.ranks - 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Option<Launch> {
        Launch::detect(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    /// A laptop, a login node and a batch script without srun do not start MPI.
    #[test]
    fn without_a_launcher_none_is_detected() {
        assert_eq!(detect(&[]), None);
        let batch = [("SLURM_JOB_ID", "5"), ("SLURM_NTASKS", "64"), ("SLURM_PROCID", "0")];
        assert_eq!(detect(&batch), None);
        assert_eq!(detect(&[("SLURM_STEP_ID", "4294967291"), ("SLURM_PROCID", "0")]), None);
    }

    const MPIRUN: [(&str, &str); 3] =
        [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "0"), ("PMIX_RANK", "0")];
    const MPIEXEC: [(&str, &str); 3] = [("PMI_SIZE", "4"), ("PMI_RANK", "0"), ("PMI_FD", "6")];

    /// Each launcher is recognized by the variables that it sets; invalid values cause no panic.
    #[test]
    fn launchers_are_distinguished() {
        let hydra = [
            ("PMI_SIZE", "2"),
            ("PMI_RANK", "1"),
            ("HYDI_CONTROL_FD", "7"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        assert_eq!(detect(&hydra).unwrap().launcher, Launcher::Hydra);
        assert_eq!(detect(&hydra[..2]).unwrap().launcher, Launcher::Hydra);
        let srun =
            [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "9"), ("SLURM_STEP_NUM_TASKS", "64"), ("SLURM_NTASKS", "1")];
        assert_eq!(
            detect(&srun),
            Some(Launch { launcher: Launcher::Srun, rank: 9, size: Some(64), pmi: Pmi::Missing })
        );
        let pmi2 = [&srun[..], &[("PMI_RANK", "9"), ("PMI_SIZE", "64")]].concat();
        assert_eq!(
            detect(&pmi2).unwrap(),
            Launch { launcher: Launcher::Srun, rank: 9, size: Some(64), pmi: Pmi::Classic }
        );
        let pmix = [&srun[..], &[("PMIX_RANK", "9")]].concat();
        assert_eq!(detect(&pmix).unwrap().pmi, Pmi::Pmix);
        assert_eq!(detect(&[("OMPI_COMM_WORLD_SIZE", "many"), ("OMPI_COMM_WORLD_RANK", "0")]), None);
    }

    /// A complete set of variables without a connection to a launcher: every process must report this, because there is
    /// no rank 0 that could.
    #[test]
    fn leftovers_are_known() {
        for (connected, count) in [(MPIRUN, 2), (MPIEXEC, 2)] {
            assert!(!detect(&connected).unwrap().is_left_over());
            let left = detect(&connected[..count]).unwrap();
            assert!(left.is_left_over());
            let cure = left.cure(Library::parse("Open MPI v5.0.11").as_ref());
            assert!(cure.contains(&format!("-u {}", connected[0].0)), "{cure}");
        }
        let srun = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert!(!detect(&srun).unwrap().is_left_over(), "an srun without --mpi has a rank 0");
    }

    /// A launcher that cannot connect the ranks of this library is recognized before MPI ends the process because of
    /// it.
    #[test]
    fn launchers_go_with_libraries() {
        let (mpirun, mpiexec) = (detect(&MPIRUN).unwrap(), detect(&MPIEXEC).unwrap());
        let step = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4")];
        let srun = |more: &[(&str, &str)]| detect(&[&step[..], more].concat()).unwrap();
        let (pmi2, pmix) = (srun(&[("PMI_SIZE", "4"), ("PMI_RANK", "0")]), srun(&[("PMIX_RANK", "0")]));
        let (none, other) = (srun(&[]), srun(&[("SLURM_MPI_TYPE", "cray_shasta")]));
        for (text, served) in [
            ("Open MPI v4.1.4", [true, false, true, true, false, true]),
            ("Open MPI v5.0.11", [true, false, false, true, false, true]),
            ("MPICH Version: 5.0.2", [false, true, true, false, false, true]),
            ("MPICH Version: 4.2.0\nMPICH configure: --with-pmix=/usr", [true, true, true, true, false, true]),
            ("Intel(R) MPI Library 2021.19.0", [true, true, true, true, false, true]),
        ] {
            let library = Library::parse(text).unwrap();
            assert_eq!(
                [mpirun, mpiexec, pmi2, pmix, none, other].map(|launch| launch.serves(&library)),
                served,
                "{text}"
            );
        }
    }

    /// A binding that the user has asked for is kept.
    #[test]
    fn an_unrequested_binding_is_known() {
        let (mpirun, mpiexec) = (detect(&MPIRUN).unwrap(), detect(&MPIEXEC).unwrap());
        let has = |names: &'static [&str]| move |name: &str| names.contains(&name);
        assert!(mpirun.binds_unasked(has(&[])));
        assert!(!mpiexec.binds_unasked(has(&[])), "MPICH's does not");
        assert!(mpiexec.binds_unasked(has(&["I_MPI_PIN_INFO", "I_MPI_PIN_MAPPING"])));
        assert!(!mpiexec.binds_unasked(has(&["I_MPI_PIN_INFO", "I_MPI_PIN_DOMAIN"])));
    }

    /// The advice helps: users are not told to do what they have just done.
    #[test]
    fn cures_do_not_go_in_circles() {
        let mpiexec = detect(&MPIEXEC).unwrap();
        let (openmpi, mpich) = (Library::parse("Open MPI v5.0.11"), Library::parse("MPICH Version: 4.2.0"));
        assert!(mpiexec.cure(openmpi.as_ref()).contains("mpirun of Open MPI"));
        assert!(mpiexec.cure(mpich.as_ref()).contains("build with another MPI"));
        let mpirun = detect(&MPIRUN).unwrap();
        assert!(mpirun.cure(mpich.as_ref()).contains("mpiexec of MPICH"));
        assert!(mpirun.cure(None).contains("built with"));
    }

    /// A rank that uses the CPUs of the first rank of its node.
    #[test]
    fn a_rank_0_that_runs_no_tasks_leaves_its_cpus() {
        assert_eq!(NodePlace { rank: 1, ranks: 4 }.without_first(), NodePlace { rank: 0, ranks: 3 });
        assert_eq!(NodePlace { rank: 0, ranks: 1 }.without_first(), NodePlace { rank: 0, ranks: 1 });
        let odd = [&MPIEXEC[..], &[("MPI_LOCALRANKID", "7"), ("MPI_LOCALNRANKS", "2")]].concat();
        let get = |name: &str| odd.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(NodePlace::detect(get), NodePlace { rank: 0, ranks: 1 });
    }
}
