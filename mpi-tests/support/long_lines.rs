//! Lines of a mebibyte: longer than a single argument of a program may be.

use std::os::unix::ffi::OsStrExt;

use super::{End, Farm};

const MIB: usize = 1024 * 1024;

/// A line of exactly 1 MiB that a shell has to run.
#[track_caller]
pub(crate) fn shell_line_runs(new_farm: impl Fn(&[u8]) -> Farm) {
    let (start, end) = (": \"", "\"; echo done");
    let line = format!("{start}{}{end}", "x".repeat(MIB - start.len() - end.len()));
    runs(new_farm, &line, 0, b"done\n");
}

/// A line of exactly 1 MiB of words without any shell syntax.
#[track_caller]
pub(crate) fn plain_line_runs(new_farm: impl Fn(&[u8]) -> Farm) {
    let mut line = "/bin/echo".to_owned();
    for number in 0.. {
        let word = format!(" word-{number:0>10}");
        if line.len() + word.len() > MIB {
            break;
        }
        line.push_str(&word);
    }
    line.push_str(&"y".repeat(MIB - line.len()));
    let log = line.replacen("/bin/echo ", "", 1) + "\n";
    runs(new_farm, &line, 0, log.as_bytes());
}

/// A plain line with one word that is too long for any program: as with bash, the task fails, not the farm.
#[track_caller]
pub(crate) fn huge_word_fails(new_farm: impl Fn(&[u8]) -> Farm) {
    let line = format!("/bin/echo {}", "x".repeat(MIB - "/bin/echo ".len()));
    // The line does not fit into an argument of bash either; it reads it from a file.
    let reference = new_farm(b"");
    reference.write("line", line.as_bytes());
    let (code, log) = reference.bash(b"eval \"$(cat line)\"");
    assert_eq!(code, 126, "bash's exit code");
    assert!(String::from_utf8_lossy(&log).contains("Argument list too long"), "{}", super::shown(&log));
    runs(new_farm, &line, 126, &log);
}

#[track_caller]
fn runs(new_farm: impl Fn(&[u8]) -> Farm, line: &str, code: u8, log: &[u8]) {
    assert_eq!(line.len(), MIB);
    let list = format!("echo before\n{line}\necho after\n");
    let farm = new_farm(list.as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(i32::from(code != 0));
    let workdir = farm.workdir();
    let (record, summary) = if code == 0 { ("finished", [3, 0, 0]) } else { ("failed", [2, 1, 0]) };
    assert_eq!(outcome.summary(), summary);
    let recorded = workdir.lines(record).into_iter().find(|(id, _)| *id == 1);
    let command = recorded.unwrap_or_else(|| panic!("task 1 is not in {record}")).1;
    assert!(command == line.as_bytes(), "the recorded command has {} bytes or others", command.len());
    let found = workdir.log(1);
    assert!(found == log, "log: {}\nwanted: {}", super::shown(&found), super::shown(log));
    let event = &workdir.timeline().by_task()[&1];
    assert_eq!((event.end, event.name.as_bytes() == line.as_bytes()), (End::Exit(code), true), "timeline");
    for (id, text) in [(0, "before"), (2, "after")] {
        assert_eq!(workdir.log(id).trim_ascii_end(), std::ffi::OsStr::new(text).as_bytes());
    }
}
