//! Writing down what has ended: timeline, `tasks.tsv`, the job log, then `finished` or `failed`.
//!
//! Owns the files that grow during a run, and the thread that syncs them to disk about once a second; a
//! sync that takes long stalls that thread and nothing else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::append::Appender;
use super::{attempts, is_still, joblog, names};
use crate::farmer::Record;
use crate::protocol::TaskId;
use crate::tasklist::TaskList;
use crate::timeline;

/// At most so much of what has ended is lost when a node loses power.
const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// A disk of its own for logs may be full for so long before the farm gives up.
const LOGS_FULL_MAX: Duration = Duration::from_secs(60);

/// A file of the workdir that does not take what has ended.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}\n  what was recorded before is safe; make space or mend the file system, then run the same command again", path.display())]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
    /// Records of the batch that are not in `finished` or `failed`.
    pub unwritten: Vec<TaskId>,
}

/// The growing files of a workdir.
#[derive(Debug)]
pub struct Journal {
    workdir: PathBuf,
    timeline: Appender,
    attempts: Appender,
    joblog: Option<Appender>,
    finished: Option<Appender>,
    failed: Option<Appender>,
    text: Vec<u8>,
    /// Host names, by rank.
    hosts: Vec<Vec<u8>>,
    /// Since when logs find no space, as far as was looked.
    logs_full_since: Option<Instant>,
    syncer: Syncer,
}

impl Journal {
    /// Opens timeline and `tasks.tsv`, mended if a crash left them torn. `finished` and `failed` are made on first use.
    /// The error says which file can't be written.
    pub(super) fn open(workdir: &Path, joblog: Option<&Path>) -> Result<Self, (PathBuf, io::Error)> {
        let syncer = Syncer::start(workdir).map_err(|error| (workdir.to_owned(), error))?;
        let path = workdir.join(names::TIMELINE);
        let start = timeline::prepare(&path);
        let timeline = start.and_then(|start| open_at(&path, &start, &syncer)).map_err(|error| (path, error))?;
        let path = workdir.join(names::ATTEMPTS);
        let start = attempts::prepare(&path);
        let attempts = start.and_then(|start| open_at(&path, start, &syncer)).map_err(|error| (path, error))?;
        let open_joblog = |path: &Path| {
            let opened = joblog::prepare(path).and_then(|start| open_at(path, start, &syncer));
            opened.map_err(|error| (path.to_owned(), error))
        };
        let joblog = joblog.map(open_joblog).transpose()?;
        Ok(Self {
            workdir: workdir.to_owned(),
            timeline,
            attempts,
            joblog,
            finished: None,
            failed: None,
            text: Vec::new(),
            hosts: Vec::new(),
            logs_full_since: None,
            syncer,
        })
    }

