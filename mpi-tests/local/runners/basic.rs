//! Kind `basic`: shells, words, folders, variables, setup.

use crate::support::Farm;

use super::{TRICKY, put, tricky_list, tricky_tasks_ran};

fn farm(list: &str, keys: &str) -> Farm {
    let farm = Farm::local(list.as_bytes());
    farm.write("r.ini", format!("[r]\nRunner = basic\n{keys}").as_bytes());
    farm
}

fn log(farm: &Farm, id: u64) -> String {
    String::from_utf8(farm.workdir().log(id)).unwrap()
}

/// A setup, a variable and a folder change nothing else about a task.
#[test]
fn tasks_mean_the_same_behind_a_setup() {
    for keys in ["setup = true # it's fine\n", "env.X = {id}\n", "shell = bash\n", "cwd = {cwd}\n"] {
        let farm = farm(&tricky_list(), keys);
        farm.run(&["--runner", "r"]).exits(1);
        tricky_tasks_ran(&farm);
    }
}

/// The setup runs in the task's shell; if it fails, the task has failed and does not run.
#[test]
fn a_setup_comes_first() {
    let setup = "setup =\n  x='set up'\n  echo setup of $TASKFARMER_TASK_ID\n  [ $TASKFARMER_TASK_ID != 1 ]\n";
    let farm = farm("echo $x\ntouch ran\nexit 4\n", setup);
    farm.run(&["--runner", "r"]).exits(1);
    assert_eq!(log(&farm, 0), "setup of 0\nset up\n");
    assert_eq!(log(&farm, 1), "setup of 1\n");
    assert!(!farm.path("ran").exists());
    assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<_>>(), [1, 2]);
}

/// Variables are set for every start of a task: by a shell, directly, and where PATH finds the program.
#[test]
fn variables_are_the_tasks() {
    let keys = "env.PATH = {cwd}/bin:/usr/bin:/bin\nenv.FIXED = a 'b' $c %% {}\nenv.EACH = {id}/{attempt}/{slot}\n";
    let list = "mine\nmine FIXED; echo $EACH\nprintenv FIXED EACH TFTEST_VALUE\n";
    for keys in [keys, &keys.replace("env.EACH = {id}/{attempt}/{slot}\n", "env.EACH = x\n")] {
        let farm = farm(list, &format!("{keys}env.TFTEST_VALUE = other\n"));
        std::fs::create_dir(farm.path("bin")).unwrap();
        farm.write_with_mode("bin/mine", 0o755, b"#!/bin/sh\necho mine $FIXED\n");
        farm.run(&["--runner", "r", "--proc", "1"]).exits(0);
        let each = |id: u64| if keys.contains("{id}") { format!("{id}/1/0") } else { "x".to_owned() };
        assert_eq!(log(&farm, 0), "mine a 'b' $c % {}\n");
        assert_eq!(log(&farm, 1), format!("mine a 'b' $c % {{}}\n{}\n", each(1)));
        assert_eq!(log(&farm, 2), format!("a 'b' $c % {{}}\n{}\nother\n", each(2)));
    }
}

/// `cwd` is where tasks start, as their PWD shows; a missing one is an error, immediately or for its task.
#[test]
fn tasks_start_in_their_folder() {
    let here = farm("pwd; echo $PWD\n/bin/pwd\ncat file\n", "cwd = sub folder\n");
    std::fs::create_dir(here.path("sub folder")).unwrap();
    here.write("sub folder/file", b"content\n");
    here.run(&["--runner", "r"]).exits(0);
    let folder = here.path("sub folder").display().to_string();
    assert_eq!(log(&here, 0), format!("{folder}\n{folder}\n"));
    assert_eq!((log(&here, 1), log(&here, 2)), (format!("{folder}\n"), "content\n".to_owned()));

    let none = farm("echo a\n", "cwd = none\n");
    let before = none.everything();
    none.run(&["--runner", "r"]).refused(&["r.ini:3: [r]: cwd", "no folder none"]);
    assert_eq!(none.everything(), before);

    let some = farm("pwd\npwd\npwd\n", "cwd = d{id}\n");
    std::fs::create_dir(some.path("d0")).unwrap();
    std::fs::create_dir(some.path("d2")).unwrap();
    some.run(&["--runner", "r"]).exits(1);
    assert_eq!(some.workdir().failed().into_keys().collect::<Vec<_>>(), [1]);
    let folder = some.path("d1").display().to_string();
    assert_eq!(
        log(&some, 1),
        format!("taskfarmer-mpi: cannot enter {folder}: No such file or directory (os error 2)\n")
    );
    assert_eq!(log(&some, 2), format!("{}\n", some.path("d2").display()));
}

