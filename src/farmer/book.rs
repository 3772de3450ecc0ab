//! The tasks that one rank holds, and the room that it has for more.
//!
//! Owns the comparison of what tasks ask for with what the rank has: whatever is free, waits or runs on a rank is asked
//! here. Never decides how many tasks a rank should hold: see [`super::handout`] and [`super::mixed`].

use std::sync::Arc;

use crate::demand::Capacity;
use crate::demand::classes::{Class, Loads};
use crate::demand::room::Load;
use crate::task::{SLOTS_MAX, TaskId};

/// The most tasks whose verdict may be pending at one worker: they do not count against its slots, so a wrong number
/// must not let it have an unlimited number of tasks.
const UNDECIDED_MAX: u32 = 4096;

/// What a rank holds. Every task takes one slot, and what it asks for, if tasks differ in that.
#[derive(Clone, Default, Debug)]
pub struct Book {
    slots: u32,
    /// In order of hand-out: running, queued or on the way.
    tasks: Vec<TaskId>,
    /// How many of them have left their slot, while their verdict is pending.
    undecided: u32,
    /// If tasks differ in what they ask for.
    mixed: Option<Box<Mixed>>,
}

/// What tasks ask for, where they differ.
#[derive(Clone, Debug)]
struct Mixed {
    loads: Arc<Loads>,
    capacity: Capacity,
    /// Of each task that the rank holds.
    classes: Vec<Class>,
    /// Of all tasks that the rank holds.
    load: Load,
}

impl Mixed {
    /// How many tasks run: a pool starts them in order, and waits until the next one fits.
    fn running(&self, slots: u32) -> u32 {
        let count = || u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        if count() <= slots && self.load.fits(&self.capacity) {
            return count();
        }
        let loads = self.classes.iter().scan(Load::default(), |sum, &class| {
            *sum = sum.plus(self.loads.of(class));
            Some(*sum)
        });
        let fit = loads.take(slots as usize).take_while(|load| load.fits(&self.capacity));
        u32::try_from(fit.count()).expect("at most slots")
    }
}

