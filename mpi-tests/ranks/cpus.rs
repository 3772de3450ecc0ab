//! Which CPUs tasks may use with the default binding of the launcher.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Farm, skipped};

/// CPUs that tasks saw, by rank.
fn cpus_seen(ranks: u32) -> Vec<BTreeSet<String>> {
    let farm = Farm::mpi(ranks, "echo $TASKFARMER_RANK; taskset -cp $$; sleep 0.2\n".repeat(24).as_bytes());
    farm.run(&["--proc", "2"]).exits(0);
    let mut seen = vec![BTreeSet::new(); ranks as usize];
    for id in 0..24 {
        let log = String::from_utf8(farm.workdir().log(id)).unwrap();
        let (rank, affinity) = log.split_once('\n').unwrap();
        let cpus = affinity.trim().rsplit(' ').next().unwrap();
        seen[rank.parse::<usize>().unwrap()].insert(cpus.to_owned());
    }
    seen
}

/// How many CPUs a list such as `0-3,8` names.
fn count(list: &str) -> usize {
    let number = |text: &str| text.parse::<usize>().expect("a list of CPUs");
    list.split(',').map(|range| range.split_once('-').map_or(1, |(first, last)| number(last) - number(first) + 1)).sum()
}

/// Open MPI's mpirun binds one rank to one core; its tasks use all that the machine has.
#[test]
fn one_rank_has_all_cpus() {
    let all = std::thread::available_parallelism().unwrap().get();
    for cpus in &cpus_seen(1)[0] {
        assert_eq!(count(cpus), all, "CPUs {cpus}");
    }
}

/// Two ranks of a node share its CPUs: none is used by both, none is left out.
#[test]
fn two_ranks_share_the_cpus() {
    let all = std::thread::available_parallelism().unwrap().get();
    if all < 2 {
        return skipped("this machine has one CPU");
    }
    let seen = cpus_seen(2);
    let shares: Vec<_> = seen.iter().map(|cpus| cpus.iter().next().expect("both ranks ran tasks")).collect();
    assert!(seen.iter().all(|cpus| cpus.len() == 1), "each rank has one share: {seen:?}");
    assert_ne!(shares[0], shares[1]);
    assert_eq!(count(shares[0]) + count(shares[1]), all, "{seen:?}");
}

/// `--bind slot`: the slots of all ranks of a node have CPUs of their own, and OpenMP gets their number.
#[test]
fn slots_have_cpus_of_their_own() {
    let all = std::thread::available_parallelism().unwrap().get();
    if all < 2 {
        return skipped("this machine has one CPU");
    }
    let line = "echo $TASKFARMER_SLOT $OMP_NUM_THREADS; taskset -cp $$; sleep 0.2\n";
    let farm = Farm::mpi(1, line.repeat(12).as_bytes());
    farm.run(&["--proc", "2", "--bind", "slot"]).exits(0);
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in 0..12 {
        let log = String::from_utf8(farm.workdir().log(id)).unwrap();
        let (slot, affinity) = log.split_once('\n').unwrap();
        let cpus = affinity.trim().rsplit(' ').next().unwrap();
        assert!(slot.ends_with(&format!(" {}", count(cpus))), "OMP_NUM_THREADS: {slot}, CPUs {cpus}");
        seen.entry(slot.to_owned()).or_default().insert(cpus.to_owned());
    }
    let sets: Vec<_> = seen.values().collect();
    assert!(sets.len() == 2 && sets.iter().all(|set| set.len() == 1), "a slot keeps its CPUs: {seen:?}");
    assert_ne!(sets[0], sets[1]);
    assert_eq!(sets.iter().map(|set| count(set.first().unwrap())).sum::<usize>(), all);
}

/// A number of threads that the user has chosen is kept.
#[test]
fn a_chosen_number_of_threads_stays() {
    let mut farm = Farm::mpi(1, b"echo $OMP_NUM_THREADS\n");
    farm.set("OMP_NUM_THREADS", "7");
    farm.run(&["--proc", "2", "--bind", "slot"]).exits(0);
    assert_eq!(farm.workdir().log(0), b"7\n");
}

/// More slots than CPUs cause one message, however many ranks there are; a slot per CPU causes none.
#[test]
fn more_slots_than_cpus_are_reported() {
    let all = std::thread::available_parallelism().unwrap().get();
    let told = |slots: &str| {
        let farm = Farm::mpi(2, b"true\ntrue\n");
        let text = farm.run(&["--proc", slots]).exits(0).stderr_text();
        text.lines().filter(|line| line.contains(" CPU") && line.contains("--proc auto")).count()
    };
    assert_eq!(told(&(all + 1).to_string()), 1);
    assert_eq!(told("auto"), 0);
}
