//! What tasks that run on a rank leave for others.
//!
//! Owns the bookkeeping: [`Load`] is a sum, which is all that the farmer needs; [`Room`] knows each GPU, which a pool
//! needs to start a task. Never decides which task comes next.

use super::{Capacity, Demand, WHOLE_GPU};

/// What several tasks ask for together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Load {
    cpus: u64,
    /// In thousandths, each part of a GPU counted as what it leaves for others like it.
    gpus: u64,
    memory_mib: u64,
}

impl Load {
    /// Of one task.
    pub(crate) fn of(demand: &Demand) -> Self {
        // Of 0.3 GPUs, three fit on one, and no more.
        let gpus = match demand.gpus {
            0 => 0,
            part @ 1..WHOLE_GPU => WHOLE_GPU / (WHOLE_GPU / part),
            whole => whole,
        };
        Self { cpus: demand.cpus.into(), gpus: gpus.into(), memory_mib: demand.memory_mib }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(other.cpus),
            gpus: self.gpus.saturating_add(other.gpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
        }
    }

    /// What is left without the other.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(other.cpus),
            gpus: self.gpus.saturating_sub(other.gpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
        }
    }

    /// The least of each resource.
    pub(crate) fn least(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.min(other.cpus),
            gpus: self.gpus.min(other.gpus),
            memory_mib: self.memory_mib.min(other.memory_mib),
        }
    }

    /// Whether a rank can bear it.
    pub(crate) fn fits(self, capacity: &Capacity) -> bool {
        self.cpus <= capacity.cpus.into()
            && self.gpus <= u64::from(capacity.gpus) * u64::from(WHOLE_GPU)
            && self.memory_mib <= capacity.memory_mib
    }

    /// Whether one more load beside this one does not keep a reserved one waiting: of what the reserved one still lacks, it
    /// takes nothing, and of all else it leaves enough.
    pub(crate) fn leaves_room_for(self, reserved: Self, more: Self, capacity: &Capacity) -> bool {
        let spares = |load: u64, reserved: u64, more: u64, there: u64| {
            let needed = load.saturating_add(reserved);
            more == 0 || needed.saturating_add(more) <= there
        };
        spares(self.cpus, reserved.cpus, more.cpus, capacity.cpus.into())
            && spares(self.gpus, reserved.gpus, more.gpus, u64::from(capacity.gpus) * u64::from(WHOLE_GPU))
            && spares(self.memory_mib, reserved.memory_mib, more.memory_mib, capacity.memory_mib)
    }

    /// How much of the scarcest resource it exceeds, in thousandths of what the rank has; 0 if it fits.
    pub(crate) fn excess(self, capacity: &Capacity) -> u64 {
        let of = |asked: u64, there: u64| asked.saturating_sub(there).saturating_mul(1_000).div_ceil(there.max(1));
        of(self.cpus, capacity.cpus.into())
            .max(of(self.gpus, u64::from(capacity.gpus) * u64::from(WHOLE_GPU)))
            .max(of(self.memory_mib, capacity.memory_mib))
    }
}

/// What is free on a rank.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Parts of GPUs share one, so that others stay whole for tasks that need all of one.
    keeps_whole: bool,
    cpus: u32,
    /// Of each GPU, in thousandths.
    gpus: Vec<u32>,
    memory_mib: u64,
}

impl Room {
    /// All that the rank has, for tasks that ask for these.
    pub(crate) fn of(capacity: &Capacity, kinds: &[Demand]) -> Self {
        let keeps_whole = kinds.iter().any(|demand| demand.gpus >= WHOLE_GPU);
        Self {
            keeps_whole,
            cpus: capacity.cpus,
            gpus: vec![WHOLE_GPU; capacity.gpus as usize],
            memory_mib: capacity.memory_mib,
        }
    }

    /// Takes what a task asks for; returns its GPUs, by number, or `None`, without effect, if it does not fit.
    pub(crate) fn take(&mut self, demand: &Demand) -> Option<Vec<u32>> {
        if demand.cpus > self.cpus || demand.memory_mib > self.memory_mib {
            return None;
        }
        let gpus = self.choose(demand.gpus)?;
        self.cpus -= demand.cpus;
        self.memory_mib -= demand.memory_mib;
        for &gpu in &gpus {
            self.gpus[gpu as usize] -= demand.gpus.min(WHOLE_GPU);
        }
        Some(gpus)
    }

    /// Whole GPUs that are free; for a part, the fullest one that has room, or the emptiest if no task needs a whole one.
    fn choose(&self, asked: u32) -> Option<Vec<u32>> {
        let free = (0..).zip(&self.gpus);
        match asked {
            0 => Some(Vec::new()),
            1..WHOLE_GPU => {
                let has_room = free.filter(|&(_, &free)| free >= asked);
                let order = |&(_, &free): &(u32, &u32)| if self.keeps_whole { free } else { WHOLE_GPU - free };
                has_room.min_by_key(order).map(|(gpu, _)| vec![gpu])
            }
            _ => {
                let count = (asked / WHOLE_GPU) as usize;
                let whole: Vec<u32> =
                    free.filter(|&(_, &free)| free == WHOLE_GPU).map(|(gpu, _)| gpu).take(count).collect();
                (whole.len() == count).then_some(whole)
            }
        }
    }

