//! Mixed tasks, very long lines and very long tasks on one node.

use crate::support::{Farm, expected, long_lines, mixed, quiet};

/// Six hundred mixed tasks: records, logs, files and timeline are exactly right.
#[test]
fn mixed_tasks_are_all_exactly_right() {
    let farm = Farm::local(b"");
    let tasks = mixed::write_list(&farm, 600, 1);
    let outcome = farm.run(&["--proc", "4"]).exits(1);
    expected::matches_the_run(&tasks, &farm, &outcome, 1, 4);
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

/// A task that runs longer than any silence limit is waited for.
#[test]
fn long_task() {
    quiet::long_task_is_waited_for(&Farm::local(quiet::LIST));
}

/// A long grace period is honored.
#[test]
fn long_grace_period() {
    quiet::long_grace_period_is_honoured(&Farm::local(quiet::STUBBORN), 0);
}
