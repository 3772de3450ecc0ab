//! Records what has ended: timeline, `tasks.tsv`, the job log, then `finished` or `failed`.
//!
//! Owns the files that grow during a run. `super::sync` writes them to the disk.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::append::{Appender, Failure};
use super::begin::{Found, Undo};
use super::sync::Syncer;
use super::{attempts, joblog, names, records, timeline};
use crate::farmer::Record;
use crate::sys::regular;
use crate::task::{TaskId, Verdict};
use crate::tasklist::TaskList;

/// A file of the workdir could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}\n  what was recorded before is safe; free up space or repair the file system, then run the same command again", path.display())]
pub(crate) struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
    /// Records of the batch that are not in `finished` or `failed`.
    pub unwritten: Vec<TaskId>,
}

impl From<Failure> for JournalError {
    fn from((path, source): Failure) -> Self {
        Self { path, source, unwritten: Vec::new() }
    }
}

/// The files of a workdir that grow.
#[derive(Debug)]
pub(crate) struct Journal {
    workdir: PathBuf,
    timeline: Appender,
    attempts: Appender,
    joblog: Option<Appender>,
    finished: Option<Appender>,
    failed: Option<Appender>,
    text: Vec<u8>,
    /// Host names, by rank.
    hosts: Vec<Vec<u8>>,
    syncer: Syncer,
}

/// The files that a run continues, as it finds them. Nothing in them has been changed.
#[derive(Debug)]
pub(super) struct Growing {
    timeline: Found,
    attempts: Found,
    joblog: Option<Found>,
}

impl Growing {
    /// Examines timeline, `tasks.tsv` and the job log. The error says which file cannot be used.
    pub(super) fn look(workdir: &Path, joblog: Option<&Path>) -> Result<Self, Failure> {
        let look = |path: &Path, kind| Found::look(path, kind).map_err(|error| (path.to_owned(), error));
        Ok(Self {
            timeline: look(&workdir.join(names::TIMELINE), &timeline::KIND)?,
            attempts: look(&workdir.join(names::ATTEMPTS), &attempts::KIND)?,
            joblog: joblog.map(|path| look(path, &joblog::KIND)).transpose()?,
        })
    }

    /// Prepares them, and repairs them if a crash left them torn. `finished` and `failed` are created on first use. The
    /// error says which file cannot be written; all are then as they were. `keeps_logs`: ranks write into `logs/`, so it
    /// is noticed if the folder disappears.
    pub(super) fn begin(self, workdir: &Path, keeps_logs: bool) -> Result<(Journal, Vec<Undo>), Failure> {
        let logs = keeps_logs.then(|| workdir.join(names::LOGS));
        // Only to check that it still exists: that requires no permission to read it.
        let open = |logs: PathBuf| match regular::folder(&logs) {
            Ok(folder) => Ok((logs, folder)),
            Err(error) => Err((logs, error)),
        };
        let syncer =
            Syncer::start(workdir, logs.map(open).transpose()?).map_err(|error| (workdir.to_owned(), error))?;
        let mut undo = Vec::new();
        let mut begin = |found: Found| {
            let path = found.path().to_owned();
            let begun = found.begin().and_then(|(file, taken_back)| {
                undo.push(taken_back);
                syncer.add(file)
            });
            begun.map_err(|error| (path, error))
        };
        // The timeline last: its end is missing until the farm closes it.
        let joblog = self.joblog.map(&mut begin).transpose()?;
        let attempts = begin(self.attempts)?;
        let timeline = begin(self.timeline)?;
        let journal = Journal {
            workdir: workdir.to_owned(),
            timeline,
            attempts,
            joblog,
            finished: None,
            failed: None,
            text: Vec::new(),
            hosts: Vec::new(),
            syncer,
        };
        Ok((journal, undo))
    }
}

