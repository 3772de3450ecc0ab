//! Damage to `finished` and `failed`: a torn tail is repaired, anything else stops the farm before it starts.

use std::collections::BTreeSet;

use crate::support::Farm;

/// A farm of six finished tasks; each run of a task adds a line to `ran`.
fn finished_farm() -> Farm {
    let farm = Farm::local((0..6).map(|id| format!("echo {id} >> ran\n")).collect::<String>().as_bytes());
    farm.run(&["--proc", "1"]).exits(0);
    assert_eq!(farm.lines("ran").len(), 6);
    farm
}

/// The first lines of `finished`, from a farm with one slot: tasks in their order.
fn lines(farm: &Farm, count: usize) -> Vec<u8> {
    let bytes = farm.workdir().bytes("finished");
    bytes.split_inclusive(|byte| *byte == b'\n').take(count).flatten().copied().collect()
}

/// Appends a torn tail to the first lines of `finished`: the next run repairs it and runs what is missing.
#[track_caller]
fn is_repaired(whole_lines: usize, torn: &[u8]) {
    let farm = finished_farm();
    farm.workdir().write("finished", &[lines(&farm, whole_lines), torn.to_vec()].concat());
    let outcome = farm.run(&["--proc", "2"]).exits(0);
    assert_eq!(outcome.summary(), [6, 0, 0]);
    assert_eq!(farm.workdir().recorded(), (0..6).collect::<BTreeSet<u64>>());
    assert_eq!(farm.lines("ran").len(), 6 + (6 - whole_lines), "only tasks without a whole line ran again");
    farm.workdir().timeline();
}

/// A last line that was cut off in its command is removed, and its task runs again.
#[test]
fn torn_command_is_repaired() {
    is_repaired(4, b"4 echo 4 >");
}

/// A last line that lacks only its newline is not trusted either.
#[test]
fn missing_newline_is_repaired() {
    is_repaired(3, b"3 echo 3 >> ran");
}

/// A last line that was cut off in its ID is removed.
#[test]
fn torn_id_is_repaired() {
    is_repaired(5, b"5");
}

/// A file that consists of a torn line is emptied.
#[test]
fn torn_first_line_is_repaired() {
    is_repaired(0, b"0 ech");
}

/// An empty file is not damage.
#[test]
fn empty_file_is_not_damage() {
    is_repaired(2, b"");
}

/// `failed` is repaired like `finished`.
#[test]
fn torn_end_of_failed_is_repaired() {
    let farm = Farm::local(b"exit 3\nexit 4\n");
    farm.run(&["--proc", "1"]).exits(1);
    farm.workdir().write("failed", b"0 exit 3\n1 exi");
    assert_eq!(farm.run(&[]).exits(1).summary(), [0, 2, 0]);
    assert_eq!(farm.workdir().bytes("failed"), b"0 exit 3\n1 exit 4\n");
}

/// Puts a line into the middle of a file of records: refused with file and line, nothing started or changed.
#[track_caller]
fn is_damage(line: &[u8]) {
    let farm = finished_farm();
    let whole = lines(&farm, 6);
    let head = lines(&farm, 2);
    farm.workdir().write("finished", &[&head, line, b"\n", &whole[head.len()..]].concat());
    // Some tasks remain.
    farm.append("tasks.txt", b"echo 6 >> ran\n");
    let before = farm.contents();
    farm.run(&["--proc", "2"]).refused(&["finished", "line 3"]);
    assert_eq!(farm.contents(), before, "nothing is started or changed");
}

/// A line that is not a record is damage.
#[test]
fn garbage_in_the_middle_is_refused() {
    is_damage(b"\xff\x00garbage");
}

/// A blank line is damage.
#[test]
fn blank_line_in_the_middle_is_refused() {
    is_damage(b"");
}

/// A record of a task that is not in the list is damage.
#[test]
fn unknown_id_is_refused() {
    is_damage(b"77 echo 77 >> ran");
}

/// A record with a command different from the list's is damage.
#[test]
fn other_command_is_refused() {
    is_damage(b"2 echo 2 >> elsewhere");
}

/// Both files may be torn by one crash.
#[test]
fn both_files_torn_are_repaired() {
    let farm = Farm::local(b"echo 0 >> ran\necho 1 >> ran; exit 1\necho 2 >> ran\necho 3 >> ran; exit 1\n");
    farm.run(&["--proc", "1"]).exits(1);
    farm.workdir().write("finished", b"0 echo 0 >> ran\n2 ec");
    farm.workdir().write("failed", b"1 echo 1 >> ran; exit 1\n3");
    assert_eq!(farm.run(&["--proc", "1"]).exits(1).summary(), [2, 2, 0]);
    assert_eq!(farm.workdir().recorded(), (0..4).collect::<BTreeSet<u64>>());
    assert_eq!(farm.lines("ran").len(), 6, "only tasks without a whole line ran again");
}

/// Damage in `failed` is refused like damage in `finished`, with file and line, and nothing is touched.
#[test]
fn damage_in_failed_is_refused() {
    for damage in ["no record", "", "1", "1 ", "+1 exit 4", "1 exit 5", "9 exit 4", "1  exit 4"] {
        let farm = Farm::local(b"exit 3\nexit 4\nexit 5\necho 3 >> ran\n");
        std::fs::create_dir(farm.workdir().path()).unwrap();
        farm.workdir().write("failed", format!("0 exit 3\n{damage}\n2 exit 5\n").as_bytes());
        let before = farm.contents();
        farm.run(&[]).refused(&["failed", "line 2"]);
        assert_eq!(farm.contents(), before, "{damage:?}: nothing is started or changed");
    }
}

/// Damage in one file is refused although the other is torn, and the torn one is not repaired.
#[test]
fn damage_beside_a_torn_file_changes_nothing() {
    let farm = Farm::local(b"echo 0\nexit 4\necho 2 >> ran\n");
    std::fs::create_dir(farm.workdir().path()).unwrap();
    farm.workdir().write("finished", b"0 ech");
    farm.workdir().write("failed", b"nonsense\n");
    let before = farm.contents();
    farm.run(&[]).refused(&["failed", "line 1"]);
    assert_eq!(farm.contents(), before);
}

/// A task that is recorded twice counts once, and a finished task has finished.
#[test]
fn task_recorded_twice_counts_once() {
    let farm = Farm::local(b"echo 0 >> ran\necho 1 >> ran\necho 2 >> ran\n");
    std::fs::create_dir(farm.workdir().path()).unwrap();
    farm.workdir().write("finished", b"0 echo 0 >> ran\n0 echo 0 >> ran\n");
    farm.workdir().write("failed", b"0 echo 0 >> ran\n1 echo 1 >> ran\n1 echo 1 >> ran\n");
    assert_eq!(farm.run(&[]).exits(1).summary(), [2, 1, 0]);
    assert_eq!(farm.lines("ran"), ["2"]);
}