    /// A task that had taken this is over.
    pub(crate) fn give_back(&mut self, demand: &Demand, gpus: &[u32]) {
        self.cpus += demand.cpus;
        self.memory_mib += demand.memory_mib;
        for &gpu in gpus {
            self.gpus[gpu as usize] += demand.gpus.min(WHOLE_GPU);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: Capacity = Capacity { cpus: 8, gpus: 2, memory_mib: 1_000 };

    fn demand(cpus: u32, gpus: u32, memory_mib: u64) -> Demand {
        Demand { cpus, gpus, memory_mib }
    }

    /// What does not fit takes nothing.
    #[test]
    fn a_task_takes_all_or_nothing() {
        let mut room = Room::of(&NODE, &[demand(0, 1_000, 0)]);
        assert_eq!(room.take(&demand(6, 0, 0)), Some(vec![]));
        assert_eq!(room.take(&demand(3, 1_000, 0)), None);
        assert_eq!(room.take(&demand(2, 2_000, 1_001)), None);
        assert_eq!(room.take(&demand(2, 2_000, 1_000)), Some(vec![0, 1]));
        assert_eq!(room.take(&demand(0, 1, 0)), None);
        room.give_back(&demand(2, 2_000, 1_000), &[0, 1]);
        assert_eq!(room.take(&demand(1, 1_000, 1)), Some(vec![0]));
    }

    /// Parts share a GPU, so that others stay whole; no task has parts of two.
    #[test]
    fn parts_of_gpus_share_one() {
        let mut room = Room::of(&NODE, &[demand(0, 1_000, 0)]);
        let mut take = |gpus| room.take(&demand(0, gpus, 0));
        assert_eq!([take(250), take(250), take(600)], [Some(vec![0]), Some(vec![0]), Some(vec![1])]);
        assert_eq!([take(1_000), take(500), take(501)], [None, Some(vec![0]), None]);
        let mut spread = Room::of(&NODE, &[demand(0, 250, 0)]);
        let mut take = |gpus| spread.take(&demand(0, gpus, 0));
        assert_eq!([take(250), take(250), take(250)], [Some(vec![0]), Some(vec![1]), Some(vec![0])]);
    }

    /// The farmer's sum agrees with what fits, if all parts are alike.
    #[test]
    fn loads_count_what_parts_leave() {
        for part in [1_000, 600, 500, 333, 300, 250, 142, 100, 1] {
            let (mut load, mut room, mut count) = (Load::default(), Room::of(&NODE, &[demand(0, 1_000, 0)]), 0);
            while room.take(&demand(0, part, 0)).is_some() {
                load = load.plus(Load::of(&demand(0, part, 0)));
                count += 1;
                assert!(load.fits(&NODE), "{count} of {part}");
            }
            assert!(!load.plus(Load::of(&demand(0, part, 0))).fits(&NODE), "{count} of {part}");
        }
    }

    /// Beside a reserved task, others may take what it does not lack, and leave enough of the rest.
    #[test]
    fn a_reserved_task_is_not_kept_waiting() {
        let load = |cpus, gpus, memory_mib| Load { cpus, gpus, memory_mib };
        let room = |more| load(2, 1_000, 500).leaves_room_for(load(4, 2_000, 100), more, &NODE);
        assert!(room(load(2, 0, 400)), "it waits for GPUs only");
        assert!(!room(load(2, 250, 0)) && !room(load(3, 0, 0)) && !room(load(1, 0, 401)));
        let cpus_lack = |more| load(6, 0, 0).leaves_room_for(load(4, 0, 0), more, &NODE);
        assert!(!cpus_lack(load(1, 0, 0)) && cpus_lack(load(0, 1_000, 0)));
    }

    /// The rank that lacks least is the one with the least excess.
    #[test]
    fn excess_is_relative() {
        let load = |cpus, memory_mib| Load { cpus, gpus: 0, memory_mib };
        assert_eq!(load(8, 1_000).excess(&NODE), 0);
        assert_eq!(load(10, 1_000).excess(&NODE), 250);
        assert_eq!(load(10, 2_000).excess(&NODE), 1_000);
        assert!(Load { gpus: 1, ..Load::default() }.excess(&Capacity::default()) > 0);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order, no rank is over its capacity, and in the end all is free.
        #[test]
        fn any_order_keeps_the_capacity(steps in prop::collection::vec((0..4_u32, 0..9_u32, 0..500_u64, any::<u8>()), 0..60)) {
            let mut room = Room::of(&NODE, &[demand(0, 1_000, 0)]);
            let mut taken: Vec<(Demand, Vec<u32>)> = Vec::new();
            for (cpus, gpus, memory_mib, which) in steps {
                let gpus = [0, 250, 333, 500, 600, 1_000, 1_000, 2_000, 3_000][gpus as usize];
                let demand = demand(cpus, gpus, memory_mib);
                match room.take(&demand) {
                    Some(gpus) => taken.push((demand, gpus)),
                    None if !taken.is_empty() => {
                        let (demand, gpus) = taken.swap_remove(usize::from(which) % taken.len());
                        room.give_back(&demand, &gpus);
                    }
                    None => {}
                }
                prop_assert!(taken.iter().map(|(demand, _)| demand.cpus).sum::<u32>() <= NODE.cpus);
                prop_assert!(taken.iter().map(|(demand, _)| demand.memory_mib).sum::<u64>() <= NODE.memory_mib);
                for gpu in 0..NODE.gpus {
                    let of = taken.iter().filter(|(_, gpus)| gpus.contains(&gpu));
                    prop_assert!(of.map(|(demand, _)| demand.gpus.min(WHOLE_GPU)).sum::<u32>() <= WHOLE_GPU);
                }
            }
            for (demand, gpus) in taken {
                room.give_back(&demand, &gpus);
            }
            let all = demand(NODE.cpus, NODE.gpus * WHOLE_GPU, NODE.memory_mib);
            prop_assert!(room.take(&all).is_some());
        }
    }
}
