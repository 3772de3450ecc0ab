//! Tasklist handlers that start programs, under a real launcher: rank 0 reads before MPI starts, and the others neither
//! read nor hang, whatever the result.

use nix::sys::signal::Signal;

use crate::support::{Farm, processes};

fn farm(command: &str) -> Farm {
    let farm = Farm::mpi(3, b"in the list\n").time_limit(60);
    farm.write("exec.ini", format!("[x]\nTaskList = exec\ncommand = {command}\n").as_bytes());
    farm
}

/// The program runs once, without the launcher's variables, and its tasks run on all ranks.
#[test]
fn one_rank_reads_for_all() {
    let farm =
        farm("echo x >> read; env | grep -E '^(PMI|PMIX|OMPI_COMM)_?' >> variables; seq -f 'echo %%g' 30; sleep 0.2");
    let outcome = farm.run(&["--proc", "2", "--tasklist", "x"]).exits(0);
    assert_eq!(outcome.summary(), [30, 0, 0]);
    assert_eq!(farm.lines("read"), ["x"]);
    assert_eq!(farm.lines("variables"), [""; 0], "variables of the launcher");
}

/// A handler that fails is reported once, with exit code 2, and every rank ends.
#[test]
fn a_failing_handler_is_reported_once() {
    let farm = farm("echo broken >&2; exit 5");
    let before = farm.everything();
    farm.run(&["--tasklist", "x"]).refused(&["exec.ini:3", "[x]", "exit code 5", "broken"]);
    assert_eq!(farm.everything(), before);
}

/// A signal to rank 0 while its handler works ends all ranks, with exit code 3.
#[test]
fn a_slow_handler_can_be_stopped() {
    let farm = farm("echo $PPID > ../home/reader; sleep 600; true");
    let before = farm.everything();
    let mut running = farm.start(&["--tasklist", "x"]);
    let reader = || std::fs::read_to_string(farm.home().join("reader")).unwrap_or_default().trim().parse::<i32>().ok();
    running.wait_until("the handler's program runs", || reader().is_some());
    let status = std::fs::read_to_string(format!("/proc/{}/status", reader().unwrap())).unwrap();
    let rank: i32 = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    processes::signal(rank, Signal::SIGUSR1);
    let outcome = running.wait().exits(3);
    assert!(outcome.stderr_text().contains("SIGUSR1"));
    assert_eq!(farm.everything(), before);
}
