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
