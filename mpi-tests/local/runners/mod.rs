//! Runners from INI files: what they start, with which arguments and environment.

mod basic;
mod examples;
mod ini;
mod old_forms;
mod python;
mod shifter;
mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::Farm;
use crate::support::processes::MARK;

/// A stand-in for programs that are not installed: records its arguments and environment, byte for byte, and runs the
/// command that it is given, starting at the first word that is a shell.
const STAND_IN: &[u8] = b"#!/bin/bash
record=$(/usr/bin/mktemp \"$HOME/records/XXXXXX\")
while IFS= read -r -d '' word; do printf '%s\\0' \"$word\"; done < /proc/$$/cmdline > \"$record.argv\"
while IFS= read -r -d '' line; do printf '%s\\0' \"$line\"; done < /proc/$$/environ > \"$record.env\"
for word; do case $word in --workdir=*taskfarmer-*|--workdir=*tmp*) [ -d \"${word#*=}\" ] || exit 99 ;; esac; done
while [ $# -gt 0 ]; do case $1 in /bin/bash|/bin/sh) exec \"$@\" ;; esac; shift; done
";

/// Programs that a farm's tasks find in PATH before others.
fn put_programs(farm: &mut Farm, names: &[&str]) {
    let bin = farm.home().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(farm.home().join("records")).unwrap();
    for name in names {
        put(farm, &format!("bin/{name}"), STAND_IN, 0o755);
    }
    let path = std::env::var("PATH").unwrap();
    farm.set("PATH", &format!("{}:{path}", bin.display()));
    for variable in ["OLDPWD", "TMPDIR", "_"] {
        farm.unset(variable);
    }
}

/// A file in the farm's home.
fn put(farm: &Farm, name: &str, bytes: &[u8], mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = farm.home().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// One start of a stand-in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Start {
    /// Without the shell that reads the stand-in.
    argv: Vec<String>,
    environment: BTreeMap<String, String>,
}

fn zero_ended(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let mut words: Vec<_> =
        bytes.split(|&byte| byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
    assert_eq!(words.pop().as_deref(), Some(""), "{}", path.display());
    words
}

/// What the stand-ins of a farm have recorded since the last call, sorted. The name of the program is without its
/// folder.
fn take_starts(farm: &Farm) -> Vec<Start> {
    let mut starts = Vec::new();
    let records: Vec<_> =
        fs::read_dir(farm.home().join("records")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in &records {
        if path.extension().is_some_and(|extension| extension == "argv") {
            let mut argv = zero_ended(path).split_off(1);
            argv[0] = argv[0].rsplit('/').next().unwrap().to_owned();
            let split = |line: String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            let environment = zero_ended(&path.with_extension("env")).into_iter().filter_map(split);
            let environment = environment.filter(|(name, _)| name != MARK).collect();
            starts.push(Start { argv, environment });
        }
    }
    records.iter().for_each(|path| fs::remove_file(path).unwrap());
    starts.sort();
    starts
}

/// Lines of a list that no runner may change: bash shows what each prints.
const TRICKY: [&str; 9] = [
    "echo plain",
    "echo 'a  b' \"c'd\" e\\ f",
    "echo $((1+2)) $HOME | tr / _",
    "printf '%s\\n' 100% %d -n --",
    "false || echo or; exit 3",
    "echo {task} {{}} ${HOME:+set} # a comment",
    "echo \"Größe 日本\" > out_$TASKFARMER_TASK_ID && cat out_$TASKFARMER_TASK_ID",
    "-x 2>/dev/null; echo $?",
    "echo $(echo `echo deep`) \"$(echo 'in quotes')\"",
];

fn tricky_list() -> String {
    TRICKY.map(|line| format!("{line}\n")).concat()
}

/// Makes sure that each tricky task did what bash alone does.
#[track_caller]
fn tricky_tasks_ran(farm: &Farm) {
    let workdir = farm.workdir();
    let failed: Vec<u64> = workdir.failed().into_keys().collect();
    assert_eq!(failed, [4], "the one with exit code 3");
    for (id, line) in (0..).zip(TRICKY) {
        let with_id = format!("TASKFARMER_TASK_ID={id}; {line}");
        let (_, expected) = farm.bash(with_id.as_bytes());
        let log = workdir.log(id);
        assert_eq!(String::from_utf8_lossy(&log), String::from_utf8_lossy(&expected), "task {id}: {line}");
    }
}
