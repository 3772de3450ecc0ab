//! The command line as PyTaskFarmer's users type it, and `--version`, `--help`, `--dry-run`.

use std::fs;

use crate::support::Farm;

const LIST: &[u8] = b"echo one\necho two\n";

/// Makes sure that a command line runs both tasks of the list.
#[track_caller]
fn runs(words: &[&str]) {
    let farm = Farm::local(LIST);
    let outcome = farm.run_exactly(words).exits(0);
    assert_eq!(outcome.summary(), [2, 0, 0]);
    assert_eq!(farm.workdir().finished().len(), 2);
}

/// `-v` is a flag, even right before the list.
#[test]
fn verbose_is_a_flag() {
    runs(&["-v", "tasks.txt"]);
    runs(&["-vv", "tasks.txt"]);
    runs(&["-v", "-v", "tasks.txt"]);
    runs(&["--verbose", "tasks.txt"]);
    runs(&["tasks.txt", "--verbose"]);
}

/// `--verbose True` and the like still parse, with the list after them.
#[test]
fn verbose_still_takes_a_value() {
    runs(&["--verbose", "True", "tasks.txt"]);
    runs(&["--verbose", "1", "tasks.txt"]);
    runs(&["--verbose", "False", "tasks.txt"]);
    runs(&["--verbose=False", "tasks.txt"]);
    runs(&["-v", "True", "tasks.txt"]);
}

/// Bare `--proc` and `auto` use all CPUs, wherever they are on the command line.
#[test]
fn proc_needs_no_number() {
    runs(&["tasks.txt", "--proc"]);
    runs(&["tasks.txt", "-n"]);
    runs(&["--proc", "--timeout", "100", "tasks.txt"]);
    runs(&["--proc", "auto", "tasks.txt"]);
    runs(&["-n", "1", "tasks.txt"]);
    runs(&["--proc=2", "tasks.txt"]);
}

/// Bare `--proc` right before the list: the last word is the list, not a number of slots.
#[test]
fn proc_right_before_the_list_is_bare() {
    runs(&["--proc", "tasks.txt"]);
    runs(&["-n", "tasks.txt"]);
}

/// `--timeout` takes seconds, units, and hours and minutes in Slurm's format.
#[test]
fn timeout_takes_times() {
    for time in ["100", "90s", "30m", "2h", "1h30m", "1:30:00", "1-12:00:00"] {
        runs(&["--timeout", time, "tasks.txt"]);
    }
}

/// The built-in runner and handler have names, in both spellings of their options.
#[test]
fn default_runner_and_handler_have_a_name() {
    runs(&["--runner", "default", "--tasklist", "default", "tasks.txt"]);
    runs(&["-r", "default", "-t", "default", "tasks.txt"]);
}

/// `--workdir` is used in place of the default, and created with its parents.
#[test]
fn workdir_is_made_with_its_parents() {
    for option in ["--workdir", "-w"] {
        let farm = Farm::local(LIST);
        farm.run(&[option, "some/inner/folder"]).exits(0);
        assert_eq!(fs::read(farm.path("some/inner/folder/logs/log_0")).unwrap(), b"one\n");
        assert!(!farm.workdir().path().exists(), "the default workdir is not used");
    }
}

/// The default workdir is beside the list, not where the farm is started.
#[test]
fn default_workdir_is_beside_the_list() {
    let farm = Farm::local(b"");
    fs::create_dir(farm.path("lists")).unwrap();
    farm.write("lists/mine", LIST);
    farm.run_exactly(&["lists/mine"]).exits(0);
    assert_eq!(fs::read(farm.path("lists/mine_workdir/logs/log_1")).unwrap(), b"two\n");
}

/// `--version` prints the program's version, the git revision and the MPI.
#[test]
fn version_names_revision_and_mpi() {
    let farm = Farm::local(LIST);
    let outcome = farm.run_exactly(&["--version"]).exits(0);
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("taskfarmer-mpi {}", env!("CARGO_PKG_VERSION"))), "{text}");
    let mpi = lines[1..].join("\n");
    assert!(mpi.contains("MPI"), "a line on the MPI library: {text}");
    assert_eq!(mpi.contains("built without MPI"), !cfg!(feature = "mpi"), "{text}");
}

