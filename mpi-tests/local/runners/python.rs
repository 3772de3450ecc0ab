//! Runners that are the user's Python classes.

use nix::sys::signal::Signal;

use super::put;
use crate::pytaskfarmer::pytaskfarmer;
use crate::support::{Farm, Workdir, expected, processes};

/// A subclass as a user would write it: an argument with a default, a child, a clean end.
const MODULE: &[u8] = br#"
import os, subprocess
from taskfarmer.runners import Runner

class Noting(Runner):
    def __init__(self, prefix, suffix='none'):
        super().__init__()
        self.text = prefix + '|' + suffix
        self.child = None

    def run(self, taskid, command, logfh):
        self.taskid = taskid
        logfh.write(f'{self.text}|{taskid!r}|{command}\n')
        logfh.flush()
        self.child = subprocess.Popen(['/bin/bash', '-c', command], stdout=logfh, stderr=logfh)
        open(f'begun_{taskid}', 'w').close()
        self.child.wait()
        logfh.write('end\n')
        return None if command.endswith('# forget') else self.child.returncode

    def terminate(self):
        with open(f'terminated_{self.taskid}', 'a') as out:
            out.write('x\n')
        self.child.kill()
"#;

/// A class of the same form that does not need PyTaskFarmer.
const PLAIN: &[u8] = br#"
import sys
print('printed while it was imported')

class Plain:
    def run(self, taskid, command, logfh):
        print('printed')
        if command == 'raise':
            raise ValueError('its own mistake')
        return eval(command)

class NoRun:
    pass

class Picky:
    def __init__(self):
        raise RuntimeError('not on this machine')
"#;

fn farm(list: &str, section: &str) -> Farm {
    let mut farm = Farm::local(list.as_bytes());
    put(&farm, "modules/mysite.py", MODULE, 0o644);
    put(&farm, "modules/plain.py", PLAIN, 0o644);
    put(&farm, ".pytaskfarmer/runners.d/r.ini", format!("[r]\n{section}").as_bytes(), 0o644);
    farm.set("PYTHONPATH", farm.home().join("modules").to_str().unwrap());
    for variable in ["SCRATCH", "TMP", "TMPDIR"] {
        farm.unset(variable);
    }
    farm
}

/// PyTaskFarmer's own Python takes precedence, so that its classes can be imported.
fn with_pytaskfarmer(farm: &mut Farm, program: &std::path::Path) {
    let bin = program.parent().unwrap().display();
    farm.set("PATH", &format!("{bin}:{}", std::env::var("PATH").unwrap()));
}

/// A user's subclass gives the same results under PyTaskFarmer and here.
#[test]
fn a_users_class_gives_the_same_results() {
    let Some(program) = pytaskfarmer() else { return };
    let list = "echo 'a  b' | tr a c\nexit 3\nkill -9 $$\ncat; echo Größe 100%\necho $0 # forget\n  true \n";
    let mut farm = farm(list, "Runner = mysite.Noting\nprefix = p %% é 'q'\nsuffix: two\n  lines\n");
    with_pytaskfarmer(&mut farm, &program);
    let words =
        [program.to_str().unwrap(), "--runner", "r", "--workdir", "theirs", "tasks.txt"].map(std::ffi::OsStr::new);
    farm.start_other(&words).wait_and_clean_up().exits(0);
    farm.run(&["--runner", "r", "--workdir", "ours"]).exits(1);
    let [theirs, ours] = ["theirs", "ours"].map(|name| Workdir::at(farm.path(name)));
    expected::are_the_same("finished", &ours.finished(), &theirs.finished());
    expected::are_the_same("failed", &ours.failed(), &theirs.failed());
    assert_eq!(ours.failed().into_keys().collect::<Vec<_>>(), [1, 2, 4]);
    for id in 0..6 {
        assert_eq!(
            String::from_utf8_lossy(&ours.log(id)),
            String::from_utf8_lossy(&theirs.log(id)),
            "log of task {id}"
        );
    }
}

