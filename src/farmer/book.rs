//! The tasks that one rank holds, and the room that it has for more.
//!
//! Owns the comparison of tasks with slots: whatever is free, waits or runs on a rank is asked here. Never decides how
//! many tasks a rank should hold: see [`super::handout`].

use crate::task::{SLOTS_MAX, TaskId};

/// The most tasks whose verdict may be pending at one worker: they do not count against its slots, so a wrong number
/// must not let it have an unlimited number of tasks.
const UNDECIDED_MAX: u32 = 4096;

/// What a rank holds. Every task takes one slot.
#[derive(Clone, Default, Debug)]
pub struct Book {
    slots: u32,
    /// In order of hand-out: running, queued or on the way.
    tasks: Vec<TaskId>,
    /// How many of them have left their slot, while their verdict is pending.
    undecided: u32,
}

impl Book {
    /// How many tasks the rank runs at the same time; 0 before its Hello, and with `--farmer-only`.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The tasks, in order of hand-out: running, queued or on the way.
    #[must_use]
    pub fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }

    /// How many tasks it holds.
    #[must_use]
    pub fn held(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// How many of them run.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.held().saturating_sub(self.undecided).min(self.slots)
    }

    /// How many of them wait for a slot.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.held().saturating_sub(self.room())
    }

    /// Slots without a task.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.room().saturating_sub(self.held())
    }

    /// Tasks that it can hold without one waiting for a slot.
    fn room(&self) -> u32 {
        self.slots.saturating_add(self.undecided)
    }

    pub(super) fn set_slots(&mut self, slots: u32) {
        self.slots = slots.min(SLOTS_MAX);
    }

    pub(super) fn set_undecided(&mut self, undecided: u32) {
        self.undecided = undecided.min(self.held()).min(UNDECIDED_MAX);
    }

    pub(super) fn add(&mut self, tasks: impl Iterator<Item = TaskId>) {
        self.tasks.extend(tasks);
    }

    /// Takes a task out; `false` if it is not there.
    pub(super) fn remove(&mut self, id: TaskId) -> bool {
        // From the front: tasks end roughly in the order in which they were handed out.
        let Some(index) = self.tasks.iter().position(|&held| held == id) else { return false };
        self.tasks.remove(index);
        true
    }

    /// Drops all tasks except these.
    pub(super) fn keep(&mut self, kept: impl Fn(TaskId) -> bool) {
        self.tasks.retain(|&id| kept(id));
    }

    /// Takes all tasks out.
    pub(super) fn clear(&mut self) -> Vec<TaskId> {
        self.undecided = 0;
        std::mem::take(&mut self.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(slots: u32, tasks: u32, undecided: u32) -> Book {
        let mut book = Book::default();
        book.set_slots(slots);
        book.add((0..tasks).map(TaskId));
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
        assert!(book.remove(TaskId(1)) && !book.remove(TaskId(1)));
        assert_eq!((book.clear(), book.free()), (vec![TaskId(0), TaskId(2)], 2));
    }
}
