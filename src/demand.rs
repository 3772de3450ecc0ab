//! What every task asks for besides a slot, and what a rank offers.
//!
//! Owns both types and their comparison, which farmer and workers share. How a rank learns what it has is in
//! [`crate::sys`]; which CPUs and GPUs a slot gets is in `crate::pool::shares`.

pub(crate) mod amounts;
pub(crate) mod classes;
pub(crate) mod list;
pub(crate) mod room;

use std::fmt;

use bincode::{Decode, Encode};

/// One GPU, in the unit of [`Demand::gpus`].
pub(crate) const WHOLE_GPU: u32 = 1_000;

/// What each task needs for itself. 0: nothing is set aside, the task shares what its rank has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Encode, Decode)]
pub struct Demand {
    /// CPUs.
    pub cpus: u32,
    /// GPUs, in thousandths: a multiple of [`WHOLE_GPU`], or less than one.
    pub gpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

/// The number of a demand among those of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Encode, Decode)]
pub struct Class(pub u16);

/// What a rank offers to its tasks. What no task asks for is not looked up, and 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Encode, Decode)]
pub struct Capacity {
    /// CPUs that it may use.
    pub cpus: u32,
    /// GPUs.
    pub gpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

/// Why not even one task fits on a rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    resource: Resource,
    demand: Demand,
    capacity: Capacity,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resource {
    Cpus,
    Gpus,
    Memory,
}

impl Demand {
    /// Whether a task asks for nothing but a slot.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Demand {
    /// As a list asks for it: `cpus=8 gpus=0.5 mem=4G`; `-` if for nothing.
    pub(crate) fn keys(&self) -> String {
        let gpus = match self.gpus % WHOLE_GPU {
            0 => (self.gpus / WHOLE_GPU).to_string(),
            _ => (f64::from(self.gpus) / f64::from(WHOLE_GPU)).to_string(),
        };
        let parts = [
            (self.cpus > 0).then(|| format!("cpus={}", self.cpus)),
            (self.gpus > 0).then(|| format!("gpus={gpus}")),
            (self.memory_mib > 0).then(|| format!("mem={}", size(self.memory_mib))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = (self.cpus > 0).then(|| counted(self.cpus, "CPU"));
        let gpus = (self.gpus > 0).then(|| gpus(self.gpus));
        let memory = (self.memory_mib > 0).then(|| memory(self.memory_mib));
        let parts: Vec<_> = [cpus, gpus, memory].into_iter().flatten().collect();
        match parts.split_last() {
            Some((last, others)) if !others.is_empty() => write!(f, "{} and {last}", others.join(", ")),
            _ => f.write_str(&parts.concat()),
        }
    }
}

impl Capacity {
    /// How many tasks have room at the same time; `None` if the demand sets no limit.
    ///
    /// # Errors
    /// If not even one has.
    pub fn room(&self, demand: &Demand) -> Result<Option<u32>, Shortage> {
        let of_gpus = match demand.gpus {
            0 => None,
            part @ 1..WHOLE_GPU => Some(self.gpus.saturating_mul(WHOLE_GPU / part)),
            whole => Some(self.gpus / (whole / WHOLE_GPU)),
        };
        let of_memory = self.memory_mib.checked_div(demand.memory_mib);
        let limits = [
            (Resource::Cpus, self.cpus.checked_div(demand.cpus)),
            (Resource::Gpus, of_gpus),
            (Resource::Memory, of_memory.map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX))),
        ];
        let limits = limits.into_iter().filter_map(|(resource, tasks)| Some((tasks?, resource)));
        match limits.min_by_key(|&(tasks, _)| tasks) {
            Some((0, resource)) => Err(Shortage { resource, demand: *demand, capacity: *self }),
            fewest => Ok(fewest.map(|(tasks, _)| tasks)),
        }
    }
}

impl Shortage {
    /// Whether GPUs are missing.
    pub fn is_of_gpus(&self) -> bool {
        self.resource == Resource::Gpus
    }
}

impl Shortage {
    /// The message about one task of a list in which tasks ask for different things.
    pub(crate) fn of_task(&self, id: u32) -> String {
        let (asked, there) = self.words();
        format!("task {id} asks for {asked}, and this rank, which comes closest, has {there}")
    }

    /// Why no task of a list has room, by one of them.
    pub(crate) fn of_some(&self) -> String {
        let (asked, there) = self.words();
        format!("no task of the list has room there: for example, one asks for {asked}, and this rank has {there}")
    }

