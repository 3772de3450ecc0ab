//! `status.json`: the state of the farm, for `taskfarmer-mpi status` on a different node.
//!
//! Owns that file and when it is written: soon after the start, then about once a second, and at the end. It is
//! replaced by rename, by a separate thread, so that a slow disk delays nothing. It is never authoritative, and not
//! synced.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sys::regular;

/// The longest `status.json`, in bytes: that of a million slots has half of this.
pub(crate) const STATUS_LEN_MAX: u64 = 64 << 20;

/// First write after the start: most runs that end sooner are tests of a list.
const FIRST: Duration = Duration::from_secs(1);

/// Minimum time between two writes: short enough that each check of the farm, once a second, finds it due. With a
/// longer one, `status --running` would miss tasks that have started since: if they take only a few seconds, all of
/// them.
const INTERVAL_MIN: Duration = Duration::from_millis(900);

/// After a write that takes long, the pause is this many times as long.
const INTERVAL_FACTOR: u32 = 50;

/// But not longer than this: a file system that was slow once may be quick again.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Writes `status.json` in the background.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    thread: Option<JoinHandle<io::Result<Duration>>>,
    next: Instant,
    interval: Duration,
    told: bool,
}

impl StatusFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, thread: None, next: Instant::now() + FIRST, interval: INTERVAL_MIN, told: false }
    }

    /// When it must be written or checked next.
    #[must_use]
    pub fn is_due(&mut self) -> bool {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            let took = self.join();
            self.interval = (took * INTERVAL_FACTOR).clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
        self.thread.is_none() && Instant::now() >= self.next
    }

    /// The approximate time between the next write and the one after it.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Starts to write these bytes.
    pub fn write(&mut self, bytes: Vec<u8>) {
        let path = self.path.clone();
        let work = move || {
            let start = Instant::now();
            replace(&path, &bytes).map(|()| start.elapsed())
        };
        self.next = Instant::now() + self.interval;
        match std::thread::Builder::new().name("tfarmer-status".to_owned()).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.report(&error),
        }
    }

    /// Writes the last state.
    pub fn finish(mut self, bytes: &[u8]) {
        self.join();
        if let Err(error) = replace(&self.path, bytes) {
            self.report(&error);
        }
    }

    fn join(&mut self) -> Duration {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Ok(took))) => took,
            Some(Ok(Err(error))) => {
                self.report(&error);
                Duration::ZERO
            }
            _ => Duration::ZERO,
        }
    }

    /// Reports it once: what counts is in other files, and if those cannot be written, the farm stops.
    fn report(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            log::info!("cannot write {}: {error}; only `status` misses it", self.path.display());
        }
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        self.join();
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let written = regular::temporary(&new).and_then(|mut file| file.write_all(bytes));
    let result = written.and_then(|()| std::fs::rename(&new, path));
    if result.is_err() {
        let _ = regular::remove_if_there(&new);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader sees a complete file, old or new, and no other file is left behind.
    #[test]
    fn it_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let mut file = StatusFile::new(path.clone());
        assert!(!file.is_due(), "a very short run does without");
        file.write(b"{}".to_vec());
        assert!(!file.is_due());
        file.finish(b"{\"total\":1}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"total\":1}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        StatusFile::new(folder.path().join("no/status.json")).finish(b"{}");
    }
}
