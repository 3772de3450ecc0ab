//! The cross-check of the task table, for tests and the simulator.

use super::{ALONE_FROM, TaskState, TaskTable};
use crate::task::TaskId;

impl TaskTable {
    /// Cross-checks the counters with the table. For tests and the simulator: visits every task.
    ///
    /// # Panics
    /// If they differ.
    pub fn check_invariants(&self) {
        let count = |state| u32::try_from(self.states.iter().filter(|&&s| s == state).count()).expect("fits");
        assert_eq!(self.pending, count(TaskState::Pending), "pending");
        assert_eq!(self.finished, count(TaskState::Finished), "finished");
        assert_eq!(self.failed, count(TaskState::Failed), "failed");
        for &(alone, id) in &self.suspects {
            assert_eq!(
                (self.state(id), self.crashes(id) >= ALONE_FROM),
                (Some(TaskState::Pending), alone),
                "task {id}"
            );
            assert!(self.crashes(id) > 0, "task {id} is not a suspect");
        }
        let ready = self.waiting.ready();
        let mut waits = self.suspects.len() + ready as usize;
        let ids = || (0..self.total()).map(TaskId);
        for (class, queue) in self.all_classes().zip(&self.queues) {
            let of = |state| {
                let of = ids().filter(|&id| self.class(id) == class && self.state(id) == Some(state));
                u32::try_from(of.count()).expect("fits")
            };
            let counts = (of(TaskState::Pending), of(TaskState::Assigned));
            assert_eq!((queue.pending, queue.assigned), counts, "class {class:?}");
            for &id in &queue.returned {
                assert!(queue.is_behind(id), "task {id} waits twice");
                assert_eq!((self.state(id), self.class(id)), (Some(TaskState::Pending), class), "task {id}");
                assert!(!self.is_suspect(id), "suspect {id} waits twice");
            }
            let ahead = queue.ahead().filter(|&id| self.state(id) == Some(TaskState::Pending) && !self.is_suspect(id));
            waits += queue.returned.len() + ahead.count();
        }
        assert_eq!(self.pending as usize, waits, "a waiting task would be forgotten");
        let delayed = count(TaskState::Delayed) + ready;
        assert_eq!(self.waiting.len(), delayed as usize, "delayed");
        self.waiting.check_invariants();
    }
}