impl Book {
    /// How many tasks the rank runs at the same time, at most; 0 before its Hello, and with `--farmer-only`.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The tasks, in order of hand-out: running, queued or on the way.
    pub fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }

    /// How many tasks it holds.
    pub fn held(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// How many of them run.
    pub fn running(&self) -> u32 {
        match &self.mixed {
            Some(mixed) => mixed.running(self.slots),
            None => self.held().saturating_sub(self.undecided).min(self.slots),
        }
    }

    /// How many of them wait for a slot, or for what they ask for.
    pub fn queued(&self) -> u32 {
        match &self.mixed {
            Some(mixed) => self.held() - mixed.running(self.slots),
            None => self.held().saturating_sub(self.room()),
        }
    }

    /// Slots without a task. If tasks differ, none if not even a task that asks for the least of everything would fit.
    pub fn free(&self) -> u32 {
        match &self.mixed {
            Some(mixed) if !mixed.load.plus(mixed.loads.least).fits(&mixed.capacity) => 0,
            _ => self.room().saturating_sub(self.held()),
        }
    }

    /// Tasks that it can hold without one waiting for a slot.
    fn room(&self) -> u32 {
        match self.mixed {
            // It is not known what those whose verdict is pending have given back.
            Some(_) => self.slots,
            None => self.slots.saturating_add(self.undecided),
        }
    }

    /// What all its tasks ask for; nothing if they do not differ.
    pub(super) fn load(&self) -> Load {
        self.mixed.as_ref().map_or(Load::default(), |mixed| mixed.load)
    }

    /// The class of the task that was handed to it last.
    pub(super) fn last_class(&self) -> Option<Class> {
        self.mixed.as_ref().and_then(|mixed| mixed.classes.last().copied())
    }

    /// How many of its tasks are of this class.
    pub(super) fn of_class(&self, class: Class) -> u32 {
        let of_class = |mixed: &Mixed| mixed.classes.iter().filter(|&&of| of == class).count();
        self.mixed.as_ref().map_or(0, |mixed| u32::try_from(of_class(mixed)).unwrap_or(u32::MAX))
    }

    pub(super) fn set_slots(&mut self, slots: u32) {
        self.slots = slots.min(SLOTS_MAX);
    }

    /// Tasks differ in what they ask for, and the rank has this.
    pub(super) fn set_capacity(&mut self, capacity: Capacity, loads: &Arc<Loads>) {
        match &mut self.mixed {
            Some(mixed) => mixed.capacity = capacity,
            None => {
                // Whatever it held before its Hello is a mistake of the peer.
                let classes = vec![Class::default(); self.tasks.len()];
                let load = classes.iter().fold(Load::default(), |sum, &class| sum.plus(loads.of(class)));
                self.mixed = Some(Box::new(Mixed { loads: Arc::clone(loads), capacity, classes, load }));
            }
        }
    }

    pub(super) fn set_undecided(&mut self, undecided: u32) {
        self.undecided = undecided.min(self.held()).min(UNDECIDED_MAX);
    }

    pub(super) fn add(&mut self, tasks: impl Iterator<Item = (TaskId, Class)>) {
        let Some(mixed) = &mut self.mixed else { return self.tasks.extend(tasks.map(|(id, _)| id)) };
        for (id, class) in tasks {
            self.tasks.push(id);
            mixed.classes.push(class);
            mixed.load = mixed.load.plus(mixed.loads.of(class));
        }
    }

    /// Takes a task out; returns its class, or `None` if it is not there.
    pub(super) fn remove(&mut self, id: TaskId) -> Option<Class> {
        // From the front: tasks end roughly in the order in which they were handed out.
        let index = self.tasks.iter().position(|&held| held == id)?;
        self.tasks.remove(index);
        let Some(mixed) = &mut self.mixed else { return Some(Class::default()) };
        let class = mixed.classes.remove(index);
        mixed.load = mixed.load.minus(mixed.loads.of(class));
        Some(class)
    }

    /// Drops all tasks except these.
    pub(super) fn keep(&mut self, kept: impl Fn(TaskId) -> bool) {
        let dropped: Vec<TaskId> = self.tasks.iter().copied().filter(|&id| !kept(id)).collect();
        dropped.into_iter().for_each(|id| _ = self.remove(id));
    }

    /// Takes all tasks out.
    pub(super) fn clear(&mut self) -> Vec<TaskId> {
        self.undecided = 0;
        if let Some(mixed) = &mut self.mixed {
            mixed.classes.clear();
            mixed.load = Load::default();
        }
        std::mem::take(&mut self.tasks)
    }

    /// Cross-checks what is derived from the tasks. For tests and the simulator.
    pub(super) fn check_invariants(&self, class: impl Fn(TaskId) -> Class) {
        let Some(mixed) = &self.mixed else { return };
        let classes: Vec<Class> = self.tasks.iter().map(|&id| class(id)).collect();
        let load = classes.iter().fold(Load::default(), |sum, &class| sum.plus(mixed.loads.of(class)));
        assert_eq!((&mixed.classes, mixed.load), (&classes, load));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Demand;
    use crate::demand::classes::Kind;

    fn one(id: u32) -> (TaskId, Class) {
        (TaskId(id), Class::default())
    }

    fn book(slots: u32, tasks: u32, undecided: u32) -> Book {
        let mut book = Book::default();
        book.set_slots(slots);
        book.add((0..tasks).map(one));
        book.set_undecided(undecided);
        book
    }

    /// A task whose verdict is pending needs no slot anymore.
    #[test]
    fn what_runs_waits_and_is_free() {
        let of = |book: Book| (book.running(), book.queued(), book.free());
        assert_eq!(of(book(4, 0, 0)), (0, 0, 4));
        assert_eq!(of(book(4, 3, 0)), (3, 0, 1));
        assert_eq!(of(book(4, 7, 0)), (4, 3, 0));
        assert_eq!(of(book(4, 7, 2)), (4, 1, 0));
        assert_eq!(of(book(4, 4, 3)), (1, 0, 3));
        assert_eq!(of(book(0, 2, 0)), (0, 2, 0), "a rank without slots");
    }

    /// Promise 5: whatever a worker reports, it gets no unlimited number of tasks.
    #[test]
    fn wrong_numbers_are_limited() {
        assert_eq!(book(u32::MAX, 0, u32::MAX).free(), SLOTS_MAX);
        assert_eq!(book(1, 10_000, u32::MAX).queued(), 10_000 - UNDECIDED_MAX - 1);
        let mut book = book(2, 3, 3);
        assert!(book.remove(TaskId(1)).is_some() && book.remove(TaskId(1)).is_none());
        assert_eq!((book.clear(), book.free()), (vec![TaskId(0), TaskId(2)], 2));
    }

    fn mixed(tasks: &[u16]) -> Book {
        let kinds = [1, 4, 8].map(|cpus| Kind { demand: Demand { cpus, ..Demand::default() }, ..Kind::default() });
        let mut book = Book::default();
        book.set_slots(8);
        book.set_capacity(Capacity { cpus: 8, ..Capacity::default() }, &Arc::new(Loads::new(&kinds)));
        book.add((0..).map(TaskId).zip(tasks.iter().copied().map(Class)));
        book.check_invariants(|id| Class(tasks[id.0 as usize]));
        book
    }

    /// Tasks that differ take what they ask for, and are started in order.
    #[test]
    fn tasks_take_what_they_ask_for() {
        let of = |book: &Book| (book.running(), book.queued(), book.free());
        assert_eq!(of(&mixed(&[])), (0, 0, 8));
        assert_eq!(of(&mixed(&[1, 0])), (2, 0, 6), "three CPUs are free, and it is not known what asks for them");
        assert_eq!(of(&mixed(&[1, 1])), (2, 0, 0));
        assert_eq!(of(&mixed(&[1, 2, 0])), (1, 2, 0), "the last one would fit, but is not started before the other");
        let mut book = mixed(&[1, 2, 0]);
        assert_eq!((book.remove(TaskId(1)), of(&book)), (Some(Class(2)), (2, 0, 6)));
        book.keep(|id| id == TaskId(2));
        assert_eq!((book.tasks(), of(&book), book.last_class()), (&[TaskId(2)][..], (1, 0, 7), Some(Class(0))));
        assert_eq!((book.clear(), book.load()), (vec![TaskId(2)], Load::default()));
    }
}
