//! GPUs that Slurm gives to the ranks of a farm. The devices of the lab are files.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab;
use crate::support::holders;

/// Two ranks per node: tasks of one GPU each never share one, whether Slurm gives all GPUs of a node to each rank, or
/// each rank its own. On a node, all four are used.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn no_two_tasks_have_the_same_gpu() {
    for words in [&["--gres=gpu:4"][..], &["--gpus-per-task=2"]] {
        let ranks = ["--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=2"];
        let gpu = "${TASKFARMER_HOST}_$CUDA_VISIBLE_DEVICES";
        let farm = lab::farm(&[&ranks[..], words].concat(), holders::line(gpu).repeat(40).as_bytes());
        farm.run(&["--gpus-per-task", "1"]).exits(0);
        let mut of_nodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // With --gpus-per-task and constrained devices, each rank counts its own from 0.
        let is_own = words[0].starts_with("--gpus-per-task");
        for (name, rank) in holders::check(&farm, 40, if is_own { 2 } else { 1 }) {
            let (node, gpu) = name.rsplit_once('_').unwrap();
            of_nodes.entry(node.to_owned()).or_default().insert(format!("{} {gpu}", if is_own { &rank } else { "" }));
        }
        assert_eq!(of_nodes.values().map(BTreeSet::len).collect::<Vec<_>>(), [4, 4], "{words:?}: {of_nodes:?}");
    }
}

/// Two ranks per node, tasks that ask for a GPU, half of one, or none: no GPU is ever in use for more than all of it, and
/// on each node all four are used.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn tasks_that_differ_share_gpus() {
    let words = ["--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=2", "--gres=gpu:4"];
    let gpu = "${TASKFARMER_HOST}_${TASKFARMER_GPUS:-none}";
    let farm = lab::farm(&words, holders::list_of_parts(16, gpu).as_bytes());
    farm.run(&["--proc", "4"]).exits(0);
    let used = holders::check_parts(&farm, 16);
    assert_eq!(used.len(), 8, "{used:?}");
    assert!(used.values().all(|ranks| ranks.len() == 1), "{used:?}");
}
