//! What the user wants to happen when tasks fail, over several ranks.

use crate::support::Farm;

/// A task that fails is retried on a different rank, if there is one with a free slot.
#[test]
fn retries_go_to_another_rank() {
    // Each waits until all ranks are at work.
    let task = "echo >> begun; while test $(wc -l < begun) -lt 3; do sleep 0.05; done; test $TASKFARMER_ATTEMPT = 2\n";
    let farm = Farm::mpi(3, task.repeat(3).as_bytes());
    let outcome = farm.run(&["--proc", "1", "--retries", "1"]).exits(0);
    assert_eq!(outcome.summary(), [3, 0, 0]);
    for attempts in farm.workdir().attempts_by_task().values() {
        assert_eq!(attempts.len(), 2);
        assert_ne!(attempts[0].rank, attempts[1].rank, "{attempts:?}");
    }
}

/// All tasks of a longer list get their retries, and each is recorded once.
#[test]
fn every_task_gets_its_retries() {
    let farm = Farm::mpi(3, "echo $PROC_NUMBER >> ran; test $TASKFARMER_ATTEMPT -ge 2\n".repeat(60).as_bytes());
    let outcome = farm.run(&["--proc", "4", "--retries", "2"]).exits(0);
    assert_eq!(outcome.summary(), [60, 0, 0]);
    assert_eq!(farm.workdir().recorded().len(), 60);
    assert!(!farm.workdir().file("failed").exists());
}

/// A limit on the length of a task is enforced on every rank, and is sent to all when it follows the median.
#[test]
fn tasks_run_out_of_time_on_every_rank() {
    for limit in ["1.5", "500%"] {
        let list = format!("{}{}", "sleep 0.1\n".repeat(30), "sleep 600\n".repeat(6));
        let farm = Farm::mpi(3, list.as_bytes());
        let outcome = farm.run(&["--proc", "2", "--task-timeout", limit]).exits(1);
        assert_eq!(outcome.summary(), [30, 6, 0], "{limit}");
        let attempts = farm.workdir().attempts();
        let timeouts: Vec<_> = attempts.iter().filter(|attempt| attempt.why == "timeout").collect();
        assert_eq!(timeouts.len(), 6);
        let ranks: std::collections::BTreeSet<u64> = timeouts.iter().map(|attempt| attempt.rank).collect();
        assert_eq!(ranks.len(), 3, "{timeouts:?}");
    }
}

/// `--halt now`: failures of different ranks count together and end all ranks, and running tasks remain open.
#[test]
fn failures_end_the_farm_now() {
    // One task of each rank fails, all others continue: how soon the ranks learn of the end does not matter.
    let task = "echo >> ran; mkdir rank_$TASKFARMER_RANK && exit 1; sleep 600\n";
    let farm = Farm::mpi(3, task.repeat(33).as_bytes());
    let outcome = farm.run(&["--proc", "2", "--halt", "now,fail=3", "--grace", "5"]).exits(1);
    assert_eq!(outcome.summary(), [0, 3, 30]);
    assert!(outcome.stderr_text().contains("3 tasks have failed (--halt)"), "the user is told");
}

/// `--halt soon`: running tasks on other ranks may end, even hours later, and no rank leaves before.
#[test]
fn failures_let_the_farm_end_soon() {
    let wait = "echo >> ran; while ! test -e go; do sleep 0.05; done\n";
    let list = format!("{}exit 1\n{}", wait.repeat(5), "echo never >> never\n".repeat(20));
    let farm = Farm::mpi(3, list.as_bytes());
    let mut running = farm.start(&["--proc", "2", "--halt", "soon,fail=1"]);
    running.wait_until("five run and one has failed", || {
        farm.lines("ran").len() == 5 && !farm.workdir().bytes("failed").is_empty()
    });
    farm.write("go", b"");
    let outcome = running.wait().exits(1);
    assert_eq!(outcome.summary()[1], 1);
    assert!(outcome.summary()[0] >= 5 && outcome.summary()[2] > 0, "{:?}", outcome.summary());
    assert!(!outcome.stderr_text().contains("lost"), "every rank was there to the end");
}

/// Near the end of its time the farm starts nothing that would not end in time, on any rank.
#[test]
fn tasks_that_would_not_end_in_time_are_not_started() {
    let farm = Farm::mpi(3, "echo >> ran; sleep 2\n".repeat(60).as_bytes());
    let outcome = farm.run(&["--proc", "2", "--timeout", "12", "--task-time", "4"]).exits(3);
    let [finished, failed, remaining] = outcome.summary();
    assert!(finished >= 6 && failed == 0 && finished + remaining == 60, "{:?}", outcome.summary());
    assert_eq!(farm.lines("ran").len() as u64, finished, "none was started in vain");
    assert!(outcome.stderr_text().contains("no time is left"), "the user is told");
}
