//! What each task of a pool has for itself.
//!
//! Owns the division of a rank's CPUs and GPUs, and how tasks are told. If all tasks ask for the same, each slot has its
//! share from the start; otherwise, a task gets its share when it gets a slot. Memory is only counted. Where these
//! resources are found is in [`crate::sys`].

use std::borrow::Cow;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::demand::classes::Class;
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
    pub(super) fn of_this_rank(place: NodePlace, cpus: u32, slots: SlotCount, kinds: &[Demand]) -> Self {
        // A rank that runs no tasks needs nothing.
        let is_asked = slots != SlotCount::Fixed(0);
        let asks_for = |what: fn(&Demand) -> bool| is_asked && kinds.iter().any(what);
        let gpus = asks_for(|demand| demand.gpus > 0).then(|| gpus::of_this_rank(place));
        let (gpus, no_gpus) = match gpus {
            Some(Ok(gpus)) => (Some(gpus), None),
            Some(Err(looked_at)) => (None, Some(looked_at)),
            None => (None, None),
        };
        let count = gpus.as_ref().map_or(0, |gpus| gpus.names.len());
        let asks_for_memory = asks_for(|demand| demand.memory_mib > 0);
        let memory_mib = if asks_for_memory { memory_limit::of_this_rank(place) } else { 0 };
        let capacity = Capacity { cpus, gpus: u32::try_from(count).unwrap_or(u32::MAX), memory_mib };
        let room = slots.on(&capacity, kinds);
        let slots = *room.as_ref().unwrap_or(&0);
        let shortage = room.err().map(|shortage| {
            let text = if kinds.len() == 1 { shortage.to_string() } else { shortage.of_some() };
            match no_gpus.as_ref().filter(|_| shortage.is_of_gpus()) {
                Some(looked_at) => format!("{text}: {looked_at}"),
                None => text,
            }
        });
        if let Some(looked_at) = no_gpus.filter(|_| shortage.is_none()) {
            log::info!("no GPU for the tasks that ask for one: {looked_at}");
        }
        let offer = Self { capacity, slots, shortage, gpus };
        offer.report(kinds);
        offer
    }

    fn report(&self, kinds: &[Demand]) {
        if let Some(gpus) = &self.gpus {
            log::info!("tasks use GPUs {}, from {}", gpus.names.join(","), gpus.source);
            let whole = Capacity { cpus: u32::MAX, memory_mib: u64::MAX, ..self.capacity };
            if let [demand] = kinds
                && let Ok(Some(room)) = whole.room(demand)
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

/// What one task has.
#[derive(Clone, Default, Debug)]
pub(super) struct Share {
    /// CPUs that it is bound to; empty: all of the rank's.
    pub(super) cpus: Vec<usize>,
    /// How many; 0: all of the rank's, and other tasks have them, too.
    pub(super) count: usize,
    /// Names of its GPUs, with commas between them.
    pub(super) gpus: String,
    /// `NAME=VALUE`.
    pub(super) variables: Vec<CString>,
}

/// What all tasks have.
#[derive(Debug)]
pub(super) struct Shares {
    of_slots: OfSlots,
    /// The CPUs of all tasks together, if tasks are bound.
    all_cpus: Vec<usize>,
    words: Words,
    none: Share,
}

#[derive(Debug)]
enum OfSlots {
    /// All tasks ask for the same.
    Fixed(Vec<Share>),
    Mixed {
        kinds: Vec<Demand>,
        taken: Mutex<Taken>,
    },
}

/// What tasks that differ have taken.
#[derive(Debug)]
struct Taken {
    /// If tasks are bound, and ask for CPUs.
    free: Option<cpus::Free>,
    /// If tasks are bound, and ask for none: those of each slot.
    of_slots: Vec<Vec<usize>>,
    /// By slot.
    shares: Vec<Share>,
}

/// How tasks are told.
#[derive(Debug)]
struct Words {
    gpus: Option<Gpus>,
    /// Variables of which the runner has its own opinion, or which belong to the user.
    taboo: Vec<&'static str>,
    /// Variables that tasks must not inherit.
    hidden: Vec<&'static str>,
}

impl Words {
    /// `is_runners`: whether the runner sets this variable; then nothing else does.
    fn new(gpus: Option<Gpus>, is_runners: impl Fn(&str) -> bool) -> Self {
        // A farm that is a task of another one has that one's number, which is nobody's choice.
        let (threads, of_outer) = (std::env::var_os(OMP_NUM_THREADS), std::env::var_os(TASKFARMER_CPUS));
        let is_users = |name: &str| name == OMP_NUM_THREADS && threads.is_some() && threads != of_outer;
        let of_cpus = [TASKFARMER_CPUS, OMP_NUM_THREADS, TASKFARMER_GPUS];
        let all = gpus::VARIABLES.into_iter().chain([gpus::ORDINAL]).chain(of_cpus);
        let taboo = all.filter(|name| is_runners(name) || is_users(name)).collect();
        let mut hidden = Vec::new();
        if gpus.is_some() {
            // A program must not find GPUs by the variable of a different vendor.
            hidden.extend(gpus::VARIABLES.into_iter().chain([gpus::ORDINAL]).filter(|name| !is_runners(name)));
        }
        Self { gpus, taboo, hidden }
    }

    /// The variables of a task with this many CPUs, if they are its own, and these GPUs.
    fn variables(&self, cpus: usize, own_gpus: &str) -> Vec<CString> {
        let of_gpus = self.gpus.as_ref().map(|gpus| match own_gpus {
            // Level Zero takes an empty mask for all GPUs; the others, for none.
            "" if gpus.variable == gpus::ZE => [None, None],
            "" => [None, Some((gpus.variable, String::new()))],
            own => [TASKFARMER_GPUS, gpus.variable].map(|name| Some((name, own.to_owned()))),
        });
        let of_cpus = (cpus > 0).then(|| [TASKFARMER_CPUS, OMP_NUM_THREADS].map(|name| Some((name, cpus.to_string()))));
        let wanted = of_gpus.into_iter().chain(of_cpus).flatten().flatten();
        let set = wanted.filter(|(name, _)| !self.taboo.contains(name));
        set.filter_map(|(name, value)| c_string(format!("{name}={value}").as_bytes())).collect()
    }
}

impl Shares {
    /// Divides what the rank offers. `is_runners`: whether the runner sets this variable; then nothing else does.
    pub(super) fn new(config: &WorkerConfig, offer: &Offer, is_runners: impl Fn(&str) -> bool) -> Self {
        let words = Words::new(offer.gpus.clone(), is_runners);
        let is_bound = config.bind == Bind::Slot;
        let (of_slots, all_cpus) = match &config.kinds[..] {
            [demand] => {
                let cpus = if is_bound { cpus::per_slot(offer.slots, demand.cpus) } else { Vec::new() };
                (OfSlots::Fixed(fixed(&words, offer.slots, demand, &cpus)), cpus.concat())
            }
            kinds => {
                let ask = kinds.iter().any(|demand| demand.cpus > 0);
                let free = (is_bound && ask).then(cpus::Free::of_this_rank);
                let of_slots = if is_bound && !ask { cpus::per_slot(offer.slots, 0) } else { Vec::new() };
                let all = free.as_ref().map_or_else(|| of_slots.concat(), cpus::Free::all);
                let shares = vec![Share::default(); offer.slots as usize];
                let taken = Mutex::new(Taken { free, of_slots, shares });
                (OfSlots::Mixed { kinds: kinds.to_vec(), taken }, all)
            }
        };
        Self { of_slots, all_cpus, words, none: Share::default() }
    }

    /// Variables that tasks must not inherit, since each has its own.
    pub(super) fn variables(&self) -> &[&'static str] {
        &self.words.hidden
    }

    /// A task of this class gets a slot, and these GPUs.
    pub(super) fn assign(&self, slot: u32, class: Class, gpus: &[u32]) {
        let OfSlots::Mixed { kinds, taken } = &self.of_slots else { return };
        let demand = kinds.get(class.0 as usize).copied().unwrap_or_default();
        let names = self.words.gpus.as_ref().map_or(&[][..], |gpus| &gpus.names);
        let own: Vec<&str> = gpus.iter().filter_map(|&gpu| names.get(gpu as usize)).map(String::as_str).collect();
        let (asked, gpus) = (demand.cpus as usize, own.join(","));
        let mut taken = lock(taken);
        let of_slot = taken.of_slots.get(slot as usize).cloned().unwrap_or_default();
        let cpus = taken.free.as_mut().map_or(of_slot, |free| free.take(asked));
        let count = if asked > 0 { asked } else { cpus.len() };
        let variables = self.words.variables(count, &gpus);
        if let Some(share) = taken.shares.get_mut(slot as usize) {
            *share = Share { cpus, count, gpus, variables };
        }
    }

    /// The task in this slot is over.
    pub(super) fn give_back(&self, slot: u32) {
        let OfSlots::Mixed { taken, .. } = &self.of_slots else { return };
        let Taken { free, shares, .. } = &mut *lock(taken);
        if let Some(share) = shares.get_mut(slot as usize) {
            let cpus = std::mem::take(share).cpus;
            free.iter_mut().for_each(|free| free.give_back(&cpus));
        }
    }

    /// What the task in a slot has.
    pub(super) fn of(&self, slot: u32) -> Cow<'_, Share> {
        match &self.of_slots {
            OfSlots::Fixed(shares) => Cow::Borrowed(shares.get(slot as usize).unwrap_or(&self.none)),
            OfSlots::Mixed { taken, .. } => {
                Cow::Owned(lock(taken).shares.get(slot as usize).cloned().unwrap_or_default())
            }
        }
    }

    /// The CPUs of all tasks together.
    pub(super) fn all_cpus(&self) -> &[usize] {
        &self.all_cpus
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shares of slots whose tasks all ask for the same.
fn fixed(words: &Words, slots: u32, demand: &Demand, cpus: &[Vec<usize>]) -> Vec<Share> {
    let gpus = words.gpus.as_ref().map_or_else(Vec::new, |gpus| gpus.per_slot(slots, demand.gpus));
    let of_slot = |slot: usize| {
        let cpus = cpus.get(slot).cloned().unwrap_or_default();
        let count = if demand.cpus > 0 { demand.cpus as usize } else { cpus.len() };
        let gpus = gpus.get(slot).cloned().unwrap_or_default();
        let variables = words.variables(count, &gpus);
        Share { cpus, count, gpus, variables }
    };
    (0..slots as usize).map(of_slot).collect()
}
