//! `--retries`: failed tasks are retried.

use crate::support::Farm;

/// A task that succeeds in its third attempt has finished; each attempt is a line of `tasks.tsv`, with a pause in
/// between.
#[test]
fn a_task_may_do_well_later() {
    let farm = Farm::local(b"echo $TASKFARMER_ATTEMPT; test $TASKFARMER_ATTEMPT -ge 3\ntrue\n");
    let outcome = farm.run(&["--proc", "2", "--retries", "2"]).exits(0);
    assert_eq!(outcome.summary(), [2, 0, 0]);
    let attempts = &farm.workdir().attempts_by_task()[&0];
    let short: Vec<_> = attempts.iter().map(|attempt| attempt.short()).collect();
    assert_eq!(short, [(1, "failed", Some(1), None), (2, "failed", Some(1), None), (3, "finished", Some(0), None)]);
    for (pair, pause) in attempts.windows(2).zip([1.0, 2.0]) {
        assert!(pair[1].start.unwrap() - pair[0].end.unwrap() >= pause, "a pause of {pause} s: {pair:?}");
    }
    assert_eq!(farm.workdir().log(0), b"3\n", "the log is of the last attempt");
}

/// A task that fails each time is recorded once, after its last attempt.
#[test]
fn a_task_fails_with_its_last_attempt() {
    let farm = Farm::local(b"echo >> ran; exit 3\n");
    let outcome = farm.run(&["--retries", "1"]).exits(1);
    assert_eq!((outcome.summary(), farm.lines("ran").len()), ([0, 1, 0], 2));
    farm.run(&["--retries", "1"]).exits(1);
    assert_eq!(farm.lines("ran").len(), 2, "what has failed is not tried again by the next start");
}

/// `--retry-exit`: other failures are recorded immediately. Signals count as a shell reports them.
#[test]
fn only_some_exit_codes_are_worth_it() {
    let list = b"echo >> ran0; exit 75\necho >> ran1; exit 76\necho >> ran2; kill -11 $$\necho >> ran3; kill -6 $$\n";
    let farm = Farm::local(list);
    farm.run(&["--retries", "1", "--retry-exit", "70-75,139"]).exits(1);
    let runs = ["ran0", "ran1", "ran2", "ran3"].map(|file| farm.lines(file).len());
    assert_eq!(runs, [2, 1, 2, 1]);
}

/// Invalid values are refused, with advice.
#[test]
fn nonsense_is_refused() {
    let farm = Farm::local(b"true\n");
    farm.run(&["--retries", "many"]).refused(&["--retries many", "from 0 to"]);
    farm.run(&["--retries", "-1"]).refused(&["--retries -1"]);
    farm.run(&["--retries", "1", "--retry-exit", "0"]).refused(&["--retry-exit 0", "100-110"]);
}

/// A task that runs for too long is ended, with everything that it has started, and is recorded as failed, whatever its
/// exit code. One that ignores SIGTERM is killed.
#[test]
fn a_task_runs_out_of_time() {
    let list = b"echo quick\ntrap 'exit 0' TERM; sleep 600 & wait\ntrap '' TERM; sleep 600; sleep 600\n";
    let farm = Farm::local(list);
    let outcome = farm.run(&["--proc", "3", "--task-timeout", "1", "--grace", "1"]).exits(1);
    assert_eq!(outcome.summary(), [1, 2, 0]);
    let attempts = farm.workdir().attempts_by_task();
    let short: Vec<_> = attempts.values().map(|attempts| attempts[0].short()).collect();
    assert_eq!(short, [(1, "finished", Some(0), None), (1, "timeout", Some(0), None), (1, "timeout", None, Some(9))]);
    let took = |id: u64| attempts[&id][0].end.unwrap() - attempts[&id][0].start.unwrap();
    assert!(took(1) >= 1.0 && took(2) >= 2.0, "the limit, and the grace period: {} s, {} s", took(1), took(2));
    let marked = farm.workdir().timeline().all.iter().filter(|event| event["args"]["why"] == "timeout").count();
    assert_eq!(marked, 2, "the timeline says why");
}

/// A timeout is retried like a failure; in a list of exit codes it is 124, as with timeout(1).
#[test]
fn a_timeout_is_retried() {
    let farm = Farm::local(b"test $TASKFARMER_ATTEMPT = 2 || sleep 600\n");
    let options = ["--task-timeout", "1", "--retries", "1", "--retry-exit", "124"];
    let outcome = farm.run(&options).exits(0);
    assert_eq!(outcome.summary(), [1, 0, 0]);
    let attempts: Vec<_> = farm.workdir().attempts().into_iter().map(|attempt| attempt.why).collect();
    assert_eq!(attempts, ["timeout", "finished"]);
}

/// A limit in percent refers to the median of the finished tasks.
#[test]
fn a_limit_follows_the_median() {
    let farm = Farm::local(format!("{}sleep 600\n", "sleep 0.1\n".repeat(12)).as_bytes());
    let outcome = farm.run(&["--proc", "2", "--task-timeout", "500%"]).exits(1);
    assert_eq!(outcome.summary(), [12, 1, 0]);
    let attempts = farm.workdir().attempts_by_task();
    assert_eq!(attempts[&12][0].short(), (1, "timeout", None, Some(15)));
    farm.run(&["--task-timeout", "100%"]).refused(&["--task-timeout 100%", "above 100"]);
}
