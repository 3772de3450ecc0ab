//! The workdir: the user's record of a run, and the basis of a resume.
//!
//! Owns `toprocess`, `finished`, `failed`, `timeline.json`, `tasks.tsv`, `status.json`, `logs/` and `lock`. Only rank 0
//! touches them, except for the logs. `finished` and `failed` are authoritative; everything else can be recreated or is
//! dispensable. docs/workdir.md describes each file.

mod append;
pub(crate) mod attempts;
mod begin;
mod crashes;
mod folder;
mod joblog;
pub(crate) mod journal;
pub(crate) mod lines;
mod lock;
pub(crate) mod logs;
mod owner;
pub(crate) mod records;
mod replace;
mod scan;
mod status_file;
mod sync;
pub(crate) mod timeline;
mod toprocess;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use thiserror::Error;

use crate::farmer::TaskTable;
use crate::sys::regular;
use crate::tasklist::{OUTPUT, TaskList};
use begin::Undo;
pub(crate) use crashes::count as count_crashes;
use journal::{Growing, Journal};
pub(crate) use lock::Holder;
use lock::Lock;
pub(crate) use scan::{Commands, read_records};
pub(crate) use scan::{Failed, ScanError};

/// Names within a workdir.
pub(crate) mod names {
    pub(crate) const FINISHED: &str = "finished";
    pub(crate) const FAILED: &str = "failed";
    pub(crate) const TOPROCESS: &str = "toprocess";
    pub(crate) const TIMELINE: &str = "timeline.json";
    pub(crate) const ATTEMPTS: &str = "tasks.tsv";
    /// The output of tasks.
    pub(crate) const LOGS: &str = "logs";
    pub(crate) const STATUS: &str = "status.json";
    pub(crate) const LOCK: &str = "lock";
    /// Created and removed again, to check whether the workdir can be written.
    pub(crate) const PROBE: &str = ".probe";
}

/// Why a workdir cannot be used. Nothing was started, and nothing is left that was not there before.
#[derive(Debug, Error)]
pub(crate) enum WorkdirError {
    /// The path is taken by something else.
    #[error("the workdir {} is not a folder\n  name a different one with --workdir", .0.display())]
    NotAFolder(PathBuf),
    /// The workdir, or a part of it, belongs to another user.
    #[error(
        "{} belongs to {owner}\n  nothing was started: its owner controls where files written there end up\n  name a \
         different workdir with --workdir, or give --shared-workdir to use this one",
        path.display()
    )]
    Foreign {
        /// The workdir, a folder in it, or a link.
        path: PathBuf,
        /// The user.
        owner: String,
    },
    /// Missing permission, a full disk, or the like.
    #[error("cannot {what} {}: {source}\n  {}", path.display(), cure(source, "the farm must be able to create the workdir and write to it; name a different one with --workdir"))]
    Unusable {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another farm is at work there.
    #[error("another farm is using {}: {holder}\n  wait for it to end, or name a different workdir with --workdir", workdir.display())]
    Locked {
        /// The workdir.
        workdir: PathBuf,
        /// The holder of the lock, as it named itself.
        holder: String,
    },
    /// The file of `--joblog` cannot be written.
    #[error("cannot write the job log {}: {source}\n  nothing was started; name a different file with --joblog", path.display())]
    JobLog {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file of `--joblog` is of a different kind.
    #[error("{} is not a job log: its first line is not that of a job log\n  nothing was started or changed; name a different file with --joblog", .0.display())]
    NoJobLog(PathBuf),
    /// Tasks of earlier runs were started in a different folder.
    #[error(
        "the last run that used {} was started in {was:?}, but this one was started in {is:?}\n  \
         nothing was started; to resume in {was:?}, change to it first; to run the remaining tasks in {is:?}, use --here",
        workdir.display()
    )]
    OtherFolder {
        /// The workdir.
        workdir: PathBuf,
        /// Where the last run was started.
        was: PathBuf,
        /// Where this one was.
        is: PathBuf,
    },
    /// The records of earlier runs cannot be read, or do not belong to this list.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// Whether a path still names this open file.
fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    let (named, opened) = (path.metadata()?, file.metadata()?);
    Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

