//! `tasks.tsv`: a line for each attempt of a task.

use nix::sys::signal::Signal;

use crate::support::{Farm, attempts, blockers, processes};

/// Each end of a task is a line with its columns in order; tabs in the command are kept.
#[test]
fn every_end_is_a_line() {
    let list = "exit 3\nkill -9 $$\ntrue\ta\t b\nno-such-program-at-all\nx=$(seq 200000); : $x\n";
    let farm = Farm::local(list.as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(1);
    let written = farm.workdir().attempts();
    attempts::lie_within(&written, &outcome);
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let tasks = farm.workdir().attempts_by_task();
    assert_eq!((written.len(), tasks.len()), (5, 5));
    for (attempt, line) in tasks.values().map(|attempts| &attempts[0]).zip(list.lines()) {
        assert_eq!((attempt.rank, attempt.host.as_str(), attempt.command.as_str()), (0, host.as_str(), line));
        assert!(attempt.slot.is_some_and(|slot| slot < 2), "{attempt:?}");
    }
    let ends = [
        (1, "failed", Some(3), None),
        (1, "failed", None, Some(9)),
        (1, "finished", Some(0), None),
        (1, "failed", Some(127), None),
        (1, "finished", Some(0), None),
    ];
    assert_eq!(tasks.values().map(|attempts| attempts[0].short()).collect::<Vec<_>>(), ends);
    let busy = &tasks[&4][0];
    assert!(busy.user.unwrap() + busy.system.unwrap() > 0.001, "CPU time: {busy:?}");
    assert!(busy.max_rss_kib.unwrap() > 1_000, "memory: {busy:?}");
}

/// A stop leaves a line for what it interrupted, and an event in the timeline; the next run appends, and a task's last line is how it ended.
#[test]
fn interruptions_are_lines_and_a_resume_appends() {
    let farm = Farm::local(&blockers::list(3, 2));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("both blockers run", || blockers::blocked(&farm, 3) == 2);
    processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
    let first = farm.workdir().attempts();
    let words: Vec<&str> = first.iter().map(|attempt| attempt.why.as_str()).collect();
    assert_eq!(words, ["finished", "finished", "finished", "interrupted", "interrupted"]);
    assert!(first[3..].iter().all(|attempt| attempt.signal == Some(15)), "{first:?}");
    let timeline = farm.workdir().timeline();
    let interrupted: Vec<u64> = timeline.interrupted().iter().map(|event| event.id).collect();
    assert_eq!(interrupted.len(), 2, "in the timeline, too, in a category of their own: {interrupted:?}");
    assert_eq!(timeline.by_task().len(), 3, "the others came to their end");
    blockers::let_go(&farm);
    farm.run(&["--proc", "2"]).exits(0);
    let all = farm.workdir().attempts();
    assert_eq!((&all[..5], all.len()), (&first[..], 7), "appended");
    assert!(all[5..].iter().all(|attempt| attempt.short() == (1, "finished", Some(0), None)), "{all:?}");
}

/// After SIGKILL of the farm a line may be torn; only that is cut off. A different file with this name is kept.
#[test]
fn a_torn_line_is_cut_off_and_another_file_kept() {
    let farm = Farm::local(b"echo 0\necho 1\n");
    farm.run(&[]).exits(0);
    let whole = farm.workdir().bytes("tasks.tsv");
    farm.workdir().write("tasks.tsv", &[&whole, &b"1\t2\t0\tnode"[..]].concat());
    farm.append("tasks.txt", b"echo 2\n");
    farm.run(&[]).exits(0);
    let attempts = farm.workdir().attempts();
    assert!(farm.workdir().bytes("tasks.tsv").starts_with(&whole), "whole lines stay");
    assert_eq!((attempts.len(), attempts[2].id), (3, 2));

    farm.workdir().write("tasks.tsv", b"my own\ttable\n");
    farm.append("tasks.txt", b"echo 3\n");
    let outcome = farm.run(&[]).exits(0);
    assert!(outcome.stderr_text().contains("tasks.tsv.damaged"), "the user is told");
    assert_eq!(farm.workdir().bytes("tasks.tsv.damaged"), b"my own\ttable\n");
    assert_eq!(farm.workdir().attempts().len(), 1);
}
