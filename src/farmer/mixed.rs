//! The hand-out of tasks that differ in what they ask for.
//!
//! Owns its rules; where tasks do not differ, [`super::handout`] has simpler ones. A rank gets the first task that fits,
//! by priority and then in the order of the list, so small tasks fill gaps. A task that ends is replaced by one like it,
//! so that what large tasks need stays together. If no task of a class runs anywhere and its first one fits nowhere, a
//! rank is *reserved* for it: until it fits, others start there only if they take nothing that it lacks. So the first
//! waiting task of each class waits at most until a task of its class ends, or, if none runs, until enough tasks of the
//! reserved rank have ended. What the farm shares out is saved up in the same way.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::handout::ROUND_TRIPS;
use super::state::Status;
use super::workers::{WorkerState, blend};
use super::{Actions, Farmer, StopCause, TaskTable};
use crate::demand::Capacity;
use crate::demand::classes::{Class, Kind, Loads};
use crate::demand::list::Counts;
use crate::demand::room::Load;
use crate::protocol::StopLevel;
use crate::task::{Rank, TaskId};

/// What the farmer knows of classes, if there is more than one.
#[derive(Debug)]
pub(super) struct Mixture {
    kinds: Vec<Kind>,
    /// How much there is of each thing that the farm shares out.
    totals: Counts,
    /// How much of it assigned tasks had after the last hand-out.
    taken: Counts,
    pub(super) loads: Arc<Loads>,
    /// The usual length of the tasks of each class, in microseconds; 0 before the first result.
    lengths_us: Vec<u64>,
    reserved: Option<(Rank, Class)>,
    /// For these classes, no rank that takes part has room.
    helpless: Vec<Class>,
    /// Ranks have joined or were given up: `helpless` is out of date.
    pub(super) is_stale: bool,
}

impl Mixture {
    /// `None` if all tasks ask for the same, and the farm shares nothing out.
    pub(super) fn new(kinds: &[Kind], totals: Counts) -> Option<Box<Self>> {
        let shares = kinds.iter().any(|kind| kind.shared != Counts::default());
        (kinds.len() > 1 || shares).then(|| {
            Box::new(Self {
                kinds: kinds.to_vec(),
                totals,
                taken: Counts::default(),
                loads: Arc::new(Loads::new(kinds)),
                lengths_us: vec![0; kinds.len()],
                reserved: None,
                helpless: Vec::new(),
                is_stale: true,
            })
        })
    }

    /// Tasks of these classes have ended by themselves.
    pub(super) fn learn(&mut self, results: impl Iterator<Item = (Class, u64)>) {
        for (class, duration_us) in results {
            let length = &mut self.lengths_us[class.0 as usize];
            *length = blend(*length, duration_us);
        }
    }

    /// Where a task stands among those that wait: by priority, and then in the order of the list.
    fn place(&self, id: TaskId, class: Class) -> Place {
        (Reverse(self.kinds[class.0 as usize].priority), id, class)
    }

    /// How much a task of this class takes of what the farm shares out.
    fn shared(&self, class: Class) -> &Counts {
        &self.kinds[class.0 as usize].shared
    }

    /// How much of it those tasks have that ranks hold.
    fn taken_by(&self, held: &[u32]) -> Counts {
        let mut taken = Counts::default();
        for (kind, held) in self.kinds.iter().zip(held) {
            for (taken, each) in taken.iter_mut().zip(&kind.shared) {
                *taken = taken.saturating_add(each.saturating_mul(*held));
            }
        }
        taken
    }

    /// Whether there is enough of it for one more task of this class.
    fn has_enough(&self, taken: &Counts, class: Class) -> bool {
        let each = taken.iter().zip(self.shared(class)).zip(&self.totals);
        each.into_iter().all(|((taken, wanted), total)| *wanted == 0 || taken.saturating_add(*wanted) <= *total)
    }

