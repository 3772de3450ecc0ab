//! The thread that writes records to the disk about once a second, and checks whether the workdir still exists.
//!
//! A slow disk stalls this thread and nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::append::{Appender, Failure};
use super::{is_in_place, names};
use crate::sys::regular;

/// At most this much of what has ended is lost when a node loses power.
const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// A separate disk for logs may be full for this long before the farm gives up.
const LOGS_FULL_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct SyncState {
    /// In the order in which they were opened: the timeline first.
    files: Vec<(PathBuf, File)>,
    /// The folder in which ranks keep output.
    logs: Option<(PathBuf, File)>,
    dirty: bool,
    /// A rank could not create a log.
    probe: bool,
    stop: bool,
    error: Option<Failure>,
}

/// The thread that syncs.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<(Mutex<SyncState>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts it. `logs`: the folder in which ranks keep output, if they do.
    pub(super) fn start(workdir: &Path, logs: Option<(PathBuf, File)>) -> io::Result<Self> {
        // The folder too: a new file's name is not on disk before its folder is.
        let folder = (workdir.to_owned(), File::open(workdir)?);
        let state = SyncState { files: vec![folder], logs, ..SyncState::default() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let (theirs, probe) = (Arc::clone(&shared), Probe { workdir: workdir.to_owned(), logs_full_since: None });
        let work = move || sync_loop(&theirs, probe);
        let thread = std::thread::Builder::new().name("tfarmer-sync".to_owned()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    fn with<R>(&self, act: impl FnOnce(&mut SyncState) -> R) -> R {
        act(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A further file to sync, which is returned.
    pub(super) fn add(&self, file: Appender) -> io::Result<Appender> {
        let entry = file.for_sync()?;
        self.with(|state| state.files.push(entry));
        Ok(file)
    }

    fn set(&self, flag: impl FnOnce(&mut SyncState) -> &mut bool) {
        if !self.with(|state| std::mem::replace(flag(state), true)) {
            self.shared.1.notify_one();
        }
    }

    /// Something was written.
    pub(super) fn wake(&self) {
        self.set(|state| &mut state.dirty);
    }

    /// A rank could not create a log: requests a check of the workdir. Requests of many ranks at the same time count as
    /// one.
    pub(super) fn probe(&self) {
        self.set(|state| &mut state.probe);
    }

    /// What went wrong since the last call.
    pub(super) fn take_error(&self) -> Option<Failure> {
        self.with(|state| state.error.take())
    }

    /// Syncs everything for the last time.
    pub(super) fn finish(&mut self) {
        self.with(|state| state.dirty = true);
        self.set(|state| &mut state.stop);
        if let Some(thread) = self.thread.take() {
            // A panic there would be a bug; what matters is that the last sync has ended.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn sync_loop(shared: &(Mutex<SyncState>, Condvar), mut probe: Probe) {
    let (mutex, changed) = shared;
    let mut state = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let is_idle = |state: &mut SyncState| !state.dirty && !state.probe && !state.stop;
        state = changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        // Writes within the interval share one sync.
        let pause = changed.wait_timeout_while(state, SYNC_INTERVAL, |state| !state.stop);
        state = pause.unwrap_or_else(PoisonError::into_inner).0;
        let (dirty, asked) = (std::mem::take(&mut state.dirty), std::mem::take(&mut state.probe) && !state.stop);
        if dirty || asked {
            let files: Vec<_> = state.files.iter().map(|(path, file)| (path.clone(), file.try_clone())).collect();
            let logs = state.logs.as_ref().map(|(path, folder)| (path.clone(), folder.try_clone()));
            drop(state);
            let mut failure = if dirty { sync(files, logs) } else { None };
            if asked {
                failure = failure.or_else(|| probe.run().err());
            }
            state = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            state.error = state.error.take().or(failure);
        }
        if state.stop && !state.dirty {
            return;
        }
    }
}

/// Syncs files, and checks whether they and the folder of logs are in their places.
fn sync(files: Vec<(PathBuf, io::Result<File>)>, logs: Option<(PathBuf, io::Result<File>)>) -> Option<Failure> {
    let synced = files.into_iter().find_map(|(path, file)| {
        let synced = file.and_then(|file| {
            if path.is_dir() { file.sync_all() } else { file.sync_data() }.or_else(ignore_unsupported)?;
            is_in_place(&path, &file)
        });
        synced.err().map(|error| (path, error))
    });
    synced.or_else(|| {
        let (path, folder) = logs?;
        folder.and_then(|folder| is_in_place(&path, &folder)).err().map(|error| (path, error))
    })
}

/// Some network file systems cannot sync a folder and return EINVAL; they have nothing to sync there.
fn ignore_unsupported(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
}

/// Checks whether the workdir and its folder of logs accept new files and bytes.
#[derive(Debug)]
struct Probe {
    workdir: PathBuf,
    /// Since when there is no space for logs, as far as was checked.
    logs_full_since: Option<Instant>,
}

impl Probe {
    /// # Errors
    /// If they do not: they are read-only, or gone, or the workdir is full. Logs may be on a different disk: for a
    /// minute, space may be freed there.
    fn run(&mut self) -> Result<(), Failure> {
        let try_in = |folder: &Path| {
            let path = folder.join(names::PROBE);
            let tried = regular::temporary(&path).and_then(|mut file| {
                file.write_all(&[b'\n'; 4096])?;
                file.sync_all()
            });
            let removed = regular::remove_if_there(&path);
            tried.and(removed).map_err(|source| (path, source))
        };
        try_in(&self.workdir)?;
        let Err((path, source)) = try_in(&self.workdir.join(names::LOGS)) else {
            self.logs_full_since = None;
            return Ok(());
        };
        let is_full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let since = *self.logs_full_since.get_or_insert_with(Instant::now);
        if is_full && since.elapsed() < LOGS_FULL_MAX { Ok(()) } else { Err((path, source)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Many ranks that ask at the same time cause no delay, and get one answer; a later request gets a new one.
    #[test]
    fn many_questions_are_one() {
        let workdir = tempfile::tempdir().unwrap();
        let syncer = Syncer::start(workdir.path(), None).unwrap();
        let answer = || {
            let since = Instant::now();
            loop {
                if let Some((path, _)) = syncer.take_error() {
                    return path;
                }
                assert!(since.elapsed() < Duration::from_secs(60), "nothing was checked");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        for _ in 0..2 {
            (0..10_000).for_each(|_| syncer.probe());
            assert_eq!(answer(), workdir.path().join("logs/.probe"));
            assert!(syncer.take_error().is_none());
        }
        fs::create_dir(workdir.path().join("logs")).unwrap();
        let mut probe = Probe { workdir: workdir.path().to_owned(), logs_full_since: None };
        probe.run().unwrap();
        assert_eq!(fs::read_dir(workdir.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
