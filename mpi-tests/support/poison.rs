//! Tasks that take down their pool, among good ones: one of them fails, and is named; all others finish.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Farm, Outcome, processes};

/// Where the poison is in the list.
const PLACE: u64 = 20;

/// Good tasks before and after it.
const COUNT: u64 = 40;

/// Kills its pool.
const POISON: &str = "kill -9 $PPID; sleep 1";

fn list(poison: &str) -> Vec<u8> {
    let good = "sleep 0.1; echo $PROC_NUMBER >> ran\n";
    let (before, behind) = (good.repeat(PLACE as usize), good.repeat((COUNT - PLACE) as usize));
    format!("{before}{poison}\n{behind}").into_bytes()
}

/// The poison has failed, after this many crashes in all, and the user can see which task it is; all others have
/// finished.
#[track_caller]
fn is_found(farm: &Farm, outcome: &Outcome, crashes: usize) {
    assert_eq!(outcome.summary(), [COUNT, 1, 0]);
    outcome.was_own_code(1);
    let failed: Vec<u64> = farm.workdir().failed().into_keys().collect();
    assert_eq!(failed, [PLACE]);
    let text = outcome.stderr_text();
    assert!(text.contains(&format!("task {PLACE} crashed")), "the summary names it:\n{text}");
    let attempts = farm.workdir().attempts_by_task();
    let whys: Vec<_> = attempts[&PLACE].iter().map(|attempt| attempt.why.as_str()).collect();
    assert_eq!(whys, vec!["crashed"; crashes]);
    let timeline = farm.workdir().timeline();
    let is_marked = |event: &&serde_json::Value| event["args"]["why"] == "crashed" && event["args"]["id"] == PLACE;
    assert!(timeline.all.iter().filter(is_marked).count() >= 1, "the timeline shows its last crash");
    let innocent = |event: &&serde_json::Value| {
        event["args"]["why"] == "crashed" && event["cat"] == "task,failed" && event["args"]["id"] != PLACE
    };
    assert_eq!(timeline.all.iter().filter(innocent).count(), 0, "and no other task's");
}

/// A task that kills its pool fails after three crashes; no later start runs it again, unless requested.
#[track_caller]
pub(crate) fn kills_its_pool(make: impl Fn(&[u8]) -> Farm) {
    let farm = make(&list(POISON));
    let outcome = farm.run(&["--proc", "4"]).exits(1);
    is_found(&farm, &outcome, 3);
    let outcome = farm.run(&["--proc", "4"]).exits(1);
    assert_eq!(outcome.summary(), [COUNT, 1, 0]);
    assert_eq!(farm.workdir().attempts_by_task()[&PLACE].len(), 3, "it did not run again");
    let outcome = farm.run(&["--proc", "4", "--retry-failed", "--crash-limit", "2"]).exits(1);
    is_found(&farm, &outcome, 5);
}

/// A task that stops its pool: after half a minute the pool is considered lost, and killed with what it runs.
#[track_caller]
pub(crate) fn stops_its_pool(make: impl Fn(&[u8]) -> Farm) {
    let farm = make(&list("echo >> stops; kill -STOP $PPID; sleep 600"));
    let outcome = farm.run(&["--proc", "4", "--crash-limit", "1"]).exits(1);
    // At first it may stop its pool before that starts other tasks, and so be alone: then one crash is enough.
    let crashes = farm.lines("stops").len();
    assert!((1..=2).contains(&crashes), "{crashes} crashes");
    is_found(&farm, &outcome, crashes);
    assert!(outcome.stderr_text().contains("was stopped (SIGSTOP)"), "the user is told");
}

/// The pool of a rank is stopped from outside: its tasks are killed, with everything that they have started, and run
/// again.
#[track_caller]
pub(crate) fn is_stopped(make: impl Fn(&[u8]) -> Farm, rank: u32) {
    let task = "echo $$ >> pids; test $TASKFARMER_ATTEMPT = 2 || { setsid sleep 600 & sleep 600; }\n";
    let farm = make(format!("{task}{task}").as_bytes());
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("both run", || farm.lines("pids").len() == 2);
    for (_, pool) in processes::pools(running.mark()).into_iter().filter(|(of, _)| *of == rank) {
        processes::signal(pool, Signal::SIGSTOP);
    }
    // The tasks of other ranks, if there are any, would wait forever.
    let stopped = std::time::Instant::now();
    running.wait_until("the loss is known", || farm.last_stderr().windows(7).any(|word| word == b"SIGSTOP"));
    assert!(stopped.elapsed() > Duration::from_secs(20), "it may have been slow");
    let is_elsewhere = |process: &&processes::Process| {
        process.task().is_some() && process.variable("TASKFARMER_RANK").is_some_and(|of| of != rank.to_string())
    };
    for process in running.processes().iter().filter(is_elsewhere) {
        processes::signal(process.pid, Signal::SIGSEGV);
    }
    // Also looks for processes that are still alive.
    let outcome = running.wait();
    assert!(matches!(outcome.status.unwrap().code(), Some(0 | 1)));
    assert_eq!(outcome.summary()[2], 0, "nothing is left to do");
}
