//! What each slot of a pool has for its tasks alone.
//!
//! Owns the division of a rank's CPUs and GPUs among its slots, and how tasks are told. Memory is only counted: it limits
//! the number of slots. Where these resources are found is in [`crate::sys`].

use std::ffi::CString;

use crate::demand::{Capacity, Demand};
use crate::protocol::{Bind, SlotCount, WorkerConfig};
use crate::runner::environment::{OMP_NUM_THREADS, TASKFARMER_CPUS, TASKFARMER_GPUS};
use crate::sys::gpus::{self, Gpus};
use crate::sys::launcher::NodePlace;
use crate::sys::process::c_string;
use crate::sys::{cpus, memory_limit};

/// What a rank offers, and how many tasks have room.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) capacity: Capacity,
    pub(super) slots: u32,
    /// Why there are no slots, if not even one task has room.
    pub(super) shortage: Option<String>,
    gpus: Option<Gpus>,
}

impl Offer {
    /// Looks up what tasks ask for. `cpus`: those that this rank may use.
    pub(super) fn of_this_rank(place: NodePlace, cpus: u32, slots: SlotCount, demand: &Demand) -> Self {
        // A rank that runs no tasks needs nothing.
        let is_asked = slots != SlotCount::Fixed(0);
        let gpus = (is_asked && demand.gpus > 0).then(|| gpus::of_this_rank(place));
        let (gpus, no_gpus) = match gpus {
            Some(Ok(gpus)) => (Some(gpus), None),
            Some(Err(looked_at)) => (None, Some(looked_at)),
            None => (None, None),
        };
        let count = gpus.as_ref().map_or(0, |gpus| gpus.names.len());
        let memory_mib = if is_asked && demand.memory_mib > 0 { memory_limit::of_this_rank(place) } else { 0 };
        let capacity = Capacity { cpus, gpus: u32::try_from(count).unwrap_or(u32::MAX), memory_mib };
        let room = slots.on(&capacity, demand);
        let slots = *room.as_ref().unwrap_or(&0);
        let shortage = room.err().map(|shortage| match no_gpus.filter(|_| shortage.is_of_gpus()) {
            Some(looked_at) => format!("{shortage}: {looked_at}"),
            None => shortage.to_string(),
        });
        let offer = Self { capacity, slots, shortage, gpus };
        offer.report(demand);
        offer
    }

    fn report(&self, demand: &Demand) {
        if let Some(gpus) = &self.gpus {
            log::info!("tasks use GPUs {}, from {}", gpus.names.join(","), gpus.source);
            let whole = Capacity { cpus: u32::MAX, memory_mib: u64::MAX, ..self.capacity };
            if let Ok(Some(room)) = whole.room(demand)
                && 0 < self.slots
                && self.slots < room
            {
                let Self { slots, capacity: Capacity { cpus, .. }, .. } = self;
                log::info!("its GPUs have room for {room} tasks, but it runs {slots} at a time: it has {cpus} CPUs");
            }
        }
        if self.capacity.memory_mib > 0 {
            log::info!("tasks may use {} MiB of memory", self.capacity.memory_mib);
        }
    }
}

/// What one slot has.
#[derive(Default, Debug)]
pub(super) struct Share {
    /// CPUs that its tasks are bound to; empty: all of the rank's.
    pub(super) cpus: Vec<usize>,
    /// `NAME=VALUE`, for each of its tasks.
    pub(super) variables: Vec<CString>,
}

/// What all slots have.
#[derive(Debug)]
pub(super) struct Shares {
    of_slots: Vec<Share>,
    all_cpus: Vec<usize>,
    /// Variables that tasks must not inherit.
    names: Vec<&'static str>,
    none: Share,
}

impl Shares {
    /// Divides what the rank offers. `is_runners`: whether the runner sets this variable; then nothing else does.
    pub(super) fn new(config: &WorkerConfig, offer: &Offer, is_runners: impl Fn(&str) -> bool) -> Self {
        let asked = config.demand.cpus;
        let cpus = match config.bind {
            Bind::Slot => cpus::per_slot(offer.slots, asked),
            Bind::None => Vec::new(),
        };
        let gpus = offer.gpus.as_ref().map_or_else(Vec::new, |gpus| gpus.per_slot(offer.slots, config.demand.gpus));
        // A farm that is a task of another one has that one's number, which is nobody's choice.
        let (threads, of_outer) = (std::env::var_os(OMP_NUM_THREADS), std::env::var_os(TASKFARMER_CPUS));
        let sets_threads = !is_runners(OMP_NUM_THREADS) && (threads.is_none() || threads == of_outer);
        let mut names = Vec::new();
        let mut of_slots = Vec::new();
        if offer.gpus.is_some() {
            // A program must not find GPUs by the variable of a different vendor.
            names.extend(gpus::VARIABLES.into_iter().chain([gpus::ORDINAL]).filter(|name| !is_runners(name)));
        }
        for slot in 0..offer.slots as usize {
            let cpus = cpus.get(slot).cloned().unwrap_or_default();
            let count = if asked > 0 { asked as usize } else { cpus.len() };
            let gpus = gpus.get(slot).zip(offer.gpus.as_ref());
            let of_gpus = gpus.map(|(own, gpus)| [(TASKFARMER_GPUS, own.clone()), (gpus.variable, own.clone())]);
            let of_cpus =
                (count > 0).then(|| [(TASKFARMER_CPUS, count.to_string()), (OMP_NUM_THREADS, count.to_string())]);
            let wanted = of_gpus.into_iter().chain(of_cpus).flatten();
            let set = wanted.filter(|(name, _)| !is_runners(name) && (*name != OMP_NUM_THREADS || sets_threads));
            let variables = set.filter_map(|(name, value)| c_string(format!("{name}={value}").as_bytes())).collect();
            of_slots.push(Share { cpus, variables });
        }
        Self { all_cpus: cpus.concat(), of_slots, names, none: Share::default() }
    }

    /// Variables that tasks must not inherit, since each slot has its own.
    pub(super) fn variables(&self) -> &[&'static str] {
        &self.names
    }

    /// What a slot has.
    pub(super) fn of(&self, slot: u32) -> &Share {
        self.of_slots.get(slot as usize).unwrap_or(&self.none)
    }

    /// The CPUs of all slots together.
    pub(super) fn all_cpus(&self) -> &[usize] {
        &self.all_cpus
    }
}
