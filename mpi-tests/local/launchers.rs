//! How the variables of launchers and of Slurm affect a process that was started without a launcher.

use crate::support::{Farm, skipped};

/// Variables that launchers set, each together with others.
const HALVES: [(&str, &str); 13] = [
    ("PMI_RANK", "1"),
    ("PMI_SIZE", "2"),
    ("OMPI_COMM_WORLD_RANK", "3"),
    ("OMPI_COMM_WORLD_SIZE", "4"),
    ("SLURM_PROCID", "1"),
    ("SLURM_STEP_ID", "0"),
    ("FLUX_TASK_RANK", "1"),
    ("FLUX_JOB_SIZE", "2"),
    ("JSM_NAMESPACE_RANK", "1"),
    ("MV2_COMM_WORLD_RANK", "1"),
    ("PALS_RANKID", "1"),
    ("PMIX_RANK", "1"),
    ("PMIX_NAMESPACE", "a"),
];

/// A farm in whose environment all of these are set.
fn farm(list: &[u8], variables: &[(&str, &str)]) -> Farm {
    let mut farm = Farm::local(list);
    variables.iter().for_each(|(name, value)| farm.set(name, value));
    farm
}

/// `status`, `logs` and `--version` print their output.
#[track_caller]
fn subcommands_speak(farm: &Farm, variables: &[(&str, &str)]) {
    for (words, expected) in [
        (&["status", "tasks.txt_workdir"][..], "1 finished"),
        (&["logs", "tasks.txt_workdir", "0"], "hello"),
        (&["--version"], "taskfarmer-mpi"),
        (&["--list-runners"], "default"),
    ] {
        let outcome = farm.run_exactly(words).exits(0);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(text.contains(expected), "{words:?} with {variables:?}: {text}");
    }
}

/// One variable without its companions is left over from a different program: the farm runs, and everything prints its
/// output.
#[test]
fn a_lone_variable_makes_no_launcher() {
    for variable in HALVES {
        let farm = farm(b"echo hello\n", &[variable]);
        let outcome = farm.run(&[]).exits(0);
        assert_eq!(outcome.summary(), [1, 0, 0], "{variable:?}");
        subcommands_speak(&farm, &[variable]);
    }
}

