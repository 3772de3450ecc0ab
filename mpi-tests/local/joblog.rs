//! `--joblog`: the job log of GNU parallel.

use crate::support::Farm;

const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

/// Each task is a line with GNU parallel's columns; a resume appends, under one header.
#[test]
fn a_job_log_has_a_line_per_task() {
    let farm = Farm::local(b"exit 3\nkill -9 $$\ntrue a\tb\n");
    farm.run(&["--proc", "1", "--joblog", "log"]).exits(1);
    farm.append("tasks.txt", b"sleep 0.2\n");
    farm.run(&["--joblog", "log"]).exits(1);
    let lines = farm.lines("log");
    assert_eq!(lines[0], HEADER);
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let mut rows = Vec::new();
    for line in &lines[1..] {
        let columns: Vec<&str> = line.splitn(9, '\t').collect();
        assert_eq!((columns[1], columns[4], columns[5]), (host.as_str(), "0", "0"), "{line}");
        let (start, runtime): (f64, f64) = (columns[2].parse().unwrap(), columns[3].trim().parse().unwrap());
        assert!(start > 1.6e9 && columns[2].split('.').nth(1).unwrap().len() == 3, "{line}");
        assert!(columns[3].len() == 10 && (0.0..60.0).contains(&runtime), "{line}");
        rows.push((columns[0].to_owned(), columns[6].to_owned(), columns[7].to_owned(), columns[8].to_owned()));
        if columns[0] == "4" {
            assert!(runtime >= 0.2, "{line}");
        }
    }
    rows.sort();
    let row = |seq: &str, exit: &str, signal: &str, command: &str| {
        (seq.to_owned(), exit.to_owned(), signal.to_owned(), command.to_owned())
    };
    let expected = [
        row("1", "3", "0", "exit 3"),
        row("2", "0", "9", "kill -9 $$"),
        row("3", "0", "0", "true a\tb"),
        row("4", "0", "0", "sleep 0.2"),
    ];
    assert_eq!(rows, expected);
}

/// A task that exceeded its limit has exit value -1, as GNU parallel writes it: its `--retry-failed` runs such a job
/// again.
#[test]
fn a_task_that_timed_out_is_not_a_success() {
    let farm = Farm::local(b"trap 'exit 0' TERM; sleep 600 & wait\n");
    farm.run(&["--task-timeout", "1", "--joblog", "log"]).exits(1);
    let lines = farm.lines("log");
    let columns: Vec<&str> = lines[1].splitn(9, '\t').collect();
    assert_eq!((columns[6], columns[7]), ("-1", "0"), "{lines:?}");
}

/// The farm does not wait for the reader of a FIFO.
#[test]
fn a_fifo_is_refused() {
    let farm = Farm::local(b"echo >> ran\n").time_limit(30);
    nix::unistd::mkfifo(&farm.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    farm.run(&["--joblog", "fifo"]).refused(&["fifo", "not a regular file"]);
    assert!(!farm.workdir().path().exists(), "nothing is made");
}

/// A typo does no harm: a file that is not a job log, and a place where none can be created, are refused by name.
#[test]
fn other_files_are_refused() {
    let farm = Farm::local(b"echo >> ran\n");
    farm.write("data.csv", b"a,b\n1,2\n");
    let before = farm.contents();
    farm.run(&["--joblog", "data.csv"]).refused(&["data.csv", "--joblog"]);
    farm.run(&["--joblog", "no/such/folder/log"]).refused(&["no/such/folder/log", "--joblog"]);
    farm.run(&["--joblog", "."]).refused(&["--joblog"]);
    farm.run(&["--joblog", "/dev/null"]).refused(&["/dev/null", "not a regular file"]);
    assert_eq!(farm.contents(), before, "nothing was made or changed");
}
