//! Kind `template`: any command line, and nothing in a task that could change it.

use super::{put_programs, take_starts, tricky_list, tricky_tasks_ran};
use crate::support::{Farm, Random, skipped};

fn farm(list: &[u8], keys: &str) -> Farm {
    let mut farm = Farm::local(list);
    put_programs(&mut farm, &["wrap"]);
    farm.write("r.ini", format!("[r]\nRunner = template\n{keys}").as_bytes());
    farm
}

/// Every way to put a task into a command line runs it unchanged.
#[test]
fn a_task_is_itself_in_every_template() {
    for keys in [
        "command = wrap {run}",
        "command = wrap --id={id} /bin/bash -c {task}",
        "command = wrap x '{task}' \"{task:q}\" {run}\nsetup = true",
        "command = env -- {run}\ncwd = {cwd}\nenv.A = {task}",
        "shell = bash\ncommand = x='a b'; wrap \"$x\" {run} # it's {id}",
        "shell = sh\ncommand = wrap {task:q} {workdir:q} {run} && true",
        "shell = auto\ncommand = { eval {task:q}; }\nsetup = set -u"
            .replace("{ eval", "{{ eval")
            .replace("; }", "; }}")
            .leak(),
    ] {
        let list = tricky_list().replace("-x 2>", "./-x 2>");
        let farm = farm(list.as_bytes(), keys);
        farm.write_with_mode("-x", 0o755, b"#!/bin/sh\nexit 127\n");
        farm.run(&["--runner", "r"]).exits(1);
        tricky_tasks_ran(&farm);
    }
}

/// Fields have the value that their name says, each within its word.
#[test]
fn fields_are_filled_in() {
    let command = "command = wrap {task} {id} {attempt} {rank} {slot} {host} {workdir} {cwd} x{id:q} {task:q}";
    let farm = farm(b"a 'b\n", command);
    farm.run(&["--runner", "r", "--proc", "1", "--workdir", "w d"]).exits(0);
    let start = take_starts(&farm).remove(0);
    let cwd = farm.cwd().display().to_string();
    let workdir = format!("{cwd}/w d");
    let host = &start.environment["TASKFARMER_HOST"];
    let expected = ["wrap", "a 'b", "0", "1", "0", "0", host, &workdir, &cwd, "x'0'", "'a '\\''b'"];
    assert_eq!(start.argv, expected);
    assert_eq!(start.environment["TASKFARMER_WORKDIR"], workdir);
}

/// Lines with any bytes, mostly those that a shell or this program might misread, arrive unchanged: in an argument, in
/// a word for a shell, through the setup's wrapper, in a variable.
#[test]
fn any_bytes_arrive() {
    let seed = Random::new_seed();
    let mut random = Random::new(seed);
    let pieces: [&[u8]; 24] = [
        b" ",
        b"  ",
        b"\t",
        b"'",
        b"\"",
        b"$",
        b"$x",
        b"%",
        b"%s",
        b"\\",
        b"`",
        b"{",
        b"}",
        b"{task}",
        b"{{",
        b"-",
        b"--",
        b"#",
        b"*",
        b"~",
        b";",
        "é日".as_bytes(),
        b"\xff",
        b"=",
    ];
    let lines: Vec<Vec<u8>> = (0..60)
        .map(|_| {
            let middle: Vec<u8> = (0..random.below(8)).flat_map(|_| random.pick(&pieces)).copied().collect();
            // A line is stripped, and `#` is a comment.
            [b"x", &middle[..], b"x"].concat()
        })
        .chain([b"-n".to_vec(), b"--".to_vec(), b"-c".to_vec()])
        .collect();
    let list: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
    for keys in [
        "command = printf %s. a {task} {cwd}",
        "command = sh -c 'printf %s. a {task:q} {cwd:q}'",
        "shell = bash\ncommand = printf %s. a {task:q} {cwd:q}",
        "command = sh -c 'printf %s. a \"$V\" \"$1\"' sh {cwd}\nenv.V = {task}\nsetup = true 'x",
    ] {
        let keys = keys.replace("true 'x", "true \\'x");
        let keys = keys.replace("%s", "%%s");
        let farm = farm(&list, &keys);
        farm.run(&["--runner", "r"]).exits(0);
        for (id, line) in (0..).zip(&lines) {
            let expected = [b"a.", &line[..], b".", farm.cwd().to_str().unwrap().as_bytes(), b"."].concat();
            let log = farm.workdir().log(id);
            assert_eq!(log, expected, "seed {seed}, {keys}: {}", String::from_utf8_lossy(line));
        }
    }
}

/// Whether bubblewrap may create namespaces here: not in a chroot, nor in most unprivileged containers.
fn can_sandbox() -> bool {
    let probe = std::process::Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-pid", "true"]).output();
    let allowed = probe.is_ok_and(|output| output.status.success());
    if !allowed {
        skipped("bubblewrap is not there, or may not make namespaces here");
    }
    allowed
}

/// A kind of real container: bubblewrap with its own processes, its own /tmp, and a read-only file system.
#[test]
fn tasks_run_in_bubblewrap() {
    if !can_sandbox() {
        return;
    }
    let tools = "ls /tmp/inside; echo $$ > /tmp/inside; ls /tmp/inside; [ $$ -lt 10 ] && echo own processes\n";
    let list = format!("{tools}{tools}touch /usr/no 2>/dev/null || echo read-only; echo out > made\nexit 5\n");
    let farm = Farm::local(list.as_bytes());
    farm.write("r.ini", super::examples::section("sandbox").as_bytes());
    farm.run(&["--runner", "sandbox"]).exits(1);
    let log = |id: u64| String::from_utf8(farm.workdir().log(id)).unwrap();
    for id in 0..2 {
        let fresh = "ls: cannot access '/tmp/inside': No such file or directory\n/tmp/inside\nown processes\n";
        assert_eq!(log(id), fresh);
    }
    assert_eq!((log(2), farm.read("made")), ("read-only\n".to_owned(), b"out\n".to_vec()));
    assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<_>>(), [3]);
}

/// What runs in a container ends with the farm.
#[test]
fn a_sandbox_ends_with_the_farm() {
    use nix::sys::signal::Signal;
    if !can_sandbox() {
        return;
    }
    let farm = Farm::local(b"echo >> ran; sleep 600 & sleep 600\n");
    farm.write("r.ini", super::examples::section("sandbox").as_bytes());
    let mut running = farm.start(&["--runner", "sandbox", "--grace", "1"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    crate::support::processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
    assert_eq!(farm.workdir().toprocess().len(), 1);
}
