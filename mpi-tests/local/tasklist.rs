//! How the lines of a list become tasks.

use std::collections::BTreeMap;

use crate::support::Farm;
use crate::support::workdir::Tasks;

/// Runs a list and makes sure of the tasks in it.
#[track_caller]
fn has_tasks(list: &[u8], tasks: &[&[u8]]) -> Farm {
    let farm = Farm::local(list);
    farm.run(&["--proc", "2"]).exits(0);
    let wanted: Tasks = (0..).zip(tasks.iter().map(|task| task.to_vec())).collect();
    assert_eq!(farm.workdir().finished(), wanted);
    farm
}

/// Comments, blank lines and blanks around a command are not part of a task; IDs count the kept lines from 0.
#[test]
fn only_kept_lines_count() {
    let list = b"#no\n\n  \t\necho 0\n# no\n  echo 1  \n\t\necho 2\t# a comment of the shell\n";
    has_tasks(list, &[b"echo 0", b"echo 1", b"echo 2\t# a comment of the shell"]);
}

/// ` # x` is a task, because its # is not in column 0: a comment to the shell, which succeeds silently.
#[test]
fn indented_comment_is_a_task() {
    let farm = has_tasks(b" # x\necho 1\n", &[b"# x", b"echo 1"]);
    assert_eq!(farm.workdir().log(0), b"");
}

/// A list from Windows runs as if it had been written here.
#[test]
fn crlf_is_an_end_of_line() {
    let farm = has_tasks(b"echo 0\r\n\r\n# no\r\nprintf %s 'x'\r\n", &[b"echo 0", b"printf %s 'x'"]);
    assert_eq!((farm.workdir().log(0), farm.workdir().log(1)), (b"0\n".to_vec(), b"x".to_vec()));
}

/// The last line counts even without its newline.
#[test]
fn last_line_needs_no_newline() {
    let farm = has_tasks(b"echo 0\necho 1", &[b"echo 0", b"echo 1"]);
    assert_eq!(farm.workdir().log(1), b"1\n");
}

/// Bytes that are not UTF-8 reach the task, the records and the log unchanged.
#[test]
fn any_bytes_are_kept() {
    let farm = has_tasks(b"echo \xff\xc3A\nprintf %s '\xe9'\n", &[b"echo \xff\xc3A", b"printf %s '\xe9'"]);
    assert_eq!((farm.workdir().log(0), farm.workdir().log(1)), (b"\xff\xc3A\n".to_vec(), b"\xe9".to_vec()));
    let events = farm.workdir().timeline().by_task();
    let names: BTreeMap<u64, &str> = events.iter().map(|(id, event)| (*id, event.name.as_str())).collect();
    assert_eq!(names[&0], "echo \u{fffd}\u{fffd}A");
}

/// A line beyond a mebibyte, which could not be sent in a message, is refused with its number before anything starts.
#[test]
fn a_line_beyond_a_mebibyte_is_refused() {
    let farm = Farm::local(&[b"# one\necho 0\n: ", &vec![b'x'; 1 << 20][..], b"\n"].concat());
    let before = farm.everything();
    farm.run(&[]).refused(&["tasks.txt", "line 3", "1048576 bytes"]);
    assert_eq!(farm.everything(), before);
    farm.write("e.ini", b"[e]\nTaskList = exec\ncommand = cat\n");
    farm.run(&["--tasklist", "e"]).refused(&["e.ini:3", "[e]", "line 3", "1048576 bytes"]);
}

/// An empty list, and one of comments only: nothing to do, exit code 0, and a message.
#[test]
fn nothing_to_do_is_reported() {
    for list in [b"".as_slice(), b"\n\n", b"# one\n# two\n\n"] {
        let farm = Farm::local(list);
        let outcome = farm.run(&[]).exits(0);
        let text = outcome.stderr_text();
        assert_eq!(outcome.errors(), [""; 0], "no error");
        assert!(
            text.lines().any(|line| line.starts_with("taskfarmer-mpi: ") && line.contains("task")),
            "a word about a list without tasks"
        );
    }
}
