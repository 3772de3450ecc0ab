//! Tasks that do not end when they are asked to, or not entirely: those that ignore signals, are stopped, or have
//! daemons. The same holds with and without a launcher, so both targets use these.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Farm, Running, interrupted, processes};

/// How late an end may be on a busy machine.
const LATE: Duration = Duration::from_secs(60);

/// Much longer than that: anything that ends before this was not waited for.
const LONG_GRACE: &str = "600";

/// Tasks that ignore SIGTERM. They report when they do, and end immediately if there is a file `go`.
const DEAF: &str = "trap '' TERM; echo ID >> ran; test -e go && exit 0; while :; do sleep 1; done";

/// Tasks that stop themselves.
const STOPPED: &str = "echo ID >> ran; test -e go && exit 0; kill -STOP $$; exit 9";

/// Tasks that any signal ends.
const OBEDIENT: &str = "echo ID >> ran; test -e go && exit 0; exec sleep 600";

pub(crate) fn list(task: &str, count: usize) -> Vec<u8> {
    (0..count).map(|id| task.replace("ID", &id.to_string()) + "\n").collect::<String>().into_bytes()
}

/// The next run lets all tasks end: each is recorded once.
#[track_caller]
fn completes(farm: &Farm, options: &[&str], count: usize) {
    farm.write("go", b"");
    interrupted::completes(farm, &farm.workdir(), options, count, 0);
}