    /// Names a rank and its slots in the timeline, and its host in `tasks.tsv` from here on.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn name_rank(&mut self, rank: u32, host: &str, slots: u32) -> Result<(), JournalError> {
        let index = rank as usize;
        self.hosts.resize_with(self.hosts.len().max(index + 1), Vec::new);
        // It is a peer's word, and goes into a table.
        self.hosts[index] = host.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }).collect();
        self.text.clear();
        timeline::push_names(&mut self.text, rank, host, slots);
        let written = self.timeline.append(&self.text);
        written.map_err(|source| self.error(self.timeline.path(), source, Vec::new()))
    }

    /// Writes down attempts that are over, and so ends of tasks.
    ///
    /// # Errors
    /// If the disk does not take them; the error knows which of them are not recorded.
    pub fn append(&mut self, records: &[Record], list: &TaskList) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        self.text.clear();
        for record in records.iter().filter(|record| record.is_event()) {
            timeline::push_task(&mut self.text, record, list.command(record.result.id));
        }
        if let Err(source) = self.timeline.append(&self.text) {
            return Err(self.error(self.timeline.path(), source, ids(records, |_| true)));
        }
        self.text.clear();
        for record in records {
            let host = self.hosts.get(record.rank.0 as usize).map_or(&b""[..], Vec::as_slice);
            attempts::push_line(&mut self.text, record, host, list.command(record.result.id));
        }
        if let Err(source) = self.attempts.append(&self.text) {
            return Err(self.error(self.attempts.path(), source, ids(records, |_| true)));
        }
        self.append_joblog(records, list)
            .map_err(|(path, source)| self.error(&path, source, ids(records, |_| true)))?;
        self.append_lines(records, list, true)
            .map_err(|(path, source)| self.error(&path, source, ids(records, |_| true)))?;
        self.append_lines(records, list, false)
            .map_err(|(path, source)| self.error(&path, source, ids(records, |success| !success)))?;
        self.syncer.wake();
        Ok(())
    }

    fn append_joblog(&mut self, records: &[Record], list: &TaskList) -> Result<(), (PathBuf, io::Error)> {
        let Some(joblog) = &mut self.joblog else { return Ok(()) };
        self.text.clear();
        for record in records.iter().filter(|record| record.is_last) {
            let host = self.hosts.get(record.rank.0 as usize).map_or(&b""[..], Vec::as_slice);
            joblog::push_line(&mut self.text, record, host, list.command(record.result.id));
        }
        joblog.append(&self.text).map_err(|error| (joblog.path().to_owned(), error))
    }

    fn append_lines(&mut self, records: &[Record], list: &TaskList, success: bool) -> Result<(), (PathBuf, io::Error)> {
        self.text.clear();
        for record in records.iter().filter(|record| record.verdict() == Some(success)) {
            let id = record.result.id;
            write!(self.text, "{id} ").expect("a Vec takes all");
            self.text.extend_from_slice(list.command(id));
            self.text.push(b'\n');
        }
        if self.text.is_empty() {
            return Ok(());
        }
        let (name, file) =
            if success { (names::FINISHED, &mut self.finished) } else { (names::FAILED, &mut self.failed) };
        let path = self.workdir.join(name);
        let file = match file {
            Some(file) => file,
            None => {
                let opened = Appender::open(&path).and_then(|opened| self.syncer.add(&opened).map(|()| opened));
                file.insert(opened.map_err(|error| (path.clone(), error))?)
            }
        };
        file.append(&self.text).map_err(|error| (path, error))
    }

    /// Tries whether the workdir and its folder of logs take new files and bytes, after a rank could not make a log.
    ///
    /// # Errors
    /// If they do not: they are read-only, or gone, or the workdir is full. Logs may be elsewhere: for a minute, somebody may
    /// make space there.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        let try_in = |folder: &Path| {
            let path = folder.join(names::PROBE);
            let tried = fs::write(&path, [b'\n'; 4096]).and_then(|()| File::open(&path)?.sync_all());
            let removed = remove_if_there(&path);
            tried.and(removed).map_err(|source| (path, source))
        };
        try_in(&self.workdir).map_err(|(path, source)| self.error(&path, source, Vec::new()))?;
        let Err((path, source)) = try_in(&self.workdir.join(names::LOGS)) else {
            self.logs_full_since = None;
            return Ok(());
        };
        let is_full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let since = *self.logs_full_since.get_or_insert_with(Instant::now);
        if is_full && since.elapsed() < LOGS_FULL_MAX {
            return Ok(());
        }
        Err(self.error(&path, source, Vec::new()))
    }

    /// Whether a sync has failed since the last call.
    ///
    /// # Errors
    /// If so. Which records it covers is unknown; they are in the files as far as the system knows.
    pub fn check_sync(&mut self) -> Result<(), JournalError> {
        match self.syncer.take_error() {
            Some((path, source)) => Err(self.error(&path, source, Vec::new())),
            None => Ok(()),
        }
    }

    /// Ends the timeline and syncs all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn close(mut self) -> Result<(), JournalError> {
        let closed = self.timeline.append(timeline::END);
        closed.map_err(|source| self.error(self.timeline.path(), source, Vec::new()))?;
        self.syncer.finish();
        self.check_sync()
    }

    fn error(&self, path: &Path, source: io::Error, unwritten: Vec<TaskId>) -> JournalError {
        JournalError { path: path.to_owned(), source, unwritten }
    }
}