    /// The task for which what the farm shares out is saved up: the most urgent one that waits of whose class none runs.
    /// Otherwise those behind it might take what it needs again and again, and while a rank drains for it.
    fn saves_for(&self, tasks: &mut TaskTable, held: &[u32]) -> Option<Place> {
        if self.totals == Counts::default() {
            return None;
        }
        // One for which a rank is reserved must not wait for another one.
        let reserved = self.reserved.map(|(_, class)| class).filter(|&class| held[class.0 as usize] == 0);
        let of_reserved = reserved.and_then(|class| Some(self.place(tasks.first_of(class, None)?, class)));
        let first = of_reserved.or_else(|| self.first_to_start(tasks, held))?;
        (*self.shared(first.2) != Counts::default()).then_some(first)
    }

    /// Of the most urgent tasks that wait, the first one of whose class no rank holds one.
    fn first_to_start(&self, tasks: &mut TaskTable, held: &[u32]) -> Option<Place> {
        let may_wait = tasks.all_classes().filter(|class| !self.helpless.contains(class));
        let firsts: Vec<Place> =
            may_wait.filter_map(|class| Some(self.place(tasks.first_of(class, None)?, class))).collect();
        let most_urgent = firsts.iter().map(|&(priority, ..)| priority).min();
        let runs_nowhere = |&(priority, _, class): &Place| Some(priority) == most_urgent && held[class.0 as usize] == 0;
        firsts.into_iter().filter(runs_nowhere).min()
    }

    /// Whether a rank has room for this class beside what it holds.
    fn fits_now(&self, worker: &WorkerState, class: Class) -> bool {
        worker.book.load().plus(self.loads.of(class)).fits(&worker.capacity)
    }

    /// Whether a rank has room for this class, once enough of its tasks have ended.
    fn may_serve(&self, worker: &WorkerState, class: Class) -> bool {
        worker.takes_tasks() && worker.quarantine.is_none() && self.loads.of(class).fits(&worker.capacity)
    }

    fn reserved_for(&self, rank: Rank) -> Option<Class> {
        self.reserved.filter(|&(reserved, _)| reserved == rank).map(|(_, class)| class)
    }
}

/// Priority, task, and its class: the least goes first.
type Place = (Reverse<i32>, TaskId, Class);

/// The choice of tasks for one rank.
struct Choice<'a> {
    rank: Rank,
    mixture: &'a Mixture,
    capacity: Capacity,
    load: Load,
    /// What others may start there must not keep this one waiting.
    reserved: Option<Class>,
    /// Slots without a task.
    free: u32,
    /// How many tasks of each class ranks hold.
    held: Vec<u32>,
    /// How much of what the farm shares out these have.
    taken: Counts,
    saves_for: Option<Place>,
    /// Classes of tasks that have just ended there.
    recent: Vec<Class>,
    /// The first task of each class that has one; the first of all goes first.
    heads: Vec<Place>,
}

impl Choice<'_> {
    fn fits(&self, class: Class) -> bool {
        let of_class = self.mixture.loads.of(class);
        let is_beside = |reserved: Class| {
            // Each of them takes a slot.
            self.free > 1 && self.load.leaves_room_for(self.mixture.loads.of(reserved), of_class, &self.capacity)
        };
        let spares = self.reserved.is_none_or(|reserved| reserved == class || is_beside(reserved));
        spares && self.load.plus(of_class).fits(&self.capacity) && self.may_take(class)
    }

    fn may_take(&self, class: Class) -> bool {
        let conflicts = |saved: Place| {
            let mut both = self.mixture.shared(class).iter().zip(self.mixture.shared(saved.2));
            let is_behind = || self.heads.iter().any(|&place| place.2 == class && place > saved);
            saved.2 != class && both.any(|(one, other)| *one > 0 && *other > 0) && is_behind()
        };
        self.mixture.has_enough(&self.taken, class) && !self.saves_for.is_some_and(conflicts)
    }

    fn waits(&self, class: Class) -> bool {
        self.heads.iter().any(|&(.., other)| other == class)
    }

    /// Takes the next task for the rank.
    fn take(&mut self, tasks: &mut TaskTable) -> Option<TaskId> {
        let class = self.next()?;
        let id = tasks.take_of(class, self.rank)?;
        self.load = self.load.plus(self.mixture.loads.of(class));
        self.held[class.0 as usize] += 1;
        for (taken, each) in self.taken.iter_mut().zip(self.mixture.shared(class)) {
            *taken = taken.saturating_add(*each);
        }
        self.free = self.free.saturating_sub(1);
        if self.reserved == Some(class) {
            self.reserved = None;
        }
        let at = self.heads.iter().position(|&(.., other)| other == class)?;
        let (priority, ..) = self.heads.remove(at);
        if let Some(next) = tasks.first_of(class, Some(self.rank)) {
            let place = (priority, next, class);
            let at = self.heads.partition_point(|other| *other < place);
            self.heads.insert(at, place);
        }
        Some(id)
    }

    fn next(&mut self) -> Option<Class> {
        if let Some(class) = self.reserved.filter(|&class| self.waits(class) && self.fits(class)) {
            return Some(class);
        }
        let &(priority, _, first) = self.heads.first()?;
        // Otherwise its turn comes when one of its class ends.
        let must_go_first = self.held[first.0 as usize] == 0;
        while !must_go_first && let Some(class) = self.recent.pop() {
            let is_as_urgent = self.heads.iter().any(|&(other, _, of)| of == class && other == priority);
            if is_as_urgent && self.fits(class) {
                return Some(class);
            }
        }
        self.heads.iter().map(|&(.., class)| class).find(|&class| self.fits(class))
    }
}

