//! A disk that is full, slow or broken: exit code 4, a message that names the file, and nothing is lost.

use std::time::Duration;

use nix::errno::Errno;

use crate::support::disk::{self, Ext4, Tmpfs};
use crate::support::{Farm, Outcome, Workdir, interrupted};

/// Makes sure that the farm gave up because of its disk, and names one of these files.
#[track_caller]
fn gave_up(outcome: Outcome, files: &[&str]) -> Outcome {
    let outcome = outcome.exits(4);
    let errors = outcome.errors();
    assert_eq!(errors.len(), 1, "one error message, once: {errors:#?}");
    assert!(files.iter().any(|file| errors[0].contains(file)), "it should name one of {files:?}:\n{}", errors[0]);
    outcome
}

/// A small disk fills up in the middle of a list whose tasks do `more`; with more space the same command resumes.
#[track_caller]
fn full_disk(size_kib: u32, more: &str, code: i32) {
    const COUNT: usize = 80;
    let more = format!("{more} # {}", "x".repeat(1500));
    let farm = Farm::local(&interrupted::list(COUNT, &more));
    let Some(tmpfs) = Tmpfs::mount(&farm, "small", &format!("size={size_kib}k")) else { return };
    let options = ["--proc", "2", "--workdir", "small/work"];
    let workdir = Workdir::at(tmpfs.file("work"));
    let outcome = gave_up(farm.run(&options), &["timeline.json", "tasks.tsv", "finished", "failed"]);
    let recorded = workdir.recorded().len();
    assert!(recorded < COUNT, "the disk was not full");
    assert_eq!(outcome.summary()[0] + outcome.summary()[1], recorded as u64, "what the summary counts is recorded");
    assert_eq!(outcome.summary()[2], (COUNT - recorded) as u64, "remaining");
    tmpfs.remount("size=4m");
    interrupted::completes(&farm, &workdir, &options, COUNT, code);
}

/// A full disk, for tasks that finish. The sizes vary which file no longer fits.
#[test]
fn full_disk_loses_no_finished_task() {
    for size_kib in [148, 160, 188, 224, 300, 304] {
        full_disk(size_kib, "", 0);
    }
}

/// A full disk, for tasks that fail.
#[test]
fn full_disk_loses_no_failed_task() {
    for size_kib in [148, 224, 304] {
        full_disk(size_kib, "; exit 7", 1);
    }
}

/// On a disk that is full before the start nothing is started; with space the same command runs the list.
#[test]
fn disk_that_is_full_at_the_start_is_refused() {
    let farm = Farm::local(&interrupted::list(10, ""));
    let Some(tmpfs) = Tmpfs::mount(&farm, "small", "size=64k") else { return };
    std::fs::create_dir(tmpfs.file("work")).unwrap();
    // As much as fits.
    std::fs::write(tmpfs.file("other"), vec![0; 1 << 20]).unwrap_err();
    let options = ["--proc", "2", "--workdir", "small/work"];
    farm.run(&options).refused(&["small/work"]);
    assert!(interrupted::runs(&farm).is_empty(), "nothing is started");
    std::fs::remove_file(tmpfs.file("other")).unwrap();
    interrupted::completes(&farm, &Workdir::at(tmpfs.file("work")), &options, 10, 0);
}

/// A limit on the size of files is an error like a full disk; it does not kill the farm by SIGXFSZ.
#[test]
fn file_size_limit_is_a_full_disk() {
    const COUNT: usize = 80;
    let farm = Farm::local(&interrupted::list(COUNT, &format!(" # {}", "x".repeat(1500))));
    // In KiB. `toprocess` alone is longer, too, but losing it does no harm.
    let limited = format!("ulimit -f 64; exec {} --proc 2 tasks.txt", crate::support::program());
    let outcome = farm.start_other(&["bash".as_ref(), "-c".as_ref(), limited.as_ref()]).wait();
    gave_up(outcome, &["timeline.json", "tasks.tsv", "finished"]);
    assert!(farm.workdir().recorded().len() < COUNT, "the limit was not reached");
    interrupted::completes(&farm, &farm.workdir(), &["--proc", "2"], COUNT, 0);
}

