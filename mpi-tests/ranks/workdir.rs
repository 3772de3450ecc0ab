//! The workdir under a launcher: one farm at a time, a full and a failing disk, a retry.

use nix::sys::signal::Signal;

use crate::support::disk::{self, Tmpfs};
use crate::support::{Farm, Workdir, blockers, interrupted, processes};

/// The farm itself has failed: exit code 4 through the launcher, one message that names the file.
#[track_caller]
fn gave_up(farm: &Farm, options: &[&str], file: &str) {
    let outcome = farm.run(options).exits(4);
    let errors = outcome.errors();
    assert_eq!(errors.len(), 1, "one error message, once: {errors:#?}");
    assert!(errors[0].contains(file), "it should name {file}:\n{}", errors[0]);
}

/// A second farm is refused once, not once per rank, and the message names the first, which is not disturbed.
#[test]
fn second_farm_is_refused() {
    let farm = Farm::mpi(3, &blockers::list(4, 12));
    let options = ["--proc", "2", "--grace", "5"];
    let mut first = farm.start(&options);
    first.wait_until("every slot is blocked", || blockers::blocked(&farm, 4) == 6);
    let farmer = first.rank(0);
    farm.run(&options).refused(&["tasks.txt_workdir", &format!("pid {farmer}")]);
    assert_eq!(farm.lines("ran").len(), 10, "the second farm started nothing");
    processes::signal(farmer, Signal::SIGTERM);
    first.wait().exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, 16);
    blockers::is_completed_by_the_next_run(&farm, 16, &options, &recorded);
}

/// A full disk ends all ranks; with space the same command resumes.
#[test]
fn full_disk_loses_nothing() {
    const COUNT: usize = 80;
    let farm = Farm::mpi(3, &interrupted::list(COUNT, &format!(" # {}", "x".repeat(1500))));
    let Some(tmpfs) = Tmpfs::mount(&farm, "small", "size=224k") else { return };
    let options = ["--proc", "2", "--workdir", "small/work"];
    gave_up(&farm, &options, "small/work/");
    let workdir = Workdir::at(tmpfs.file("work"));
    assert!(workdir.recorded().len() < COUNT, "the disk was not full");
    tmpfs.remount("size=4m");
    interrupted::completes(&farm, &workdir, &options, COUNT, 0);
}

/// A failing sync ends all ranks; the same command resumes.
#[test]
fn failing_sync_loses_nothing() {
    const COUNT: usize = 400;
    let mut farm = Farm::mpi(3, &interrupted::list(COUNT, "; exec sleep 0.1"));
    let shim = [("SHIM_CALL", "sync"), ("SHIM_FILE", "_workdir/finished"), ("SHIM_AFTER", "1"), ("SHIM_ERRNO", "5")];
    disk::preload(&mut farm, &shim);
    gave_up(&farm, &["--proc", "2"], "_workdir/finished");
    disk::unload(&mut farm);
    assert!(farm.workdir().recorded().len() < COUNT, "went on to the end without a disk");
    interrupted::completes(&farm, &farm.workdir(), &["--proc", "8"], COUNT, 0);
}

/// `--retry-failed` on all ranks: failed tasks run again, and no others.
#[test]
fn failed_tasks_run_again_and_only_they() {
    const COUNT: usize = 60;
    let list: String = (0..COUNT).map(|id| format!("echo {id} >> ran; test {} -ne 0 -o -e mended\n", id % 5)).collect();
    let farm = Farm::mpi(3, list.as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(1);
    assert_eq!(outcome.summary(), [48, 12, 0]);
    farm.write("mended", b"");
    let outcome = farm.run(&["--proc", "2", "--retry-failed"]).exits(0);
    assert_eq!(outcome.summary(), [60, 0, 0]);
    for (id, runs) in interrupted::runs(&farm) {
        assert_eq!(runs, if id % 5 == 0 { 2 } else { 1 }, "runs of task {id}");
    }
    assert_eq!(farm.workdir().recorded().len(), COUNT);
    assert!(farm.workdir().failed().is_empty());
}
