//! What the user wants to happen with tasks that fail, over several ranks.

use crate::support::Farm;

/// A task that fails is tried again on another rank, where there is one with a free slot.
#[test]
fn retries_go_to_another_rank() {
    let farm = Farm::mpi(3, b"test $TASKFARMER_ATTEMPT = 2\ntest $TASKFARMER_ATTEMPT = 2\n");
    let outcome = farm.run(&["--proc", "2", "--retries", "1"]).exits(0);
    assert_eq!(outcome.summary(), [2, 0, 0]);
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

/// A limit on the length of a task is kept on every rank, and is told to all when it follows the median.
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
