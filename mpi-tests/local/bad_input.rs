//! Bad input is refused on one node: one clear message, exit code 2, nothing created.

use crate::support::Farm;
use crate::support::bad_input::{BadInput, bad_input_tests};

bad_input_tests! { Farm::local;
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

/// A list that comes through a pipe could not be read by the next run: refused, with advice.
#[test]
fn list_from_a_pipe_is_refused() {
    let farm = Farm::local(b"echo one\n");
    let before = farm.everything();
    for list in ["-", "/dev/stdin", "/dev/fd/0"] {
        farm.run_exactly(&[list]).refused(&[list, "write the list to a file first"]);
    }
    farm.run_exactly(&["-", "--workdir", "w"]).refused(&["write the list to a file first"]);
    assert_eq!(farm.everything(), before);
}

/// Two lists, as a shell pattern gives them, and GNU parallel's name for the slots: the message says what to type.
#[test]
fn usual_slips_are_understood() {
    let farm = Farm::local(b"echo one\n");
    let before = farm.everything();
    farm.run_exactly(&["tasks.txt", "more.txt"]).refused(&["more.txt", "one tasklist"]);
    let latin = std::os::unix::ffi::OsStrExt::from_bytes(b"\xe9.txt");
    let words: [&std::ffi::OsStr; 3] = [crate::support::program().as_ref(), latin, "tasks.txt".as_ref()];
    farm.start_other(&words).wait().refused(&["tasks.txt", "one tasklist"]);
    farm.run_exactly(&["statsu", "tasks.txt_workdir"]).refused(&["did you mean taskfarmer-mpi status?"]);
    farm.run_exactly(&["help", "statsu"]).refused(&[
        "no help topic 'statsu'",
        "did you mean taskfarmer-mpi help status?",
        "topics: index, ",
    ]);
    farm.run(&["--jobs", "4"]).refused(&["--jobs", "--proc"]);
    farm.run(&["-j4"]).refused(&["-j", "--proc"]);
    farm.run(&["--resume"]).refused(&["--resume", "the same command resumes"]);
    assert_eq!(farm.everything(), before);
}

/// `--farmer-only` on one node would leave no rank to run tasks.
#[test]
fn farmer_only_without_ranks() {
    let farm = Farm::local(b"echo one\n");
    let before = farm.everything();
    farm.run(&["--farmer-only"]).refused(&["--farmer-only"]);
    assert_eq!(farm.everything(), before);
}