/// Tasks that end with these records, as the verdict on them is.
fn ids(records: &[Record], choose: impl Fn(bool) -> bool) -> Vec<TaskId> {
    records.iter().filter(|record| record.verdict().is_some_and(&choose)).map(|record| record.result.id).collect()
}

/// Opens a file and begins with these bytes.
fn open_at(path: &Path, start: &[u8], syncer: &Syncer) -> io::Result<Appender> {
    let mut file = Appender::open(path)?;
    file.append(start)?;
    syncer.add(&file)?;
    Ok(file)
}

#[derive(Debug, Default)]
struct SyncState {
    /// In the order in which they were opened: the timeline first.
    files: Vec<(PathBuf, File)>,
    dirty: bool,
    stop: bool,
    error: Option<(PathBuf, io::Error)>,
}

/// The thread that syncs.
#[derive(Debug)]
struct Syncer {
    shared: Arc<(Mutex<SyncState>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start(workdir: &Path) -> io::Result<Self> {
        // The folder too: a new file's name is not on disk before its folder is.
        let folder = (workdir.to_owned(), File::open(workdir)?);
        let state = SyncState { files: vec![folder], ..SyncState::default() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("tfarmer-sync".to_owned()).spawn(move || sync_loop(&theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    fn with<R>(&self, act: impl FnOnce(&mut SyncState) -> R) -> R {
        act(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, file: &Appender) -> io::Result<()> {
        let entry = (file.path().to_owned(), file.for_sync()?);
        self.with(|state| state.files.push(entry));
        Ok(())
    }

    fn wake(&self) {
        let was_dirty = self.with(|state| std::mem::replace(&mut state.dirty, true));
        if !was_dirty {
            self.shared.1.notify_one();
        }
    }

    fn take_error(&self) -> Option<(PathBuf, io::Error)> {
        self.with(|state| state.error.take())
    }

    fn finish(&mut self) {
        self.with(|state| {
            state.dirty = true;
            state.stop = true;
        });
        self.shared.1.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there would be a bug; what matters is that the last sync is over.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn sync_loop(shared: &(Mutex<SyncState>, Condvar)) {
    let (mutex, changed) = shared;
    let mut state = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        state = changed.wait_while(state, |state| !state.dirty && !state.stop).unwrap_or_else(PoisonError::into_inner);
        // What comes within the interval shares one sync.
        let pause = changed.wait_timeout_while(state, SYNC_INTERVAL, |state| !state.stop);
        state = pause.unwrap_or_else(PoisonError::into_inner).0;
        if std::mem::take(&mut state.dirty) {
            let files: Vec<_> = state.files.iter().map(|(path, file)| (path.clone(), file.try_clone())).collect();
            drop(state);
            let failure = files.into_iter().find_map(|(path, file)| {
                let synced = file.and_then(|file| {
                    if path.is_dir() { file.sync_all() } else { file.sync_data() }.or_else(ignore_unsupported)?;
                    is_in_place(&path, &file)
                });
                synced.err().map(|error| (path, error))
            });
            state = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            state.error = state.error.take().or(failure);
        }
        if state.stop && !state.dirty {
            return;
        }
    }
}

/// Some network file systems can't sync a folder and say EINVAL; they have nothing to sync there.
fn ignore_unsupported(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
}

/// Whether a file is still the one that its path names: if the workdir was moved or removed, the next start would not
/// find what is recorded.
fn is_in_place(path: &Path, file: &File) -> io::Result<()> {
    match is_still(path, file) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Err(io::Error::other("it was moved, removed or replaced while the farm ran")),
    }
}

/// Removes a file if it is there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
