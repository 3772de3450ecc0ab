//! The CPUs that tasks of this rank may use.
//!
//! Owns the sharing of a node's CPUs among the ranks on it. The launchers of Open MPI and Intel MPI bind each rank to a
//! core, and tasks would inherit that: eight tasks on one core. So such a binding is undone, and every rank of the node
//! takes its own share of the job's CPUs. A binding by Slurm, or one that a user requested from mpiexec, is kept.

use std::fs;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::launcher::{Launch, NodePlace};

/// Where Linux describes CPUs.
const TOPOLOGY: &str = "/sys/devices/system/cpu";

/// CPUs that this process may run on, limited by what Slurm reports and by a quota of its control group; at least 1.
pub(crate) fn usable(launch: Option<Launch>) -> u32 {
    let bound = u32::try_from(affinity().len()).unwrap_or(u32::MAX);
    let slurm = std::env::var(slurms_count(launch)).ok().and_then(|text| text.parse::<u32>().ok());
    // The standard library knows control group quotas (versions 1 and 2) and rounds them down to whole CPUs.
    let quota = std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
    [slurm, quota].into_iter().flatten().filter(|&limit| limit > 0).fold(bound, u32::min).max(1)
}

/// Slurm's variable for the CPUs of this process: those of one rank, or, without a launcher, all that the job has on this
/// node, because the ranks among which the job wanted to divide them were never started.
fn slurms_count(launch: Option<Launch>) -> &'static str {
    if launch.is_some() { "SLURM_CPUS_PER_TASK" } else { "SLURM_CPUS_ON_NODE" }
}

/// Gives this process, and the tasks that it will start, this rank's CPUs: see the module. The result is logged; if the
/// system refuses, nothing changes.
pub(crate) fn take_share(launch: Option<Launch>, place: NodePlace) {
    let before = affinity();
    // The kernel limits the request to the job's CPUs.
    let all = if bind(0..CpuSet::count()) { affinity() } else { before.clone() };
    let is_unasked = launch.is_some_and(|launch| launch.binds_unasked(|name| std::env::var_os(name).is_some()));
    let is_wanted = before != all && !is_unasked;
    let share = if is_wanted { before.clone() } else { share_of(in_order(&all, Path::new(TOPOLOGY)), place) };
    if !bind(share) {
        log::debug!("cannot set the CPUs of tasks");
    }
    let (now, all) = (affinity(), list(&all));
    let whose = match place.ranks {
        1 => String::new(),
        ranks => format!(", shared by {ranks} ranks"),
    };
    log::info!("tasks run on CPUs {} (launched on {}; the job has {all}{whose})", list(&now), list(&before));
}

