//! What tasks see of the launcher (nothing) and of the farm (rank, slot, host).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::farm::{LIST, SETTINGS};
use crate::support::processes::{self, MARK};
use crate::support::{Farm, Mpi, hello};

/// Prefixes of variables that a launcher sets for each rank. A task that inherits one of them cannot be an MPI program
/// itself.
const PER_RANK: [&str; 12] = [
    "OMPI_",
    "PMIX_",
    "PMI_",
    "PMI2_",
    "ORTE_",
    "PRTE_",
    "OPAL_USER_",
    "HYD_",
    "HYDI_",
    "HYDRA_",
    "MPI_LOCAL",
    "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
];

fn variables(log: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(log).into_owned();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Tasks of every rank have the user's environment, the farm's variables, and none of the launcher's.
#[test]
fn environment_of_tasks() {
    const TASKS: u64 = 60;
    // With and without a shell, and enough that every rank gets some.
    let list: String = (0..TASKS / 2).map(|_| "cat /proc/self/environ\nenv -0; sleep 0.1\n").collect();
    let (ranks, slots) = (3, 2);
    let mut farm = Farm::mpi(ranks, list.as_bytes());
    SETTINGS.iter().for_each(|(name, value)| farm.set(name, value));
    farm.run(&["--proc", &slots.to_string()]).exits(0);
    let workdir = farm.workdir();
    let events = workdir.timeline().by_task();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let mut ranks_seen = std::collections::BTreeSet::new();
    for id in 0..TASKS {
        let found = variables(&workdir.log(id));
        let event = &events[&id];
        let wanted = [
            ("PROC_NUMBER", id.to_string()),
            ("TASKFARMER_TASK_ID", id.to_string()),
            ("TASKFARMER_ATTEMPT", "1".to_owned()),
            ("TASKFARMER_RANK", event.rank.to_string()),
            ("TASKFARMER_SLOT", event.slot.to_string()),
            ("TASKFARMER_HOST", host.clone()),
            ("TASKFARMER_WORKDIR", workdir.path().to_str().unwrap().to_owned()),
        ];
        for (name, value) in &wanted {
            assert_eq!(found.get(*name), Some(value), "{name} of task {id}");
        }
        // The user's environment, except for variables that a shell sets itself, or a launcher to find its libraries.
        for (name, value) in farm.environment() {
            let (name, value) = (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned());
            if !["_", "SHLVL", "PWD", "OLDPWD", "PATH", "LD_LIBRARY_PATH"].contains(&name.as_str()) {
                assert_eq!(found.get(&name), Some(&value), "{name} of task {id}");
            }
        }
        assert!(found.contains_key(MARK));
        let leaked: Vec<&String> = found
            .keys()
            .filter(|name| PER_RANK.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !farm.environment().contains_key(std::ffi::OsStr::new(name.as_str())))
            .collect();
        assert!(leaked.is_empty(), "task {id} sees the launcher's {leaked:?}");
        ranks_seen.insert(event.rank);
    }
    assert_eq!(ranks_seen.len(), 3, "all ranks ran tasks");
}

/// Tasks of every rank run where the farm was started.
#[test]
fn folder_of_tasks() {
    let farm = Farm::mpi(3, "pwd -P; sleep 0.1\n/bin/pwd\n".repeat(15).as_bytes());
    farm.run(&["--proc", "2"]).exits(0);
    for id in 0..30 {
        let log = farm.workdir().log(id);
        assert_eq!(String::from_utf8_lossy(&log).trim_end(), farm.cwd().to_str().unwrap(), "task {id}");
    }
}

/// Tasks of every rank have no descriptor except the standard three and no blocked or ignored signal.
#[test]
fn descriptors_and_signals_of_tasks() {
    let list = "/bin/ls /proc/self/fd\nsleep 0.1; /bin/ls /proc/self/fd; exit 0\ngrep ^Sig /proc/self/status\n";
    let farm = Farm::mpi(3, list.repeat(10).as_bytes());
    farm.run(&["--proc", "2"]).exits(0);
    for id in 0..30 {
        let log = farm.workdir().log(id);
        if id % 3 < 2 {
            assert_eq!(String::from_utf8_lossy(&log), "0\n1\n2\n3\n", "descriptors of task {id}; 3 is ls's own");
        } else {
            processes::has_default_signals(&log);
        }
    }
}

/// A task may be an MPI program itself, with a launcher or as its only rank: here, a farm.
#[test]
fn task_may_be_an_mpi_program() {
    let mut list = String::new();
    let launcher = Mpi::of_program().command(2).unwrap();
    let words: Vec<String> = launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    for inner in 0..2 {
        let program = crate::support::program();
        writeln!(list, "{} '{program}' --proc 1 launched-{inner}", words.join(" ")).unwrap();
        writeln!(list, "'{program}' --proc 1 alone-{inner}").unwrap();
    }
    let farm = Farm::mpi(2, list.as_bytes());
    for name in ["launched-0", "launched-1", "alone-0", "alone-1"] {
        farm.write(name, b"echo inner\nsleep 0.2\nsleep 0.2\necho $TASKFARMER_RANK\n");
    }
    farm.run(&["--proc", "1"]).exits(0);
    for name in ["launched-0", "launched-1", "alone-0", "alone-1"] {
        assert_eq!(farm.read(&format!("{name}_workdir/logs/log_0")), b"inner\n");
    }
}

/// Tasks may be MPI programs of the same and of every other MPI, with their launcher and as their only rank.
#[test]
fn tasks_may_be_programs_of_any_mpi() {
    let farm = Farm::mpi(2, b"").time_limit(300);
    let tasks = hello::mpi_tasks(&farm);
    let list: String = tasks.iter().map(|task| format!("{}\n", task.line)).collect();
    farm.write(LIST, list.repeat(2).as_bytes());
    farm.run(&["--proc", "2"]).exits(0);
    for (id, task) in (0..).zip(tasks.iter().chain(&tasks)) {
        task.said_hello(&farm.workdir().log(id));
    }
}
