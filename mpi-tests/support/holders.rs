//! What tasks had for themselves, and when: CPUs, GPUs.

use std::collections::{BTreeMap, BTreeSet};

use super::Farm;

/// A line of a tasklist that prints when it ran and, from `what`, the names of what it had.
pub(crate) fn line(what: &str) -> String {
    format!("s=$(date +%s%N); w={what}; sleep 0.2; echo $s $(date +%s%N) \"$w\" $TASKFARMER_RANK\n")
}

/// The CPUs that a task may use, as names for [`line()`].
pub(crate) const CPUS: &str = "$(taskset -cp $$ | sed 's/.*: //')";

/// What each task of the list had, by ID: names, and its rank. Fails if more than `most` tasks ever had the same at the
/// same time.
#[track_caller]
pub(crate) fn check(farm: &Farm, tasks: u64, most: usize) -> Vec<(String, String)> {
    let mut had = Vec::new();
    let mut times: BTreeMap<String, Vec<(u128, u128)>> = BTreeMap::new();
    for id in 0..tasks {
        let log = String::from_utf8(farm.workdir().log(id)).unwrap();
        let [start, end, names, rank] = log.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("task {id}: {log}")
        };
        for name in expand(names) {
            times.entry(name).or_default().push((start.parse().unwrap(), end.parse().unwrap()));
        }
        had.push((names.to_owned(), rank.to_owned()));
    }
    for (name, times) in times {
        for (start, _) in &times {
            let at_once = times.iter().filter(|(other, end)| other <= start && start < end).count();
            assert!(at_once <= most, "{at_once} tasks had {name} at the same time: {had:?}");
        }
    }
    had
}

/// A list of tasks that ask for a GPU, half of one, or none, and print what they had: in this order, again and again.
pub(crate) fn list_of_parts(count: usize, gpu: &str) -> String {
    let line = line(gpu);
    format!("#TF gpus=1\n{line}#TF gpus=0.5\n{line}{line}#TF reset\n{line}").repeat(count)
}

/// Checks such tasks: no GPU was ever in use for more than all of it, and who asked for none saw none. Returns the
/// GPUs that were used, each with the ranks that used it.
#[track_caller]
pub(crate) fn check_parts(farm: &Farm, count: u64) -> BTreeMap<String, BTreeSet<String>> {
    let mut times: BTreeMap<String, Vec<(u128, u128, u32)>> = BTreeMap::new();
    let mut ranks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in 0..4 * count {
        let log = String::from_utf8(farm.workdir().log(id)).unwrap();
        let [start, end, gpu, rank] = log.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("task {id}: {log}")
        };
        assert_eq!(gpu.ends_with("none"), id % 4 == 3, "task {id}: {log}");
        if !gpu.ends_with("none") {
            let part = if id % 4 == 0 { 2 } else { 1 };
            times.entry(gpu.to_owned()).or_default().push((start.parse().unwrap(), end.parse().unwrap(), part));
            ranks.entry(gpu.to_owned()).or_default().insert(rank.to_owned());
        }
    }
    for (gpu, times) in &times {
        for (start, ..) in times {
            let parts = times.iter().filter(|(other, end, _)| other <= start && start < end).map(|(.., part)| part);
            assert!(parts.sum::<u32>() <= 2, "more than all of GPU {gpu} is in use: {times:?}");
        }
    }
    ranks
}

/// `0-2,5` and `a,b`: each of them.
pub(crate) fn expand(list: &str) -> Vec<String> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-')?;
        Some((first.parse::<u32>().ok()?..=last.parse().ok()?).map(|number| number.to_string()).collect())
    };
    list.split(',').flat_map(|text| range(text).unwrap_or_else(|| vec![text.to_owned()])).collect()
}