/// A complete set of variables without a launcher behind it: no farm, because it might be one of several, but never
/// silence with exit code 0. `status`, `logs` and `--version` work.
#[test]
fn leftovers_are_refused_and_never_silent() {
    for variables in [
        &[("PMI_RANK", "1"), ("PMI_SIZE", "2")][..],
        &[("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("PMI_FD", "4321"), ("HYDI_CONTROL_FD", "4322")],
        &[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")],
        &[("PMIX_RANK", "3"), ("PMIX_NAMESPACE", "prterun-a-1@1")],
    ] {
        let mut farm = Farm::local(b"echo hello\n");
        farm.run(&[]).exits(0);
        variables.iter().for_each(|(name, value)| farm.set(name, value));
        let before = farm.everything();
        farm.run(&[]).refused(&[&format!("-u {}", variables[0].0), "did not start it"]);
        assert_eq!(farm.everything(), before, "nothing is started");
        subcommands_speak(&farm, variables);
        // The advice in the message helps.
        farm.unset(variables[0].0);
        farm.run(&[]).exits(0);
    }
}

/// A process of a job step that srun has not connected to the others may just as well be a task of a different program:
/// the farm leaves the message to rank 0, but its exit code is not 0, and `status`, `logs` and `--version` work.
#[test]
fn a_lone_process_of_a_job_step_is_never_silent() {
    let step = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2")];
    let mut farm = Farm::local(b"echo hello\n");
    farm.run(&[]).exits(0);
    step.iter().for_each(|(name, value)| farm.set(name, value));
    let before = farm.everything();
    farm.run(&[]).exits(2);
    assert_eq!(farm.everything(), before, "nothing is started");
    subcommands_speak(&farm, &step);
    farm.set("SLURM_PROCID", "0");
    farm.run(&[]).refused(&[if cfg!(feature = "mpi") { "--mpi=" } else { "without MPI" }]);
}

/// The variables of launchers of which only the documentation is known, for one process of two: rank and number of
/// ranks.
const LAUNCHERS: [(&str, &[(&str, &str)]); 6] = [
    ("FLUX_TASK_RANK", &[("FLUX_JOB_SIZE", "2")]),
    ("JSM_NAMESPACE_RANK", &[("JSM_NAMESPACE_SIZE", "2")]),
    ("MV2_COMM_WORLD_RANK", &[("MV2_COMM_WORLD_SIZE", "2")]),
    ("MVP_COMM_WORLD_RANK", &[("MVP_COMM_WORLD_SIZE", "2")]),
    ("PALS_RANKID", &[("PALS_APID", "a")]),
    ("PMIX_RANK", &[("PMIX_NAMESPACE", "prterun-a-1@1"), ("PMIX_SERVER_URI4", "prterun-a-1@0.0;tcp4://127.0.0.1:1")]),
];

/// Two processes of a launcher that MPI does not connect: never two farms in one workdir. One that knows the number of
/// ranks is refused with one message.
#[test]
fn processes_of_other_launchers_never_run_a_farm_each() {
    for (rank, others) in LAUNCHERS {
        if rank == "PMIX_RANK" && cfg!(feature = "mpi") {
            skipped("MPI itself would end, for lack of a PMIx server; mpi-tests/ranks tests prterun itself");
            continue;
        }
        let tells_size = others[0].0.ends_with("_SIZE");
        let mut ran = 0;
        for number in ["1", "0"] {
            // Each in its own folder: a second farm could not hide behind the first one's records.
            let farm = farm(b"echo hello\n", &[&[(rank, number)], others].concat()).time_limit(60);
            let outcome = farm.run(&[]);
            let code = outcome.status.and_then(|status| status.code());
            let is_farm = farm.path("tasks.txt_workdir").exists();
            ran += u32::from(is_farm);
            match number {
                "0" if !cfg!(feature = "mpi") => drop(outcome.refused(&["without MPI"])),
                "0" if tells_size => assert_eq!((code, outcome.errors().len()), (Some(2), 1), "{rank}"),
                "0" => {}
                // It leaves the message to rank 0, or reports itself that it is alone.
                _ => assert!(!is_farm && (code == Some(0) || code == Some(2)), "{rank}={number}: {code:?}"),
            }
        }
        assert!(ran <= 1, "{rank}: {ran} farms");
    }
}

/// In a batch script without srun, there are no other ranks that could share the node's CPUs, whatever the job's
/// variables say.
#[test]
fn a_plain_start_in_a_batch_script_has_all_cpus() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    let (tasks, cpus_on_node) = ((2 * cpus).to_string(), cpus.to_string());
    let batch = [
        ("SLURM_JOB_ID", "5"),
        ("SLURM_JOB_NUM_NODES", "1"),
        ("SLURM_NTASKS", &tasks),
        ("SLURM_TASKS_PER_NODE", &tasks),
        ("SLURM_CPUS_PER_TASK", "1"),
        ("SLURM_CPUS_ON_NODE", &cpus_on_node),
        ("SLURM_PROCID", "0"),
        ("SLURM_NODEID", "0"),
        ("SLURM_LOCALID", "0"),
    ];
    for tasks_per_node in [&tasks, "2"] {
        let mut farm = farm(b"echo hello\n", &batch);
        farm.set("SLURM_TASKS_PER_NODE", tasks_per_node);
        let outcome = farm.run(&["--proc", "auto"]).exits(0);
        let text = outcome.stderr_text();
        let slots = if cpus == 1 { "1 slot".to_owned() } else { format!("{cpus} slots") };
        assert!(text.contains(&format!("on 1 rank, {slots}")), "{text}");
        assert_eq!(text.lines().count(), 2, "nothing but the beginning and the summary: {text}");
    }
    // A node of which the job has only a part, and on which Slurm does not bind.
    let mut farm = farm(b"echo hello\n", &batch);
    farm.set("SLURM_CPUS_ON_NODE", "1");
    assert!(farm.run(&["--proc", "auto"]).exits(0).stderr_text().contains("on 1 rank, 1 slot"));
}

/// The farm is on one node of several, or on a login node: one warning says so, with a command that uses all nodes.
#[test]
fn nodes_of_the_job_that_are_not_used_are_named_once() {
    let job = [
        ("SLURM_JOB_ID", "5"),
        ("SLURM_JOB_NUM_NODES", "4"),
        ("SLURM_JOB_NODELIST", "node[1-4]"),
        ("SLURM_JOB_CPUS_PER_NODE", "64(x4)"),
    ];
    let node = [&job[..], &[("SLURMD_NODENAME", "node1")]].concat();
    for (variables, words) in [(&node[..], "has 4 nodes"), (&job[..], "not a node of Slurm's job 5")] {
        let farm = farm(b"echo hello\n", variables);
        let outcome = farm.run(&["--proc", "1"]).exits(0);
        let text = outcome.stderr_text();
        assert_eq!((text.matches("warning:").count(), text.matches(words).count()), (1, 1), "{text}");
        let cure = if cfg!(feature = "mpi") { "srun --nodes=4 --ntasks=4 --cpus-per-task=64" } else { "without MPI" };
        assert!(text.contains(cure), "{text}");
        for words in [&["status", "tasks.txt_workdir"][..], &["--dry-run", "tasks.txt"]] {
            assert!(
                !farm.run_exactly(words).exits(0).stderr_text().contains("Slurm's job"),
                "a farm says it, not {words:?}"
            );
        }
    }
    let inner = [&job[..], &[("TASKFARMER_TASK_ID", "0")]].concat();
    let text = farm(b"echo hello\n", &inner).run(&["--proc", "1"]).exits(0).stderr_text();
    assert!(!text.contains("warning:"), "a task that is a farm has one node: {text}");
}

/// A task under srun may start job steps: it does not get the variables that srun would read as the size, the binding
/// or the output of a step, and keeps those that describe the job. TASKFARMER_HOST is Slurm's name of the node.
#[test]
fn variables_of_the_farms_own_step_do_not_reach_tasks() {
    let step = [
        ("SLURM_JOB_ID", "5"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "0"),
        ("SLURM_STEP_NUM_TASKS", "1"),
        ("SLURMD_NODENAME", "nid000123"),
    ];
    let gone = [
        ("SLURM_CPU_BIND", "quiet,mask_cpu:0x3"),
        ("SLURM_CPU_BIND_LIST", "0x3"),
        ("SRUN_CPUS_PER_TASK", "2"),
        ("SLURM_CPUS_PER_TASK", "2"),
        ("SLURM_NTASKS_PER_NODE", "1"),
        ("SLURM_DISTRIBUTION", "cyclic"),
        ("SLURM_TRES_PER_TASK", "cpu:2"),
        ("SLURM_GPUS_PER_TASK", "1"),
        ("SLURM_MEM_PER_CPU", "100"),
        ("SLURM_STDOUTMODE", "farm.out"),
    ];
    let kept = [("SLURM_JOB_ID", "5"), ("SLURM_CPUS_ON_NODE", "2"), ("SLURM_OVERLAP", "1"), ("SLURM_CONF", "/etc/s")];
    let mut farm = farm(b"cat /proc/self/environ\nenv -0; exit 0\n", &[&step[..], &gone, &kept].concat());
    // A runner's variables are the user's choice.
    farm.write("own.ini", b"[own]\nRunner = basic\nenv.SLURM_CPUS_PER_TASK = 4\n");
    farm.run(&["--proc", "1"]).exits(0);
    for id in 0..2 {
        let log = String::from_utf8_lossy(&farm.workdir().log(id)).into_owned();
        let has = |name: &str, value: &str| log.split('\0').any(|line| line == format!("{name}={value}"));
        assert!(kept.iter().all(|(name, value)| has(name, value)), "{log:?}");
        assert!(has("TASKFARMER_HOST", "nid000123"), "{log:?}");
        for (name, _) in gone.iter().chain(&step[1..4]) {
            assert!(!log.split('\0').any(|line| line.starts_with(&format!("{name}="))), "{name}: {log:?}");
        }
    }
    farm.set("SLURM_JOB_ID", "6");
    farm.run(&["--proc", "1", "--runner", "own", "--workdir", "own"]).exits(0);
    assert!(String::from_utf8_lossy(&farm.read("own/logs/log_0")).contains("SLURM_CPUS_PER_TASK=4"));
}
