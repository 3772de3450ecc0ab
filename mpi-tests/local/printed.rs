//! What a person reads: it is harmless, complete and bounded, and output that cannot be written is reported.

use std::ffi::OsStr;
use std::fs::{self, File};

use crate::support::status::{json, text};
use crate::support::{Farm, program};

const WORKDIR: &str = "tasks.txt_workdir";

/// Longer than the memory that a test allows, in bytes. Sparse, so that it needs no disk space.
const HUGE: u64 = 512 << 20;

/// Kibibytes of memory for a program that reads a file of that size, including its own code.
const MEMORY_KIB: u64 = 400 << 10;

/// Makes sure that a text contains nothing that acts on a terminal or is invisible.
#[track_caller]
fn is_harmless(text: &str) {
    let is_odd = |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}\u{2066}".contains(c);
    assert!(!text.contains(is_odd) && !text.contains(char::REPLACEMENT_CHARACTER), "{text:?}");
}

/// A workdir in which an attacker has chosen every text.
fn hostile() -> Farm {
    let farm = Farm::local(b"true\n");
    let bad = "\u{1b}[2J\u{202e}\r\u{9b}31m\ntaskfarmer-mpi: all is well\n";
    let line = "\x1b[2J\u{202e}\r\u{9b}31m";
    let status = serde_json::json!({
        "state": "ended", "exit_code": 3, "total": 9, "finished": 1, "host": bad, "job": bad, "pid": 7, "written_s": 1.0,
        "command": format!("taskfarmer-mpi {bad}"), "cwd": format!("/a b'c{bad}"), "workdir": bad, "slots": 4, "ranks": 2,
        "workers": [{"rank": 0, "host": bad, "running": [[4, 1.0]]}],
    });
    fs::create_dir_all(farm.workdir().file("logs")).unwrap();
    farm.workdir().write("status.json", status.to_string().as_bytes());
    farm.workdir().write("finished", format!("0 {line}\n").as_bytes());
    farm.workdir().write("failed", format!("1 {line}\t\n2 x\n").as_bytes());
    farm.workdir().write("toprocess", format!("4 {line}\n").as_bytes());
    let row = |id: u32, why: &str| format!("{id}\t0\tn{line}\t1.0\t9.0\t5\t{why}\t{line}\n");
    let table = format!("id\trank\thost\tstart\tend\texit\twhy\tcommand\n{}{}", row(0, "finished"), row(1, "failed"));
    farm.workdir().write("tasks.tsv", table.as_bytes());
    farm.workdir().write("logs/log_1", format!("{line}\u{1b}]0;title\u{7}\n").as_bytes());
    farm
}

/// Promise: no text in a workdir acts on the terminal of the person who reads it, or looks like something else; JSON
/// contains it unchanged.
#[test]
fn status_is_harmless() {
    let farm = hostile();
    for words in
        [&[][..], &["--failed"], &["--running"], &["--slowest", "5"], &["--json", "--failed"], &["--exit-code"]]
    {
        let code = if words == ["--exit-code"] { 3 } else { 0 };
        let shown = text(&farm, code, &[&[WORKDIR], words].concat());
        is_harmless(&shown);
        assert!(!shown.lines().any(|line| line.starts_with("taskfarmer-mpi: all is well")), "{shown}");
    }
    let shown = text(&farm, 0, &[WORKDIR]);
    assert!(shown.contains(r"\x1b[2J\u{202e}\r\u{9b}31m\n"), "{shown}");
    let failed = text(&farm, 0, &[WORKDIR, "--failed"]);
    assert!(failed.lines().all(|line| line.split('\t').count() == 5), "{failed}");
    assert!(json(&farm, 0)["command"].as_str().unwrap().starts_with("taskfarmer-mpi \u{1b}[2J\u{202e}"));
    // Messages name what they are about.
    let odd = "no\u{1b}[2J\nsuch\u{202e}";
    for words in [&[odd][..], &["status", odd], &["logs", odd, "1"], &["--dry-run", odd], &["-r", odd, "tasks.txt"]] {
        let outcome = farm.run_exactly(words).exits(2);
        is_harmless(&outcome.stderr_text());
        assert!(outcome.stderr_text().contains(r"\x1b[2J"), "{words:?}: {}", outcome.stderr_text());
        assert!(
            !outcome.stderr_text().lines().skip(1).any(|line| !line.is_empty() && !line.starts_with("  ")),
            "{words:?}"
        );
    }
}

