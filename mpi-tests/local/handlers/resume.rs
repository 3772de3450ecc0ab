//! What a handler generates is the list with which a resume compares.

use crate::support::Farm;

/// Adding tasks at the end resumes; a change to a task that has run is an edited list, wherever the change was made.
#[test]
fn a_changed_ini_is_an_edited_list() {
    let ini = |a: &str, command: &str| format!("[x]\nTaskList = product\ncommand = {command}\na = {a}\nb = 1 2\n");
    let farm = Farm::local(b"");
    farm.write("x.ini", ini("1 2", "echo {a} {b} >> ran").as_bytes());
    farm.run(&["--tasklist", "x", "--proc", "1"]).exits(0);
    farm.write("x.ini", ini("1..3", "echo {a} {b} >> ran").as_bytes());
    assert_eq!(farm.run(&["--tasklist", "x", "--proc", "1"]).exits(0).summary(), [6, 0, 0]);
    assert_eq!(farm.lines("ran"), ["1 1", "1 2", "2 1", "2 2", "3 1", "3 2"]);

    for changed in
        [ini("1..3", "echo {a}  {b} >> ran"), ini("0..3", "echo {a} {b} >> ran"), ini("1 2", "echo {a} {b} >> ran")]
    {
        farm.write("x.ini", changed.as_bytes());
        let before = farm.contents();
        farm.run(&["--tasklist", "x"]).refused(&["finished", "line ", "the tasklist has changed"]);
        assert_eq!(farm.contents(), before);
    }
    // A different handler makes a different list.
    farm.write("tasks.txt", b"echo 1\n");
    farm.run(&[]).refused(&["finished", "line 1", "the tasklist has changed"]);
}

/// The same for ATLAS: nothing is created if the list is refused.
#[test]
fn nothing_is_made_for_a_list_that_is_refused() {
    let farm = Farm::local(b"a.root\n");
    farm.write("x.ini", b"[x]\nTaskList = athena\njobOptions = o\noutput = r\n");
    std::fs::create_dir(farm.workdir().path()).unwrap();
    farm.workdir().write("finished", b"0 athena.py --other\n");
    let before = farm.contents();
    farm.run(&["--tasklist", "x"]).refused(&["finished", "line 1", "the tasklist has changed"]);
    assert_eq!(farm.contents(), before);
}