impl Farmer {
    /// Whether some tasks wait that may be handed out before suspects.
    pub(super) fn ordinary_tasks_wait(&self) -> bool {
        let Some(mixture) = &self.mixture else { return self.tasks.ordinary() > self.tasks.restricted() };
        // No rank can have those.
        let helpless: u32 = mixture.helpless.iter().map(|&class| self.tasks.ordinary_of(class)).sum();
        self.tasks.ordinary() - helpless > self.tasks.restricted()
    }

    /// Hands tasks that differ to one worker: what fits, but at most `limit`.
    pub(super) fn fill_mixed(&mut self, now: Duration, rank: Rank, limit: u32, actions: &mut Actions) {
        self.end_reservation(&self.held());
        let Some(worker) = self.workers.get(rank) else { return };
        let (load, free, capacity) = (worker.book.load(), worker.book.free(), worker.capacity);
        let recent = self.workers.update(rank, |worker| std::mem::take(&mut worker.recent));
        // Out of the way, because the tables change while it is consulted.
        let Some(mixture) = self.mixture.take() else { return };
        let reserved = mixture.reserved_for(rank);
        let held = self.held();
        let (taken, saves_for) = (mixture.taken_by(&held), mixture.saves_for(&mut self.tasks, &held));
        let (classes, tasks) = (self.tasks.all_classes(), &mut self.tasks);
        let first_of = |class| Some(mixture.place(tasks.first_of(class, Some(rank))?, class));
        let mut heads: Vec<Place> = classes.filter_map(first_of).collect();
        heads.sort_unstable();
        let last = recent.last().copied();
        let mixed = &*mixture;
        let mut choice =
            Choice { rank, mixture: mixed, capacity, load, free, reserved, held, taken, saves_for, recent, heads };
        let is_trial = self.begin_trial(now, rank);
        let count = if is_trial { free.min(limit).min(1) } else { free.min(limit) };
        self.hand(now, rank, count, actions, |tasks| choice.take(tasks));
        self.mixture = Some(mixture);
        let held = self.held();
        self.end_reservation(&held);
        self.reserve(&held);
        if !is_trial && reserved.is_none() && limit == u32::MAX {
            self.prefetch_mixed(now, rank, last, actions);
        }
        self.assign_suspects(now, rank, actions);
    }

    /// Lets tasks of a class wait where one of it has just ended, if they are short.
    fn prefetch_mixed(&mut self, now: Duration, rank: Rank, class: Option<Class>, actions: &mut Actions) {
        let Some((mixture, worker)) = self.mixture.as_ref().zip(self.workers.get(rank)) else { return };
        // What the farm shares out must not wait in a queue.
        let may_wait =
            |class: &Class| mixture.lengths_us[class.0 as usize] > 0 && *mixture.shared(*class) == Counts::default();
        let Some(class) = class.filter(may_wait) else { return };
        let length_us = mixture.lengths_us[class.0 as usize];
        let beside = u64::from(worker.book.of_class(class).min(worker.book.slots()));
        let needed = (ROUND_TRIPS * worker.round_trip_us).saturating_mul(beside) / length_us;
        let waiting = u32::try_from(needed).unwrap_or(u32::MAX).min(super::handout::PREFETCH_MAX);
        // The last tasks of a class are shared.
        let fair = self.tasks.ordinary_of(class) / self.workers.len();
        let count = waiting.saturating_sub(worker.book.queued()).min(fair);
        self.hand(now, rank, count, actions, |tasks| tasks.take_of(class, rank));
    }