/// `--help` names every option and has examples.
#[test]
fn help_names_every_option() {
    let farm = Farm::local(LIST);
    let outcome = farm.run_exactly(&["--help"]).exits(0);
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let options = [
        "--proc",
        "-n",
        "--timeout",
        "--workdir",
        "-w",
        "--verbose",
        "-v",
        "--runner",
        "-r",
        "--tasklist",
        "-t",
        "--grace",
        "--farmer-only",
        "--dry-run",
        "--version",
        "--help",
    ];
    for option in options {
        assert!(text.contains(option), "{option} in:\n{text}");
    }
    for example in ["taskfarmer-mpi --proc auto tasks.txt", "mpirun -n", "srun "] {
        assert!(text.contains(example), "an example with {example:?} in:\n{text}");
    }
}

/// `--dry-run` prints ID and command of every task, readable for a person, and changes nothing.
#[test]
fn dry_run_touches_nothing() {
    let farm = Farm::local(b"# comment\n  echo 'one'  \n\ntouch made\necho \xff > out\n # x\n");
    let before = farm.everything();
    let outcome = farm.run(&["--dry-run"]).exits(0);
    assert_eq!(outcome.stdout, b"0 echo 'one'\n1 touch made\n2 echo \\xff > out\n3 # x\n");
    assert_eq!(farm.everything(), before);
}

/// After a part of a run, `--dry-run` prints what remains, and still changes nothing.
#[test]
fn dry_run_prints_what_remains() {
    let farm = Farm::local(b"echo 0\nfalse\n");
    farm.run(&[]).exits(1);
    farm.append("tasks.txt", b"echo 2\necho 3\n");
    let before = farm.everything();
    let outcome = farm.run(&["--dry-run"]).exits(0);
    assert_eq!(outcome.stdout, b"2 echo 2\n3 echo 3\n");
    assert_eq!(farm.everything(), before);
}

/// `--dry-run` refuses what a run would refuse.
#[test]
fn dry_run_refuses_bad_input() {
    let farm = Farm::local(LIST);
    let before = farm.everything();
    farm.run(&["--dry-run", "--runner", "no-such-runner"]).refused(&["no-such-runner"]);
    farm.run_exactly(&["--dry-run", "no-such-list"]).refused(&["no-such-list"]);
    assert_eq!(farm.everything(), before);
}

/// `help` is what `--help` is, for the program and for a subcommand; a subcommand's page follows.
#[test]
fn help_is_a_word_too() {
    let farm = Farm::local(LIST);
    let of = |words: &[&str]| String::from_utf8(farm.run_exactly(words).exits(0).stdout.clone()).unwrap();
    assert_eq!(of(&["help"]), of(&["--help"]));
    assert_eq!(of(&["help", "logs"]), of(&["logs", "-h"]));
    let (both, help) = (of(&["help", "status"]), of(&["status", "-h"]));
    assert!(both.strip_prefix(&help).is_some_and(|page| page.starts_with("\n# Checking on a farm\n")), "{both}");
}

/// Help fits a terminal of 80 columns and two screens, in groups by purpose, and its first example uses the whole
/// machine.
#[test]
fn help_is_short() {
    let help = String::from_utf8(Farm::local(LIST).run_exactly(&["--help"]).exits(0).stdout.clone()).unwrap();
    assert!(help.lines().count() <= 90 && help.lines().all(|line| line.chars().count() <= 80), "{help}");
    let groups: Vec<&str> = help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    let expected =
        ["Commands:", "Arguments:", "Starting:", "Limits:", "Failures:", "Output:", "Advanced:", "Examples:"];
    assert_eq!(groups, expected);
    assert!(help.contains("Examples:\n  taskfarmer-mpi --proc auto tasks.txt "));
}

/// A list may be anywhere that regular files can be.
#[test]
fn a_list_may_lie_in_shared_memory() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let list = folder.path().join("tasks.txt");
    fs::write(&list, LIST).unwrap();
    let farm = Farm::local(b"");
    assert_eq!(farm.run_exactly(&[list.to_str().unwrap()]).exits(0).summary(), [2, 0, 0]);
}