/// `shell = split` passes the words unchanged; a program that cannot be started fails as in a shell, with a message.
#[test]
fn split_has_no_shell() {
    let list = "printf %s. 'a b' $x\t*  ; é\nno-such-program 1\n./plain\n";
    // Only along PATH: a file in the task's folder is `./mine`.
    let list = format!("{list}mine\n./mine\n");
    let farm = farm(&list, "shell = split\n");
    farm.write("plain", b"not executable\n");
    farm.write_with_mode("mine", 0o755, b"#!/bin/sh\necho mine\n");
    farm.run(&["--runner", "r"]).exits(1);
    assert_eq!(log(&farm, 0), "'a.b'.$x.*.;.é.");
    assert_eq!(log(&farm, 1), "taskfarmer-mpi: cannot run no-such-program: No such file or directory\n");
    assert_eq!(log(&farm, 2), "taskfarmer-mpi: cannot run ./plain: Permission denied\n");
    let events = farm.workdir().timeline();
    let exits: Vec<_> = (0..5).map(|id| events.by_task()[&id].end).collect();
    assert_eq!(exits, [0, 127, 126, 127, 0].map(crate::support::End::Exit));
}

/// `shell = sh` is sh, even if bash exists.
#[test]
fn sh_is_sh() {
    let farm = farm("echo $0; echo ${BASH_VERSION:-none}\n", "shell = sh\n");
    farm.run(&["--runner", "r"]).exits(0);
    assert!(log(&farm, 0).starts_with("sh\n"), "{}", log(&farm, 0));
}

/// A command beyond the length of an argument runs behind a setup, too.
#[test]
fn long_commands_run_behind_a_setup() {
    let long = format!("x={}; echo ${{#x}} $y; cat\n", "x".repeat(300_000));
    let farm = farm(&long, "setup = y=set\n");
    farm.run(&["--runner", "r"]).exits(0);
    assert_eq!(log(&farm, 0), "300000 set\n");
}

/// An INI file can define `default`, which then needs no option.
#[test]
fn default_can_be_defined() {
    let farm = Farm::local(TRICKY[0].as_bytes());
    put(&farm, ".pytaskfarmer/runners.d/d.ini", b"[default]\nRunner = basic\nsetup = echo mine\n", 0o644);
    farm.run(&[]).exits(0);
    assert_eq!(log(&farm, 0), "mine\nplain\n");
}

/// `shell = split` does what PyTaskFarmer does with a line.
#[test]
fn split_is_pytaskfarmers() {
    let Some(program) = crate::pytaskfarmer::pytaskfarmer() else { return };
    let list = "printf %s. 'a b' $x\t* ; é \"q\" a\\ b\u{a0}c\nsh -c exit\nfalse && true\nprintenv PROC_NUMBER\n  echo -n  x \n";
    let mut farm = farm(list, "shell = split\n");
    for variable in ["SCRATCH", "TMP", "TMPDIR"] {
        farm.unset(variable);
    }
    let words = [program.to_str().unwrap(), "--workdir", "theirs", "tasks.txt"].map(std::ffi::OsStr::new);
    farm.start_other(&words).wait_and_clean_up().exits(0);
    farm.run(&["--runner", "r", "--workdir", "ours"]).exits(1);
    let [theirs, ours] = ["theirs", "ours"].map(|name| crate::support::Workdir::at(farm.path(name)));
    crate::support::expected::are_the_same("finished", &ours.finished(), &theirs.finished());
    crate::support::expected::are_the_same("failed", &ours.failed(), &theirs.failed());
    for id in 0..5 {
        assert_eq!(
            String::from_utf8_lossy(&ours.log(id)),
            String::from_utf8_lossy(&theirs.log(id)),
            "log of task {id}"
        );
    }
}

/// A task does not inherit what a runner needs to start it: no descriptor except the standard three, and no blocked or
/// ignored signal.
#[test]
fn tasks_inherit_nothing_of_a_runners_start() {
    let list = "/bin/ls /proc/self/fd\ngrep ^Sig /proc/self/status\n";
    for keys in [
        "Runner = basic\ncwd = {cwd}\nenv.T = {tempdir}\nenv.I = {id}\n",
        "Runner = basic\nsetup = true\n",
        "Runner = basic\nshell = split\n",
        "Runner = template\ncommand = env T={tempdir} {run}\ncwd = {workdir}\n",
    ] {
        let farm = Farm::local(list.as_bytes());
        farm.write("r.ini", format!("[r]\n{keys}").as_bytes());
        farm.run(&["--runner", "r"]).exits(0);
        assert_eq!(log(&farm, 0), "0\n1\n2\n3\n", "{keys}; 3 is ls's own");
        crate::support::processes::has_default_signals(&farm.workdir().log(1));
    }
    // A command that is too long for an argument is passed by standard input.
    let farm = farm(&format!("x={}; /bin/ls /proc/self/fd\n", "x".repeat(300_000)), "setup = true\n");
    farm.run(&["--runner", "r"]).exits(0);
    assert_eq!(log(&farm, 0), "0\n1\n2\n3\n");
}
