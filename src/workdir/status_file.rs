//! `status.json`: how the farm is doing, for `taskfarmer-mpi status` on another node.
//!
//! Owns that file and when it is written: soon after the start, then about once a second, and at the end. It is replaced
//! by rename, by a thread of its own, so that a slow disk holds nothing up. It is never the truth, and not synced.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::journal::remove_if_there;
use crate::sys::regular;

/// The longest `status.json`, in bytes: that of a million slots has half of this.
pub(crate) const STATUS_LEN_MAX: u64 = 64 << 20;

/// First write after the start: most runs that end sooner are tests of a list.
const FIRST: Duration = Duration::from_secs(1);

/// Least time between two writes: a look at the farm, which comes once a second, finds it due. With a longer one, `status
/// --running` would miss what has started since: of tasks of a few seconds, all.
const INTERVAL_MIN: Duration = Duration::from_millis(900);

/// A write that takes long is followed by so many times as long without one.
const INTERVAL_FACTOR: u32 = 50;

/// But not by more than this: a file system that was held up once may be quick again.
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

    /// When it is to be written next, or looked after.
    #[must_use]
    pub fn is_due(&mut self) -> bool {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            let took = self.join();
            self.interval = (took * INTERVAL_FACTOR).clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
        self.thread.is_none() && Instant::now() >= self.next
    }

    /// About how long it will be until the write after the coming one.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Starts to write this.
    pub fn write(&mut self, bytes: Vec<u8>) {
        let path = self.path.clone();
        let work = move || {
            let start = Instant::now();
            replace(&path, &bytes).map(|()| start.elapsed())
        };
        self.next = Instant::now() + self.interval;
        match std::thread::Builder::new().name("tfarmer-status".to_owned()).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.tell(&error),
        }
    }

    /// Writes the last state.
    pub fn finish(mut self, bytes: &[u8]) {
        self.join();
        if let Err(error) = replace(&self.path, bytes) {
            self.tell(&error);
        }
    }

    fn join(&mut self) -> Duration {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Ok(took))) => took,
            Some(Ok(Err(error))) => {
                self.tell(&error);
                Duration::ZERO
            }
            _ => Duration::ZERO,
        }
    }

    /// Says it once: what counts is in other files, and if those can't be written the farm stops.
    fn tell(&mut self, error: &io::Error) {
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
        let _ = remove_if_there(&new);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader sees a whole file, old or new, and nothing else is left behind.
    #[test]
    fn it_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let mut file = StatusFile::new(path.clone());
        assert!(!file.is_due(), "a run of a moment does without");
        file.write(b"{}".to_vec());
        assert!(!file.is_due());
        file.finish(b"{\"total\":1}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"total\":1}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        StatusFile::new(folder.path().join("no/status.json")).finish(b"{}");
    }
}
