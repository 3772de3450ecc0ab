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

/// The order matters: launchers that also set the variables of others come first. The names are from the documentation
/// of jsrun, Flux, PALS, MVAPICH and Slurm, and from ranks of the other launchers.
const TABLE: [Signs; 10] = [
    Signs {
        launcher: Launcher::Jsrun,
        rank: "JSM_NAMESPACE_RANK",
        sizes: &["JSM_NAMESPACE_SIZE"],
        on_node: &[("JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_LOCAL_SIZE")],
        proof: &[],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::OpenMpi,
        rank: "OMPI_COMM_WORLD_RANK",
        sizes: &["OMPI_COMM_WORLD_SIZE"],
        on_node: &[("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")],
        proof: &[],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::Hydra,
        rank: "PMI_RANK",
        sizes: &["PMI_SIZE"],
        on_node: &[("MPI_LOCALRANKID", "MPI_LOCALNRANKS")],
        proof: &["HYDI_CONTROL_FD"],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::Flux,
        rank: "FLUX_TASK_RANK",
        sizes: &["FLUX_JOB_SIZE"],
        on_node: &[],
        proof: &[],
        may_not_tell_size: false,
    },
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
        proof: &[],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::MpirunRsh,
        rank: "MVP_COMM_WORLD_RANK",
        sizes: &["MVP_COMM_WORLD_SIZE"],
        on_node: &[("MVP_COMM_WORLD_LOCAL_RANK", "MVP_COMM_WORLD_LOCAL_SIZE")],
        proof: &[],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::Srun,
        rank: "SLURM_PROCID",
        sizes: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
        on_node: &[],
        proof: &["SLURM_STEP_ID"],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::Hydra,
        rank: "PMI_RANK",
        sizes: &["PMI_SIZE"],
        on_node: &[("MPI_LOCALRANKID", "MPI_LOCALNRANKS"), ("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE")],
        proof: &[],
        may_not_tell_size: false,
    },
    Signs {
        launcher: Launcher::Prun,
        rank: "PMIX_RANK",
        sizes: &[],
        on_node: &[],
        proof: &["PMIX_NAMESPACE"],
        may_not_tell_size: true,
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

/// How a process with these variables was launched. `get` looks a variable up.
///
/// Launchers may be nested, such as `mpirun` in the shell of a job step, and nothing shows which one is the inner one.
/// A launcher of several processes takes precedence over one of a single process: otherwise, each of the several would
/// run a farm of its own.
pub(super) fn read(get: &impl Fn(&str) -> Option<String>) -> Option<Launch> {
    let mut found: Vec<Launch> = TABLE.iter().filter_map(|signs| signs.read(get)).collect();
    let sets_pmix = |launch: &Launch| {
        matches!(launch.launcher, Launcher::Jsrun | Launcher::OpenMpi | Launcher::Flux | Launcher::Pals)
    };
    if found.iter().any(sets_pmix) || get("PMIX_NAMESPACE").is_some_and(|name| name.starts_with("slurm.")) {
        found.retain(|launch| launch.launcher != Launcher::Prun);
    }
    found.iter().find(|launch| launch.size != Some(1)).or(found.first()).copied()
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
        Launcher::Hydra if has(&PMI) => Pmi::Pmi,
        Launcher::Hydra if has(&PMIX) => Pmi::Pmix,
        Launcher::Hydra if has(&OTHER) => Pmi::Other,
        Launcher::Hydra => Pmi::Missing,
        Launcher::Srun if has(&["PMI_RANK"]) && has(&["PMI_SIZE"]) => Pmi::Pmi,
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn looked_up<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    }

    /// Every variable of the table, launcher by launcher.
    fn names() -> Vec<&'static str> {
        let of = |signs: &Signs| {
            let on_node = signs.on_node.iter().flat_map(|&(rank, ranks)| [rank, ranks]);
            [&[signs.rank], signs.sizes, signs.proof].concat().into_iter().chain(on_node).collect::<Vec<_>>()
        };
        let more =
            ["SLURM_NODEID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "FLUX_TASK_LOCAL_ID", "FLUX_JOB_NNODES"];
        TABLE.iter().flat_map(of).chain(more).collect()
    }

    proptest! {
        /// Promise 5: whatever a launcher's variables contain, the result is a launch or none, and a place that exists.
        #[test]
        fn any_values_are_read(
            values in prop::collection::vec(
                prop::option::of("[0-9]{1,2}|[0-9 -]{0,11}|[0-9]{0,3}(\\(x[0-9]{0,10}\\))?(,[0-9]?(\\(x?[0-9]?\\))?){0,3}|\\PC*"),
                names().len(),
            ),
        ) {
            let names = names();
            let get = |name: &str| values[names.iter().position(|known| *known == name)?].clone();
            let launch = Launch::detect(get);
            prop_assert_eq!(launch, Launch::detect(get));
            let place = NodePlace::detect(get);
            prop_assert!(place.rank < place.ranks);
            let others = place.without_first();
            prop_assert!(others.rank < others.ranks && others.ranks <= place.ranks);
        }
    }

    /// Each launcher is recognized by what it sets, with the rank, the number of ranks, and the place on the node.
    #[test]
    fn each_launcher_is_known() {
        const SLURM: [(&str, &str); 3] =
            [("SLURM_NODEID", "1"), ("SLURM_LOCALID", "1"), ("SLURM_STEP_TASKS_PER_NODE", "2(x2)")];
        for (launcher, pmi, size, variables) in [
            (
                Launcher::OpenMpi,
                Pmi::Pmix,
                Some(4),
                &[
                    ("OMPI_COMM_WORLD_RANK", "3"),
                    ("OMPI_COMM_WORLD_SIZE", "4"),
                    ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
                    ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
                    ("PMIX_RANK", "3"),
                    ("PMIX_NAMESPACE", "prterun-a-1@1"),
                ][..],
            ),
            (
                Launcher::Jsrun,
                Pmi::Other,
                Some(4),
                &[
                    ("JSM_NAMESPACE_RANK", "3"),
                    ("JSM_NAMESPACE_SIZE", "4"),
                    ("JSM_NAMESPACE_LOCAL_RANK", "1"),
                    ("JSM_NAMESPACE_LOCAL_SIZE", "2"),
                    ("OMPI_COMM_WORLD_RANK", "3"),
                    ("OMPI_COMM_WORLD_SIZE", "4"),
                    ("PMIX_RANK", "3"),
                    ("PMIX_NAMESPACE", "3"),
                ],
            ),
            (
                Launcher::Hydra,
                Pmi::Pmi,
                Some(4),
                &[
                    ("PMI_RANK", "3"),
                    ("PMI_SIZE", "4"),
                    ("PMI_FD", "6"),
                    ("HYDI_CONTROL_FD", "7"),
                    ("MPI_LOCALRANKID", "1"),
                    ("MPI_LOCALNRANKS", "2"),
                ],
            ),
            (
                Launcher::Flux,
                Pmi::Other,
                Some(4),
                &[
                    ("FLUX_TASK_RANK", "3"),
                    ("FLUX_JOB_SIZE", "4"),
                    ("FLUX_JOB_NNODES", "2"),
                    ("FLUX_TASK_LOCAL_ID", "1"),
                    ("PMI_RANK", "3"),
                    ("PMI_SIZE", "4"),
                    ("PMI_FD", "6"),
                ],
            ),
            (
                Launcher::Pals,
                Pmi::Other,
                None,
                &[("PALS_RANKID", "3"), ("PALS_APID", "a"), ("PALS_LOCAL_RANKID", "1"), ("PALS_LOCAL_SIZE", "2")],
            ),
            (
                Launcher::MpirunRsh,
                Pmi::Other,
                Some(4),
                &[
                    ("MV2_COMM_WORLD_RANK", "3"),
                    ("MV2_COMM_WORLD_SIZE", "4"),
                    ("MV2_COMM_WORLD_LOCAL_RANK", "1"),
                    ("MV2_COMM_WORLD_LOCAL_SIZE", "2"),
                ],
            ),
            (
                Launcher::MpirunRsh,
                Pmi::Other,
                Some(4),
                &[
                    ("MVP_COMM_WORLD_RANK", "3"),
                    ("MVP_COMM_WORLD_SIZE", "4"),
                    ("MVP_COMM_WORLD_LOCAL_RANK", "1"),
                    ("MVP_COMM_WORLD_LOCAL_SIZE", "2"),
                ],
            ),
            (
                Launcher::Srun,
                Pmi::Missing,
                Some(4),
                &[
                    ("SLURM_STEP_ID", "0"),
                    ("SLURM_PROCID", "3"),
                    ("SLURM_STEP_NUM_TASKS", "4"),
                    SLURM[0],
                    SLURM[1],
                    SLURM[2],
                ],
            ),
        ] {
            let get = looked_up(variables);
            assert_eq!(Launch::detect(&get), Some(Launch { launcher, rank: 3, size, pmi }));
            assert_eq!(NodePlace::detect(&get), NodePlace { rank: 1, ranks: 2 }, "{launcher:?}");
        }
        let prun = [("PMIX_RANK", "3"), ("PMIX_NAMESPACE", "prterun-a-1@1"), ("PMIX_SERVER_URI4", "prterun-a-1@0.0")];
        let launch = Launch { launcher: Launcher::Prun, rank: 3, size: None, pmi: Pmi::Pmix };
        assert_eq!(Launch::detect(looked_up(&prun)), Some(launch));
        assert!(launch.may_have_others(), "only MPI knows");
        assert!(Launch::detect(looked_up(&prun[..2])).unwrap().is_left_over(), "there is no server");
    }

    /// A rank alone, or a number of ranks alone, is left over: no launcher sets only one of them.
    #[test]
    fn half_of_the_signs_is_not_a_launcher() {
        for signs in TABLE.iter().filter(|signs| !signs.may_not_tell_size) {
            let proof = signs.proof.first().copied().unwrap_or("PATH");
            assert_eq!(Launch::detect(looked_up(&[(signs.rank, "3"), (proof, "0")])), None, "{}", signs.rank);
            for size in signs.sizes {
                assert_eq!(Launch::detect(looked_up(&[(size, "4"), (proof, "0")])), None, "{size}");
            }
        }
        for alone in ["PMIX_RANK", "PMIX_NAMESPACE", "PALS_RANKID", "PALS_APID", "SLURM_STEP_ID"] {
            assert_eq!(Launch::detect(looked_up(&[(alone, "3")])), None, "{alone}");
        }
    }

    /// A launcher of several processes takes precedence over one of a single process, whichever is the inner one: N
    /// farms in one workdir are worse than one that refuses to start.
    #[test]
    fn several_go_before_one() {
        let shell = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")];
        let launch = |more: &[(&str, &str)]| Launch::detect(looked_up(&[&shell[..], more].concat())).unwrap();
        assert_eq!(launch(&[]).size, Some(1));
        let mpiexec = launch(&[("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("PMI_FD", "6")]);
        assert_eq!((mpiexec.launcher, mpiexec.rank, mpiexec.size), (Launcher::Hydra, 1, Some(2)));
        // Intel MPI's mpiexec, which does not set HYDI_CONTROL_FD, on the second of two nodes with two ranks each.
        let second = [
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "1"),
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("PMI_RANK", "2"),
            ("PMI_SIZE", "4"),
            ("PMI_FD", "9"),
        ];
        let mpiexec = Launch::detect(looked_up(&second)).unwrap();
        assert_eq!((mpiexec.launcher, mpiexec.rank, mpiexec.size), (Launcher::Hydra, 2, Some(4)));
        let flux = launch(&[("FLUX_TASK_RANK", "1"), ("FLUX_JOB_SIZE", "2")]);
        assert_eq!((flux.launcher, flux.rank), (Launcher::Flux, 1));
        let prun = launch(&[("PMIX_RANK", "1"), ("PMIX_NAMESPACE", "prterun-a-1@1")]);
        assert_eq!((prun.launcher, prun.size), (Launcher::Prun, None));
        let pmix = launch(&[("PMIX_RANK", "0"), ("PMIX_NAMESPACE", "slurm.pmix.5.0")]);
        assert_eq!((pmix.launcher, pmix.size), (Launcher::Srun, Some(1)), "Slurm's own PMIx");
        let mpirun = [
            ("OMPI_COMM_WORLD_RANK", "0"),
            ("OMPI_COMM_WORLD_SIZE", "1"),
            ("PMIX_RANK", "0"),
            ("PMIX_NAMESPACE", "prterun-a-1@1"),
        ];
        assert_eq!(Launch::detect(looked_up(&mpirun)).unwrap().size, Some(1), "one rank needs no MPI");
    }

    /// In a batch script that was started without a launcher, Slurm's variables describe the job, not this process.
    #[test]
    fn without_a_launcher_a_process_is_alone_on_its_node() {
        let batch = [
            ("SLURM_JOB_ID", "5"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_NODEID", "0"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_TASKS_PER_NODE", "8"),
        ];
        assert_eq!(NodePlace::detect(looked_up(&batch)), NodePlace { rank: 0, ranks: 1 });
        let mpiexec = [&batch[..], &[("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("PMI_FD", "6")]].concat();
        assert_eq!(NodePlace::detect(looked_up(&mpiexec)), NodePlace { rank: 0, ranks: 1 });
    }

    /// Slurm's short form of counts.
    #[test]
    fn counts_of_nodes_are_read() {
        assert_eq!(count_of_node("2(x3),1", 2), Some(2));
        assert_eq!(count_of_node("2(x3),1", 3), Some(1));
        for bad in ["", "2(x", "2(x3", "(x1)", "2(x99999999999)", "-"] {
            assert_eq!(count_of_node(bad, 0), None, "{bad}");
        }
    }
}
