//! What a farm without a launcher leaves unused: nodes of a Slurm job on which it does not run.
//!
//! Owns the warning, and the parser of Slurm's lists of nodes. Decides nothing: the farm runs where it was started.

use super::Launch;
use super::signs::count_of_node;

/// A Slurm job of which a farm does not use all nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unused {
    /// What is not used, in words.
    what: String,
    nodes: u32,
    cpus: Option<u32>,
}

impl Unused {
    /// What the farm of this process leaves unused; `None` if nothing, or if a launcher has started it.
    pub(crate) fn by_this_process(host: &str) -> Option<Self> {
        Self::detect(host, |name| std::env::var(name).ok())
    }

    /// The same. `host`: the name of this node. `get` looks a variable up.
    pub(crate) fn detect(host: &str, get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let job = get("SLURM_JOB_ID").filter(|job| !job.is_empty())?;
        // A task of a different farm is meant to use one node.
        if Launch::detect(&get).is_some() || get("TASKFARMER_TASK_ID").is_some() {
            return None;
        }
        let number = |name: &str| get(name)?.trim().parse::<u32>().ok();
        let nodes = number("SLURM_JOB_NUM_NODES").or_else(|| number("SLURM_NNODES")).unwrap_or(1);
        let names = get("SLURM_JOB_NODELIST").or_else(|| get("SLURM_NODELIST"));
        let node = get("SLURMD_NODENAME");
        let is_there = |names: &String| {
            let hosts = [Some(host), host.split('.').next(), node.as_deref()];
            hosts.into_iter().flatten().any(|host| is_in(names, host))
        };
        let what = match &names {
            Some(names) if !is_there(names) => {
                format!("tasks run on {host}, which is not a node of Slurm's job {job} ({names})")
            }
            _ if nodes > 1 => {
                format!("tasks run only on {host}: Slurm's job {job} has {nodes} nodes, but no launcher was used")
            }
            _ => return None,
        };
        let cpus = get("SLURM_JOB_CPUS_PER_NODE").and_then(|counts| count_of_node(&counts, 0));
        Some(Self { what, nodes, cpus })
    }

    /// The warning: what is not used, and the command that uses it. `command`: what the user has typed; `mpi`: the
    /// option that srun needs for the program's MPI; `None` for a build without MPI, which runs on one node.
    pub(crate) fn warning(&self, command: &str, mpi: Option<&str>) -> String {
        let Self { what, nodes, cpus } = self;
        let cpus = cpus.map_or_else(String::new, |cpus| format!(" --cpus-per-task={cpus}"));
        match mpi {
            Some(mpi) => format!(
                "{what}\n  to use all of its nodes: srun --nodes={nodes} --ntasks={nodes}{cpus} {mpi} {command}"
            ),
            None if *nodes > 1 => format!("{what}\n  this program was built without MPI and runs on one node only"),
            None => format!("{what}\n  to run there: srun --nodes=1 --ntasks=1{cpus} {command}"),
        }
    }
}

/// Whether Slurm's list contains a node of this name: `node[1-4,07]`, `a,b[2-3]-ib`. A list that cannot be read
/// contains none.
fn is_in(names: &str, host: &str) -> bool {
    let mut depth = 0;
    let is_end = |c: char| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth == 0
    };
    names.split(is_end).any(|name| matches(name.trim(), host))
}

/// Whether one name with ranges matches this host. Leading zeros of a number do not count.
fn matches(name: &str, host: &str) -> bool {
    let Some((before, rest)) = name.split_once('[') else { return !host.is_empty() && name == host };
    let (Some((ranges, after)), Some(host)) = (rest.split_once(']'), host.strip_prefix(before)) else { return false };
    let digits = host.len() - host.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, host) = host.split_at(digits);
    let Ok(number) = number.parse::<u64>() else { return false };
    let has = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&number))
    };
    ranges.split(',').any(has) && (after == host || matches(after, host))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unused(host: &str, variables: &[(&str, &str)]) -> Option<Unused> {
        Unused::detect(host, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    const JOB: [(&str, &str); 4] = [
        ("SLURM_JOB_ID", "5"),
        ("SLURM_JOB_NUM_NODES", "4"),
        ("SLURM_JOB_NODELIST", "node[1-4]"),
        ("SLURM_JOB_CPUS_PER_NODE", "64(x4)"),
    ];

    /// A batch script without srun, and a login node in salloc's shell: a warning names the command to use.
    #[test]
    fn nodes_that_are_not_used_are_named() {
        let batch = unused("node1.cluster", &[&JOB[..], &[("SLURMD_NODENAME", "node1")]].concat()).unwrap();
        let text = batch.warning("taskfarmer-mpi list", Some("--mpi=pmix"));
        assert_eq!(
            text,
            "tasks run only on node1.cluster: Slurm's job 5 has 4 nodes, but no launcher was used\n  to use all of its \
             nodes: srun --nodes=4 --ntasks=4 --cpus-per-task=64 --mpi=pmix taskfarmer-mpi list"
        );
        let login = unused("login", &JOB).unwrap();
        let text = login.warning("taskfarmer-mpi list", None);
        assert!(text.contains("on login, which is not a node of Slurm's job 5 (node[1-4])"), "{text}");
        assert!(text.contains("without MPI"), "{text}");
        let single = [("SLURM_JOB_ID", "5"), ("SLURM_JOB_NUM_NODES", "1"), ("SLURM_JOB_NODELIST", "node7")];
        let text = unused("login", &single).unwrap().warning("taskfarmer-mpi list", None);
        assert!(text.ends_with("srun --nodes=1 --ntasks=1 taskfarmer-mpi list"), "{text}");
    }

    /// There is no warning if nothing is unused, or if what is unused does not concern this farm.
    #[test]
    fn a_job_that_is_used_is_not_mentioned() {
        let single = [("SLURM_JOB_ID", "5"), ("SLURM_JOB_NUM_NODES", "1"), ("SLURM_JOB_NODELIST", "node7")];
        assert_eq!(unused("node7", &single), None);
        assert_eq!(unused("ip-10-0-0-1", &[&single[..], &[("SLURMD_NODENAME", "node7")]].concat()), None);
        assert_eq!(unused("laptop", &[]), None);
        assert_eq!(unused("node1", &[&JOB[..], &[("TASKFARMER_TASK_ID", "0")]].concat()), None, "a farm in a task");
        let step = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")];
        assert_eq!(unused("node1", &[&JOB[..], &step].concat()), None, "srun was told how many nodes");
    }

    /// Slurm's lists of nodes.
    #[test]
    fn lists_of_nodes_are_read() {
        for (names, host, expected) in [
            ("node1", "node1", true),
            ("node1", "node10", false),
            ("node[1-4,07],x", "node3", true),
            ("node[1-4,07],x", "node07", true),
            ("node[001-004]", "node003", true),
            ("node[1-4,07],x", "x", true),
            ("node[1-4,07],x", "node5", false),
            ("a,b[2-3]-ib,c", "b2-ib", true),
            ("b[2-3]-ib", "b2", false),
            ("rack[0-1]node[0-3]", "rack1node3", true),
            ("rack[0-1]node[0-3]", "rack2node3", false),
            ("node[1-", "node1", false),
            ("", "", false),
        ] {
            assert_eq!(is_in(names, host), expected, "{names} {host}");
        }
    }

    proptest! {
        /// Promise 5: any list can be read.
        #[test]
        fn any_list_is_read(names in "[a-z0-9,\\[\\]-]{0,30}|\\PC*", host in "[a-z]{0,2}[0-9]{0,25}|\\PC*") {
            is_in(&names, &host);
        }
    }
}
