//! The tasks of one class that wait to be handed out, in the order of the list.
//!
//! Owns that order, and how many there are. The states of tasks are in [`super::tasks`]: a queue may still contain tasks
//! that have another one by now, which are skipped.

use std::collections::BTreeSet;

use crate::demand::classes::Class;
use crate::task::TaskId;

/// The tasks of a class.
#[derive(Debug)]
pub(super) struct Queue {
    ids: Ids,
    /// All tasks from this index on were never handed out, except for suspects.
    next: u32,
    /// Tasks before it that wait again.
    pub(super) returned: BTreeSet<TaskId>,
    /// How many tasks of the class wait to be handed out, suspects included.
    pub(super) pending: u32,
    /// How many are assigned.
    pub(super) assigned: u32,
}

#[derive(Debug)]
enum Ids {
    /// All of a list with this many tasks.
    All(u32),
    /// Ascending.
    Some(Vec<TaskId>),
}

impl Queue {
    /// All tasks of a list, all pending.
    pub(super) fn of_all(total: u32) -> Self {
        Self { ids: Ids::All(total), next: 0, returned: BTreeSet::new(), pending: total, assigned: 0 }
    }

    /// Pending tasks, ascending, by class.
    pub(super) fn by_class(tasks: impl Iterator<Item = (TaskId, Class)>, kinds: usize) -> Vec<Self> {
        let mut ids = vec![Vec::new(); kinds];
        tasks.for_each(|(id, class)| ids[class.0 as usize].push(id));
        let queue = |mut ids: Vec<TaskId>| {
            ids.shrink_to_fit();
            let pending = u32::try_from(ids.len()).expect("IDs have 32 bits");
            Self { ids: Ids::Some(ids), next: 0, returned: BTreeSet::new(), pending, assigned: 0 }
        };
        ids.into_iter().map(queue).collect()
    }

    /// The first task that was never handed out, whatever its state.
    pub(super) fn next(&self) -> Option<TaskId> {
        match &self.ids {
            Ids::All(total) => (self.next < *total).then_some(TaskId(self.next)),
            Ids::Some(ids) => ids.get(self.next as usize).copied(),
        }
    }

    /// Passes it over.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Takes out a task; `false` if it is in neither part of the queue.
    pub(super) fn take(&mut self, id: TaskId) -> bool {
        if self.next() == Some(id) {
            self.next += 1;
            return true;
        }
        self.returned.remove(&id)
    }

    /// A task waits again.
    pub(super) fn put_back(&mut self, id: TaskId) {
        if self.is_behind(id) {
            self.returned.insert(id);
        }
    }

    /// Whether the task was handed out or passed over.
    pub(super) fn is_behind(&self, id: TaskId) -> bool {
        self.next().is_none_or(|next| id < next)
    }

    /// The tasks that were never handed out, whatever their state. For cross-checks.
    pub(super) fn ahead(&self) -> impl Iterator<Item = TaskId> + '_ {
        let index = self.next as usize;
        let (all, some) = match &self.ids {
            Ids::All(total) => (self.next.min(*total)..*total, &[][..]),
            Ids::Some(ids) => (0..0, &ids[index.min(ids.len())..]),
        };
        all.map(TaskId).chain(some.iter().copied())
    }
}