impl Journal {
    /// Names a rank and its slots in the timeline, and its host in `tasks.tsv` from here on.
    ///
    /// # Errors
    /// If the disk does not accept it.
    pub(crate) fn name_rank(&mut self, rank: u32, host: &str, slots: u32) -> Result<(), JournalError> {
        let index = rank as usize;
        self.hosts.resize_with(self.hosts.len().max(index + 1), Vec::new);
        // It comes from a peer, and goes into a table.
        self.hosts[index] = host.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }).collect();
        self.text.clear();
        timeline::push_names(&mut self.text, rank, host, slots);
        Ok(self.timeline.append(&self.text)?)
    }

    /// Records attempts that have ended, and thereby ends of tasks.
    ///
    /// # Errors
    /// If the disk does not accept them; the error says which of them are not recorded.
    pub(crate) fn append(&mut self, records: &[Record], list: &TaskList) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let unwritten = |failure: Failure, choose: fn(Verdict) -> bool| {
            let ends = records.iter().filter(|record| record.verdict().is_some_and(choose));
            JournalError { unwritten: ends.map(|record| record.result.id).collect(), ..failure.into() }
        };
        self.append_attempts(records, list)
            .and_then(|()| self.append_lines(records, list, Verdict::Finished))
            .map_err(|failure| unwritten(failure, |_| true))?;
        self.append_lines(records, list, Verdict::Failed)
            .map_err(|failure| unwritten(failure, |verdict| verdict == Verdict::Failed))?;
        self.syncer.wake();
        Ok(())
    }

    /// Appends to the timeline, to `tasks.tsv` and to the job log, in this order.
    fn append_attempts(&mut self, records: &[Record], list: &TaskList) -> Result<(), Failure> {
        self.text.clear();
        for record in records.iter().filter(|record| record.has_times()) {
            timeline::push_task(&mut self.text, record, list.command(record.result.id));
        }
        self.timeline.append(&self.text)?;
        let host = |record: &Record| self.hosts.get(record.rank.0 as usize).map_or(&b""[..], Vec::as_slice);
        self.text.clear();
        for record in records {
            attempts::push_line(&mut self.text, record, host(record), list.command(record.result.id));
        }
        self.attempts.append(&self.text)?;
        let Some(joblog) = &mut self.joblog else { return Ok(()) };
        self.text.clear();
        for record in records.iter().filter(|record| record.is_last) {
            joblog::push_line(&mut self.text, record, host(record), list.command(record.result.id));
        }
        joblog.append(&self.text)
    }

    fn append_lines(&mut self, records: &[Record], list: &TaskList, verdict: Verdict) -> Result<(), Failure> {
        self.text.clear();
        for record in records.iter().filter(|record| record.verdict() == Some(verdict)) {
            let id = record.result.id;
            records::push(&mut self.text, id, list.command(id)).expect("a Vec takes all");
        }
        if self.text.is_empty() {
            return Ok(());
        }
        let (name, file) = match verdict {
            Verdict::Finished => (names::FINISHED, &mut self.finished),
            Verdict::Failed => (names::FAILED, &mut self.failed),
        };
        let file = match file {
            Some(file) => file,
            None => {
                let path = self.workdir.join(name);
                let opened = Appender::open(&path, regular::open_no_link).and_then(|opened| self.syncer.add(opened));
                file.insert(opened.map_err(|error| (path, error))?)
            }
        };
        file.append(&self.text)
    }

    /// Requests a check of whether the workdir and its folder of logs accept new files and bytes, after a rank could
    /// not create a log: [`Self::check_sync`] reports it if they do not. The request costs nothing.
    pub(crate) fn probe(&self) {
        self.syncer.probe();
    }

    /// Whether a sync, or a check after [`Self::probe`], has failed since the last call.
    ///
    /// # Errors
    /// If one has. Which records it affects is unknown; they are in the files as far as the system knows.
    pub(crate) fn check_sync(&mut self) -> Result<(), JournalError> {
        self.syncer.take_error().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Ends the timeline and syncs everything.
    ///
    /// # Errors
    /// If the disk does not accept it.
    pub(crate) fn close(mut self) -> Result<(), JournalError> {
        self.timeline.append(timeline::END)?;
        self.syncer.finish();
        self.check_sync()
    }
}
