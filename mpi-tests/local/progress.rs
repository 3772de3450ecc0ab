//! What a user sees while a farm runs and when it has ended: on a terminal, in batch output, or not at all.

use crate::support::Farm;
use crate::support::terminal::run_on_terminal;

/// `count` tasks that take long enough to be observed; every tenth fails.
fn list(count: usize) -> Vec<u8> {
    (0..count).flat_map(|id| format!("sleep 0.1; exit {}\n", u8::from(id % 10 == 0)).into_bytes()).collect()
}

/// A terminal shows one line: done and total, failed, running, slots, rate and time left. At the end it is gone, and
/// the summary remains.
#[test]
fn terminal_has_a_live_line() {
    let farm = Farm::local(&list(80));
    let (outcome, terminal) = run_on_terminal(&farm, 110, &["--proc", "4"]);
    let outcome = outcome.exits(1);
    let live = terminal.live();
    assert!(live.len() >= 4, "it moves: {live:#?}");
    let full = live.iter().find(|line| line.contains("left") && line.contains("failed"));
    let full = full.unwrap_or_else(|| panic!("failures and time left: {live:#?}"));
    for part in ["[", ">", "]", "%  ", "/80  ", " failed  ", "4 running on 4 slots  ", "/s  ", " left"] {
        assert!(full.contains(part), "{part:?} in {full:?}");
    }
    assert!(live.iter().all(|line| line.len() < 110), "never as wide as the terminal: {live:#?}");
    let done = |line: &&str| line.split("/80").next()?.rsplit(' ').next()?.parse::<u32>().ok();
    let counts: Vec<u32> = live.iter().filter_map(done).collect();
    assert!(counts.is_sorted() && counts.last() > counts.first(), "{counts:?}");
    for line in terminal.lines.iter().filter(|line| !line.is_empty()) {
        let is_whole = line.starts_with("taskfarmer-mpi: ") || line.starts_with("  ");
        assert!(is_whole, "nothing of the live line is left: {:#?}", terminal.lines);
    }
    assert!(
        terminal.lines.iter().any(|line| line.contains("72 finished, 8 failed, 0 remaining")),
        "{:#?}",
        terminal.lines
    );
    assert!(terminal.coloured, "failures are red");
    assert!(String::from_utf8_lossy(&outcome.stdout).ends_with("\r\n"), "the prompt begins a line of its own");
}

/// Narrow terminals get a shorter line, not a wrapped one, whether there are few tasks or many.
#[test]
fn live_line_fits_narrow_terminals() {
    for (columns, tasks) in [(40, 80), (20, 3), (60, 1), (200, 3)] {
        let farm = Farm::local("sleep 0.7\n".repeat(tasks).as_bytes());
        let (outcome, terminal) = run_on_terminal(&farm, columns, &["--proc", "100"]);
        outcome.exits(0);
        let live = terminal.live();
        assert!(live.iter().any(|line| line.contains(&format!("/{tasks}"))), "{columns}: {live:#?}");
        assert!(live.iter().all(|line| line.len() < columns as usize), "{columns}: {live:#?}");
    }
}

/// Lines that are printed in between do not tear the live line: all of them are whole, and it continues below them.
#[test]
fn lines_stand_above_the_live_line() {
    let farm = Farm::local(&list(40));
    let (outcome, terminal) = run_on_terminal(&farm, 100, &["--proc", "2", "-vv"]);
    outcome.exits(1);
    let lines: Vec<&String> = terminal.lines.iter().filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().any(|line| line.contains("debug: ")) && lines.iter().any(|line| line.contains("info: ")));
    for line in lines {
        if let Some((_, record)) = line.split_once("info: ").or_else(|| line.split_once("debug: ")) {
            let (time, record) = record.split_once(' ').unwrap();
            assert!(
                time.len() == 20 && time.ends_with('Z') && record.contains("rank 0"),
                "time, rank and host: {line}"
            );
            assert!(record.starts_with("rank 0 (") || record.contains("host "), "{line}");
        }
        assert_eq!(
            line.matches("taskfarmer-mpi: ").count(),
            usize::from(!line.starts_with("  ")),
            "{:#?}",
            terminal.lines
        );
        assert!(!line.contains("running on"), "{:#?}", terminal.lines);
    }
    assert!(terminal.live().iter().any(|line| line.contains("/40")));
}