/// Writes to a file of the workdir fail after a few; without the fault the same command resumes.
#[track_caller]
fn failing_writes(file: &str, errno: Errno, torn: bool) {
    const COUNT: usize = 30;
    let (more, code) = if file == "failed" { ("; exit 7", 1) } else { ("", 0) };
    let mut farm = Farm::local(&interrupted::list(COUNT, more));
    let (end, errno) = (format!("_workdir/{file}"), (errno as i32).to_string());
    disk::preload(
        &mut farm,
        &[("SHIM_CALL", "write"), ("SHIM_FILE", &end), ("SHIM_AFTER", "3"), ("SHIM_ERRNO", &errno)],
    );
    if torn {
        farm.set("SHIM_TORN", "1");
    }
    gave_up(farm.run(&["--proc", "2"]), &[file]);
    disk::unload(&mut farm);
    if torn {
        assert_ne!(farm.workdir().bytes(file).last(), Some(&b'\n'), "the fault tore no line of {file}");
    } else {
        farm.workdir().recorded();
    }
    let recorded = interrupted::recorded(&farm.workdir()).len();
    assert!(recorded < COUNT, "the fault came too late");
    interrupted::completes(&farm, &farm.workdir(), &["--proc", "2"], COUNT, code);
}

/// A disk that breaks, becomes read-only or reaches a quota: whichever file is affected first.
#[test]
fn failing_writes_lose_nothing() {
    for file in ["finished", "failed", "timeline.json", "tasks.tsv"] {
        for errno in [Errno::EIO, Errno::EDQUOT, Errno::EROFS] {
            failing_writes(file, errno, false);
        }
    }
}

/// The same if half a line was written and cannot be cut off anymore.
#[test]
fn torn_writes_lose_nothing() {
    for file in ["finished", "failed", "timeline.json", "tasks.tsv"] {
        failing_writes(file, Errno::ENOSPC, true);
    }
}

/// A file system that finds an error turns read-only while the farm runs. Once it is repaired the same command resumes;
/// tasks whose records the system had not yet written to the disk run again.
#[test]
fn file_system_that_turns_read_only() {
    const COUNT: usize = 2000;
    let farm = Farm::local(&interrupted::list(COUNT, "; exec sleep 0.01"));
    let Some(ext4) = Ext4::mount(&farm, "disk") else { return };
    let options = ["--proc", "4", "--workdir", "disk/work"];
    let workdir = Workdir::at(ext4.file("work"));
    let mut running = farm.start(&options);
    running.wait_until("some have finished", || workdir.bytes("finished").len() > 2000);
    // A sync is not observable from outside; the first comes within a second.
    std::thread::sleep(Duration::from_secs(3));
    ext4.fail();
    let outcome = gave_up(running.wait(), &["disk/work/timeline.json", "disk/work/tasks.tsv", "disk/work/finished"]);
    let recorded = workdir.recorded().len() as u64;
    assert_eq!(outcome.summary()[..2], [recorded, 0], "no task fails for it");
    ext4.mend();
    assert!(!interrupted::recorded(&workdir).is_empty(), "what was written seconds ago was not on the disk");
    interrupted::completes_records(&farm, &workdir, &options, COUNT, 0);
}

/// If only the logs have no space, no task fails: the farm reports it, tries again, and continues when there is space.
#[test]
fn full_disk_of_the_logs_fails_no_task() {
    const COUNT: usize = 40;
    let farm = Farm::local(&interrupted::list(COUNT, ""));
    let Some(tmpfs) = Tmpfs::mount(&farm, "logs_disk", "nr_inodes=21") else { return };
    std::fs::create_dir(farm.workdir().path()).unwrap();
    std::os::unix::fs::symlink(farm.path("logs_disk"), farm.workdir().file("logs")).unwrap();
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("the farm says that a log has no space", || {
        String::from_utf8_lossy(&farm.last_stderr()).contains("No space left on device")
    });
    tmpfs.remount("nr_inodes=1000");
    let outcome = running.wait().exits(0);
    assert_eq!(outcome.summary(), [COUNT as u64, 0, 0]);
    assert_eq!(farm.lines("ran").len(), COUNT);
}

