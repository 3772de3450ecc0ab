//! Tasks that consist of more than their first process. The same holds with and without a launcher, so both targets use
//! these.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Farm, processes};

/// How late an end may be on a busy machine.
const LATE: Duration = Duration::from_secs(60);

/// How a shell line may wrap a program so that a signal to the line's process group does not reach it, or is ignored.
const WRAPPERS: [&str; 4] = [
    "timeout 400 sh -c 'LOOP'; echo",
    "sh -c 'trap \"\" TERM; LOOP'; echo",
    "setsid -w sh -c 'LOOP'; echo",
    "env -i PATH=\"$PATH\" TASKFARMER_ATTEMPT=$TASKFARMER_ATTEMPT setsid -w sh -c 'trap \"\" TERM; LOOP'; echo",
];

/// Constantly records its attempt.
const LOOP: &str = "while :; do echo $TASKFARMER_ATTEMPT >> trace_ID; sleep 0.05; done";

fn wrapped(count: usize, what: &str) -> Vec<u8> {
    let line = |id: usize| WRAPPERS[id % WRAPPERS.len()].replace("LOOP", what).replace("ID", &id.to_string()) + "\n";
    (0..count).map(line).collect::<String>().into_bytes()
}

/// An attempt begins when the last process of the previous one is gone: two never write at the same time. Promise 4.
#[track_caller]
pub(crate) fn attempts_do_not_overlap(make: impl Fn(&[u8]) -> Farm) {
    let farm = make(&wrapped(4, LOOP));
    let outcome = farm.run(&["--proc", "4", "--task-timeout", "1", "--retries", "2", "--grace", "1"]).exits(1);
    assert_eq!(outcome.summary(), [0, 4, 0]);
    for id in 0..4 {
        let trace = farm.lines(&format!("trace_{id}"));
        assert!(trace.is_sorted(), "attempts of task {id} overlap: {trace:?}");
        assert_eq!(trace.last().map(String::as_str), Some("3"), "task {id} was tried three times");
    }
}

/// Everything that a shell line has started has the whole grace period, although the shell itself dies immediately; and
/// the farm ends when the last of it is gone, long before that time is over. `slots` are those of the whole farm.
#[track_caller]
pub(crate) fn the_grace_period_is_for_all(make: impl Fn(&[u8]) -> Farm, slots: usize) {
    let save = "trap \"sleep 2; echo ID >> saved; exit\" TERM; echo ID >> ran; while :; do sleep 0.05; done";
    let list = String::from_utf8(wrapped(slots, save)).unwrap().replace("trap \"\" TERM; ", "");
    let farm = make(list.as_bytes());
    let mut running = farm.start(&["--proc", "2", "--grace", "600"]);
    running.wait_until("all tasks run", || farm.lines("ran").len() == slots);
    let sent = Instant::now();
    processes::signal(running.rank(0), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    let took = sent.elapsed();
    assert!(took >= Duration::from_secs(2) && took < LATE, "took {took:?}");
    assert_eq!(farm.lines("saved").len(), slots, "each has saved its state, and once");
    assert_eq!(outcome.summary(), [0, 0, slots as u64]);
}

/// A process that ends by itself soon after its line is not signaled, and its task is over then: the next one in its
/// slot finds everything done. There is no message about it.
#[track_caller]
pub(crate) fn processes_that_end_soon_are_waited_for(make: impl Fn(&[u8]) -> Farm) {
    let task = |id: usize| {
        let before = if id == 0 { "true".to_owned() } else { format!("test -s done_{}", id - 1) };
        format!("{before} || exit 9; (sleep 0.5; echo ID > done_ID) > /dev/null 2>&1 &\n")
            .replace("ID", &id.to_string())
    };
    let farm = make((0..4).map(task).collect::<String>().as_bytes());
    let outcome = farm.run(&["--proc", "1"]).exits(0);
    assert_eq!(outcome.summary(), [4, 0, 0]);
    assert!(!outcome.stderr_text().contains("left processes behind"), "{}", outcome.stderr_text());
    assert!(!farm.read("done_3").is_empty());
}
