//! Handlers that are the user's own classes, written for PyTaskFarmer.

use std::ffi::OsStr;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::pytaskfarmer::pytaskfarmer;
use crate::support::{Farm, expected, processes};

use super::{prepend, refused};

/// Pairs each line with each word of a key, creates a folder as PyTaskFarmer's own classes do, and prints a lot.
const MODULE: &str = r#"
import os
from taskfarmer import task

print('imported')

class Pairs(task.ListTaskList):
    def __init__(self, path, workdir, words, suffix='', **others):
        super().__init__(path, workdir)
        print('made for', path, workdir, sorted(others.items()))
        self.outdir = workdir + '/output'
        self.lock()
        if not os.path.exists(self.outdir):
            os.mkdir(self.outdir)
        self.unlock()
        self.tasks = [f'{line} {word}{suffix} {self.outdir}' for line in self.tasks for word in words.split()]

class Fails(task.ListTaskList):
    def __init__(self, path, workdir):
        super().__init__(path, workdir)
        raise ValueError('these tasks are not ready')

class Newline(task.ListTaskList):
    def __getitem__(self, taskid):
        return 'echo a\necho b'

class Numbers(task.ListTaskList):
    def __getitem__(self, taskid):
        return taskid

class Sleeps(task.ListTaskList):
    def __init__(self, path, workdir):
        super().__init__(path, workdir)
        os.mkdir(workdir + '/output')
        open('../home/sleeps', 'w').close()
        import time
        time.sleep(600)

class Dies(task.ListTaskList):
    def __len__(self):
        os.kill(os.getpid(), 9)
"#;

const INI: &str = "[pairs]\nTaskList = my.tasks.Pairs\nwords = one two\n  three\nsuffix = %%\nother = x: y\n";

/// PyTaskFarmer imports all classes of all files, so these would end it.
const BAD: &str = "[fails]\nTaskList = my.tasks.Fails\n[newline]\nTaskList = my.tasks.Newline\n[numbers]\nTaskList = my.tasks.Numbers\n\
    [dies]\nTaskList = my.tasks.Dies\n[sleeps]\nTaskList = my.tasks.Sleeps\n[module]\nTaskList = my.task.Pairs\n[class]\nTaskList = my.tasks.Pears\n\
    [keys]\nTaskList = my.tasks.Fails\nkey = 1\n";

fn farm(program: &Path) -> Farm {
    let mut farm = Farm::local(b"# tasks\necho a\n\n  echo b\n");
    for variable in ["SCRATCH", "TMP", "TMPDIR"] {
        farm.unset(variable);
    }
    let modules = farm.home().canonicalize().unwrap().join("modules");
    std::fs::create_dir_all(modules.join("my")).unwrap();
    std::fs::write(modules.join("my/tasks.py"), MODULE).unwrap();
    farm.set("PYTHONPATH", modules.to_str().unwrap());
    farm.set("PYTHONDONTWRITEBYTECODE", "1");
    prepend(&mut farm, "PATH", program.parent().unwrap());
    farm.write("handlers.ini", INI.as_bytes());
    farm
}

/// A user's class makes the same tasks for PyTaskFarmer and for this program, and they do the same.
#[test]
fn a_class_works_for_both() {
    let Some(program) = pytaskfarmer() else { return };
    let [theirs, ours] = [farm(&program), farm(&program)];
    let words = ["--proc", "2", "--tasklist", "pairs", "tasks.txt"].map(OsStr::new);
    theirs.start_other(&[&[program.as_os_str()], &words[..]].concat()).wait_and_clean_up().exits(0);
    let outcome = ours.run(&["-v", "--proc", "2", "--tasklist", "pairs"]).exits(0);
    let (their, our) = (theirs.workdir(), ours.workdir());
    assert_eq!(our.finished().len(), 6);
    expected::are_the_same("finished", &our.finished(), &their.finished());
    for id in 0..6 {
        assert_eq!(our.log(id), their.log(id), "log {id}");
    }
    assert!(our.file("output").is_dir(), "what the class made stays");
    assert!(outcome.stderr_text().contains("[('other', 'x: y')]"), "what the class prints is shown by -v");
    assert!(outcome.stdout.is_empty());
    // The class takes PyTaskFarmer's lock; while a farm of this program holds its own, that does no harm.
    assert_eq!(ours.run(&["--tasklist", "pairs"]).exits(0).summary(), [6, 0, 0]);
    let dry = ours.run_exactly(&["--dry-run", "--tasklist", "pairs", "--workdir", "new/work", "tasks.txt"]).exits(0);
    assert!(dry.stdout.starts_with(b"") && !ours.path("new").exists(), "a dry run leaves nothing");
}

/// Any error in Python is reported with its message and the place in the INI file, and nothing is created.
#[test]
fn failures_are_reported() {
    let Some(program) = pytaskfarmer() else { return };
    let mut farm = farm(&program);
    farm.write("bad.ini", BAD.as_bytes());
    for (handler, mentioned) in [
        (
            "module",
            &["bad.ini:12", "my.task.Pairs", "ModuleNotFoundError", "'my.task'", "built in: list, transform"][..],
        ),
        ("class", &["my.tasks.Pears", "AttributeError", "built in:"]),
        ("fails", &["bad.ini:2", "ValueError: these tasks are not ready"]),
        ("keys", &["[keys]", "TypeError", "key"]),
        ("newline", &["[newline]", "task 0", "newline"]),
        ("numbers", &["[numbers]", "task 0 is a int"]),
        ("dies", &["[dies]", "signal 9"]),
    ] {
        refused(&farm, &["--tasklist", handler], mentioned);
        refused(&farm, &["--tasklist", handler, "--workdir", "deep/in/work"], mentioned);
    }
    farm.write("tasks.txt", b"\xff\n");
    refused(&farm, &["--tasklist", "pairs"], &["[pairs]", "UnicodeDecodeError"]);
    // First PyTaskFarmer itself is missing, then Python.
    let modules = farm.home().canonicalize().unwrap().join("modules");
    std::fs::write(modules.join("taskfarmer.py"), "raise ImportError('hidden by the test')\n").unwrap();
    refused(&farm, &["--tasklist", "pairs"], &["[pairs]", "ImportError: hidden by the test", "built in: list"]);
    farm.set("PATH", "/nonexistent");
    refused(
        &farm,
        &["--tasklist", "pairs"],
        &["[pairs]", "my.tasks.Pairs", "python3", "No such file", "built in: list"],
    );
}

/// A class that is interrupted leaves nothing.
#[test]
fn a_slow_class_can_be_stopped() {
    let Some(program) = pytaskfarmer() else { return };
    let farm = farm(&program);
    farm.write("bad.ini", BAD.as_bytes());
    let before = farm.contents();
    let mut running = farm.start(&["--tasklist", "sleeps", "--workdir", "deep/work"]);
    running.wait_until("the class is being made", || farm.home().join("sleeps").exists());
    processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
    assert_eq!(farm.contents(), before);
}