    /// How many tasks of each class ranks hold. One whose failure is not recorded yet has ended.
    fn held(&self) -> Vec<u32> {
        let mut held: Vec<u32> = self.tasks.all_classes().map(|class| self.tasks.of_class(class).1).collect();
        for id in self.doubts.ids() {
            let of_class = &mut held[self.tasks.class(id).0 as usize];
            *of_class = of_class.saturating_sub(1);
        }
        held
    }

    /// Whether tasks have less of what the farm shares out than after the last hand-out: then any rank may have room for
    /// more.
    pub(super) fn has_more_to_share(&self) -> bool {
        let is_more = |mixture: &Mixture| {
            mixture.taken_by(&self.held()).iter().zip(&mixture.taken).any(|(now, before)| now < before)
        };
        self.mixture.as_ref().is_some_and(|mixture| mixture.totals != Counts::default() && is_more(mixture))
    }

    /// Notes how much of that tasks have after a hand-out.
    pub(super) fn note_shared(&mut self) {
        if self.mixture.as_ref().is_some_and(|mixture| mixture.totals != Counts::default()) {
            let held = self.held();
            self.mixture.iter_mut().for_each(|mixture| mixture.taken = mixture.taken_by(&held));
        }
    }

    /// By class, whether one more task may start on a rank that holds nothing; empty if all tasks are alike.
    pub(super) fn may_start_alone(&self, worker: &WorkerState) -> Vec<bool> {
        let Some(mixture) = &self.mixture else { return Vec::new() };
        let taken = mixture.taken_by(&self.held());
        let may_start = |class| mixture.loads.of(class).fits(&worker.capacity) && mixture.has_enough(&taken, class);
        self.tasks.all_classes().map(may_start).collect()
    }

    /// Fills the reserved rank if it has room already.
    pub(super) fn serve_reservation(&mut self, now: Duration, actions: &mut Actions) {
        let mut pending = self.tasks.pending() + 1;
        while self.tasks.pending() < pending
            && let Some(mixture) = &self.mixture
            && let Some((rank, class)) = mixture.reserved
            && let Some(worker) = self.workers.get(rank)
            && mixture.may_serve(worker, class)
            && mixture.fits_now(worker, class)
        {
            pending = self.tasks.pending();
            self.fill_mixed(now, rank, u32::MAX, actions);
        }
    }

    /// Ends a reservation that serves nothing anymore.
    fn end_reservation(&mut self, held: &[u32]) {
        let Some(mixture) = &mut self.mixture else { return };
        let Some((rank, class)) = mixture.reserved else { return };
        // Without enough of what the farm shares out, the rank would be idle.
        let is_enough = mixture.has_enough(&mixture.taken_by(held), class);
        let is_needed = is_enough && held[class.0 as usize] == 0 && self.tasks.first_of(class, None).is_some();
        if !is_needed || !self.workers.get(rank).is_some_and(|worker| mixture.may_serve(worker, class)) {
            mixture.reserved = None;
        }
    }

    /// Reserves a rank for the first task that waits, of those classes of which no task runs, unless others are more
    /// urgent.
    fn reserve(&mut self, held: &[u32]) {
        let Some(mixture) = &mut self.mixture else { return };
        // At first, ranks are missing that may have room for all.
        if mixture.reserved.is_some() || !self.spread_over {
            return;
        }
        let Some((.., class)) = mixture.first_to_start(&mut self.tasks, held) else { return };
        if !mixture.has_enough(&mixture.taken_by(held), class) {
            return; // What it needs is saved up.
        }
        let excess = |(rank, worker): (Rank, &WorkerState)| {
            let with_it = worker.book.load().plus(mixture.loads.of(class));
            mixture.may_serve(worker, class).then(|| (with_it.excess(&worker.capacity), rank))
        };
        mixture.reserved = self.workers.iter().filter_map(excess).min().map(|(_, rank)| (rank, class));
    }