/// Promise: what a run prints, and what `--dry-run` and the lists of runners and handlers print, is harmless, too.
#[test]
fn a_run_is_harmless() {
    let farm = Farm::local(b"echo '\x1b[31m\xe2\x80\xae \xff' >&2; false\ntrue \xe2\x80\x8b\n");
    let outcome = farm.run_exactly(&["--dry-run", "tasks.txt"]).exits(0);
    let expected = "0 echo '\\x1b[31m\\u{202e} \\xff' >&2; false\n1 true \\u{200b}\n";
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
    is_harmless(&outcome.stderr_text());
    let outcome = farm.run(&["-v"]).exits(1);
    is_harmless(&outcome.stderr_text());
    assert!(outcome.stderr_text().contains("U+200B"), "the check of the list names it: {}", outcome.stderr_text());
    farm.write("runners.ini", "[odd\u{1b}[2J\u{202e}]\nRunner = x\u{1b}[2J\n".as_bytes());
    farm.write("tasklists.ini", "[odd\u{1b}[2J\u{202e}]\nTaskList = x\u{1b}[2J\n".as_bytes());
    let outcome = farm.run_exactly(&["--list-runners", "--list-handlers"]).exits(0);
    let listed = String::from_utf8_lossy(&outcome.stdout);
    is_harmless(&listed);
    is_harmless(&outcome.stderr_text());
    assert!(listed.contains(r"odd\x1b[2J\u{202e}"), "{listed}");
}

/// Promise: a command that is printed can be pasted, whatever the names in it are.
#[test]
fn the_command_to_resume_can_be_pasted() {
    let farm = Farm::local(b"");
    let (folder, list) = ("it's a\u{1b}[31m folder; false", "my list\u{202e} $(false)");
    fs::create_dir(farm.path(folder)).unwrap();
    farm.write(&format!("{folder}/{list}"), b"false\ntouch ran\n");
    let start = "cd ./*folder* && \"$0\" --proc 1 --halt now,fail=1 -w 'the work' \"$1\"";
    let line = ["bash", "-c", start, program(), list].map(OsStr::new);
    let outcome = farm.start_other(&line).wait().exits(1);
    let status = farm.run_exactly(&["status", &format!("{folder}/the work")]).exits(0);
    let shown = String::from_utf8(status.stdout.clone()).unwrap();
    is_harmless(&shown);
    is_harmless(&outcome.stderr_text());
    let command = shown.lines().find_map(|line| line.strip_prefix("to resume: ")).unwrap_or_else(|| panic!("{shown}"));
    let said = outcome.stderr_text();
    let again = said
        .lines()
        .find_map(|line| line.split_once("run the same command again: "))
        .unwrap_or_else(|| panic!("{said}"))
        .1;
    assert!(command.ends_with(&format!(" && {again}")), "{command}\n{again}");
    let (_, output) = farm.bash(command.as_bytes());
    assert!(farm.path(folder).join("ran").exists(), "{command}\n{}", String::from_utf8_lossy(&output));
}

/// Promise: a terminal shows the output of tasks with its colors, and does not obey it. A pipe gets every byte.
#[test]
fn logs_on_a_terminal_are_harmless() {
    let output = b"\x1b[31mred\x1b[0m\x1b[2J\x1b]0;t\x07\xff\n\ttab\xe2\x80\xae\n";
    let farm = Farm::local(b"true\n");
    fs::create_dir_all(farm.workdir().file("logs")).unwrap();
    farm.workdir().write("finished", b"0 true\n");
    farm.workdir().write("logs/log_0", output);
    assert_eq!(farm.run_exactly(&["logs", WORKDIR, "0"]).exits(0).stdout, output);
    let command = format!("exec '{}' logs {WORKDIR} 0", program());
    let outcome = farm.start_other(&["script", "-qec", &command, "/dev/null"].map(OsStr::new)).wait();
    let shown = String::from_utf8(outcome.stdout.clone()).unwrap().replace("\r\n", "\n");
    assert_eq!(shown, "\u{1b}[31mred\u{1b}[0m\\x1b[2J\\x1b]0;t\\x07\\xff\n\ttab\\u{202e}\n\u{1b}[0m");
}

