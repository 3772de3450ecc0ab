//! `--retry-failed`: failed tasks run again, and no others.

use crate::support::{End, Farm, interrupted};

/// Six tasks: 1 and 4 fail until there is a file `mended`, 5 always fails.
fn farm() -> Farm {
    let ends = ["", "; test -e mended", "", "", "; test -e mended", "; exit 9"];
    let list: String = (0..).zip(ends).map(|(id, end): (u32, _)| format!("echo {id} >> ran{end}\n")).collect();
    let farm = Farm::local(list.as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(1);
    assert_eq!(outcome.summary(), [3, 3, 0]);
    farm
}

/// The failed tasks run again, starting with a first attempt; those that finish now are no longer in `failed`.
#[test]
fn failed_tasks_run_again_and_only_they() {
    let farm = farm();
    farm.write("mended", b"");
    let outcome = farm.run(&["--proc", "2", "--retry-failed"]).exits(1);
    assert_eq!(outcome.summary(), [5, 1, 0]);
    assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<u64>>(), [5]);
    assert_eq!(farm.workdir().recorded().len(), 6);
    assert!(farm.workdir().toprocess().is_empty());
    let runs: Vec<usize> = interrupted::runs(&farm).into_values().collect();
    assert_eq!(runs, [1, 2, 1, 1, 2, 2], "runs of each task");
    let events = farm.workdir().timeline().events();
    let ends: Vec<End> = events.iter().filter(|event| event.id == 1).map(|event| event.end).collect();
    assert_eq!(ends, [End::Exit(1), End::Exit(0)], "both runs are in the timeline");
    assert!(events.iter().all(|event| event.attempt == 1), "{events:#?}");
    // Again, and without the flag.
    assert_eq!(farm.run(&["--retry-failed"]).exits(1).summary(), [5, 1, 0]);
    assert_eq!(farm.run(&[]).exits(1).summary(), [5, 1, 0]);
    assert_eq!(interrupted::runs(&farm)[&5], 3, "once more by the flag only");
}

/// A failed line may be corrected: without the flag that is refused, with a message that names the flag; with it the
/// new line runs, longer or shorter, and finished tasks do not.
#[test]
fn failed_lines_may_be_corrected() {
    let farm = Farm::local(b"echo 0 >> ran\nno_such_program_at_all\nfalse\n");
    assert_eq!(farm.run(&[]).exits(1).summary(), [1, 2, 0]);
    farm.write("tasks.txt", b"echo 0 >> ran\necho 1 >> ran\necho 2 >> ran; exit 3\n");
    farm.run(&[]).refused(&["line ", "if you corrected the lines of failed tasks, run them with --retry-failed"]);
    assert_eq!(farm.run(&["--retry-failed"]).exits(1).summary(), [2, 1, 0]);
    assert_eq!(farm.lines("ran").len(), 3);
    assert!(String::from_utf8_lossy(&farm.read("tasks.txt_workdir/failed")).starts_with("2 echo 2"));
    // Finished tasks must be as they were recorded, with or without the flag.
    farm.write("tasks.txt", b"echo 0 >>ran\necho 1 >> ran\necho 2 >> ran\n");
    let text = farm.run(&["--retry-failed"]).refused(&["finished, line 1"]).stderr_text();
    assert!(!text.contains("--retry-failed"), "{text}");
}

/// A run that has nothing to run says so, and how to run failed tasks.
#[test]
fn nothing_to_run_is_reported() {
    let farm = farm();
    let text = farm.run(&[]).exits(1).stderr_text();
    assert!(text.contains("nothing was left to run"), "{text}");
    assert!(
        text.contains(", or to run them all again:\n") && text.contains(" --retry-failed --proc 8 tasks.txt\n"),
        "{text}"
    );
    assert_eq!(interrupted::runs(&farm).into_values().sum::<usize>(), 6);
}

/// If nothing has failed, the flag changes nothing.
#[test]
fn nothing_failed_nothing_runs() {
    let farm = Farm::local(&interrupted::list(3, ""));
    assert_eq!(farm.run(&["--retry-failed"]).exits(0).summary(), [3, 0, 0], "a first run with the flag");
    assert_eq!(farm.run(&["--retry-failed"]).exits(0).summary(), [3, 0, 0]);
    assert_eq!(farm.lines("ran").len(), 3);
}

/// A retry that is stopped resumes without the flag: tasks that were to be retried are open.
#[test]
fn stopped_retry_resumes_without_the_flag() {
    let farm = Farm::local(b"echo 0 >> ran; test -e mended && test -e go || exit 1\ntest -e mended && ! test -e go && sleep 600; test -e go\n");
    assert_eq!(farm.run(&["--proc", "1"]).exits(1).summary(), [0, 2, 0]);
    farm.write("mended", b"");
    let outcome = farm.run(&["--proc", "1", "--retry-failed", "--timeout", "2"]).exits(3);
    assert_eq!(outcome.summary(), [0, 1, 1], "the first has failed again, the second was interrupted");
    let text = outcome.stderr_text();
    let hint = text.lines().find(|line| line.contains("to resume")).expect("how to resume");
    assert!(!hint.contains("retry"), "{hint}");
    farm.write("go", b"");
    assert_eq!(farm.run(&["--proc", "1"]).exits(1).summary(), [1, 1, 0]);
    assert_eq!(farm.lines("ran").len(), 2, "without the flag what has failed again stays failed");
    assert_eq!(farm.run(&["--proc", "1", "--retry-failed"]).exits(0).summary(), [2, 0, 0]);
}

/// Records are checked before they are discarded: damage in `failed` is refused with the flag, too.
#[test]
fn damaged_failed_is_refused() {
    let farm = farm();
    farm.write("mended", b"");
    for damage in [&b"no record\n"[..], b"77 echo 77\n", b"\n"] {
        farm.workdir().write("failed", damage);
        let before = farm.contents();
        farm.run(&["--retry-failed"]).refused(&["failed", "line 1"]);
        assert_eq!(farm.contents(), before, "nothing is changed");
    }
}

/// A torn last line of `failed` is not damage.
#[test]
fn torn_failed_is_retried() {
    let farm = farm();
    farm.write("mended", b"");
    let failed = farm.workdir().bytes("failed");
    farm.workdir().write("failed", &failed[..failed.len() - 3]);
    let outcome = farm.run(&["--retry-failed"]).exits(1);
    assert_eq!(outcome.summary(), [5, 1, 0]);
}

/// `--dry-run` shows what would run and changes nothing.
#[test]
fn dry_run_of_a_retry() {
    let farm = farm();
    let before = farm.everything();
    let outcome = farm.run(&["--dry-run", "--retry-failed"]).exits(0);
    let text = String::from_utf8(outcome.stdout.clone()).unwrap();
    let ids: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ids, ["1", "4", "5"]);
    assert_eq!(farm.everything(), before);
}