/// Checks that an open file is still the one that its path names: if it was moved or removed, its content could not be
/// found.
pub(crate) fn is_in_place(path: &Path, file: &File) -> io::Result<()> {
    match is_still(path, file) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Err(io::Error::other("it was moved, removed or replaced while the farm ran")),
    }
}

/// What to do: `otherwise`, unless something other than a regular file has the name.
fn cure(error: &io::Error, otherwise: &'static str) -> &'static str {
    if regular::is_something_else(error) {
        "nothing was started; move it away, or name another workdir with --workdir"
    } else {
        otherwise
    }
}

fn unusable(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkdirError {
    let path = path.to_owned();
    move |source| WorkdirError::Unusable { what, path, source }
}

/// What a run needs from its workdir.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What happens to tasks that have failed.
    pub failed: Failed,
    /// The file of `--joblog`.
    pub joblog: Option<&'a Path>,
    /// Whether ranks write into `logs/`.
    pub keeps_logs: bool,
    /// Whether to create a folder to which the ATLAS handlers let their tasks copy results.
    pub output: bool,
    /// Where tasks start, if that matters to them.
    pub cwd: Option<&'a Path>,
    /// It may belong to another user.
    pub shared: bool,
}

/// A workdir that this farm has locked.
#[derive(Debug)]
pub(crate) struct Workdir {
    path: PathBuf,
    _lock: Lock,
}

impl Workdir {
    /// Takes a workdir for a run of `list`: creates it if it does not exist, locks it, reads what earlier runs
    /// recorded, and begins to record.
    ///
    /// # Errors
    /// If it cannot be written, belongs to a different user, is in use, or holds records that are damaged, belong to a
    /// different list, or belong to tasks that started in a different folder. It is then as it was before.
    pub(crate) fn open(
        path: &Path,
        list: &TaskList,
        wanted: &Wanted<'_>,
    ) -> Result<(Self, TaskTable, Journal), WorkdirError> {
        if !wanted.shared {
            owner::check(path)?;
        }
        check_path(path)?;
        let made = make_folders(path)?;
        let opened = Self::open_existing(path, list, wanted);
        if opened.is_err() {
            for folder in made.iter().rev() {
                // Only what this call created, and only if nothing else is in it.
                let _ = fs::remove_dir(folder);
            }
        }
        opened
    }

    fn open_existing(
        path: &Path,
        list: &TaskList,
        wanted: &Wanted<'_>,
    ) -> Result<(Self, TaskTable, Journal), WorkdirError> {
        if !wanted.shared {
            // It may have been replaced by now.
            owner::check(path)?;
        }
        let lock = Lock::take(path)?;
        // First everything is examined.
        let found = scan::read_back(path, list, wanted.failed)?;
        check_folder(path, &found.table, wanted.cwd)?;
        let (finished, failed) = (path.join(names::FINISHED), path.join(names::FAILED));
        let appended = [Some(&finished), (wanted.failed == Failed::Keep).then_some(&failed)];
        for path in appended.into_iter().flatten() {
            begin::open_if_there(path, regular::open_no_link).map_err(unusable("write", path))?;
        }
        let unwritable = |(path, source)| match wanted.joblog {
            Some(joblog) if joblog == path => WorkdirError::JobLog { path, source },
            _ => WorkdirError::Unusable { what: "write", path, source },
        };
        let growing = Growing::look(path, wanted.joblog).map_err(unwritable)?;
        // Then come the changes, each undone if a later one fails.
        let folders = [Some(names::LOGS), wanted.output.then_some(OUTPUT)].into_iter().flatten();
        let make = |folder: &str| {
            if !wanted.shared {
                owner::check_within(path, folder)?;
            }
            let folder = path.join(folder);
            Undo::of_folder(&folder).map_err(unusable("create", &folder))
        };
        let mut undo = folders.map(make).collect::<Result<Vec<_>, _>>()?;
        let (journal, begun) = growing.begin(path, wanted.keeps_logs).map_err(unwritable)?;
        undo.extend(begun);
        found.mend()?;
        if wanted.failed == Failed::Retry {
            // Without this, a task could be recorded twice: as failed by the last run, and by this one.
            regular::remove_if_there(&failed).map_err(unusable("remove", &failed))?;
        }
        undo.into_iter().for_each(Undo::keep);
        Ok((Self { path: path.to_owned(), _lock: lock }, found.table, journal))
    }

    /// What a run would find, without changing anything: for `--dry-run`.
    ///
    /// # Errors
    /// As [`Self::open`], as far as reading can show.
    pub(crate) fn peek(
        path: &Path,
        list: &TaskList,
        failed: Failed,
        cwd: Option<&Path>,
    ) -> Result<TaskTable, WorkdirError> {
        check_is_folder(path)?;
        let table = scan::read_back(path, list, failed)?.table;
        check_folder(path, &table, cwd)?;
        Ok(table)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `status.json`. That of an earlier run is removed: if this run cannot write its own, on a full disk, the
    /// earlier exit code must not be mistaken for this run's.
    pub(crate) fn status_file(&self) -> StatusFile {
        let path = self.path.join(names::STATUS);
        if let Err(error) = regular::remove_if_there(&path) {
            log::info!("cannot remove {}: {error}", path.display());
        }
        StatusFile::new(path)
    }

    /// Writes `toprocess`: see [`toprocess::Writer`].
    pub(crate) fn toprocess(&self) -> toprocess::Writer {
        toprocess::Writer::new(self.path.join(names::TOPROCESS))
    }
}

pub(crate) use owner::check as check_owner;
pub(crate) use status_file::{StatusFile, read as read_status};
pub(crate) use toprocess::Writer as ToprocessWriter;

/// Checks that a file may be used as a job log, before anything is created.
///
/// # Errors
/// If it is of a different kind, or cannot be read or created.
pub(crate) fn check_joblog(path: &Path) -> Result<(), WorkdirError> {
    let unusable = |source| WorkdirError::JobLog { path: path.to_owned(), source };
    if !joblog::is_one(path).map_err(unusable)? {
        return Err(WorkdirError::NoJobLog(path.to_owned()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (target, rights) =
        if path.exists() { (path, AccessFlags::W_OK) } else { (folder, AccessFlags::W_OK | AccessFlags::X_OK) };
    access(target, rights).map_err(|errno| unusable(errno.into()))
}

fn check_path(path: &Path) -> Result<(), WorkdirError> {
    if !check_is_folder(path)? {
        return Ok(());
    }
    access(path, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| unusable("write into", path)(errno.into()))
}

/// Whether it exists; if so, it must be a folder.
fn check_is_folder(path: &Path) -> Result<bool, WorkdirError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err(WorkdirError::NotAFolder(path.to_owned())),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(WorkdirError::NotAFolder(path.to_owned())),
        Err(error) => Err(unusable("use", path)(error)),
    }
}

/// If some tasks ran in one folder, the others must not run in a different one without the user's consent.
fn check_folder(path: &Path, table: &TaskTable, cwd: Option<&Path>) -> Result<(), WorkdirError> {
    let recorded = table.finished() + table.failed();
    // Tasks that are retried are not in the table, but have run.
    let has_run = || recorded > 0 || path.join(names::FAILED).metadata().is_ok_and(|file| file.len() > 0);
    let Some(cwd) = cwd.filter(|_| recorded < table.total() && has_run()) else { return Ok(()) };
    let Some(was) = folder::other_than(cwd, path) else { return Ok(()) };
    // Of a path that is not UTF-8, nobody can tell whether it is still there.
    if was.is_dir() || was.to_string_lossy().contains(char::REPLACEMENT_CHARACTER) {
        return Err(WorkdirError::OtherFolder { workdir: path.to_owned(), was, is: cwd.to_owned() });
    }
    // It was moved, apparently as a whole.
    log::warn!("the last run was started in {was:?}, which no longer exists; the remaining tasks run in {cwd:?}");
    Ok(())
}

/// Creates the folder and its parents; returns those that are new, outermost first.
fn make_folders(path: &Path) -> Result<Vec<PathBuf>, WorkdirError> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect();
    fs::create_dir_all(path).map_err(unusable("create", path))?;
    Ok(missing.into_iter().rev().collect())
}
