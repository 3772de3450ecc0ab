//! Whether ranks have room for what they run, and whether tasks that differ in what they ask for get their turn.
//!
//! Adds up demands by itself: shares no code with farmer and pool.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Checker;
use super::observed::Node;
use crate::demand::list::Counts;
use crate::demand::{Capacity, Demand};

/// One GPU, in the unit of [`Demand::gpus`].
const GPU: u32 = 1_000;

fn fits(demand: &Demand, capacity: &Capacity) -> bool {
    demand.cpus <= capacity.cpus && demand.gpus <= capacity.gpus * GPU && demand.memory_mib <= capacity.memory_mib
}

impl Checker {
    fn demand(&self, id: u32) -> Demand {
        self.demands.of(id).demand
    }

    /// A task was started with these GPUs: no rank is over its capacity, and each task has what it asks for.
    pub(super) fn check_room(&mut self, rank: u32, id: u32, gpus: &[u32]) {
        if !self.demands.differ() {
            return;
        }
        // One that goes before it was not ready before: a retry, for example.
        let place = |id: u32| (std::cmp::Reverse(self.demands.of(id).priority), id);
        self.first_waits = self.first_waits.filter(|&(first, _)| place(first) < place(id));
        let node = &self.nodes[rank as usize];
        let (mut cpus, mut memory_mib, mut of_gpus) = (0, 0, BTreeMap::<u32, u32>::new());
        for run in node.runs.values() {
            let demand = self.demand(run.id);
            cpus += demand.cpus;
            memory_mib += demand.memory_mib;
            run.gpus.iter().for_each(|&gpu| *of_gpus.entry(gpu).or_default() += demand.gpus.min(GPU));
        }
        let capacity = node.capacity;
        let most = of_gpus.values().copied().max().unwrap_or(0);
        let is_over = cpus > capacity.cpus || memory_mib > capacity.memory_mib || most > GPU;
        let unknown = of_gpus.keys().any(|&gpu| gpu >= capacity.gpus);
        self.must(!is_over && !unknown, || {
            format!("rank {rank} is over its capacity: {cpus} CPUs, {memory_mib} MiB, GPUs {of_gpus:?} of {capacity:?}")
        });
        let asked = self.demand(id).gpus;
        let right = gpus.len() == asked.div_ceil(GPU) as usize;
        // With one class, the pool divides them.
        let right = right || self.demands.kinds.len() == 1;
        self.must(right, || format!("task {id} asks for {asked} thousandths of a GPU, and has {gpus:?}"));
        self.check_shared();
    }

    /// Tasks never have more of what the farm shares out than there is, not counting ranks that the farmer may not see.
    fn check_shared(&mut self) {
        let nodes = self.nodes.iter().filter(|node| !node.lost && !node.troubled);
        let runs = nodes.flat_map(|node| node.runs.values());
        let taken: u32 = runs.map(|run| self.demands.of(run.id).shared[0]).sum();
        let total = self.totals[0];
        self.must(taken <= total || total == 0, || format!("tasks have {taken} of what the farm has {total} of"));
    }

    /// Whether a task has room on a rank that is known to take tasks.
    fn has_room_at(&self, id: u32, node: &Node) -> bool {
        node.slots > 0 && fits(&self.demand(id), &node.capacity)
    }

    /// Whether a rank that runs nothing is idle in spite of this task.
    pub(super) fn would_suit(&self, rank: u32, id: u32) -> bool {
        let waits_for_others = self.demands.of(id).shared != Counts::default();
        !self.demands.differ() || (!waits_for_others && self.has_room_at(id, &self.nodes[rank as usize]))
    }

    /// The first task that waits gets its turn when, at the latest, a rank has drained for it: while that happens, the
    /// rank may first have to drain for another class, and each time, its last task may have just been started.
    pub(super) fn look_for_starving(&mut self, now: Duration, waits: impl Fn(&Self, usize) -> bool) {
        if !self.demands.differ() {
            return;
        }
        let is_calm = self.nodes.iter().all(|node| node.up && !node.troubled && !node.held_back);
        let has_suspects = self.tasks.iter().any(|task| task.is_suspect && task.recorded.is_none());
        let excused = now < self.excused_until || self.stopping_since.is_some() || self.draining_since.is_some();
        let ids = 0..u32::try_from(self.tasks.len()).expect("IDs have 32 bits");
        let waiting = ids.filter(|&id| waits(self, id as usize));
        let first = waiting.min_by_key(|&id| (std::cmp::Reverse(self.demands.of(id).priority), id));
        let Some(first) = first.filter(|_| is_calm && !has_suspects && !excused) else {
            self.first_waits = None;
            return;
        };
        let (_, since) = *self.first_waits.get_or_insert((first, now));
        if self.first_waits.is_some_and(|(id, _)| id != first) {
            self.first_waits = Some((first, now));
            return;
        }
        let limit = self.longest * 4 + Duration::from_secs(120) + self.patience;
        self.must(now - since <= limit, || format!("task {first} starves: it is the first to wait since {since:?}"));
    }

    /// The farm ends because no rank that takes part has room for any of so many tasks, which are all that is left.
    pub(super) fn room_is_lost(&mut self, tasks: u32) {
        self.room_was_lost = true;
        let left: Vec<u32> =
            (0..).zip(&self.tasks).filter(|(_, task)| task.recorded.is_none()).map(|(id, _)| id).collect();
        let takes_part = |node: &&Node| node.up && !node.lost;
        let has_room = |id: u32| self.nodes.iter().filter(takes_part).any(|node| self.has_room_at(id, node));
        let some = left.iter().copied().find(|&id| has_room(id));
        self.must(some.is_none(), || format!("task {some:?} has room, and is given up"));
        self.must(left.len() == tasks as usize, || format!("{tasks} tasks are given up, and {} are left", left.len()));
    }

    /// Whether one of these tasks has room on no rank that has ever joined.
    pub(super) fn some_have_no_room(&self, unrecorded: &[u32]) -> bool {
        let has_room = |&id: &u32| self.nodes.iter().any(|node| self.has_room_at(id, node));
        !unrecorded.iter().all(has_room)
    }
}
