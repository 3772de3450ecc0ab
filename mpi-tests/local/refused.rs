//! A start that is refused leaves the workdir as it was: every file is checked before the first is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::Farm;

/// Names and bytes of everything in a folder; anything other than a regular file has no bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        let bytes = if kind.is_file() { fs::read(&path).unwrap() } else { format!("{:?}", kind.file_type()).into() };
        found.insert(path.file_name().unwrap().to_string_lossy().into_owned(), bytes);
    }
    found
}

/// A workdir with something to repair, to create, to cut off and to remove.
fn half_done() -> Farm {
    let farm = Farm::local(b"true\nfalse\ntrue\n").time_limit(30);
    farm.run(&[]).exits(1);
    let workdir = farm.workdir();
    workdir.write("finished", b"0 true\n2 tr");
    fs::remove_dir_all(workdir.file("logs")).unwrap();
    farm
}

/// Each of the files that a run needs is replaced by something else. The timeline of the previous run is still valid
/// JSON afterward.
#[test]
fn nothing_changes_before_all_was_judged() {
    for name in ["finished", "timeline.json", "tasks.tsv", "logs", "job.log"] {
        for kind in ["folder", "fifo", "link"] {
            let farm = half_done();
            let workdir = farm.workdir();
            let path = if name == "job.log" { farm.path(name) } else { workdir.file(name) };
            if name == "logs" && kind == "folder" {
                continue;
            }
            let _ = fs::remove_file(&path);
            match kind {
                "folder" => fs::create_dir(&path).unwrap(),
                "fifo" => mkfifo(&path, Mode::S_IRWXU).unwrap(),
                _ => symlink("/no/such/folder/file", &path).unwrap(),
            }
            let before = contents(workdir.path());
            for options in [&["--joblog", "job.log"][..], &["--joblog", "job.log", "--retry-failed"]] {
                farm.run(options).refused(&[name]);
                assert_eq!(contents(workdir.path()), before, "{kind} {name}");
            }
        }
    }
}

/// `failed` is checked like the others, even if it would be discarded.
#[test]
fn a_failed_that_cannot_be_used_changes_nothing() {
    let farm = half_done();
    let workdir = farm.workdir();
    workdir.write("failed", b"1 false\nnonsense\n");
    let before = contents(workdir.path());
    for options in [&[][..], &["--retry-failed"]] {
        farm.run(options).refused(&["failed", "line 2"]);
        assert_eq!(contents(workdir.path()), before);
    }
    workdir.write("failed", b"1 false\n");
    farm.run(&["--retry-failed"]).exits(1);
    assert_eq!(workdir.recorded().len(), 3);
}
