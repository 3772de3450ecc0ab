//! What tasks had for themselves, and when: CPUs, GPUs.

use std::collections::BTreeMap;

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

/// `0-2,5` and `a,b`: each of them.
pub(crate) fn expand(list: &str) -> Vec<String> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-')?;
        Some((first.parse::<u32>().ok()?..=last.parse().ok()?).map(|number| number.to_string()).collect())
    };
    list.split(',').flat_map(|text| range(text).unwrap_or_else(|| vec![text.to_owned()])).collect()
}
