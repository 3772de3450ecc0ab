//! `toprocess`: the tasks that have not ended yet, for the user's information.
//!
//! Owns that file. It is never authoritative, so it is written at the start, at the end and occasionally in between.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::records;
use super::replace::{Manner, Replacer};
use crate::farmer::TaskState;
use crate::task::TaskId;
use crate::tasklist::TaskList;

const MANNER: Manner = Manner {
    thread: "tfarmer-toproc",
    first: Duration::ZERO,
    pause: (Duration::from_secs(60), Duration::MAX),
    is_synced: true,
};

/// Writes `toprocess`, in the background during a run.
#[derive(Debug)]
pub(crate) struct Writer(Replacer);

impl Writer {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Replacer::new(path, MANNER))
    }

    /// Writes the file if it is due. `snapshot` returns the state of every task.
    ///
    /// # Errors
    /// If the last write failed.
    pub(crate) fn write_if_due(
        &mut self,
        list: &Arc<TaskList>,
        snapshot: impl FnOnce() -> Vec<TaskState>,
    ) -> io::Result<()> {
        if !self.0.is_due()? {
            return Ok(());
        }
        let (list, states) = (Arc::clone(list), snapshot());
        self.0.begin(move |out| write(out, &list, &states))
    }

    /// Writes the final state.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) fn finish(mut self, list: &TaskList, states: &[TaskState]) -> io::Result<()> {
        self.0.finish(|out| write(out, list, states))
    }
}

fn write(out: &mut dyn Write, list: &TaskList, states: &[TaskState]) -> io::Result<()> {
    for (id, state) in (0..).map(TaskId).zip(states) {
        if !matches!(state, TaskState::Finished | TaskState::Failed) {
            records::push(out, id, list.command(id))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Running tasks are in it: PyTaskFarmer lost them.
    #[test]
    fn holds_all_that_is_not_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toprocess");
        let list = TaskList::from_commands([&b"a"[..], b"b", b"c", b"d"]);
        let states = [TaskState::Finished, TaskState::Assigned, TaskState::Failed, TaskState::Pending];
        Writer::new(path.clone()).finish(&list, &states).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"1 b\n3 d\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