/// Promise: output that cannot be written is reported, with exit code 4; a reader that has closed its end causes no
/// complaint.
#[test]
fn a_full_or_closed_stdout_is_reported() {
    let farm = Farm::local(b"echo one\nfalse\n");
    farm.run(&[]).exits(1);
    farm.write("more.txt", &b"echo a line of a list\n".repeat(20_000));
    let commands: [&[&str]; 13] = [
        &["--dry-run", "more.txt"],
        &["status", WORKDIR],
        &["status", WORKDIR, "--json"],
        &["status", WORKDIR, "--failed"],
        &["status", WORKDIR, "--watch"],
        &["logs", WORKDIR, "0"],
        &["--list-runners"],
        &["--list-handlers"],
        &["--version"],
        &["--help"],
        &["status", "--help"],
        &["help", "status"],
        &["completions", "bash"],
    ];
    for words in commands {
        let run = |redirect: &str, code: i32| {
            let script = format!("exec \"$0\" \"$@\" {redirect}");
            let line: Vec<&OsStr> =
                ["bash", "-c", &script, program()].into_iter().chain(words.iter().copied()).map(OsStr::new).collect();
            farm.start_other(&line).wait().exits(code).stderr_text()
        };
        for (redirect, why) in [(">/dev/full", "No space left on device"), (">&-", "it is closed")] {
            let said = run(redirect, 4);
            let expected = format!("error: cannot write to standard output: {why}");
            assert_eq!(said.matches(&expected).count(), 1, "{words:?} {redirect}: {said}");
        }
        // The reader is gone before anything is written.
        let said = run("> >(exec true)", 0);
        assert!(!said.contains("standard output") && !said.contains("panicked"), "{words:?}: {said}");
        assert!(!run(">/dev/null", 0).contains("standard output"), "{words:?}");
    }
    // There was nothing to write.
    assert!(!farm.run_exactly(&["status", WORKDIR, "--exit-code"]).exits(1).stderr_text().contains("standard output"));
}

