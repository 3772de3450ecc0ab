//! What a user sees of a farm of several ranks: only rank 0 prints.

use crate::support::Farm;
use crate::support::terminal::Terminal;

/// A user of a launcher can have the live line: one for all ranks, with the slots of all, and nothing is left of it.
#[test]
fn live_line_is_that_of_all_ranks() {
    // All wait until all run, and then for long enough to be observed.
    let task = "touch here-$PROC_NUMBER; until [ $(ls here-* | wc -l) -ge 6 ]; do sleep 0.05; done; sleep 1\n";
    let mut farm = Farm::mpi(3, task.repeat(6).as_bytes()).time_limit(60);
    farm.set("COLUMNS", "100");
    let outcome = farm.run(&["--proc", "2", "--progress", "bar"]).exits(0);
    let terminal = Terminal::play(&outcome.stderr);
    let live = terminal.live();
    assert!(live.iter().any(|line| line.contains("0/6  6 running on 6 slots")), "{live:#?}");
    assert!(live.iter().all(|line| line.len() < 100), "{live:#?}");
    let lines: Vec<&String> = terminal.lines.iter().filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().all(|line| line.starts_with("taskfarmer-mpi: ")), "{lines:#?}");
    assert!(lines.last().unwrap().contains("6 finished, 0 failed, 0 remaining"), "{lines:#?}");
}

/// Behind a launcher, a short run without failures prints two lines, even with `--progress none`; with `--quiet`, none.
#[test]
fn batch_output_is_short() {
    let farm = Farm::mpi(3, "true\n".repeat(60).as_bytes()).time_limit(60);
    let outcome = farm.run(&["--proc", "1"]).exits(0);
    let begin = "taskfarmer-mpi: 60 tasks; 3 ranks with 1 slot each; records and logs go to tasks.txt_workdir\n";
    assert!(outcome.stderr_text().starts_with(begin), "{}", outcome.stderr_text());
    assert_eq!(outcome.stderr_text().lines().count(), 2, "the beginning and the summary");
    let outcome = farm.run(&["--proc", "1", "--quiet", "--workdir", "other"]).exits(0);
    assert_eq!(outcome.stderr_text(), "");
    let outcome = farm.run(&["--proc", "1", "--progress", "none", "--workdir", "third"]).exits(0);
    assert_eq!(outcome.stderr_text().lines().count(), 2, "the beginning and the summary");
}

/// Failures on one host are reported with one log to look at, whichever rank ran them.
#[test]
fn failures_of_all_ranks_are_grouped() {
    let farm = Farm::mpi(3, "echo \"rank $TASKFARMER_RANK is bad\"; sleep 0.1; exit 3\n".repeat(30).as_bytes());
    let farm = farm.time_limit(100);
    let text = farm.run(&["--proc", "2"]).exits(1).stderr_text();
    let kind = text.lines().find(|line| line.contains("30 × exit 3: rank ")).unwrap_or_else(|| panic!("{text}"));
    assert!(kind.contains(" is bad (see tasks.txt_workdir/logs/log_") && !kind.contains("only on"), "{kind}");
}
