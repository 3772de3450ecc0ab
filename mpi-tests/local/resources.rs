//! CPUs, GPUs and memory of a task's own: docs/resources.md.

use std::collections::BTreeSet;

use crate::support::holders::{self, CPUS};
use crate::support::{Farm, skipped, status};

fn cpus() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Promise: a task has as many CPUs as it asks for, no other task has them at that time, and it learns their number.
#[test]
fn a_task_has_cpus_of_its_own() {
    let farm = Farm::local(holders::line(CPUS).repeat(8).as_bytes());
    let text = farm.run(&["--cpus-per-task", "1"]).exits(0).stderr_text();
    assert!(text.contains("slots with 1 CPU each") || cpus() == 1, "{text}");
    let had = holders::check(&farm, 8, 1);
    assert!(had.iter().all(|(cpus, _)| holders::expand(cpus).len() == 1), "{had:?}");
    let mut farm = Farm::local(b"echo $TASKFARMER_CPUS $OMP_NUM_THREADS $(nproc)\n");
    farm.unset("OMP_NUM_THREADS");
    let all = cpus().to_string();
    farm.run(&["--cpus-per-task", &all]).exits(0);
    assert_eq!(farm.workdir().log(0), format!("{all} {all} {all}\n").as_bytes());
}

/// `--bind none` and a number of threads that the user has chosen are respected.
#[test]
fn what_the_user_chooses_stays() {
    let mut farm = Farm::local(b"echo $TASKFARMER_CPUS $OMP_NUM_THREADS; taskset -cp $$ | sed 's/.*: //'\n");
    farm.set("OMP_NUM_THREADS", "7");
    farm.run(&["--cpus-per-task", "1", "--bind", "none"]).exits(0);
    let log = String::from_utf8(farm.workdir().log(0)).unwrap();
    let (numbers, list) = log.split_once('\n').unwrap();
    assert_eq!((numbers, holders::expand(list.trim()).len()), ("1 7", cpus()));
}

const GPU: &str = "$CUDA_VISIBLE_DEVICES";

