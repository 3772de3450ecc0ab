//! `toprocess`: the tasks that have not ended yet, for the user's information.
//!
//! Owns that file. It is never authoritative, so it is written at the start, at the end and occasionally in between, by
//! a separate thread, and replaced by rename: a reader sees an old list or a new one.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::farmer::TaskState;
use crate::sys::regular;
use crate::task::TaskId;
use crate::tasklist::TaskList;

/// Minimum time between two writes during a run.
const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// After a write that takes long, the pause is this many times as long.
const INTERVAL_FACTOR: u32 = 50;

/// Writes `toprocess`, in the background during a run.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    thread: Option<JoinHandle<io::Result<Duration>>>,
    next: Option<Instant>,
}

impl Writer {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, thread: None, next: None }
    }

    /// Writes the file if it is due. `snapshot` returns the state of every task.
    ///
    /// # Errors
    /// If the last write failed.
    pub fn write_if_due(&mut self, list: &Arc<TaskList>, snapshot: impl FnOnce() -> Vec<TaskState>) -> io::Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            let took = self.join()?;
            self.next = Some(Instant::now() + INTERVAL_MIN.max(took * INTERVAL_FACTOR));
        }
        if self.thread.is_none() && self.next.is_none_or(|next| Instant::now() >= next) {
            let (path, list, states) = (self.path.clone(), Arc::clone(list), snapshot());
            let work = move || {
                let start = Instant::now();
                write(&path, &list, &states).map(|()| start.elapsed())
            };
            self.thread = Some(std::thread::Builder::new().name("tfarmer-toproc".to_owned()).spawn(work)?);
        }
        Ok(())
    }

    /// Writes the final state.
    ///
    /// # Errors
    /// If that fails.
    pub fn finish(mut self, list: &TaskList, states: &[TaskState]) -> io::Result<()> {
        let earlier = self.join();
        write(&self.path, list, states)?;
        earlier.map(|_| ())
    }

    fn join(&mut self) -> io::Result<Duration> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(Duration::ZERO),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread that writes it panicked")),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn write(path: &Path, list: &TaskList, states: &[TaskState]) -> io::Result<()> {
    let new = path.with_extension("new");
    let result = write_new(&new, list, states).and_then(|()| std::fs::rename(&new, path));
    if result.is_err() {
        let _ = regular::remove_if_there(&new);
    }
    result
}

fn write_new(path: &Path, list: &TaskList, states: &[TaskState]) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, regular::temporary(path)?);
    for (id, state) in (0..).map(TaskId).zip(states) {
        if !matches!(state, TaskState::Finished | TaskState::Failed) {
            write!(out, "{id} ")?;
            out.write_all(list.command(id))?;
            out.write_all(b"\n")?;
        }
    }
    out.into_inner()?.sync_data()
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
