//! What a launcher (mpirun, mpiexec, srun) left in the environment.
//!
//! Owns what that shows: whether there is a launcher at all, whether it works with the MPI library, and the rank and
//! its place on the node. [`variables`] removes from the environment of tasks what was meant for their rank.

pub mod variables;

use std::time::Duration;

use super::library::{Family, Library};

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

/// The process manager interface by which MPI finds the other ranks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pmi {
    /// None: under an srun that was started without one, ranks do not find each other.
    Missing,
    /// PMI-1 or PMI-2, MPICH's.
    Pmi,
    /// PMIx, Open MPI's.
    Pmix,
    /// Another one, such as Cray's.
    Other,
}

/// How this process was launched, according to the launcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The launcher.
    pub launcher: Launcher,
    /// Rank of this process; 0 if not told.
    pub rank: u32,
    /// Total number of ranks, if known.
    pub size: Option<u32>,
    /// How MPI finds the other ranks.
    pub pmi: Pmi,
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
            Some(Self { launcher: Launcher::OpenMpi, rank, size: Some(size), pmi: Pmi::Pmix })
        } else if let (Some(size), Some(rank)) = (number(&["PMI_SIZE"]), number(&["PMI_RANK"])) {
            let launcher = if in_step && get("HYDI_CONTROL_FD").is_none() { Launcher::Srun } else { Launcher::Hydra };
            Some(Self { launcher, rank, size: Some(size), pmi: Pmi::Pmi })
        } else if in_step {
            let size = number(&["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]);
            let is_set = |name: &&str| get(name).is_some_and(|value| value != "none");
            let pmi = match PMI_SIGNS.iter().find(|name| is_set(name)) {
                None => Pmi::Missing,
                Some(sign) if sign.starts_with("PMIX_") => Pmi::Pmix,
                Some(_) => Pmi::Other,
            };
            Some(Self { launcher: Launcher::Srun, rank: number(&["SLURM_PROCID"]).unwrap_or(0), size, pmi })
        } else {
            None
        }
    }

    /// Whether there may be other ranks than this one.
    #[must_use]
    pub fn may_have_others(&self) -> bool {
        self.size != Some(1)
    }

    /// How long this launcher, when it is asked to end, waits between SIGTERM and SIGKILL, if that is less than a grace
    /// period may be: Open MPI's mpirun waits 0.85 to 1 s; since 5.0 (PRRTE), it waits 0.25 s.
    #[must_use]
    pub fn patience(&self, library: Option<&Library>) -> Option<Duration> {
        let is_prrte = library.is_some_and(|library| library.version >= (5, 0));
        let ms = if is_prrte { 250 } else { 850 };
        (self.launcher == Launcher::OpenMpi).then(|| Duration::from_millis(ms))
    }

    /// Whether this launcher has bound ranks to CPUs without being asked: Open MPI's does by default, as does Intel
    /// MPI's. I_MPI_PIN and related variables show that the user asked Intel's to. `has`: whether a variable is set.
    #[must_use]
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
            Launcher::OpenMpi => true,
            Launcher::Hydra => has("I_MPI_PIN_INFO") && !ASKED.iter().any(|name| has(name)),
            Launcher::Srun => false,
        }
    }

    /// Whether ranks that this launcher has started can find each other with this library. If they can't, MPI_Init ends
    /// the process with its own exit code and message, or starts every rank as the only one.
    #[must_use]
    pub fn serves(&self, library: &Library) -> bool {
        match (self.pmi, library.family) {
            (Pmi::Missing, _) => false,
            (Pmi::Pmix, Family::Mpich) => library.may_speak_pmix,
            // Open MPI 4 may have been built for Slurm's PMI, but never for mpiexec's.
            (Pmi::Pmi, Family::OpenMpi) => self.launcher == Launcher::Srun && library.version < (5, 0),
            _ => true,
        }
    }

    /// What the user can do when this launcher's processes do not find each other: the launcher belongs to another MPI
    /// than the program was built with, srun was not told which MPI it is, or the MPI was packaged without support for
    /// its own launcher.
    #[must_use]
    pub fn cure(&self, library: Option<&Library>) -> String {
        let name = library.map_or("the MPI that it was built with", |library| library.name);
        let is_own = library.is_some_and(|library| self.launcher == Launcher::Hydra && library.family == Family::Mpich);
        match (self.launcher, library.map(|library| library.family)) {
            (Launcher::Srun, _) => {
                "use srun --mpi=pmix for Open MPI, srun --mpi=pmi2 for MPICH (srun --mpi=list shows what is available)"
                    .to_owned()
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

/// Variables of the process managers that srun's plug-ins provide (PMIx, PMI-1 and PMI-2, Cray's), and the name that
/// Slurm gives to the plug-in. Without one, none of them is set.
const PMI_SIGNS: [&str; 8] = [
    "PMIX_NAMESPACE",
    "PMIX_RANK",
    "PMI_FD",
    "PMI_RANK",
    "PMI_CONTROL_PORT",
    "ALPS_APP_PE",
    "PALS_RANKID",
    "SLURM_MPI_TYPE",
];

/// Slurm numbers batch scripts and other special steps from here on.
const SLURM_STEP_SPECIAL: u32 = 0xffff_fff0;

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
        assert_eq!(ompi, Launch { launcher: Launcher::OpenMpi, rank: 3, size: Some(4), pmi: Pmi::Pmix });
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
        assert_eq!(
            detect(&srun),
            Some(Launch { launcher: Launcher::Srun, rank: 9, size: Some(64), pmi: Pmi::Missing })
        );
        let pmi2 = [&srun[..], &[("PMI_RANK", "9"), ("PMI_SIZE", "64")]].concat();
        assert_eq!(detect(&pmi2).unwrap(), Launch { launcher: Launcher::Srun, rank: 9, size: Some(64), pmi: Pmi::Pmi });
        let pmix = [&srun[..], &[("PMIX_RANK", "9")]].concat();
        assert_eq!(detect(&pmix).unwrap().pmi, Pmi::Pmix);
        assert_eq!(detect(&[("OMPI_COMM_WORLD_SIZE", "many")]), None);
    }

    /// A launcher that can't connect the ranks of this library is recognized before MPI ends the process because of it.
    #[test]
    fn launchers_go_with_libraries() {
        let mpirun = detect(&[("OMPI_COMM_WORLD_SIZE", "4")]).unwrap();
        let mpiexec = detect(&[("PMI_SIZE", "4"), ("PMI_RANK", "0")]).unwrap();
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
    fn a_binding_that_nobody_asked_for_is_known() {
        let mpirun = detect(&[("OMPI_COMM_WORLD_SIZE", "4")]).unwrap();
        let mpiexec = detect(&[("PMI_SIZE", "4"), ("PMI_RANK", "0")]).unwrap();
        let has = |names: &'static [&str]| move |name: &str| names.contains(&name);
        assert!(mpirun.binds_unasked(has(&[])));
        assert!(!mpiexec.binds_unasked(has(&[])), "MPICH's does not");
        assert!(mpiexec.binds_unasked(has(&["I_MPI_PIN_INFO", "I_MPI_PIN_MAPPING"])));
        assert!(!mpiexec.binds_unasked(has(&["I_MPI_PIN_INFO", "I_MPI_PIN_DOMAIN"])));
    }

    /// Advice helps: users are not told to do what they have just done.
    #[test]
    fn cures_do_not_go_in_circles() {
        let mpiexec = detect(&[("PMI_SIZE", "4"), ("PMI_RANK", "0")]).unwrap();
        let (openmpi, mpich) = (Library::parse("Open MPI v5.0.11"), Library::parse("MPICH Version: 4.2.0"));
        assert!(mpiexec.cure(openmpi.as_ref()).contains("mpirun of Open MPI"));
        assert!(mpiexec.cure(mpich.as_ref()).contains("build with another MPI"));
        let mpirun = detect(&[("OMPI_COMM_WORLD_SIZE", "4")]).unwrap();
        assert!(mpirun.cure(mpich.as_ref()).contains("mpiexec of MPICH"));
        assert!(mpirun.cure(None).contains("built with"));
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
}
