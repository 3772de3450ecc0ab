//! CPUs and GPUs of a task's own, where several ranks share a node.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::holders::{self, CPUS};
use crate::support::{Farm, skipped};

/// Two ranks of a node divide its GPUs, and no two tasks have the same one at the same time.
#[test]
fn ranks_of_a_node_divide_its_gpus() {
    let mut farm = Farm::mpi(2, holders::line("$CUDA_VISIBLE_DEVICES").repeat(16).as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", "a,b,c,d");
    farm.run(&["--gpus-per-task", "1", "--proc", "2"]).exits(0).was_own_code(0);
    let mut of_ranks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (gpu, rank) in holders::check(&farm, 16, 1) {
        of_ranks.entry(rank).or_default().insert(gpu);
    }
    let own = |rank: &str| of_ranks[rank].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!([own("0"), own("1")], [["a", "b"], ["c", "d"]]);
}

/// The same for CPUs. A task that asks for more than the share of any rank is refused, once, and by the farm's own exit
/// code.
#[test]
fn ranks_of_a_node_divide_its_cpus() {
    let all = std::thread::available_parallelism().unwrap().get();
    if all < 2 {
        return skipped("this machine has one CPU");
    }
    let farm = Farm::mpi(2, holders::line(CPUS).repeat(8).as_bytes());
    farm.run(&["--cpus-per-task", "1"]).exits(0);
    holders::check(&farm, 8, 1);
    let farm = Farm::mpi(2, b"echo x >> ran\n");
    let outcome = farm.run(&["--cpus-per-task", &all.to_string()]).exits(2);
    outcome.was_own_code(2);
    let text = outcome.stderr_text();
    assert_eq!(text.matches("error: no rank has room for a task").count(), 1, "{text}");
    assert!(!farm.path("ran").exists());
}

/// Tasks that differ in what they ask for, on ranks of one node: each GPU belongs to one rank, and is never in use for
/// more than all of it.
#[test]
fn tasks_that_differ_share_the_gpus_of_their_rank() {
    let mut farm = Farm::mpi(2, holders::list_of_parts(8, "${TASKFARMER_GPUS:-none}").as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", "a,b,c,d");
    farm.run(&["--proc", "4"]).exits(0).was_own_code(0);
    let ranks: Vec<(String, usize)> =
        holders::check_parts(&farm, 8).into_iter().map(|(gpu, of)| (gpu, of.len())).collect();
    let once = ["a", "b", "c", "d"].map(|gpu| (gpu.to_owned(), 1));
    assert_eq!(ranks, once, "all are used, each by one rank");
}

/// Tasks of one and of two CPUs never have the same one at the same time.
#[test]
fn tasks_that_differ_have_cpus_of_their_own() {
    let all = std::thread::available_parallelism().unwrap().get();
    if all < 4 {
        return skipped("this machine has fewer than four CPUs: no rank of two has room for two tasks of two");
    }
    let line = holders::line(CPUS);
    let farm = Farm::mpi(2, format!("#TF cpus=1\n{line}{line}#TF cpus=2\n{line}").repeat(6).as_bytes());
    farm.run(&[]).exits(0);
    let had = holders::check(&farm, 18, 1);
    let counts: Vec<usize> = had.iter().map(|(cpus, _)| holders::expand(cpus).len()).collect();
    assert_eq!(counts, [1, 1, 2].repeat(6));
}

/// A task for which no rank has room is named once, by its ID, with the rank that comes closest.
#[test]
fn an_impossible_task_of_a_list_is_named() {
    let farm = Farm::mpi(3, b"sleep 0.2\nsleep 0.2\n#TF next cpus=90000\ntrue\n");
    let outcome = farm.run(&[]).exits(2);
    outcome.was_own_code(2);
    let text = outcome.stderr_text();
    assert_eq!(text.matches("task 2 asks for 90000 CPUs, and this rank, which comes closest,").count(), 1, "{text}");
}