    /// The longest queue whose last task has room on one of these ranks.
    pub(super) fn longest_queue_for(&self, idle: &[Rank]) -> Option<(Rank, u32)> {
        let Some(mixture) = &self.mixture else { return self.workers.longest_queue() };
        let idle = idle.iter().filter(|&&rank| mixture.reserved_for(rank).is_none());
        let idle: Vec<&WorkerState> = idle.filter_map(|&rank| self.workers.get(rank)).collect();
        let helps = |&(rank, _): &(Rank, u32)| {
            let last = self.workers.get(rank).and_then(|worker| worker.book.last_class());
            last.is_some_and(|class| idle.iter().any(|idle| mixture.fits_now(idle, class)))
        };
        self.workers.longest_queues().find(helps)
    }

    /// Once all ranks have joined: whether each task that is open has room somewhere.
    pub(super) fn check_classes(&mut self, now: Duration, actions: &mut Actions) {
        let Some(mixture) = &mut self.mixture else { return };
        // Without any able rank, there is a different reason to end.
        if self.phase.stop().is_some() || self.workers.expected() > 0 || self.workers.able() == 0 {
            return;
        }
        if std::mem::take(&mut mixture.is_stale) {
            let has_room =
                |worker: &WorkerState, class| worker.book.slots() > 0 && mixture.loads.of(class).fits(&worker.capacity);
            let is_helpless = |&class: &Class| {
                !self.workers.iter().any(|(_, worker)| worker.status() == Status::Active && has_room(worker, class))
            };
            mixture.helpless = self.tasks.all_classes().filter(is_helpless).collect();
            // A rank that was lost before it joined might have had room.
            let all_known = self.workers.iter().all(|(_, worker)| !worker.host.is_empty());
            let never = |class: &&Class| !self.workers.iter().any(|(_, worker)| has_room(worker, **class));
            let mut impossible = mixture.helpless.iter().filter(|&&class| self.tasks.is_open(class));
            if let Some(&class) = impossible.find(never).filter(|_| all_known) {
                let cause = self.no_room_for(class);
                return self.request_stop(now, StopLevel::Terminate, cause, actions);
            }
        }
        let Some(mixture) = &self.mixture else { return };
        let waiting: u32 = mixture.helpless.iter().map(|&class| self.tasks.of_class(class).0).sum();
        if waiting > 0 && waiting == self.tasks.remaining() {
            let ids = (0..self.tasks.total()).map(TaskId);
            let mut open = ids.filter(|&id| self.tasks.state(id) == Some(super::TaskState::Pending));
            let first = open.next().expect("some wait");
            let demand = mixture.kinds[self.tasks.class(first).0 as usize].demand;
            let cause = StopCause::RoomLost { tasks: waiting, first, demand };
            self.request_stop(now, StopLevel::Drain, cause, actions);
        }
    }

    /// What the rank that comes closest lacks.
    pub(super) fn no_room_for(&self, class: Class) -> StopCause {
        let Some(mixture) = &self.mixture else { return StopCause::NoWorkers };
        let load = mixture.loads.of(class);
        // With --farmer-only, rank 0 has CPUs and runs no tasks.
        let able = self.workers.iter().filter(|(_, worker)| worker.book.slots() > 0 || worker.shortage.is_some());
        let Some((rank, worker)) = able.min_by_key(|(rank, worker)| (load.excess(&worker.capacity), *rank)) else {
            return StopCause::NoWorkers;
        };
        let mut ids = (0..self.tasks.total()).map(TaskId);
        let first = ids.find(|&id| self.tasks.class(id) == class && self.tasks.is_unrecorded(id));
        let shortage = worker.capacity.room(&mixture.kinds[class.0 as usize].demand).err();
        let shortage = shortage.zip(first).map_or_else(String::new, |(shortage, id)| shortage.of_task(id.0));
        StopCause::NoRoom { rank, host: worker.host.clone(), shortage }
    }
}
