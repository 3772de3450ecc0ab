//! Bad input with four ranks: one message, not four; exit code 2, nothing created, and every rank ends.

use crate::support::Farm;
use crate::support::bad_input::{BadInput, bad_input_tests};

bad_input_tests! { |list| Farm::mpi(4, list).time_limit(60);
    /// A list that does not exist is named.
    no_such_list: NoSuchList,
    /// A folder is not a list.
    folder_as_list: FolderAsList,
    /// An unreadable list is named.
    unreadable_list: UnreadableList,
    /// A command line without a list.
    no_list: NoList,
    /// A NUL cannot be part of a command; its line is named.
    nul_in_a_line: NulInALine,
    /// A runner that no INI file defines is named.
    unknown_runner: UnknownRunner,
    /// A tasklist handler that no INI file defines is named.
    unknown_handler: UnknownHandler,
    /// No slots would mean no tasks.
    proc_zero: NoSlots,
    /// `--proc x LIST`: x is not a number of slots.
    proc_is_no_number: ProcIsNoNumber,
    /// Time does not run backwards.
    negative_timeout: NegativeTimeout,
    /// `--timeout soon`: not a time.
    timeout_is_no_time: TimeoutIsNoTime,
    /// A mistyped option is named, in the same form as every other error.
    unknown_option: UnknownOption,
    /// A workdir that is a file is named and left alone.
    workdir_is_a_file: WorkdirIsAFile,
    /// A workdir that exists but cannot be written to is named.
    workdir_not_writable: WorkdirNotWritable,
    /// A workdir that cannot be created is named, and its parents are not created either.
    workdir_cannot_be_made: WorkdirCannotBeMade,
}

/// An empty list, and one of comments only: exit code 0 and a message, from one rank.
#[test]
fn nothing_to_do_is_reported_once() {
    for list in [b"".as_slice(), b"# one\n# two\n\n"] {
        let farm = Farm::mpi(4, list).time_limit(60);
        let outcome = farm.run(&[]).exits(0);
        assert_eq!(outcome.errors(), [""; 0], "no error");
        let text = outcome.stderr_text();
        let words: Vec<&str> = text.lines().filter(|line| line.starts_with("taskfarmer-mpi: ")).collect();
        assert!(words.iter().any(|line| line.contains("task")), "a word about a list without tasks");
        for word in &words {
            let times = words.iter().filter(|other| *other == word).count();
            assert_eq!(times, 1, "said {times} times: {word}");
        }
    }
}

/// `--version`, `--help` and `--dry-run` print once, not once per rank.
#[test]
fn information_is_printed_once() {
    let farm = Farm::mpi(4, b"echo 0\necho 1\n").time_limit(60);
    let before = farm.everything();
    let printed = |words: &[&str]| String::from_utf8(farm.run_exactly(words).exits(0).stdout.clone()).unwrap();
    assert_eq!(printed(&["--version"]).matches(concat!("taskfarmer-mpi ", env!("CARGO_PKG_VERSION"))).count(), 1);
    assert_eq!(printed(&["--help"]).matches("Usage:").count(), 1);
    assert_eq!(printed(&["--dry-run", "tasks.txt"]), "0 echo 0\n1 echo 1\n");
    assert_eq!(farm.everything(), before);
}

/// A damaged workdir is found after MPI has started: one message, and every rank ends.
#[test]
fn damaged_workdir_is_refused_once() {
    let farm = Farm::mpi(4, b"echo 0\necho 1\necho 2\n").time_limit(60);
    std::fs::create_dir(farm.workdir().path()).unwrap();
    farm.workdir().write("finished", b"0 echo 0\ngarbage\n1 echo 1\n");
    let before = farm.contents();
    farm.run(&[]).refused(&["finished", "line 2"]);
    assert_eq!(farm.contents(), before);
}

/// An invalid limit for the start of MPI is refused by name.
#[test]
fn invalid_limit_of_the_start_is_refused() {
    let mut farm = Farm::mpi(2, b"true\n");
    farm.set("TASKFARMER_MPI_INIT_LIMIT", "soon");
    let outcome = farm.run(&[]);
    assert_eq!(outcome.status.unwrap().code(), Some(2));
    let text = outcome.stderr_text();
    assert!(text.contains("TASKFARMER_MPI_INIT_LIMIT is \"soon\""), "{text}");
    assert!(!farm.workdir().path().exists(), "nothing is made");
}