/// Promise: whatever its size, no file in a workdir is loaded into memory, and a FIFO is not waited for.
#[test]
fn huge_files_cost_no_memory() {
    let farm = Farm::local(b"echo one\nfalse\n");
    farm.run(&["--logs", "rank"]).exits(1);
    let beginnings: [(&str, &[&str]); 8] = [
        ("finished", &["", "0 "]),
        ("failed", &["1 "]),
        ("toprocess", &["1 "]),
        ("status.json", &["", "{\"host\":\""]),
        ("lock", &[""]),
        ("tasks.tsv", &["", "id\trank\tstart\tend\twhy\tcommand\n0\t0\t1.0\t2.0\tfinished\t"]),
        ("timeline.json", &["", "[{\"name\":\""]),
        ("logs/rank_0.idx", &["", "0 1 "]),
    ];
    for (name, beginnings) in beginnings {
        let path = farm.workdir().file(name);
        let before = fs::read(&path).ok();
        for beginning in beginnings {
            fs::write(&path, beginning).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(HUGE).unwrap();
            for words in ["status \"$1\" --json --failed --running --slowest 5", "logs \"$1\" 0"] {
                let script = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" {words} > /dev/null");
                let line = ["bash", "-c", &script, program(), WORKDIR].map(OsStr::new);
                let outcome = farm.start_other(&line).wait();
                let (code, said) = (outcome.status.and_then(|status| status.code()), outcome.stderr_text());
                assert!(code.is_some_and(|code| code <= 2), "{name}, {words}: {code:?} {said}");
                assert!(!said.contains("panicked") && !said.contains("memory"), "{name}, {words}: {said}");
            }
        }
        match before {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
}

/// Promise: a list is complete, however long it is.
#[test]
fn every_failed_task_is_listed() {
    const COUNT: u32 = 20_321;
    let farm = Farm::local(b"false\n");
    fs::create_dir_all(farm.workdir().file("logs")).unwrap();
    let failed: String = (0..COUNT).rev().map(|id| format!("{id} run {id}\n")).collect();
    let row = |id: u32| format!("{id}\t{}\tn{}\t1.0\t{}.0\t{}\tfailed\trun {id}\n", id % 3, id % 3, id + 2, id % 7 + 1);
    let table: String = (0..COUNT).map(row).collect();
    farm.workdir().write("failed", failed.as_bytes());
    farm.workdir().write("finished", b"");
    farm.workdir().write("tasks.tsv", format!("id\trank\thost\tstart\tend\texit\twhy\tcommand\n{table}").as_bytes());
    let listed = text(&farm, 0, &[WORKDIR, "--failed"]);
    let expected: String =
        (0..COUNT).map(|id| format!("{id}\texit {}\tn{}\t\trun {id}\n", id % 7 + 1, id % 3)).collect();
    assert_eq!((listed.lines().count(), listed == expected), (COUNT as usize, true), "{:.300}", listed);
    let slowest = text(&farm, 0, &[WORKDIR, "--slowest", "10000"]);
    let expected: Vec<String> = (COUNT - 10_000..COUNT).rev().map(|id| format!("run {id}")).collect();
    assert!(slowest.lines().map(|line| line.rsplit('\t').next().unwrap()).eq(expected), "{slowest:.300}");
    let figures = text(&farm, 0, &[WORKDIR, "--json", "--failed"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["failed_tasks"].as_array().unwrap().len(), COUNT as usize);
}

/// Promise: a task's output is its own, even if the index of a rank's log is damaged, and the damage is reported.
#[test]
fn a_damaged_index_is_reported() {
    let farm = Farm::local(b"echo zero\necho one\necho two\n");
    farm.run(&["--logs", "rank", "--proc", "1"]).exits(0);
    let index = String::from_utf8(farm.workdir().bytes("logs/rank_0.idx")).unwrap();
    // It ends where the next output ends, which looks right.
    let both = "zero\n\n==> task 1, attempt 1: exit code 0 <==\none\n".len();
    assert!(index.contains(" 5 "), "{index}");
    farm.workdir().write("logs/rank_0.idx", index.replacen(" 5 ", &format!(" {both} "), 1).as_bytes());
    let outcome = farm.run_exactly(&["logs", WORKDIR, "0"]).exits(2);
    assert_eq!(outcome.stdout, b"");
    assert!(outcome.errors()[0].contains("rank_0.idx: line 2 is not"), "{:?}", outcome.errors());
    // The index is right, and the log has changed.
    farm.workdir().write("logs/rank_0.idx", index.as_bytes());
    let log = String::from_utf8(farm.workdir().bytes("logs/rank_0.log")).unwrap();
    farm.workdir().write("logs/rank_0.log", log.replacen("zero", "ze", 1).as_bytes());
    let outcome = farm.run_exactly(&["logs", WORKDIR, "0"]).exits(2);
    assert_eq!(outcome.stdout, b"ze\n");
    assert!(
        outcome.errors()[0].contains("task 0: cannot read")
            && outcome.errors()[0].contains("rank_0.idx: line 2 is damaged"),
        "{:?}",
        outcome.errors()
    );
    farm.workdir().write("logs/rank_0.log", log.as_bytes());
    farm.workdir().write("logs/rank_0.idx", index.replacen("\n2 ", "\nx ", 1).as_bytes());
    let outcome = farm.run_exactly(&["logs", WORKDIR, "1"]).exits(2);
    assert_eq!(outcome.stdout, b"one\n");
    assert!(
        outcome.errors()[0].contains("rank_0.idx: line 4 is not \"ID attempt ended_ms offset length crc32\""),
        "{:?}",
        outcome.errors()
    );
}