    /// What a task asks for, and what there is.
    fn words(&self) -> (String, String) {
        match self.resource {
            Resource::Cpus => (counted(self.demand.cpus, "CPU"), counted(self.capacity.cpus, "CPU")),
            Resource::Gpus => {
                let there = self.capacity.gpus;
                let there = if there == 0 { "no GPU".to_owned() } else { counted(there, "GPU") };
                (gpus(self.demand.gpus), there)
            }
            Resource::Memory => (memory(self.demand.memory_mib), size(self.capacity.memory_mib)),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, there) = self.words();
        write!(f, "each task asks for {asked}, and this rank has {there}")
    }
}

/// `1 CPU`, `8 CPUs`.
fn counted(number: u32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `2 GPUs`, `0.25 GPUs`.
fn gpus(thousandths: u32) -> String {
    match thousandths % WHOLE_GPU {
        0 => counted(thousandths / WHOLE_GPU, "GPU"),
        _ => format!("{} GPUs", f64::from(thousandths) / f64::from(WHOLE_GPU)),
    }
}

fn memory(mib: u64) -> String {
    format!("{} of memory", size(mib))
}

/// A size as it is typed: `4G`, `1536M`.
fn size(mib: u64) -> String {
    match mib {
        0 => "0".to_owned(),
        _ if mib.is_multiple_of(1 << 20) => format!("{}T", mib >> 20),
        _ if mib.is_multiple_of(1 << 10) => format!("{}G", mib >> 10),
        _ => format!("{mib}M"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Capacity = Capacity { cpus: 128, gpus: 4, memory_mib: 256 << 10 };

    fn room(cpus: u32, gpus: u32, memory_mib: u64) -> Result<Option<u32>, String> {
        NODE.room(&Demand { cpus, gpus, memory_mib }).map_err(|shortage| shortage.to_string())
    }

    /// The scarcest resource decides, and what is not asked for does not count.
    #[test]
    fn the_scarcest_resource_decides() {
        assert_eq!(room(0, 0, 0), Ok(None));
        assert_eq!(room(8, 0, 0), Ok(Some(16)));
        assert_eq!(room(9, 0, 0), Ok(Some(14)));
        assert_eq!(room(1, 2_000, 0), Ok(Some(2)));
        assert_eq!(room(0, 250, 0), Ok(Some(16)));
        assert_eq!(room(0, 300, 0), Ok(Some(12)), "three share a GPU; no task has parts of two");
        assert_eq!(room(1, 250, 60 << 10), Ok(Some(4)));
        assert_eq!(room(0, 0, 1), Ok(Some(256 << 10)));
    }

    /// A message says what is asked for, by which option, and what there is.
    #[test]
    fn a_shortage_is_explained() {
        let says = |result: Result<_, String>, text: &str| assert_eq!(result, Err(text.to_owned()));
        says(room(129, 0, 0), "each task asks for 129 CPUs, and this rank has 128 CPUs");
        says(room(1, 5_000, 0), "each task asks for 5 GPUs, and this rank has 4 GPUs");
        says(room(1, 0, 300 << 10), "each task asks for 300G of memory, and this rank has 256G");
        let none = Capacity { gpus: 0, ..NODE }.room(&Demand { gpus: 500, ..Demand::default() }).unwrap_err();
        assert_eq!(none.to_string(), "each task asks for 0.5 GPUs, and this rank has no GPU");
    }

    /// As the first line of a run has it.
    #[test]
    fn a_demand_is_worded() {
        let worded = |cpus, gpus, memory_mib| Demand { cpus, gpus, memory_mib }.to_string();
        assert_eq!(worded(8, 0, 0), "8 CPUs");
        assert_eq!(worded(1, 250, 0), "1 CPU and 0.25 GPUs");
        assert_eq!(worded(8, 1_000, 4_096), "8 CPUs, 1 GPU and 4G of memory");
        let keys = |cpus, gpus, memory_mib| Demand { cpus, gpus, memory_mib }.keys();
        assert_eq!([keys(8, 0, 0), keys(1, 250, 1_536)], ["cpus=8", "cpus=1 gpus=0.25 mem=1536M"]);
        assert_eq!([keys(0, 2_000, 0), keys(0, 0, 0)], ["gpus=2", "-"]);
    }

    /// Sizes are short, and none is rounded.
    #[test]
    fn sizes_are_as_typed() {
        for (mib, text) in [(0, "0"), (1, "1M"), (1024, "1G"), (1536, "1536M"), (1 << 20, "1T")] {
            assert_eq!(size(mib), text);
        }
    }

    /// Promise 5: no demand from a peer causes a division by zero or an overflow.
    #[test]
    fn any_demand_has_an_answer() {
        for cpus in [0, 1, u32::MAX] {
            for gpus in [0, 1, 999, 1_000, 1_001, u32::MAX] {
                for memory_mib in [0, 1, u64::MAX] {
                    let capacity = Capacity { cpus, gpus, memory_mib };
                    let _ = capacity.room(&Demand { cpus, gpus, memory_mib });
                    let _ = NODE.room(&Demand { cpus, gpus, memory_mib });
                }
            }
        }
    }
}
