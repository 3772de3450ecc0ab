//! Mixed tasks and very long lines on one node.

use crate::support::{Farm, expected, long_lines, mixed};

/// Six hundred mixed tasks: records, logs, files and timeline are exactly right.
#[test]
fn mixed_tasks_are_all_exactly_right() {
    let farm = Farm::local(b"");
    let tasks = mixed::write_list(&farm, 600, 1);
    let outcome = farm.run(&["--proc", "4"]).exits(1);
    expected::is_what_happened(&tasks, &farm, &outcome, 1, 4);
}

/// A shell line of 1 MiB runs.
#[test]
fn long_shell_line() {
    long_lines::shell_line_runs(Farm::local);
}

/// A plain line of 1 MiB runs.
#[test]
fn long_plain_line() {
    long_lines::plain_line_runs(Farm::local);
}

/// A word that is too long for any program fails its task as it does with bash, and only its task.
#[test]
fn huge_word() {
    long_lines::huge_word_fails(Farm::local);
}
