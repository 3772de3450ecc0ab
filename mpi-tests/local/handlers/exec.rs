//! Handler `exec`: a program prints the tasks.

use nix::sys::signal::Signal;

use crate::support::{Farm, processes};

use super::{dry_run, refused};

fn farm(keys: &str) -> Farm {
    let farm = Farm::local(b"in the list\n");
    farm.write("exec.ini", format!("[x]\nTaskList = exec\n{keys}\n").as_bytes());
    farm
}

/// 100,000 lines printed by a program are 100,000 tasks.
#[test]
fn hundred_thousand_lines() {
    let farm = farm("command = seq -f 'echo line %%g' 100000");
    let tasks = dry_run(&farm, &["--tasklist", "x", "tasks.txt"]);
    assert_eq!(tasks.len(), 100_000);
    assert_eq!((&tasks[0][..], &tasks[99_999][..]), ("echo line 1", "echo line 100000"));
    let outcome = farm.run_exactly(&["--dry-run", "--tasklist", "x", "tasks.txt"]).exits(0);
    println!("100,000 lines by exec: {:?}", outcome.elapsed);
}

/// The program reads the list, knows the paths, runs once, and the commands that it prints run.
#[test]
fn printed_commands_are_run() {
    let farm = farm(
        "command = echo x >> ran; grep SigBlk /proc/self/status > mask; sed 's/^/echo /'; echo '# no'; echo; echo '  echo' {list} {workdir:q}; \
         printf 'echo last'; echo said >&2",
    );
    farm.run(&["--tasklist", "x", "--workdir", "w d"]).exits(0);
    let workdir = crate::support::Workdir::at(farm.path("w d"));
    let logs: Vec<String> = (0..3).map(|id| String::from_utf8(workdir.log(id)).unwrap()).collect();
    assert_eq!(
        logs,
        ["in the list\n".to_owned(), format!("tasks.txt {}/w d\n", farm.cwd().display()), "last\n".to_owned()]
    );
    assert_eq!(farm.lines("ran"), ["x"]);
    assert_eq!(farm.lines("mask"), ["SigBlk:\t0000000000000000"], "signals that are blocked in the program");
}

/// With `separator = nul`, tasks may begin with # or blanks; a task that contains a newline is refused.
#[test]
fn nul_separates() {
    let nul = |text: &str| farm(&format!("separator = nul\ncommand = printf '{text}'"));
    let tasks = dry_run(&nul(r"a\0#b\0\0 c \0d"), &["--tasklist", "x", "tasks.txt"]);
    assert_eq!(tasks, ["a", "#b", " c ", "d"]);
    refused(&nul(r"a\0b\nc\0"), &["--tasklist", "x"], &["exec.ini:4", "[x]", "number 1", "newline"]);
    refused(&farm(r"command = printf 'a\nb\0c\n'"), &["--tasklist", "x"], &["[x]", "NUL", "line 2", "separator = nul"]);
    refused(&farm("separator = tab\ncommand = true"), &["--tasklist", "x"], &["exec.ini:3", "separator", "nul"]);
}

/// A program that fails is reported, with its output; nothing is started or created.
#[test]
fn a_failing_program_is_reported() {
    for (command, mentioned) in [
        ("echo task; echo 'no such scene' >&2; exit 3", ["exit code 3", "no such scene"]),
        ("echo task; kill -9 $$", ["signal 9", "SIGKILL"]),
        ("no-such-program-at-all", ["exit code 127", "no-such-program-at-all"]),
        ("./tasks.txt", ["exit code 126", "ermission denied"]),
    ] {
        let farm = farm(&format!("command = {command}"));
        refused(&farm, &["--tasklist", "x"], &[&["exec.ini:3", "[x]"][..], &mentioned].concat());
    }
    let farm = farm("command = seq 100000 >&2; exit 1");
    let outcome = farm.run(&["--tasklist", "x"]).refused(&["100000"]);
    assert!(outcome.stderr.len() < 10_000, "only the end of what it said is shown");
    refused(&self::farm(""), &["--tasklist", "x"], &["exec.ini:1", "command"]);
    refused(&self::farm("comand = x"), &["--tasklist", "x"], &["exec.ini:3", "comand", "did you mean 'command'?"]);
    refused(&self::farm("command = run {lst}"), &["--tasklist", "x"], &["exec.ini:3", "{lst}", "{list}"]);
    let missing = self::farm("command = echo x");
    let before = missing.everything();
    missing.run_exactly(&["--tasklist", "x", "no-list"]).refused(&["no-list"]);
    assert_eq!(missing.everything(), before);
}

/// A signal ends a slow handler, and everything that it has started: exit code 3, nothing created.
#[test]
fn a_slow_program_can_be_stopped() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let farm = farm("command = touch ../home/started; sleep 600; sleep 600");
        let before = farm.everything();
        let mut running = farm.start(&["--tasklist", "x"]);
        running.wait_until("the handler's program runs", || farm.home().join("started").exists());
        processes::signal(running.pid(), signal);
        let outcome = running.wait().exits(3);
        assert!(outcome.stderr_text().contains(signal.as_str()), "the signal is named");
        assert_eq!(farm.everything(), before);
    }
}

/// A farm that is killed while its handler runs does not leave behind the process that reads the list.
#[test]
fn the_reader_dies_with_the_farm() {
    let farm = farm("command = echo $PPID > ../home/reader;\n  exec sleep 600");
    let mut running = farm.start(&["--tasklist", "x"]);
    let reader = || std::fs::read_to_string(farm.home().join("reader")).unwrap_or_default().trim().parse::<i32>().ok();
    running.wait_until("the handler's program runs", || reader().is_some());
    processes::signal(running.pid(), Signal::SIGKILL);
    // This makes sure that no process of the run is left.
    running.wait();
}

/// `--timeout` counts from the start, even for a slow handler.
#[test]
fn a_slow_program_has_the_timeout() {
    let farm = farm("command = exec sleep 600");
    let before = farm.everything();
    let outcome = farm.run(&["--tasklist", "x", "--timeout", "1"]).exits(3);
    assert!(outcome.stderr_text().contains("timeout"), "the reason is named");
    assert_eq!(farm.everything(), before);
}
