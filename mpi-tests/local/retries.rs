//! `--retries`: what fails is tried again.

use crate::support::Farm;

/// A task that does well in its third attempt has finished; each attempt is a line of `tasks.tsv`, with a pause between.
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

/// `--retry-exit`: other failures are recorded at once. Signals are what a shell says of them.
#[test]
fn only_some_exit_codes_are_worth_it() {
    let list = b"echo >> ran0; exit 75\necho >> ran1; exit 76\necho >> ran2; kill -11 $$\necho >> ran3; kill -6 $$\n";
    let farm = Farm::local(list);
    farm.run(&["--retries", "1", "--retry-exit", "70-75,139"]).exits(1);
    let runs = ["ran0", "ran1", "ran2", "ran3"].map(|file| farm.lines(file).len());
    assert_eq!(runs, [2, 1, 2, 1]);
}

/// Nonsense is refused, with what to type instead.
#[test]
fn nonsense_is_refused() {
    let farm = Farm::local(b"true\n");
    farm.run(&["--retries", "many"]).refused(&["--retries many", "from 0 to"]);
    farm.run(&["--retries", "-1"]).refused(&["--retries -1"]);
    farm.run(&["--retries", "1", "--retry-exit", "0"]).refused(&["--retry-exit 0", "100-110"]);
}