/// SIGKILL comes after the grace period, not before it, and not much later. `slots` are those of the whole farm.
#[track_caller]
pub(crate) fn tasks_that_ignore_sigterm_are_killed(make: impl Fn(&[u8]) -> Farm, slots: usize, rank: u32) {
    let grace = Duration::from_secs(3);
    let farm = make(&list(DEAF, slots + 4));
    let options = ["--proc", "2", "--grace", "3"];
    let mut running = farm.start(&options);
    running.wait_until("all slots are taken", || farm.lines("ran").len() == slots);
    let sent = Instant::now();
    processes::signal(running.rank(rank), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    let took = sent.elapsed();
    assert!(took >= grace && took < grace + LATE, "took {took:?} with a grace period of {grace:?}");
    assert_eq!(outcome.summary(), [0, 0, slots as u64 + 4]);
    completes(&farm, &options, slots + 4);
}

/// A second signal on the same rank does not wait for the grace period.
#[track_caller]
pub(crate) fn second_signal_kills_immediately(make: impl Fn(&[u8]) -> Farm, slots: usize, rank: u32) {
    let farm = make(&list(DEAF, slots + 4));
    let options = ["--proc", "2", "--grace", LONG_GRACE];
    let mut running = farm.start(&options);
    running.wait_until("all slots are taken", || farm.lines("ran").len() == slots);
    let victim = running.rank(rank);
    processes::signal(victim, Signal::SIGINT);
    running.wait_until("the farm stops", || running_says(&farm, "stopping"));
    // Signals less than 0.4 s apart count as one: launchers forward some twice.
    std::thread::sleep(Duration::from_millis(600));
    let sent = Instant::now();
    processes::signal(victim, Signal::SIGINT);
    let outcome = running.wait().exits(3);
    assert!(sent.elapsed() < LATE, "took {:?}", sent.elapsed());
    assert_eq!(outcome.summary(), [0, 0, slots as u64 + 4]);
    completes(&farm, &options, slots + 4);
}

fn running_says(farm: &Farm, word: &str) -> bool {
    String::from_utf8_lossy(&farm.last_stderr()).contains(word)
}

/// A task under SIGSTOP is woken so that it dies of SIGTERM; the grace period is not waited for.
#[track_caller]
pub(crate) fn stopped_tasks_are_ended(make: impl Fn(&[u8]) -> Farm, slots: usize, rank: u32) {
    let farm = make(&list(STOPPED, slots + 2));
    let options = ["--proc", "2", "--grace", LONG_GRACE];
    let mut running = farm.start(&options);
    let mark = running.mark().to_owned();
    let is_stopped = |process: &processes::Process| process.state == 'T' && process.task().is_some();
    running.wait_until("all tasks are stopped", || {
        processes::marked(&mark).iter().filter(|process| is_stopped(process)).count() == slots
    });
    let sent = Instant::now();
    processes::signal(running.rank(rank), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    assert!(sent.elapsed() < LATE, "took {:?}", sent.elapsed());
    assert_eq!(outcome.summary(), [0, 0, slots as u64 + 2]);
    completes(&farm, &options, slots + 2);
}

/// A batch system signals everything at the same time, and tasks die before their farm knows why: they are open, not
/// failed.
#[track_caller]
pub(crate) fn fifty_tasks_are_interrupted(
    make: impl Fn(&[u8]) -> Farm,
    options: &[&str],
    slots: usize,
    signal: Signal,
) {
    assert!(slots >= 50);
    let farm = make(&list(OBEDIENT, slots + 10));
    let mut running = farm.start(options);
    running.wait_until("all slots are taken", || farm.lines("ran").len() == slots);
    // A process has no environment for a moment while it becomes another program.
    let mark = running.mark().to_owned();
    let tasks =
        || -> Vec<_> { processes::marked(&mark).into_iter().filter(|process| process.task().is_some()).collect() };
    running.wait_until("all tasks are to be seen", || tasks().len() == slots);
    let ours = running.processes().into_iter().filter(processes::Process::is_ours);
    for process in tasks().into_iter().chain(ours) {
        processes::signal(process.pid, signal);
    }
    let outcome = running.wait().exits(3);
    assert_eq!(outcome.summary(), [0, 0, slots as u64 + 10], "none has failed");
    assert!(farm.workdir().failed().is_empty());
    completes(&farm, options, slots + 10);
}

/// How tasks leave something behind: in a session of its own, by a double fork, ignoring signals, without the
/// environment by which tests find processes. Each writes its pid to `pid_ID`.
const DAEMONS: [&str; 4] = [
    "setsid sh -c 'echo $$ > pid_ID; exec sleep 600' &",
    "(setsid sh -c 'sh -c \"echo \\$\\$ > pid_ID; exec sleep 600\" & exit 0' &);",
    "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > pid_ID; while :; do sleep 1; done' &",
    "env -i PATH=\"$PATH\" setsid sh -c 'cd /; echo $$ > \"$0\"/pid_ID; exec sleep 600' \"$PWD\" > /dev/null 2>&1 < /dev/null &",
];

/// Each daemon by several tasks, which then do `then`.
fn daemons(count: usize, then: &str) -> Vec<u8> {
    let task = |id: usize| {
        let daemon = DAEMONS[id % DAEMONS.len()];
        let line = format!("{daemon} while ! test -s pid_ID; do sleep 0.02; done; echo ID >> ran; {then}\n");
        line.replace("ID", &id.to_string())
    };
    (0..count).map(task).collect::<String>().into_bytes()
}

#[track_caller]
fn no_daemon_is_left(farm: &Farm, count: usize) {
    for id in 0..count {
        let pid = String::from_utf8(farm.read(&format!("pid_{id}"))).unwrap();
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        // An empty line is that of a process that has ended and waits for its parent.
        assert!(line.is_empty(), "the daemon of task {id} lives: pid {pid}: {}", super::shown(&line));
    }
}

/// Daemons end with their tasks, which have finished nevertheless, and the user is told which tasks left some. It is
/// not always known to which task the one without an environment belongs: then it ends with the farm.
#[track_caller]
pub(crate) fn daemons_end_with_their_tasks(make: impl Fn(&[u8]) -> Farm) {
    let farm = make(&daemons(4, "exit 0"));
    let outcome = farm.run(&["--proc", "2", "--grace", "1"]).exits(0);
    no_daemon_is_left(&farm, 4);
    assert_eq!(outcome.summary(), [4, 0, 0]);
    assert!(
        outcome.stderr_text().contains("tasks left processes behind, which the farm terminated: "),
        "{}",
        outcome.stderr_text()
    );
    assert!(outcome.elapsed < LATE * 2, "waited for daemons: {:?}", outcome.elapsed);
}

/// Daemons end with the farm after a stop.
#[track_caller]
pub(crate) fn daemons_end_with_a_stop(make: impl Fn(&[u8]) -> Farm, slots: usize, rank: u32) {
    daemons_end(make, slots, |running| processes::signal(running.rank(rank), Signal::SIGTERM));
}

/// Daemons end with the farm when it is killed: the pool does it.
#[track_caller]
pub(crate) fn daemons_end_with_a_killed_farm(make: impl Fn(&[u8]) -> Farm, slots: usize) {
    daemons_end(make, slots, |running| processes::signal(running.rank(0), Signal::SIGKILL));
}

/// When the pool that would end its tasks' daemons is killed, its nursery does it, before the tasks run again.
#[track_caller]
pub(crate) fn daemons_end_with_a_killed_pool(make: impl Fn(&[u8]) -> Farm, slots: usize) {
    // Only in the first attempt of each task: a second one would wait for its daemon.
    let first = |line: String| format!("test $TASKFARMER_ATTEMPT = 1 || exit 0; {line}\n");
    let list = String::from_utf8(daemons(slots, "exec sleep 600")).unwrap();
    let farm = make(list.lines().map(str::to_owned).map(first).collect::<String>().as_bytes());
    let mut running = farm.start(&["--proc", "4", "--grace", LONG_GRACE]);
    running.wait_until("all daemons run", || farm.lines("ran").len() == slots);
    for (_, pool) in processes::pools(running.mark()) {
        processes::signal(pool, Signal::SIGKILL);
    }
    let outcome = running.wait().exits(0);
    no_daemon_is_left(&farm, slots);
    assert_eq!(outcome.summary(), [slots as u64, 0, 0]);
}

/// Nothing of a rank is left when its nursery is killed together with its pool.
#[track_caller]
pub(crate) fn daemons_end_with_a_killed_nursery(make: impl Fn(&[u8]) -> Farm, slots: usize) {
    daemons_end(make, slots, |running| {
        let nurseries = processes::nurseries(running.mark());
        for (_, pid) in nurseries.into_iter().chain(processes::pools(running.mark())) {
            processes::signal(pid, Signal::SIGKILL);
        }
    });
}

/// Nothing of a rank is left when its MPI process is killed together with its pool, as by killing everything with the
/// program's name: the nursery survives.
#[track_caller]
pub(crate) fn daemons_end_with_killed_ranks_and_pools(make: impl Fn(&[u8]) -> Farm, slots: usize) {
    daemons_end(make, slots, |running| {
        let ranks = processes::mpi_processes(running.mark());
        for (_, pid) in processes::pools(running.mark()).into_iter().chain(ranks) {
            processes::signal(pid, Signal::SIGKILL);
        }
    });
}

#[track_caller]
fn daemons_end(make: impl Fn(&[u8]) -> Farm, slots: usize, end: impl Fn(&Running<'_>)) {
    let farm = make(&daemons(slots, "exec sleep 600"));
    // One in four ignores SIGTERM.
    let mut running = farm.start(&["--proc", "4", "--grace", "2"]);
    running.wait_until("all daemons run", || farm.lines("ran").len() == slots);
    let ended = Instant::now();
    end(&running);
    let outcome = running.wait();
    no_daemon_is_left(&farm, slots);
    // MPICH's launcher has exited with 0 when all its ranks were killed; the farm itself does not report success.
    let code = if outcome.is_launched { outcome.own_code() } else { outcome.status.unwrap().code() };
    assert_ne!(code, Some(0));
    assert!(ended.elapsed() < LATE, "took {:?}", ended.elapsed());
    assert!(farm.workdir().recorded().is_empty(), "nothing has ended by itself");
}
