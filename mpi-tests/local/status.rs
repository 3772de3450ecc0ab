//! `taskfarmer-mpi status`: of a farm that runs, has ended, was killed, is damaged, or was PyTaskFarmer's.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::support::status::{json, status, text};
use crate::support::{Farm, blockers, disk, processes};

const QUICK: usize = 10;
const BLOCKERS: usize = 12;
const WORKDIR: &str = "tasks.txt_workdir";

/// While a farm runs: its progress and what runs where are shown, and the farm is not disturbed.
#[test]
fn running_farm_is_shown() {
    let farm = Farm::local(&blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&["--proc", "4", "--grace", "5"]);
    running.wait_until("four blockers run, and status.json says so", || {
        blockers::blocked(&farm, QUICK) == 4 && json(&farm, 0)["running"] == 4
    });
    let shown = text(&farm, 0, &[WORKDIR]);
    for part in [
        ": running on ",
        "10 of 22 tasks done (45%); 4 running on 4 slots",
        "10 finished, 0 failed, 12 remaining",
        "1 rank, 4 slots",
        "task length: ",
    ] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
    assert!(text(&farm, 0, &["tasks.txt"]).contains("10 finished, 0 failed, 12 remaining"), "the list will do, too");
    let list = text(&farm, 0, &[WORKDIR, "--running"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    for line in list.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert!(fields.len() == 5 && fields[1].parse::<f64>().is_ok() && fields[3] == "0", "{line}");
        let id: usize = fields[0].parse().unwrap();
        assert_eq!(fields[4], String::from_utf8_lossy(&farm.read("tasks.txt")).lines().nth(id).unwrap());
    }
    let figures = json(&farm, 0);
    assert_eq!(
        (&figures["state"], &figures["total"], &figures["pid"]),
        (&json!("running"), &json!(22), &json!(running.rank(0)))
    );
    processes::signal(running.pid(), Signal::SIGINT);
    let outcome = running.wait().exits(3);
    assert_eq!(outcome.summary(), [QUICK as u64, 0, BLOCKERS as u64]);
    let shown = text(&farm, 0, &[WORKDIR]);
    assert!(shown.contains(": ended with exit code 3 at ") && shown.contains("12 remaining"), "{shown}");
    let command = shown.lines().find_map(|line| line.strip_prefix("to resume: ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(command.starts_with("cd /") && command.ends_with("--proc 4 --grace 5 tasks.txt"), "{command}");
}

/// After the end: the figures of the summary, and lists of failed tasks and of the slowest ones.
#[test]
fn finished_farm_is_shown() {
    let farm = Farm::local(b"sleep 4\necho bad; exit 3\ntrue\nkill -9 $$\nsleep 2\n");
    farm.run(&["--proc", "2"]).exits(1);
    let before = farm.everything();
    let shown = text(&farm, 0, &[WORKDIR]);
    for part in [
        "ended with exit code 1 at ",
        "3 finished, 2 failed, 0 remaining",
        "utilization: ",
        "longest 4.",
        " s: 0 sleep 4",
        "1 × exit 3: bad (see ",
        "CPU time: ",
        "; peak memory: ",
        "1 × SIGKILL, which the farm did not send (out of memory? peak memory ",
        "tasks.txt_workdir/logs/log_3",
    ] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
    assert!(!shown.contains("to resume"), "{shown}");
    let slowest = text(&farm, 0, &[WORKDIR, "--slowest", "2"]);
    let slowest: Vec<Vec<&str>> = slowest.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((slowest.len(), slowest[0][0], slowest[1][0], slowest[1][4]), (2, "0", "4", "sleep 2"), "{slowest:?}");
    let failed = text(&farm, 0, &[WORKDIR, "--failed"]);
    let failed: Vec<Vec<&str>> = failed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        failed.iter().map(|fields| (fields[0], fields[1], fields[4])).collect::<Vec<_>>(),
        [("1", "exit 3", "echo bad; exit 3"), ("3", "SIGKILL", "kill -9 $$")]
    );
    let figures = json(&farm, 0);
    assert_eq!(
        (&figures["state"], &figures["finished"], &figures["exit_code"]),
        (&json!("ended"), &json!(3), &json!(1))
    );
    assert_eq!(text(&farm, 0, &[WORKDIR, "--watch"]).matches("ended with").count(), 1, "nothing to wait for");
    assert_eq!(farm.everything(), before, "nothing is touched");
}

/// After SIGKILL: that it was killed, what is recorded, and the command that resumes.
#[test]
fn killed_farm_is_shown() {
    let farm = Farm::local(&blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&["--proc", "4"]);
    running.wait_until("four blockers run, and status.json says so", || {
        blockers::blocked(&farm, QUICK) == 4 && json(&farm, 0)["running"] == 4
    });
    processes::signal(running.pid(), Signal::SIGKILL);
    running.wait();
    let shown = text(&farm, 0, &[WORKDIR]);
    for part in ["did not end cleanly", "10 finished, 0 failed, 12 remaining", "it was killed", "to resume: cd "] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
    let figures = json(&farm, 0);
    assert_eq!((&figures["state"], &figures["running"]), (&json!("died"), &json!(0)));
    assert_eq!(text(&farm, 0, &[WORKDIR, "--running"]), "");
}

/// Damage is reported with file and line, the rest is counted, and the exit code is 2.
#[test]
fn damaged_farm_is_shown() {
    let farm = Farm::local(b"true\ntrue\nfalse\n");
    farm.run(&["--proc", "1"]).exits(1);
    let whole: Vec<Vec<u8>> = ["finished", "failed", "timeline.json", "status.json", "tasks.tsv", "toprocess"]
        .map(|name| farm.workdir().bytes(name))
        .to_vec();
    let cases: [(&str, &[u8], &str); 7] = [
        ("finished", b"0 true\nnonsense\n1 true\n", "finished: line 2 is not \"ID command\""),
        ("failed", b"\xff\xfe\n\n\n", "failed: line 1 is not \"ID command\", and 2 more lines"),
        ("timeline.json", b"nothing of the kind", "timeline.json: byte 0 does not belong into an array of events"),
        ("timeline.json", b"[{\"ph\":7}]", "timeline.json: not an event at byte 1"),
        ("status.json", b"{\"total\": \"many\"}", "status.json: "),
        ("tasks.tsv", b"\x00\x01\n", "tasks.tsv: line 1 is not the line of column names"),
        ("toprocess", b"x\n", "toprocess: line 1 is not \"ID command\""),
    ];
    for (name, bytes, told) in cases {
        farm.workdir().write(name, bytes);
        let shown = text(&farm, 2, &[WORKDIR]);
        assert!(shown.contains(&format!("damaged: {told}")), "{told:?} in:\n{shown}");
        assert!(shown.contains(" finished, ") && shown.contains(" remaining"), "the rest is counted:\n{shown}");
        text(&farm, 2, &[WORKDIR, "--failed", "--running", "--slowest", "3"]);
        assert!(json(&farm, 2)["damage"][0].as_str().unwrap().starts_with(told));
        let names = ["finished", "failed", "timeline.json", "status.json", "tasks.tsv", "toprocess"];
        let place = names.iter().position(|other| *other == name).unwrap();
        farm.workdir().write(name, &whole[place]);
    }
    fs::create_dir(farm.path("folder")).unwrap();
    assert!(text(&farm, 2, &["folder"]).contains("is not the workdir of a farm"));
    assert!(text(&farm, 2, &["nowhere"]).contains("'nowhere' does not exist"));
    fs::remove_file(farm.workdir().file("finished")).unwrap();
    fs::create_dir(farm.workdir().file("finished")).unwrap();
    assert!(text(&farm, 2, &[WORKDIR]).contains("damaged: finished: "));
}

/// A torn tail is the result of a crash, not damage.
#[test]
fn torn_ends_are_not_damage() {
    let farm = Farm::local(b"true\ntrue\n");
    farm.run(&["--proc", "1"]).exits(0);
    let timeline = farm.workdir().bytes("timeline.json");
    farm.workdir().write("finished", b"0 true\n1 tr");
    farm.workdir().write("timeline.json", &timeline[..timeline.len() - 20]);
    fs::remove_file(farm.workdir().file("status.json")).unwrap();
    let shown = text(&farm, 0, &[WORKDIR]);
    assert!(
        shown.contains("1 finished, 0 failed") && shown.contains("finished: the last line was cut short"),
        "{shown}"
    );
}

/// A workdir of PyTaskFarmer, as it is after it was stopped.
#[test]
fn pytaskfarmers_workdir_is_shown() {
    let farm = Farm::local(b"true\nfalse\nsleep 9\nsleep 9\n");
    fs::create_dir_all(farm.workdir().file("logs")).unwrap();
    farm.workdir().write("finished", b"0 true\n");
    farm.workdir().write("failed", b"1 false\n");
    farm.workdir().write("toprocess", b"2 sleep 9\n3 sleep 9\n");
    farm.workdir().write("logs/log_1", b"what it said\n");
    farm.workdir().write(
        "timeline.json",
        br#"[{"cat": "task", "name": "true", "pid": 4, "tid": 5, "ts": 1795358813250435.0, "dur": 2763000.0, "ph": "X", "args": {}}]"#,
    );
    let shown = text(&farm, 0, &[WORKDIR]);
    for part in [
        "no farm is at work here",
        "1 finished, 1 failed, 2 remaining",
        "longest 2.8 s",
        "1 × failed: what it said (see ",
    ] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
    assert_eq!(text(&farm, 0, &[WORKDIR, "--failed"]), "1\tfailed\t\tlogs/log_1\tfalse\n");
}

/// Logs are found in whatever form they are kept, and a task that exceeded its limit is reported as such.
#[test]
fn other_forms_of_logs_are_known() {
    let farm = Farm::local(b"echo one; exit 3\ntrap 'exit 0' TERM; echo two; sleep 600 & wait\ntrue\n");
    let outcome = farm.run(&["--logs", "rank", "--task-timeout", "1"]).exits(1);
    assert!(outcome.stderr_text().contains("1 × over its time limit: two (see task 1 in "));
    let shown = text(&farm, 0, &[WORKDIR]);
    assert!(shown.contains("1 × over its time limit: two (see task 1 in "), "{shown}");
    assert!(shown.contains("1 × exit 3: one (see task 0 in "), "{shown}");
    let failed = text(&farm, 0, &[WORKDIR, "--failed"]);
    assert!(
        failed.contains("\ttask 0 in logs/rank_0.log\t") && failed.contains("1\tover its time limit\t"),
        "{failed}"
    );
}

/// `--watch` prints until the farm has ended; with `--json`, a line each time. It never counts backwards.
#[test]
fn watch_follows_a_farm_to_its_end() {
    let farm = Farm::local(&b"sleep 0.3\n".repeat(24));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("it runs", || farm.workdir().file("status.json").exists());
    let lines = String::from_utf8(status(&farm, &[WORKDIR, "--watch", "0.3", "--json"]).stdout).unwrap();
    running.wait().exits(0);
    let frames: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = frames.iter().map(|frame| frame["state"].as_str().unwrap()).collect();
    assert!(states.len() >= 3 && states[0] == "running" && *states.last().unwrap() == "ended", "{states:?}");
    let finished: Vec<_> = frames.iter().map(|frame| frame["finished"].as_u64().unwrap()).collect();
    assert!(finished.is_sorted() && finished.last() == Some(&24), "{finished:?}");
    let steps = finished.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(steps >= 3, "each look counts the records anew: {finished:?}");
}

/// What the terminal got between the beginning and the end of the screen, and what came after it.
fn screen_and_rest(bytes: &[u8]) -> (String, String) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (before, rest) = text.split_once("\u{1b}[?1049h").unwrap_or_else(|| panic!("no screen: {text:?}"));
    assert_eq!(before, "");
    let (screen, rest) = rest.split_once("\u{1b}[?1049l").unwrap_or_else(|| panic!("not given back: {text:?}"));
    assert!(screen.contains("\u{1b}[?25l") && screen.ends_with("\u{1b}[?25h"), "the cursor: {screen:?}");
    (screen.to_owned(), rest.to_owned())
}

/// Promise: on a terminal, `--watch` has a screen of its own, with the progress first and nothing wider or higher than the
/// terminal; q ends it, and so does the end of the farm. The status stays on the terminal, which is as it was before, also
/// after a signal.
#[test]
fn watch_has_a_screen_of_its_own() {
    let farm = Farm::local(b"until [ -e go ]; do sleep 0.05; done\ntrue\n");
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("one is done", || {
        let is_there = farm.workdir().file("status.json").exists();
        is_there && json(&farm, 0)["finished"] == 1 && json(&farm, 0)["running"] == 1
    });
    let watch = |keys: &str| {
        let line = format!(
            "{{ {keys}; }} | script -qec 'stty cols 40 rows 6; echo $$ > pid; exec {} status --watch 0.2 tasks.txt' /dev/null > screen",
            crate::support::program()
        );
        farm.start_other(&["sh".as_ref(), "-c".as_ref(), line.as_ref()])
    };
    let shown = || farm.path("screen").exists() && String::from_utf8_lossy(&farm.read("screen")).contains("q: quit");

    let mut watching = watch("until [ -e press ]; do sleep 0.05; done; printf q");
    watching.wait_until("it is shown", shown);
    farm.write("press", b"");
    // What comes after the screen is there when the program has ended.
    watching.wait().exits(0);
    let (screen, rest) = screen_and_rest(&farm.read("screen"));
    for frame in screen.split("\u{1b}[H").filter(|frame| frame.contains("q: quit")) {
        let lines: Vec<&str> = frame.trim_end_matches("\u{1b}[?25h").split("\r\n").collect();
        assert!(lines.len() <= 6 && lines[0].contains("1/2"), "{lines:#?}");
        for line in lines {
            let plain =
                line.replace("\u{1b}[K", "").replace("\u{1b}[J", "").replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
            assert!(plain.chars().count() <= 40 && !plain.contains('\u{1b}'), "{plain:?}");
        }
    }
    assert!(rest.contains("running on ") && rest.contains("1 finished, 0 failed, 1 remaining"), "{rest}");

    fs::remove_file(farm.path("screen")).unwrap();
    let mut watching = watch("until [ -e end ]; do sleep 0.05; done");
    watching.wait_until("it is shown again", shown);
    processes::signal(String::from_utf8(farm.read("pid")).unwrap().trim().parse().unwrap(), Signal::SIGTERM);
    watching.wait_until("it ended", || String::from_utf8_lossy(&farm.read("screen")).contains("1049l"));
    farm.write("end", b"");
    watching.wait();
    assert_eq!(screen_and_rest(&farm.read("screen")).1.trim(), "", "nothing more");

    fs::remove_file(farm.path("screen")).unwrap();
    let mut watching = watch("until [ -e over ]; do sleep 0.05; done");
    watching.wait_until("it is shown once more", shown);
    farm.write("go", b"");
    running.wait().exits(0);
    watching.wait_until("it ended with the farm", || String::from_utf8_lossy(&farm.read("screen")).contains("1049l"));
    farm.write("over", b"");
    watching.wait().exits(0);
    let (_, rest) = screen_and_rest(&farm.read("screen"));
    assert!(rest.contains("ended with exit code 0") && rest.contains("2 finished"), "{rest}");
}

/// `--exit-code` is for scripts behind a launcher whose exit code means nothing: the farm's own code, and 4 for a run that
/// did not get to say one, however the run before it ended.
#[test]
fn exit_code_is_that_of_the_last_run() {
    let mut farm = Farm::local(b"true\nexit 3\n");
    assert!(text(&farm, 2, &["tasks.txt", "--exit-code"]).contains("has no workdir"), "nothing was run yet");
    farm.set("TASKFARMER_RUN", "first");
    farm.run(&[]).exits(1);
    assert_eq!(text(&farm, 1, &["--exit-code", "tasks.txt_workdir"]), "", "nothing is printed");
    farm.set("TASKFARMER_RUN", "second");
    assert!(text(&farm, 4, &["tasks.txt", "--exit-code"]).contains("second"), "a run that never came so far");
    farm.append("tasks.txt", b"touch here; sleep 600\n");
    let mut running = farm.start(&[]);
    running.wait_until("the task runs", || farm.path("here").exists());
    running.wait_until("the run is known", || text(&farm, 4, &["tasks.txt", "--exit-code"]).contains("still running"));
    processes::signal(running.pid(), Signal::SIGKILL);
    running.wait();
    text(&farm, 4, &["tasks.txt", "--exit-code"]);
    farm.unset("TASKFARMER_RUN");
    assert!(text(&farm, 4, &["tasks.txt", "--exit-code"]).contains("did not end cleanly"));
    farm.write("tasks.txt", b"true\nexit 3\ntrue\n");
    farm.run(&["--retry-failed"]).exits(1);
    text(&farm, 1, &["tasks.txt", "--exit-code"]);
    farm.write("tasks.txt_workdir/status.json", b"{");
    assert!(text(&farm, 4, &["tasks.txt", "--exit-code"]).contains("status.json: "), "what is wrong is named");
}

/// A run that cannot record its end, on a full disk, leaves nothing that an earlier run wrote: that exit code would be
/// mistaken for the later run's.
#[test]
fn exit_code_of_a_run_on_a_full_disk_is_not_that_of_an_earlier_one() {
    let farm = Farm::local(&b"true\n".repeat(5));
    let Some(_disk) = disk::Tmpfs::mount(&farm, "full", "size=128k") else { return };
    let options = ["--workdir", "full/w", "--logs", "none"];
    farm.run(&options).exits(0);
    text(&farm, 0, &["full/w", "--exit-code"]);
    let mut filler = fs::File::create(farm.path("full/filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
    farm.write("tasks.txt", &b"true\n".repeat(3_000));
    farm.run(&options).exits(4);
    text(&farm, 4, &["full/w", "--exit-code"]);
}

/// Promise: figures that depend on no result are correct, too. A stop during the run does not reduce the utilization:
/// tasks ran all the time. Tasks that run in the next run are listed, even between two writes of `status.json`, and the
/// time continues.
#[test]
fn interrupted_and_resumed_farm_is_shown() {
    let farm = Farm::local(&blockers::list(0, 4));
    let mut running = farm.start(&["--proc", "4", "-v"]);
    running.wait_until("four blockers run, and status.json says so", || {
        blockers::blocked(&farm, 0) == 4 && json(&farm, 0)["running"] == 4
    });
    processes::signal(running.pid(), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    for text in [outcome.stderr_text(), text(&farm, 0, &[WORKDIR])] {
        let line = text.lines().find_map(|line| line.split_once("utilization: tasks ran in ")).unwrap();
        let share: f64 = line.1.split('%').next().unwrap().parse().unwrap();
        assert!(share > 50.0, "{text}");
        assert!(text.contains("CPU time: ") && text.contains("; peak memory: "), "{text}");
    }
    farm.write("ran", b"");
    let mut running = farm.start(&["--proc", "4"]);
    running.wait_until("they run again", || blockers::blocked(&farm, 0) == 4);
    running.wait_until("and are listed", || text(&farm, 0, &[WORKDIR, "--running"]).lines().count() == 4);
    let elapsed = || json(&farm, 0)["elapsed_s"].as_f64().unwrap();
    let before = elapsed();
    running.wait_until("the time continues", || elapsed() > before);
    processes::signal(running.pid(), Signal::SIGINT);
    running.wait().exits(3);
}

/// Promise: totals refer to all runs, and anything else is marked. The summary reports on its own run, `status` on all.
#[test]
fn runs_are_distinguished() {
    let farm = Farm::local(b"true\nexit 3\n");
    let first = farm.run(&[]).exits(1).stderr_text();
    assert!(!first.contains("earlier runs"), "{first}");
    farm.append("tasks.txt", b"exit 4\ntrue\n");
    let second = farm.run(&[]).exits(1);
    assert_eq!(second.summary(), [2, 2, 0]);
    let said = second.stderr_text();
    assert!(
        said.contains("of these, 1 finished and 1 failed in earlier runs; what follows covers this run only"),
        "{said}"
    );
    assert!(said.contains("1 × exit 4") && !said.contains("1 × exit 3"), "{said}");
    let shown = text(&farm, 0, &[WORKDIR]);
    assert!(
        shown.contains(
            "of these, 1 finished and 1 failed in earlier runs; CPU time, lengths and failures cover all runs, the rest only the last run"
        ),
        "{shown}"
    );
    assert!(shown.contains("1 × exit 4") && shown.contains("1 × exit 3"), "{shown}");
    let third = farm.run(&[]).exits(1).stderr_text();
    assert!(
        third.contains("all tasks had already been recorded by earlier runs") && !third.contains("of these"),
        "{third}"
    );
}

/// Promise: a SIGKILL is only remarked on if the farm did not send it. Shells that saw their program die of one count;
/// a task that the farm killed for its time limit does not, even if only the timeline is left.
#[test]
fn kills_by_others_are_distinguished() {
    let list = b"kill -9 $$\nbash -c 'kill -9 $$'; exit $?\ntrap '' TERM; while :; do sleep 0.1; done\n";
    let farm = Farm::local(list);
    let outcome = farm.run(&["--proc", "3", "--task-timeout", "1", "--grace", "1"]).exits(1);
    let check = |text: &str| {
        for part in [
            "1 × SIGKILL, which the farm did not send (out of memory?",
            "1 × exit 137 after SIGKILL, which the farm did not send (out of memory?",
            "1 × over its time limit: no output",
        ] {
            assert!(text.contains(part), "{part:?} in:\n{text}");
        }
        assert_eq!(text.matches("did not send").count(), 2, "{text}");
    };
    check(&outcome.stderr_text());
    assert_eq!(outcome.stderr_text().matches("out of memory? peak memory ").count(), 2, "{}", outcome.stderr_text());
    check(&text(&farm, 0, &[WORKDIR]));
    fs::remove_file(farm.workdir().file("tasks.tsv")).unwrap();
    check(&text(&farm, 0, &[WORKDIR]));
}

/// Promise: nothing depends on `status.json` and `toprocess`. Something else in their place is not damage, and a FIFO
/// without a writer is not waited for.
#[test]
fn something_else_in_place_of_a_report_is_not_damage() {
    let farm = Farm::local(b"true\nfalse\n");
    farm.run(&[]).exits(1);
    for name in ["toprocess", "status.json"] {
        let path = farm.workdir().file(name);
        for make_other in [(|path| mkfifo(path, Mode::S_IRWXU).unwrap()) as fn(&std::path::Path), |path| {
            fs::create_dir(path).unwrap()
        }] {
            if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
            make_other(&path);
            let shown = text(&farm, 0, &[WORKDIR]);
            let note = format!("note: {name}: it is not a regular file; it is ignored");
            assert!(shown.contains(&note) && shown.contains("1 finished, 1 failed"), "{note:?} in:\n{shown}");
            text(&farm, 0, &[WORKDIR, "--failed", "--running", "--slowest", "2"]);
        }
    }
    let said = text(&farm, 4, &[WORKDIR, "--exit-code"]);
    assert!(said.contains("status.json: it is not a regular file"), "{said}");
}

/// Promise: running tasks are known within a second. A task of a few seconds that starts after another one is listed
/// while it runs, and its slot counts as busy before it is listed.
#[test]
fn recently_started_tasks_are_listed() {
    let farm = Farm::local(b"until test -e go; do sleep 0.05; done\ntouch second; exec sleep 600\n");
    let mut running = farm.start(&["--proc", "1"]);
    let list = || text(&farm, 0, &[WORKDIR, "--running"]);
    running.wait_until("status.json exists", || farm.workdir().file("status.json").exists());
    running.wait_until("the first is listed", || list().starts_with("0\t"));
    farm.write("go", b"");
    running.wait_until("the second runs", || farm.path("second").exists());
    let since = Instant::now();
    assert!(text(&farm, 0, &[WORKDIR]).contains("; 1 running on 1 slot"), "the second, listed or not");
    running.wait_until("the second is listed", || list().starts_with("1\t"));
    assert!(since.elapsed() < Duration::from_millis(3_500), "{:?}", since.elapsed());
    processes::signal(running.pid(), Signal::SIGINT);
    running.wait().exits(3);
}