/// A sync that fails ends the farm soon, naming its file: what it covered may not be on the disk.
#[track_caller]
fn failing_sync(file: &str) {
    const COUNT: usize = 400;
    let mut farm = Farm::local(&interrupted::list(COUNT, "; exec sleep 0.1"));
    let end = format!("_workdir{file}");
    disk::preload(&mut farm, &[("SHIM_CALL", "sync"), ("SHIM_FILE", &end), ("SHIM_AFTER", "1"), ("SHIM_ERRNO", "5")]);
    let outcome = gave_up(farm.run(&["--proc", "4"]), &[&end]);
    disk::unload(&mut farm);
    let recorded = farm.workdir().recorded().len();
    assert!(recorded < COUNT, "went on to the end without a disk: {:?}", outcome.elapsed);
    interrupted::completes(&farm, &farm.workdir(), &["--proc", "20"], COUNT, 0);
}

/// A failing sync of the records.
#[test]
fn failing_sync_of_finished_ends_the_farm() {
    failing_sync("/finished");
}

/// A failing sync of the timeline.
#[test]
fn failing_sync_of_the_timeline_ends_the_farm() {
    failing_sync("/timeline.json");
}

/// The last sync counts, too: all tasks have ended, but it is not certain that they are on the disk.
#[test]
fn failing_last_sync_is_reported() {
    let mut farm = Farm::local(&interrupted::list(10, ""));
    let shim = [("SHIM_CALL", "sync"), ("SHIM_FILE", "_workdir/finished"), ("SHIM_ERRNO", "5")];
    disk::preload(&mut farm, &shim);
    gave_up(farm.run(&["--proc", "2"]), &["finished"]);
    disk::unload(&mut farm);
    interrupted::completes(&farm, &farm.workdir(), &["--proc", "2"], 10, 0);
}

/// `toprocess` is only for the user: if it cannot be written, that is a warning.
#[test]
fn toprocess_that_cannot_be_written_is_a_warning() {
    let mut farm = Farm::local(&interrupted::list(10, ""));
    let shim = [("SHIM_CALL", "write"), ("SHIM_FILE", "_workdir/toprocess.new"), ("SHIM_ERRNO", "28")];
    disk::preload(&mut farm, &shim);
    let outcome = farm.run(&["--proc", "2"]).exits(0);
    assert!(outcome.stderr_text().contains("toprocess"), "nothing was said");
    assert!(!farm.workdir().file("toprocess.new").exists(), "the attempt is left behind");
    assert_eq!(farm.workdir().recorded().len(), 10);
}

/// From the start of the first task to the end of the last.
fn at_work(farm: &Farm) -> Duration {
    let events = farm.workdir().timeline().events();
    let start = events.iter().map(|event| event.start_us).fold(f64::INFINITY, f64::min);
    let end = events.iter().map(|event| event.start_us + event.duration_us).fold(0.0, f64::max);
    Duration::from_secs_f64((end - start) / 1e6)
}

/// Syncs that take five seconds do not keep tasks waiting: only the end of the farm waits for the last ones.
#[test]
fn slow_sync_does_not_stall_the_farm() {
    let list = interrupted::list(1000, "; exec sleep 0.01");
    let quick = Farm::local(&list);
    quick.run(&["--proc", "4"]).exits(0);
    let mut slow = Farm::local(&list);
    disk::preload(&mut slow, &[("SHIM_CALL", "sync"), ("SHIM_FILE", ""), ("SHIM_SLEEP", "5000")]);
    let outcome = slow.run(&["--proc", "4"]).exits(0);
    let (without, with) = (at_work(&quick), at_work(&slow));
    assert!(without > Duration::from_secs(2), "too short to show anything: {without:?}");
    // Syncs in the way would take five seconds each, at least two of them; other load on the machine may add some.
    assert!(with < without * 2 + Duration::from_secs(4), "tasks took {with:?}, without syncs {without:?}");
    // A round of syncs covers the folder and four files; one may be in progress at the end.
    assert!(outcome.elapsed < with + Duration::from_secs(90), "the end took {:?}", outcome.elapsed - with);
}
