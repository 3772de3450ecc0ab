use super::*;

/// A reader of a different version finds what it knows.
#[test]
fn other_versions_can_be_read() {
    let figures: Figures = serde_json::from_str(r#"{"total": 3, "news": [1], "state": "running"}"#).unwrap();
    assert_eq!((figures.total, figures.state, figures.format), (3, State::Running, 0));
    let figures = Figures { left_s: Some(1.5), workers: vec![WorkerFigures::default()], ..figures };
    assert_eq!(serde_json::from_str::<Figures>(&serde_json::to_string(&figures).unwrap()).unwrap(), figures);
}

/// The line that batch output and `status` show.
#[test]
fn progress_is_one_line() {
    let mut figures =
        Figures { total: 100_000, finished: 45_000, failed: 210, running: 512, slots: 512, ..Figures::default() };
    (figures.tasks_per_s, figures.left_s) = (12.34, Some(4_440.0));
    let line = "45,210 of 100,000 tasks done (45%), 210 of them failed; 512 running on 512 slots; 12.3/s; about 1 h 15 min left";
    assert_eq!(figures.progress_line(), line);
}

/// Promise: a task that hangs can be seen: the one that has run for the longest time is named.
#[test]
fn the_longest_running_task_is_named() {
    let worker = |rank, running: &[(u32, f64)]| WorkerFigures {
        rank,
        host: format!("n{rank}"),
        running: running.to_vec(),
        ..WorkerFigures::default()
    };
    let workers = vec![worker(0, &[(7, 95.0)]), worker(1, &[(9, 40.0), (8, 30.0)]), worker(2, &[])];
    let figures = Figures { workers, ranks: 3, ..Figures::default() };
    let line = figures.longest_running_line(100.0);
    assert_eq!(line.as_deref(), Some("longest running: task 8 for 70 s on n1 (rank 1)"));
    assert_eq!(Figures::default().longest_running_line(100.0), None);
}

/// Totals cover all runs; how much of them is from earlier runs is stated.
#[test]
fn what_earlier_runs_did_is_said() {
    let mut figures = Figures { finished: 1_500, failed: 3, ..Figures::default() };
    assert_eq!(figures.earlier_text(), None);
    (figures.earlier, figures.earlier_failed) = (1_201, 1);
    assert_eq!(figures.earlier_text().unwrap(), "of these, 1,200 finished and 1 failed in earlier runs");
}

/// The most frequent failures come first, with where they happened if that is only a part of the farm. A SIGKILL
/// that the farm did not send is reported as such, with the memory that was used.
#[test]
fn failures_are_told_by_kinds() {
    let group = |count, how: &str, last_line: &str, log: &str, only_on: &[&str]| FailureGroup {
        count,
        how: how.to_owned(),
        last_line: last_line.to_owned(),
        log: log.to_owned(),
        killed: how == "SIGKILL" || how == "exit 137",
        peak_kib: if how == "SIGKILL" { 3_250_000 } else { 0 },
        only_on: only_on.iter().map(|host| (*host).to_owned()).collect(),
    };
    let mut failures = vec![
        group(412, "exit 1", "ModuleNotFoundError: No module named 'x'", "logs/log_17", &["nid0004"]),
        group(2, "SIGKILL", "", "logs/log_3", &[]),
        group(1, "exit 137", "Killed", "logs/log_5", &[]),
        group(1, "exit 9", "", "", &[]),
    ];
    failures.extend((0..10).map(|_| group(1, "exit 2", "x", "logs/log_4", &[])));
    let lines = Figures { failures, ..Figures::default() }.failure_lines(Path::new("w"));
    assert_eq!(
        lines[1..5],
        [
            "  412 × exit 1: ModuleNotFoundError: No module named 'x' (see w/logs/log_17), only on nid0004",
            "  2 × SIGKILL, which the farm did not send (out of memory? peak memory 3.1 GiB): no output (see w/logs/log_3)",
            "  1 × exit 137 after SIGKILL, which the farm did not send (out of memory?): Killed (see w/logs/log_5)",
            "  1 × exit 9",
        ]
    );
    assert_eq!(lines.last().unwrap(), "  4 more of other kinds (status --failed lists all tasks)");
}