/// A farm that starts nothing more says so, in place of a time that is unknown.
#[test]
fn live_line_shows_a_stop() {
    let farm = Farm::local(b"sleep 2\nfalse\nsleep 2\nsleep 2\nsleep 2\nsleep 2\n");
    let (outcome, terminal) = run_on_terminal(&farm, 100, &["--proc", "2", "--halt", "soon,fail=1"]);
    outcome.exits(1);
    let live = terminal.live();
    assert!(live.iter().any(|line| line.contains("1 failed") && line.ends_with("stopping")), "{live:#?}");
}

/// NO_COLOR: no colors. TERM=dumb: no line that is rewritten.
#[test]
fn colours_and_rewriting_can_be_refused() {
    let mut farm = Farm::local(&list(20));
    farm.set("NO_COLOR", "1");
    let (outcome, terminal) = run_on_terminal(&farm, 100, &["--proc", "4"]);
    outcome.exits(1);
    assert!(!terminal.coloured && terminal.live().iter().any(|line| line.contains("failed")));
    let mut farm = Farm::local(&list(20));
    farm.set("TERM", "dumb");
    let (outcome, terminal) = run_on_terminal(&farm, 100, &["--proc", "4"]);
    let text = String::from_utf8_lossy(&outcome.exits(1).stdout).into_owned();
    assert!(!text.contains('\u{1b}') && terminal.live().is_empty(), "{text}");
}

/// Behind a launcher there is a pipe in place of the terminal; a user at the terminal can still have the line.
#[test]
fn live_line_can_be_forced() {
    let mut farm = Farm::local(&list(20));
    farm.set("COLUMNS", "50");
    let outcome = farm.run(&["--proc", "4", "--progress", "bar"]).exits(1);
    let terminal = crate::support::terminal::Terminal::play(&outcome.stderr);
    let live = terminal.live();
    assert!(live.iter().any(|line| line.contains("/20")) && live.iter().all(|line| line.len() < 50), "{live:#?}");
    assert!(!terminal.coloured, "colours are for terminals");
    let outcome = farm.run(&["--workdir", "other", "--progress", "none"]).exits(1);
    assert!(!outcome.stderr_text().contains('\u{1b}'));
    let (outcome, terminal) = run_on_terminal(&farm, 100, &["--workdir", "third", "--progress", "none"]);
    outcome.exits(1);
    assert!(terminal.live().is_empty());
}

/// Batch output has no line in the first half minute, and then one with time, rank and host.
#[test]
fn batch_output_has_a_line_now_and_then() {
    let farm = Farm::local(b"sleep 36\nsleep 36\nfalse\n");
    let outcome = farm.run(&["--proc", "3"]).exits(1);
    let text = outcome.stderr_text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("running on")).collect();
    let [line] = lines[..] else { panic!("one line in 36 s: {text}") };
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words[0], words[2], words[3]), ("taskfarmer-mpi:", "rank", "0"), "{line}");
    assert!(words[1].len() == 20 && words[1].ends_with('Z'), "a time: {line}");
    assert!(words[4].starts_with('(') && words[4].ends_with("):"), "a host: {line}");
    assert!(line.contains("1 of 3 tasks done (33%), 1 of them failed; 2 running on 3 slots"), "{line}");
}

/// `--quiet` prints nothing on success, and otherwise what went wrong.
#[test]
fn quiet_is_quiet_unless_something_fails() {
    let farm = Farm::local(b"true\ntrue\n");
    let outcome = farm.run(&["--quiet"]).exits(0);
    assert_eq!((outcome.stderr_text(), outcome.stdout.len()), (String::new(), 0));
    let farm = Farm::local(b"true\nfalse\n");
    assert_eq!(farm.run(&["-q"]).exits(1).summary(), [1, 1, 0]);
    farm.run_exactly(&["--quiet", "no-such-list"]).refused(&["no-such-list"]);
}

