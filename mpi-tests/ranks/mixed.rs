//! Mixed tasks and very long lines on 1 to 16 ranks.

use crate::support::{Farm, expected, long_lines, mixed};

/// Two thousand mixed tasks: records, logs, files and timeline are exactly right, and every rank took part.
#[track_caller]
fn all_is_exactly_right(ranks: u32, slots: u32) {
    let farm = Farm::mpi(ranks, b"").time_limit(300);
    let tasks = mixed::write_list(&farm, 2000, u64::from(ranks));
    let outcome = farm.run(&["--proc", &slots.to_string()]).exits(1);
    expected::matches_the_run(&tasks, &farm, &outcome, u64::from(ranks), u64::from(slots));
}

/// One rank under a launcher does it all.
#[test]
fn mixed_tasks_on_1_rank() {
    all_is_exactly_right(1, 4);
}

/// Two ranks: the smallest farm with messages.
#[test]
fn mixed_tasks_on_2_ranks() {
    all_is_exactly_right(2, 4);
}

/// Four ranks.
#[test]
fn mixed_tasks_on_4_ranks() {
    all_is_exactly_right(4, 4);
}

/// Sixteen ranks, many more than this machine may have cores.
#[test]
fn mixed_tasks_on_16_ranks() {
    all_is_exactly_right(16, 2);
}

/// A shell line of 1 MiB runs.
#[test]
fn long_shell_line() {
    long_lines::shell_line_runs(|list| Farm::mpi(2, list));
}

/// A plain line of 1 MiB runs.
#[test]
fn long_plain_line() {
    long_lines::plain_line_runs(|list| Farm::mpi(2, list));
}

/// A word that is too long for any program fails its task as it does with bash, and only its task.
#[test]
fn huge_word() {
    long_lines::huge_word_fails(|list| Farm::mpi(2, list));
}

/// Long lines on a rank that is not the farmer's: they travel by MPI.
#[test]
fn long_line_by_mpi() {
    let line = format!(": '{}'; echo $TASKFARMER_RANK", "x".repeat(1024 * 1024 - 32));
    let farm = Farm::mpi(2, format!("{line}\n").repeat(4).as_bytes());
    farm.run(&["--farmer-only", "--proc", "2"]).exits(0);
    for id in 0..4 {
        assert_eq!(farm.workdir().log(id), b"1\n", "log of task {id}");
    }
}