fn affinity() -> Vec<usize> {
    sched_getaffinity(Pid::from_raw(0))
        .map_or(vec![], |set| (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// Binds everything that is started from here on to these CPUs; returns whether the system allowed it.
pub(crate) fn bind(cpus: impl IntoIterator<Item = usize>) -> bool {
    let mut set = CpuSet::new();
    cpus.into_iter().all(|cpu| set.set(cpu).is_ok()) && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// The location of a CPU. In this order, the CPUs of one core, of one NUMA node, and of one socket are next to each
/// other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Cpu {
    socket: u64,
    numa: u64,
    core: u64,
    number: usize,
}

/// CPUs sorted so that a cut between ranks splits as few cores, NUMA nodes and sockets as possible. Without a
/// description, they are sorted by number.
fn describe(cpus: &[usize], topology: &Path) -> Vec<Cpu> {
    let number = |cpu: usize, name: &str| -> u64 {
        let path = topology.join(format!("cpu{cpu}/topology/{name}"));
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    // Linux links a CPU to its node by a name: cpu3/node1.
    let numa = |cpu: usize| -> u64 {
        let entries = fs::read_dir(topology.join(format!("cpu{cpu}"))).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.strip_prefix("node")?.parse().ok()).next().unwrap_or(0)
    };
    let cpu = |&cpu: &usize| Cpu {
        socket: number(cpu, "physical_package_id"),
        numa: numa(cpu),
        core: number(cpu, "core_id"),
        number: cpu,
    };
    let mut described: Vec<_> = cpus.iter().map(cpu).collect();
    described.sort_unstable();
    described
}

fn in_order(cpus: &[usize], topology: &Path) -> Vec<usize> {
    describe(cpus, topology).into_iter().map(|cpu| cpu.number).collect()
}

/// CPUs of each slot, for `--bind slot`: disjoint, within one NUMA node if there are as many slots as nodes, and whole
/// cores if there are as many cores as slots. With more slots than CPUs, slots share CPUs in turn. If tasks ask for
/// CPUs, a slot has exactly that many.
pub(crate) fn per_slot(slots: u32, asked: u32) -> Vec<Vec<usize>> {
    let cpus = describe(&affinity(), Path::new(TOPOLOGY));
    let shares = match asked {
        0 => slot_shares(&cpus, slots as usize),
        _ => equal_shares(&cpus, slots as usize, asked as usize),
    };
    if let (Some(first), Some(last)) = (shares.first(), shares.last()) {
        if cpus.len() < shares.len() {
            log::info!("{slots} slots share {} CPUs in turn, one CPU each", cpus.len());
        } else {
            log::info!("each of {slots} slots has CPUs of its own, from {} to {}", list(first), list(last));
        }
    }
    shares
}

/// Exactly `each` CPUs for every slot, within one NUMA node as far as the numbers allow; whole cores, if a slot has at
/// least a core, and as few slots per core as possible. There must be enough CPUs.
fn equal_shares(cpus: &[Cpu], slots: usize, each: usize) -> Vec<Vec<usize>> {
    let nodes: Vec<&[Cpu]> = cpus.chunk_by(|a, b| (a.socket, a.numa) == (b.socket, b.numa)).collect();
    let most: Vec<usize> = nodes.iter().map(|node| node.len() / each).collect();
    let mut counts = vec![0; nodes.len()];
    for _ in 0..slots.min(most.iter().sum()) {
        // To the node with the most CPUs per slot.
        let has_room = (0..nodes.len()).rev().filter(|&node| counts[node] < most[node]);
        let next = has_room.max_by_key(|&node| nodes[node].len() * 1_000 / (counts[node] + 1));
        counts[next.expect("there is room for all of them")] += 1;
    }
    let (mut shares, mut rest) = (Vec::new(), Vec::new());
    for (node, count) in nodes.iter().zip(counts) {
        let cores: Vec<&[Cpu]> = node.chunk_by(|a, b| a.core == b.core).collect();
        let by_core = if count == 0 { Vec::new() } else { distribute(&cores, count) };
        match by_core.iter().all(|share| share.len() >= each) {
            true => shares.extend(by_core.into_iter().map(|share| share[..each].to_vec())),
            false => shares.extend(node.chunks(each).take(count).map(numbers)),
        }
        let taken = &shares[shares.len() - count..];
        rest.extend(numbers(node).into_iter().filter(|cpu| !taken.iter().any(|share| share.contains(cpu))));
    }
    // What is left of the nodes serves the slots for which no node had enough.
    let missing = slots.saturating_sub(shares.len());
    shares.extend(rest.chunks_exact(each).take(missing).map(<[usize]>::to_vec));
    shares
}

/// The CPUs of this rank that no task has.
#[derive(Debug)]
pub(crate) struct Free {
    cpus: Vec<(Cpu, bool)>,
}

impl Free {
    /// All that this process may use.
    pub(crate) fn of_this_rank() -> Self {
        Self::of(&describe(&affinity(), Path::new(TOPOLOGY)))
    }

    fn of(cpus: &[Cpu]) -> Self {
        Self { cpus: cpus.iter().map(|&cpu| (cpu, true)).collect() }
    }

    /// All of them, free or not.
    pub(crate) fn all(&self) -> Vec<usize> {
        self.cpus.iter().map(|(cpu, _)| cpu.number).collect()
    }

    /// Takes as many: from the NUMA node with the fewest free ones that has enough, so that others keep room for larger
    /// tasks, and from the cores with the most free ones, so that tasks share no core if they need not. If no node has
    /// enough, from all in order. Empty if there are not as many.
    pub(crate) fn take(&mut self, count: usize) -> Vec<usize> {
        let is_free = |&&(_, free): &&(Cpu, bool)| free;
        let nodes = self.cpus.chunk_by(|(a, _), (b, _)| (a.socket, a.numa) == (b.socket, b.numa));
        let nodes = nodes.map(|node| (node.iter().filter(is_free).count(), node));
        let best = nodes.filter(|&(free, _)| free >= count).min_by_key(|&(free, _)| free);
        let node = best.map_or(&self.cpus[..], |(_, node)| node);
        let cores = node.chunk_by(|(a, _), (b, _)| (a.socket, a.numa, a.core) == (b.socket, b.numa, b.core));
        let mut cores: Vec<Vec<usize>> =
            cores.map(|core| core.iter().filter(is_free).map(|(cpu, _)| cpu.number).collect()).collect();
        cores.sort_by_key(|free| std::cmp::Reverse(free.len()));
        let taken: Vec<usize> = cores.concat().into_iter().take(count).collect();
        if taken.len() < count {
            return Vec::new();
        }
        self.mark(&taken, false);
        taken
    }

    /// A task is over.
    pub(crate) fn give_back(&mut self, cpus: &[usize]) {
        self.mark(cpus, true);
    }

    fn mark(&mut self, cpus: &[usize], free: bool) {
        let these = self.cpus.iter_mut().filter(|(cpu, _)| cpus.contains(&cpu.number));
        these.for_each(|(_, is_free)| *is_free = free);
    }
}

fn numbers(cpus: &[Cpu]) -> Vec<usize> {
    cpus.iter().map(|cpu| cpu.number).collect()
}

fn slot_shares(cpus: &[Cpu], slots: usize) -> Vec<Vec<usize>> {
    if cpus.len() < slots || slots == 0 {
        return cpus.iter().cycle().take(slots).map(|cpu| vec![cpu.number]).collect();
    }
    let nodes: Vec<&[Cpu]> = cpus.chunk_by(|a, b| (a.socket, a.numa) == (b.socket, b.numa)).collect();
    if slots < nodes.len() {
        return distribute(&nodes, slots);
    }
    // One more for the node with the most CPUs per slot, until all slots have a node.
    let mut counts = vec![1; nodes.len()];
    for _ in nodes.len()..slots {
        let roomiest =
            (0..nodes.len()).rev().max_by(|&a, &b| (nodes[a].len() * counts[b]).cmp(&(nodes[b].len() * counts[a])));
        counts[roomiest.expect("as many nodes as counts")] += 1;
    }
    let of_node = |(node, count): (&&[Cpu], usize)| {
        let cores: Vec<&[Cpu]> = node.chunk_by(|a, b| a.core == b.core).collect();
        if count <= cores.len() {
            distribute(&cores, count)
        } else {
            distribute(&node.chunks(1).collect::<Vec<_>>(), count)
        }
    };
    nodes.iter().zip(counts).flat_map(of_node).collect()
}

/// Distributes groups of CPUs that stay together, in order and as evenly as possible.
fn distribute(groups: &[&[Cpu]], parts: usize) -> Vec<Vec<usize>> {
    let part = |part| groups[cut(groups.len(), parts, part)].concat().iter().map(|cpu| cpu.number).collect();
    (0..parts).map(part).collect()
}

/// Which of so many things belong to this of so many parts.
pub(super) fn cut(len: usize, parts: usize, part: usize) -> std::ops::Range<usize> {
    part * len / parts..(part + 1) * len / parts
}

/// This rank's part of the node's CPUs; all of them if there are fewer CPUs than ranks.
fn share_of(cpus: Vec<usize>, place: NodePlace) -> Vec<usize> {
    let (ranks, rank) = (place.ranks.max(1) as usize, place.rank as usize);
    if cpus.len() < ranks || rank >= ranks { cpus } else { cpus[cut(cpus.len(), ranks, rank)].to_vec() }
}

/// `0-3,8` for humans.
fn list(cpus: &[usize]) -> String {
    let range = |run: &[usize]| match run {
        [first, .., last] => format!("{first}-{last}"),
        single => single.iter().map(usize::to_string).collect(),
    };
    cpus.chunk_by(|a, b| a + 1 == *b).map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No CPU belongs to two ranks, and none is left over.
    #[test]
    fn ranks_of_a_node_share_its_cpus() {
        for ranks in 1..10 {
            let shares: Vec<_> = (0..ranks).map(|rank| share_of((0..8).collect(), NodePlace { rank, ranks })).collect();
            if ranks <= 8 {
                assert_eq!(shares.concat(), (0..8).collect::<Vec<_>>(), "{ranks} ranks");
                let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
                assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            } else {
                assert!(shares.iter().all(|share| share.len() == 8), "too many ranks share all");
            }
        }
    }

    /// Two threads of a core go to the same rank: Linux often numbers them far apart.
    #[test]
    fn a_core_is_not_split() {
        let folder = tempfile::tempdir().unwrap();
        for cpu in 0..8 {
            let topology = folder.path().join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("physical_package_id"), format!("{}\n", cpu / 2 % 2)).unwrap();
            fs::write(topology.join("core_id"), format!("{}\n", cpu % 2)).unwrap();
        }
        let order = in_order(&[0, 1, 2, 3, 4, 5, 6, 7], folder.path());
        assert_eq!(order, [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(in_order(&[3, 1], Path::new("/nowhere")), [1, 3]);
    }

    fn node(numa: u64, cores: u64, threads: usize, first: usize) -> Vec<Cpu> {
        let cpu = |core: u64, thread: usize| {
            let number = first + core as usize + thread * 100;
            Cpu { socket: 0, numa, core, number }
        };
        (0..cores).flat_map(|core| (0..threads).map(move |thread| cpu(core, thread))).collect()
    }

    /// `--bind slot`: every CPU belongs to one slot, and every slot has one, whatever the numbers.
    #[test]
    fn slots_share_nothing() {
        for (nodes, slots) in (1..5).flat_map(|nodes| (1..40).map(move |slots| (nodes, slots))) {
            let cpus: Vec<_> = (0..nodes).flat_map(|n| node(n, 2 + n, 2, 10 * n as usize)).collect();
            let shares = slot_shares(&cpus, slots);
            assert_eq!(shares.len(), slots);
            assert!(shares.iter().all(|share| !share.is_empty()), "{nodes} nodes, {slots} slots: {shares:?}");
            if slots <= cpus.len() {
                let mut all = shares.concat();
                all.sort_unstable();
                let mut expected: Vec<_> = cpus.iter().map(|cpu| cpu.number).collect();
                expected.sort_unstable();
                assert_eq!(all, expected, "{nodes} nodes, {slots} slots");
            }
        }
        assert!(slot_shares(&[], 0).is_empty());
    }

    /// A slot's memory is near: no slot has CPUs of two NUMA nodes if it can be avoided, and no core has two slots.
    #[test]
    fn slots_keep_to_a_numa_node_and_to_cores() {
        let cpus = [node(0, 10, 1, 0), node(1, 10, 1, 10)].concat();
        let three = slot_shares(&cpus, 3);
        assert_eq!(three, [(0..5).collect(), (5..10).collect(), (10..20).collect::<Vec<_>>()]);
        assert_eq!(slot_shares(&cpus, 1), [(0..20).collect::<Vec<_>>()]);
        let threads = [node(0, 2, 2, 0), node(1, 2, 2, 2)].concat();
        assert_eq!(slot_shares(&threads, 4), [[0, 100], [1, 101], [2, 102], [3, 103]]);
        assert_eq!(slot_shares(&threads, 8).concat(), [0, 100, 1, 101, 2, 102, 3, 103]);
        assert_eq!(slot_shares(&threads, 10)[7..], [[103], [0], [100]], "more slots than CPUs: in turn");
    }

    /// `--cpus-per-task`: every slot has as many CPUs as were asked for, and no CPU belongs to two slots.
    #[test]
    fn slots_have_what_is_asked_for() {
        for (nodes, each) in (1..5).flat_map(|nodes| (1..10).map(move |each| (nodes, each))) {
            let cpus: Vec<_> = (0..nodes).flat_map(|n| node(n, 2 + n, 2, 10 * n as usize)).collect();
            for slots in 1..=cpus.len() / each {
                let shares = equal_shares(&cpus, slots, each);
                assert_eq!(shares.len(), slots, "{nodes} nodes, {each} each");
                assert!(shares.iter().all(|share| share.len() == each), "{nodes} nodes, {slots} slots: {shares:?}");
                let mut all = shares.concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), slots * each, "{nodes} nodes, {slots} slots of {each}: {shares:?}");
            }
        }
    }

    /// Slots keep to a NUMA node and to whole cores, and are spread out if there are few.
    #[test]
    fn slots_of_equal_size_are_placed_well() {
        let threads = [node(0, 2, 2, 0), node(1, 2, 2, 2)].concat();
        assert_eq!(equal_shares(&threads, 4, 2), [[0, 100], [1, 101], [2, 102], [3, 103]], "whole cores");
        assert_eq!(equal_shares(&threads, 4, 1), [[0], [1], [2], [3]], "a core each");
        assert_eq!(equal_shares(&threads, 2, 2), [[0, 100], [2, 102]], "a node each");
        assert_eq!(equal_shares(&threads, 2, 3), [[0, 100, 1], [2, 102, 3]]);
        let uneven = [node(0, 5, 1, 0), node(1, 5, 1, 5)].concat();
        assert_eq!(equal_shares(&uneven, 5, 2), [vec![0, 1], vec![2, 3], vec![5, 6], vec![7, 8], vec![4, 9]]);
    }

    /// As taskset and Slurm write it.
    #[test]
    fn lists_are_short() {
        assert_eq!(list(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
        assert_eq!(list(&[]), "");
    }

    /// A task has CPUs of one NUMA node, of which others keep room for larger tasks, and whole cores first.
    #[test]
    fn tasks_take_free_cpus() {
        let cpus = [node(0, 4, 2, 0), node(1, 4, 2, 10)].concat();
        let mut free = Free::of(&cpus);
        assert_eq!(free.take(2), [0, 100], "a whole core");
        assert_eq!(free.take(8), [10, 110, 11, 111, 12, 112, 13, 113], "the other node");
        assert_eq!(free.take(1), [1], "of a core that nobody uses");
        assert_eq!(free.take(2), [2, 102]);
        assert_eq!(free.take(4), [3, 103, 101][..0], "three are left");
        assert_eq!(free.take(3), [3, 103, 101]);
        free.give_back(&[0, 100]);
        free.give_back(&[10, 110, 11, 111, 12, 112, 13, 113]);
        assert_eq!(free.take(10).len(), 10, "from two nodes, if it must be");
        assert_eq!(free.take(1), [0; 0]);
        assert_eq!(free.all().len(), 16);
    }
}
