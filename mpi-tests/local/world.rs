//! What a task inherits: environment, folder, descriptors, signals, standard input.

use std::collections::BTreeMap;

use crate::support::Farm;
use crate::support::farm::SETTINGS;
use crate::support::processes::{self, MARK};

/// Variables that a shell sets itself.
const OF_THE_SHELL: [&str; 4] = ["_", "SHLVL", "PWD", "OLDPWD"];

fn variables(log: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(log).into_owned();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A task's environment is the farm's plus PyTaskFarmer's variable and this program's, and nothing else, with and
/// without a shell.
#[test]
fn environment_is_inherited_and_extended() {
    let mut farm = Farm::local(b"true\ncat /proc/self/environ\nenv -0; exit 0\n");
    // Without a launcher, all of it is the user's, including variables that launchers set elsewhere.
    let launchers =
        [("OPAL_PREFIX", "/opt"), ("PMIX_GDS_MODULE", "hash"), ("OMPI_MCA_pmix", "ext3x"), ("SLURM_NTASKS", "4")];
    SETTINGS.iter().chain(&launchers).for_each(|(name, value)| farm.set(name, value));
    farm.run(&["--proc", "1"]).exits(0);
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let workdir = farm.workdir().path().to_str().unwrap().to_owned();
    for id in ["1", "2"] {
        let mut wanted: BTreeMap<String, String> = farm
            .environment()
            .iter()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let ours = [
            ("PROC_NUMBER", id),
            ("TASKFARMER_TASK_ID", id),
            ("TASKFARMER_ATTEMPT", "1"),
            ("TASKFARMER_RANK", "0"),
            ("TASKFARMER_SLOT", "0"),
            ("TASKFARMER_HOST", &host),
            ("TASKFARMER_WORKDIR", &workdir),
        ];
        wanted.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut found = variables(&farm.workdir().log(id.parse().unwrap()));
        found.remove(MARK).expect("the mark of the run");
        for name in OF_THE_SHELL {
            found.remove(name);
            wanted.remove(name);
        }
        assert_eq!(found, wanted, "task {id}");
    }
}

/// A task's folder is the one where the farm was started.
#[test]
fn folder_is_where_the_farm_was_started() {
    let farm = Farm::local(b"/bin/pwd\npwd -P; exit 0\n");
    farm.run(&["--workdir", "elsewhere"]).exits(0);
    let cwd = format!("{}\n", farm.cwd().display());
    for log in ["elsewhere/logs/log_0", "elsewhere/logs/log_1"] {
        assert_eq!(String::from_utf8_lossy(&farm.read(log)), cwd);
    }
}

/// A task has its three standard descriptors and no others, with and without a shell; `ls` adds its own.
#[test]
fn no_descriptor_is_inherited() {
    let farm = Farm::local(b"/bin/ls /proc/self/fd\n/bin/ls /proc/self/fd; exit 0\n");
    farm.run(&["--proc", "2"]).exits(0);
    for id in [0, 1] {
        assert_eq!(String::from_utf8_lossy(&farm.workdir().log(id)), "0\n1\n2\n3\n", "task {id}");
    }
}

/// No signal is blocked or ignored in a task, with and without a shell.
#[test]
fn no_signal_is_blocked_or_ignored() {
    let farm = Farm::local(b"grep ^Sig /proc/self/status\ngrep ^Sig /proc/self/status; exit 0\n");
    farm.run(&["--proc", "2"]).exits(0);
    for id in [0, 1] {
        processes::has_default_signals(&farm.workdir().log(id));
    }
}

/// Standard input is empty, standard output and error are the same file, each task leads its own process group.
#[test]
fn standard_streams_and_process_group() {
    let list = b"readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2\n\
        read line; echo \"$? <$line>\"\n\
        read -r pid name state parent group rest < /proc/self/stat; test $pid = $group; exit\n";
    let farm = Farm::local(list);
    farm.run(&["--proc", "1"]).exits(0);
    let log = farm.workdir().file("logs/log_0");
    let log = log.display();
    assert_eq!(String::from_utf8_lossy(&farm.workdir().log(0)), format!("/dev/null\n{log}\n{log}\n"));
    assert_eq!(farm.workdir().log(1), b"1 <>\n");
}

/// A log holds only the last run of its task, however long an earlier one was.
#[test]
fn log_is_truncated_at_the_start() {
    let farm = Farm::local(b"echo short\n");
    std::fs::create_dir_all(farm.workdir().file("logs")).unwrap();
    farm.workdir().write("logs/log_0", b"something much longer from an earlier run\n");
    farm.run(&[]).exits(0);
    assert_eq!(farm.workdir().log(0), b"short\n");
}