/// A stop reaches the class's `terminate`; the tasks go back.
#[test]
fn a_stop_calls_terminate() {
    let Some(program) = pytaskfarmer() else { return };
    let list = "echo >> ran; trap '' TERM; while :; do sleep 1; done\n".repeat(3);
    let mut farm = farm(&list, "Runner = mysite.Noting\nprefix = p\n");
    with_pytaskfarmer(&mut farm, &program);
    let mut running = farm.start(&["--runner", "r", "--grace", "600"]);
    // Its shell may run before the class knows its child, which `terminate` needs.
    let all_known = || (0..3).all(|id| farm.path(&format!("begun_{id}")).exists());
    running.wait_until("all run", || farm.lines("ran").len() == 3 && all_known());
    processes::signal(running.pid(), Signal::SIGTERM);
    // `terminate` kills immediately; the grace period is longer than the test may take.
    running.wait().exits(3);
    for id in 0..3 {
        assert_eq!(farm.lines(&format!("terminated_{id}")), ["x"]);
    }
    assert_eq!(farm.workdir().toprocess().len(), 3);
}

/// The return value of `run` is the task's result; an exception is a failure, with its traceback in the log.
#[test]
fn results_of_any_kind_are_understood() {
    let list = "0\n7\n-15\n'a'\n1000\nFalse\nraise\nsys.exit(4)\n";
    let farm = farm(list, "Runner = plain.Plain\nenv.A = b\n");
    farm.run(&["--runner", "r"]).exits(1);
    let events = farm.workdir().timeline().by_task();
    let exits: Vec<_> = (0..8).map(|id| events[&id].end).collect();
    assert_eq!(exits, [0, 7, 143, 1, 1, 0, 1, 4].map(crate::support::End::Exit));
    let log = String::from_utf8(farm.workdir().log(6)).unwrap();
    assert!(log.contains("printed\n") && log.contains("ValueError: its own mistake"), "{log}");
}

/// A class that cannot be used: exit code 2 with Python's own error and the built-in kinds, and nothing is created.
#[test]
fn a_class_that_cannot_be_used_is_refused() {
    for (section, words) in [
        ("Runner = nomodule.Class\n", &["No module named 'nomodule'", "PYTHONPATH"][..]),
        ("Runner = plain.Nobody\n", &["plain", "Nobody"]),
        ("Runner = plain.NoRun\n", &["run(taskid, command, logfh)"]),
        ("Runner = plain.Picky\n", &["RuntimeError: not on this machine"]),
        ("Runner = plain.Plain\nkey = value\n", &["TypeError", "Plain"]),
    ] {
        let farm = farm("0\n", section);
        let before = farm.everything();
        let common = ["runners.d/r.ini:1: [r]", "built-in kinds: basic, shifter, apptainer"];
        farm.run(&["--runner", "r"]).refused(&[words, &common[..]].concat());
        assert_eq!(farm.everything(), before);
    }
}

/// Without python3 the error says so.
#[test]
fn a_missing_python_is_named() {
    let mut farm = farm("0\n", "Runner = plain.Plain\n");
    farm.set("PATH", farm.home().to_str().unwrap());
    farm.run(&["--runner", "r"]).refused(&["no python3", "plain.Plain", "built-in kinds"]);
}

/// A signal while the class is imported ends the farm immediately, with nothing created and nothing left.
#[test]
fn a_stop_does_not_wait_for_an_import() {
    let farm = farm("0\n", "Runner = slow.Class\n");
    put(&farm, "modules/slow.py", b"import time, os\nos.mkdir('importing')\ntime.sleep(600)\n", 0o644);
    let mut running = farm.start(&["--runner", "r"]);
    running.wait_until("python3 imports it", || farm.path("importing").exists());
    processes::signal(running.pid(), Signal::SIGINT);
    let outcome = running.wait().exits(3);
    assert!(
        outcome.stderr_text().contains("stopped by SIGINT while reading the tasklist and the runner"),
        "{}",
        outcome.stderr_text()
    );
    assert!(!farm.workdir().path().exists());
}