/// The summary groups failures by kind: how the tasks ended, the last line, and one log to look at.
#[test]
fn failures_are_told_by_kinds() {
    let mut list = "echo some output; echo >&2 \"KeyError: $PROC_NUMBER\"; exit 3\n".repeat(12).into_bytes();
    list.extend_from_slice(b"kill -SEGV $$\nno-such-program-at-all\ntrue\n");
    let farm = Farm::local(&list);
    let outcome = farm.run(&["--proc", "2"]).exits(1);
    let text = outcome.stderr_text();
    let kind = text.lines().find(|line| line.contains("12 × exit 3: KeyError: ")).unwrap_or_else(|| panic!("{text}"));
    let log = kind.split(" (see ").nth(1).unwrap().split(')').next().unwrap();
    let said = String::from_utf8(farm.read(log)).unwrap();
    assert!(kind.contains(said.lines().last().unwrap()), "{kind}: the log that it names says {said}");
    assert!(text.contains("1 × SIGSEGV"), "{text}");
    assert!(text.contains("no-such-program-at-all"), "what the shell or the program said: {text}");
    assert_eq!(outcome.summary(), [1, 14, 0]);
    assert!(text.lines().all(|line| line.starts_with("taskfarmer-mpi: ") || line.starts_with("  ")), "{text}");
}

/// With `-v`, as after a long run, the summary contains lengths, utilization and the slowest tasks.
#[test]
fn details_have_lengths_and_the_slowest() {
    let farm = Farm::local(b"sleep 3\nsleep 0.2\nsleep 0.2\nsleep 0.2\nsleep 0.2\nsleep 0.2\nsleep 0.2\n");
    let text = farm.run(&["--proc", "2", "-v"]).exits(0).stderr_text();
    assert!(text.contains("utilization: tasks ran in "), "{text}");
    let lengths = text.lines().find(|line| line.contains("task length: ")).unwrap_or_else(|| panic!("{text}"));
    for part in ["shortest 0.", ", median 0.", ", 95% up to 3.", ", longest 3."] {
        assert!(lengths.contains(part), "{part:?} in {lengths}");
    }
    let slowest = text.lines().skip_while(|line| !line.contains("slowest tasks:")).nth(1).unwrap();
    assert!(slowest.starts_with("  3.") && slowest.ends_with(" s: 0 sleep 3"), "{slowest}");
}

/// What a user sees: what starts, a failure as it happens with a path that can be pasted, what a stop does and when,
/// and what to type next.
#[test]
fn a_run_is_reported_from_start_to_end() {
    let farm = Farm::local(b"echo begin; echo 'no such sample' >&2; exit 3\nexec sleep 600\n");
    let mut running = farm.start(&["--grace", "7", "--workdir", "my work"]);
    let failure = "task 0 failed (exit 3): no such sample; output: 'my work/logs/log_0'\n";
    running.wait_until("the failure is told", || {
        String::from_utf8_lossy(&farm.last_stderr()).contains(&format!("taskfarmer-mpi: {failure}"))
    });
    crate::support::processes::signal(running.rank(0), nix::sys::signal::Signal::SIGINT);
    let text = running.wait().exits(3).stderr_text();
    for part in [
        "taskfarmer-mpi: 2 tasks; 8 slots; records and logs go to my work\n",
        "running tasks get SIGTERM now and SIGKILL in 7 s; a second Ctrl-C kills them immediately\n",
        "taskfarmer-mpi: to list the failed tasks, or to print what one of them wrote:\n  ",
        "taskfarmer-mpi status --failed 'my work'\n  ",
        "taskfarmer-mpi logs 'my work' ID\n",
        "to resume, run the same command again: ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let text = farm.run(&["--workdir", "my work", "--timeout", "1", "--logs", "rank"]).exits(3).stderr_text();
    assert!(text.contains("2 tasks, 1 left to run (1 recorded by earlier runs); 8 slots; "), "{text}");
}
