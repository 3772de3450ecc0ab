//! Tasks that consist of more than their first process: see `support::leftovers`.

use nix::sys::signal::Signal;

use crate::support::{Farm, blockers, leftovers, processes, skipped};

/// Promise 4: no line of attempt 2 before the last one of attempt 1, however the processes are wrapped.
#[test]
fn attempts_do_not_overlap() {
    leftovers::attempts_do_not_overlap(Farm::local);
}

/// Everything that a task has started has the whole grace period.
#[test]
fn the_grace_period_is_for_all() {
    leftovers::the_grace_period_is_for_all(Farm::local, 2);
}

/// A process that ends soon after its task is not signaled.
#[test]
fn processes_that_end_soon_are_waited_for() {
    leftovers::processes_that_end_soon_are_waited_for(Farm::local);
}

/// What a task leaves behind is found even if it forks, ends and becomes other programs at the very moment at which the
/// first process ends, while other tasks run beside it: each task keeps its slot until its rest was asked to end.
#[test]
fn moving_processes_are_found() {
    let kinds = [
        "(setsid bash -c \"(sleep 771 &) &\" &) ; exit 0",
        "(setsid bash -c \"(setsid bash -c '(sleep 772 &) &' &) &\" &) ; exit 0",
        "setsid -f setsid -f setsid -f sleep 773",
    ];
    // With sixteen slots, threads start the tasks.
    for (slots, count) in [("3", 6), ("16", 48)] {
        let list: String = (0..count).map(|id| format!("{}\n", kinds[id % kinds.len()])).collect();
        let farm = Farm::local(list.as_bytes());
        farm.run(&["--proc", slots, "--grace", "0"]).exits(0);
        let length = |attempt: &crate::support::attempts::Attempt| attempt.end.unwrap() - attempt.start.unwrap();
        let lengths: Vec<f64> = farm.workdir().attempts().iter().map(length).collect();
        assert!(lengths.len() == count && lengths.iter().all(|length| *length > 4.9), "{slots} slots: {lengths:?}");
    }
}

/// The time and the memory of what was left behind count for the task too.
#[test]
fn leftovers_are_measured() {
    let burn = "python3 -c 'b = bytearray(200 << 20); import time; e = time.process_time() + 0.5\nwhile time.process_time() < e: pass'";
    let line = format!("({}) &\n", burn.replace('\n', "\\n").replace("-c '", "-c $'"));
    let farm = Farm::local(line.as_bytes());
    farm.run(&[]).exits(0);
    let attempt = &farm.workdir().attempts()[0];
    assert!(attempt.user.unwrap() + attempt.system.unwrap() > 0.4, "{attempt:?}");
    assert!(attempt.max_rss_kib.unwrap() > 150 << 10, "{attempt:?}");
}

/// Runs a program where process IDs are reused after 400 of them, beside neighbors that start one process after the
/// other and record which of them was killed.
const TINY: &str = r#"
echo 400 > /proc/sys/kernel/pid_max || exit 99
neighbor() {
    while test ! -e "$cwd"/over; do
        sleep 0.002 &
        wait $! || echo $? >> "$cwd"/hits
        echo >> "$cwd"/neighbors
    done
}
cwd=$PWD
neighbor & neighbor & neighbor &
"$@"
code=$?
touch over
wait
exit $code"#;

fn can_make_namespaces() -> bool {
    // Before Linux 6.14, a namespace shares the `pid_max` of the whole machine, and would change it.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6, 14) {
        return false;
    }
    let mut probe = std::process::Command::new("unshare");
    probe.args(["--pid", "--fork", "--mount-proc", "sh", "-c", "echo 400 > /proc/sys/kernel/pid_max"]);
    probe.output().is_ok_and(|output| output.status.success())
}

/// Promise 4: no signal reaches a process that is not the farm's, although process IDs wrap within a second while tasks
/// and what they leave behind are constantly terminated and killed.
#[test]
fn no_neighbor_is_hit() {
    if !can_make_namespaces() {
        return skipped("this needs root and a PID namespace with a pid_max of its own (Linux 6.14)");
    }
    let launcher = ["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", TINY, "tiny"].map(Into::into).to_vec();
    let task = "(setsid sh -c 'while :; do sleep 0.01; done' &) ; (trap '' TERM; while :; do sleep 0.01; done) & \
                while :; do sh -c : ; done\n";
    let farm = Farm::launched_by(launcher, task.repeat(24).as_bytes());
    let outcome = farm.run(&["--proc", "8", "--task-timeout", "1", "--grace", "1"]).exits(1);
    assert_eq!(outcome.summary(), [0, 24, 0]);
    assert!(farm.lines("neighbors").len() > 400, "process IDs have wrapped");
    assert_eq!(std::fs::read_to_string(farm.path("hits")).unwrap_or_default(), "", "neighbors were killed");
}

/// A shell that has started something and then becomes the farm leaves it a child. That child is not the farm's.
#[test]
fn earlier_children_are_left_alone() {
    let before = "sleep 300 & echo $! > before; exec \"$@\"";
    let launcher = ["bash", "-c", before, "wrapper"].map(Into::into).to_vec();
    let farm = Farm::launched_by(launcher, &blockers::list(0, 2));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("both blockers run", || blockers::blocked(&farm, 0) == 2);
    let ours = [processes::nurseries(running.mark()), processes::pools(running.mark())].concat();
    assert_eq!(ours.len(), 2);
    // The remaining process cleans up.
    ours.iter().for_each(|&(_, pid)| processes::signal(pid, Signal::SIGKILL));
    let pid = farm.lines("before")[0].clone();
    let is_there =
        || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep"));
    running.wait_until("it has ended", || !farm.workdir().file("lock").exists());
    assert!(is_there(), "it was there before the farm");
    running.wait_and_clean_up().exits(4);
}

/// A process of another user, which the farm cannot end, is named and not waited for.
#[test]
fn another_users_process_is_not_waited_for() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        return skipped("making a program that runs as another user needs root");
    }
    let task = "(setsid ./as-root --reuid 0 --regid 0 --clear-groups sleep 30 &); sleep 0.1\n";
    let farm = Farm::local(task.as_bytes()).run_as_nobody();
    std::fs::copy("/usr/bin/setpriv", farm.path("as-root")).unwrap();
    std::fs::set_permissions(farm.path("as-root"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    std::fs::set_permissions(farm.cwd(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut probe = std::process::Command::new(farm.path("as-root"));
    probe.args(["--reuid", "0", "--regid", "0", "--clear-groups", "true"]).uid(65534).gid(65534);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return skipped("programs cannot run as their owner here: a file system without set-user-ID, or no privileges");
    }
    let outcome = farm.start(&[]).wait_and_clean_up().exits(0);
    let said = outcome.stderr_text();
    assert!(said.contains("(sleep), which belongs to another user: the farm cannot kill it"), "{said}");
    assert!(outcome.elapsed.as_secs() < 18, "waited for it: {:?}", outcome.elapsed);
}
