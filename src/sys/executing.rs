//! What a rank is executing, in memory that its MPI process and its pool share.
//!
//! Owns a table of slots. A pool that is killed cannot report what it was running; its MPI process reads it here. A
//! task costs two stores at its start and one at its end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::task::{SLOTS_MAX, TaskId};

/// Words of a slot: the time when its task got it, and the task's ID plus one; 0 if it is free.
const WORDS: usize = 2;

/// The table. Processes that are forked after it was created share it.
#[derive(Clone, Copy, Debug)]
pub struct ExecutingTable(&'static [AtomicU64]);

/// A task that is executing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Executed {
    /// The task.
    pub id: TaskId,
    /// Its slot.
    pub slot: u32,
    /// When it got its slot, in microseconds since 1970.
    pub start_us: u64,
}

impl ExecutingTable {
    /// An empty table. Its pages cost no memory until they are written to.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new() -> io::Result<Self> {
        let words = 1 + WORDS * SLOTS_MAX as usize;
        // SAFETY: a new anonymous mapping, which nothing else refers to. It is page-aligned and filled with zeros, which
        // are valid for atomic integers, and it is never unmapped; what other processes do to it are atomic stores.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let at = libc::mmap(std::ptr::null_mut(), words * size_of::<AtomicU64>(), protection, flags, -1, 0);
            if at == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(std::slice::from_raw_parts(at.cast::<AtomicU64>(), words)))
        }
    }

    /// The words of a slot; `None` if no rank has that many.
    fn words(self, slot: u32) -> Option<&'static [AtomicU64]> {
        let at = 1 + WORDS * slot as usize;
        self.0.get(at..at + WORDS)
    }

    /// Prepares for a pool with this many slots, all free.
    pub fn clear(self, slots: u32) {
        (0..slots).for_each(|slot| self.end(slot));
        self.0[0].store(u64::from(slots), Ordering::Release);
    }

    /// A task is about to start.
    pub fn begin(self, slot: u32, id: TaskId, start_us: u64) {
        if let Some([start, task]) = self.words(slot) {
            start.store(start_us, Ordering::Relaxed);
            task.store(u64::from(id.0) + 1, Ordering::Release);
        }
    }

    /// The slot is free again.
    pub fn end(self, slot: u32) {
        if let Some([_, task]) = self.words(slot) {
            task.store(0, Ordering::Release);
        }
    }

    /// Takes out what was executing when the pool died.
    pub fn take(self) -> Vec<Executed> {
        let slots = u32::try_from(self.0[0].swap(0, Ordering::Acquire)).unwrap_or(0).min(SLOTS_MAX);
        let executed = |slot| {
            let [start, task] = self.words(slot)? else { return None };
            let id = TaskId(u32::try_from(task.swap(0, Ordering::Acquire).checked_sub(1)?).ok()?);
            Some(Executed { id, slot, start_us: start.load(Ordering::Relaxed) })
        };
        (0..slots).filter_map(executed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pool was running is known exactly, whatever it ran before; slots that no rank can have are ignored.
    #[test]
    fn executing_tasks_are_known() {
        let table = ExecutingTable::new().unwrap();
        table.begin(1, TaskId(7), 70);
        assert_eq!(table.take(), [], "no pool has said how many slots it has");
        table.clear(3);
        table.begin(0, TaskId(0), 5);
        table.begin(2, TaskId(u32::MAX), 6);
        table.begin(1, TaskId(8), 7);
        table.end(1);
        table.begin(SLOTS_MAX, TaskId(9), 8);
        let executed = |id, slot, start_us| Executed { id: TaskId(id), slot, start_us };
        assert_eq!(table.take(), [executed(0, 0, 5), executed(u32::MAX, 2, 6)]);
        assert_eq!(table.take(), [], "it was taken out");
    }
}