/// Promise: a task has a GPU that no other task has at that time, whatever the names of GPUs look like, and does not see
/// those of a different vendor.
#[test]
fn a_task_has_a_gpu_of_its_own() {
    if cpus() < 2 {
        return skipped("this machine has one CPU");
    }
    let names = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-GPU-1/2/3";
    let mut farm = Farm::local(holders::line(GPU).repeat(8).as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", names);
    farm.run(&["--gpus-per-task", "1"]).exits(0);
    let used: BTreeSet<String> = holders::check(&farm, 8, 1).into_iter().map(|(gpu, _)| gpu).collect();
    assert_eq!(used, names.split(',').map(str::to_owned).collect(), "both were used");
    let mut farm = Farm::local(b"echo $TASKFARMER_GPUS $CUDA_VISIBLE_DEVICES ${ROCR_VISIBLE_DEVICES-unset}\n");
    farm.set("CUDA_VISIBLE_DEVICES", "3,5");
    farm.set("ROCR_VISIBLE_DEVICES", "0");
    farm.run(&["--gpus-per-task", "2"]).exits(0);
    assert_eq!(farm.workdir().log(0), b"3,5 3,5 unset\n");
}

/// Tasks that ask for a part of a GPU share it, but no more of them than have room.
#[test]
fn tasks_share_a_gpu() {
    let mut farm = Farm::local(holders::line(GPU).repeat(9).as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", "0");
    let text = farm.run(&["--gpus-per-task", "0.3", "--proc", "8"]).exits(0).stderr_text();
    assert!(text.contains("3 slots with 0.3 GPUs each"), "{text}");
    holders::check(&farm, 9, 3);
}

/// A variable that a runner sets is the user's choice.
#[test]
fn a_runner_may_set_the_variables() {
    let mut farm = Farm::local(b"echo $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS\n");
    farm.set("CUDA_VISIBLE_DEVICES", "0");
    farm.write("r.ini", b"[mine]\nRunner = basic\nenv.CUDA_VISIBLE_DEVICES = 9\nenv.OMP_NUM_THREADS = 3\n");
    farm.run(&["--runner", "mine", "--gpus-per-task", "1", "--cpus-per-task", "1"]).exits(0);
    assert_eq!(farm.workdir().log(0), b"9 3\n");
}

/// A task that asks for more than there is: the message says what is missing, nothing is recorded, and the exit code is
/// 2, in the workdir too. The same list runs when it asks for less.
#[test]
fn too_large_a_task_is_refused() {
    for (options, words) in [
        (["--cpus-per-task", "100000"], "each task asks for 100000 CPUs, and this rank has"),
        (["--mem-per-task", "900T"], "each task asks for 900T of memory, and this rank has"),
        (["--gpus-per-task", "1"], "has no GPU: CUDA_VISIBLE_DEVICES is '': it hides all GPUs"),
    ] {
        let mut farm = Farm::local(b"echo $PROC_NUMBER >> ran\ntrue\n");
        farm.set("CUDA_VISIBLE_DEVICES", "");
        let text = farm.run(&options).exits(2).stderr_text();
        assert!(text.contains("error: no rank has room for a task: on rank 0 (") && text.contains(words), "{text}");
        status::text(&farm, 2, &["--exit-code"]);
        assert_eq!((farm.workdir().recorded().len(), farm.path("ran").exists()), (0, false));
        farm.run(&["--mem-per-task", "1M"]).exits(0);
        assert_eq!(farm.workdir().finished().len(), 2);
    }
}

/// Memory limits how many tasks run at a time, and `--proc` lowers the number but never raises it.
#[test]
fn the_scarcest_resource_limits_the_slots() {
    let slots = |options: &[&str]| {
        let mut farm = Farm::local(b"true\n");
        farm.set("SLURM_MEM_PER_NODE", "1000");
        farm.set("CUDA_VISIBLE_DEVICES", "0,1,2,3");
        let text = farm.run(options).exits(0).stderr_text();
        text.lines().next().unwrap().split("; ").nth(1).unwrap().to_owned()
    };
    assert_eq!(slots(&["--mem-per-task", "300M", "--proc", "9"]), "3 slots with 300M of memory each");
    assert_eq!(
        slots(&["--mem-per-task", "100M", "--gpus-per-task", "2", "--proc", "9"]),
        "2 slots with 2 GPUs and 100M of memory each"
    );
    assert_eq!(slots(&["--gpus-per-task", "1", "--proc", "3"]), "3 slots with 1 GPU each");
}

/// Values that are not amounts are refused before anything is written.
#[test]
fn invalid_amounts_are_refused() {
    for (option, value) in [("--cpus-per-task", "0"), ("--gpus-per-task", "1.5"), ("--mem-per-task", "4")] {
        let farm = Farm::local(b"true\n");
        farm.run(&[option, value]).refused(&[option, value]);
    }
}

/// A farm that runs as a task of another farm divides what that task has.
#[test]
fn a_farm_in_a_farm_divides_its_share() {
    if cpus() < 2 {
        return skipped("this machine has one CPU");
    }
    let line = format!("{} -q --cpus-per-task 1 --gpus-per-task 1 inner.txt\n", crate::support::program());
    let mut farm = Farm::local(line.as_bytes());
    farm.write("inner.txt", b"echo $TASKFARMER_CPUS $OMP_NUM_THREADS $(nproc) $TASKFARMER_GPUS\n");
    farm.unset("OMP_NUM_THREADS");
    farm.set("CUDA_VISIBLE_DEVICES", "0,1");
    farm.run(&["--cpus-per-task", "2", "--gpus-per-task", "2"]).exits(0);
    assert_eq!(farm.read("inner.txt_workdir/logs/log_0"), b"1 1 1 0\n");
}
