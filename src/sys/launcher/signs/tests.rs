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
    let more = ["SLURM_NODEID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "FLUX_TASK_LOCAL_ID", "FLUX_JOB_NNODES"];
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
            Pmi::Classic,
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
