//! Where the output of this pool's tasks goes.
//!
//! Owns the files under `logs/` that this rank writes, and the files that tasks write to until it is known whether and
//! where their output is kept: a file without a name in `$TMPDIR`, one per slot. Never reads what other ranks wrote.
//! Several threads may use it at the same time, each for a different slot.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::keeping::{Ended, KeepError, Outputs};
use super::packed::Packed;
use super::start_error::{StartError, is_disk_trouble, is_shortage};
use crate::protocol::{Assignment, Logs as Kind};
use crate::sys::regular;
use crate::workdir::logs::{folder_of, path_of, probe_of};

/// The logs of a pool.
#[derive(Debug)]
pub(super) struct Logs {
    folder: PathBuf,
    rank: u32,
    sink: Sink,
    /// Earlier runs have left logs: those of tasks that run again are obsolete.
    used: bool,
    /// Whether it was reported that one of them cannot be removed.
    told_of_old: AtomicBool,
}

#[derive(Debug)]
enum Sink {
    /// Directly into a file per task; in folders of this many IDs, the last of which was already made.
    Files { per_folder: Option<u32>, made: Mutex<Option<PathBuf>> },
    /// Into a file per task, if there is a reason to.
    Kept(Scratch),
    /// All into one file.
    Packed(Scratch, Mutex<Packed>),
    /// Into `/dev/null`.
    Nowhere(Arc<File>),
}

impl Logs {
    /// Prepares the logs of a rank. The error says why its node cannot run tasks.
    pub(super) fn new(kind: Kind, folder: PathBuf, rank: u32, slots: u32) -> Result<Self, String> {
        let scratch = || {
            let files = Mutex::new(vec![None; slots as usize]);
            let scratch = Scratch { files, folder: std::env::temp_dir() };
            let place = scratch.folder.display();
            let advice = "--logs failed and --logs rank keep the output of running tasks in $TMPDIR";
            match scratch.make() {
                Ok(_) => Ok(scratch),
                Err(error) => Err(format!("its node cannot make files in {place}: {error}; {advice}")),
            }
        };
        let sink = match kind {
            Kind::Task => Sink::Files { per_folder: None, made: Mutex::default() },
            Kind::Folders(count) => Sink::Files { per_folder: Some(count), made: Mutex::default() },
            Kind::Failed => Sink::Kept(scratch()?),
            Kind::Rank => {
                let packed = Packed::open(&folder, rank).map_err(|error| format!("its node cannot write {error}"))?;
                Sink::Packed(scratch()?, Mutex::new(packed))
            }
            Kind::None => {
                let null = OpenOptions::new().write(true).open("/dev/null");
                Sink::Nowhere(Arc::new(null.map_err(|error| format!("cannot open /dev/null: {error}"))?))
            }
        };
        // Files of ranks do not count: with them alone, no task has to look for a log that is not there.
        let is_log = |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"log_");
        let used = fs::read_dir(&folder).is_ok_and(|entries| entries.flatten().any(is_log));
        Ok(Self { folder, rank, sink, used, told_of_old: AtomicBool::new(false) })
    }

    /// The file that a task that is about to start writes to.
    pub(super) fn open(&self, slot: u32, task: &Assignment) -> Result<Arc<File>, StartError> {
        let id = task.id.0;
        match &self.sink {
            Sink::Files { per_folder: None, .. } => create(path_of(&self.folder, id)),
            Sink::Files { per_folder: Some(count), made } => {
                let folder = folder_of(&self.folder, id, *count);
                if lock(made).as_ref() != Some(&folder) {
                    match fs::create_dir(&folder) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(StartError::Log(folder, error));
                        }
                        // A file, or a link, which is not followed: it would look like a folder that is gone.
                        Err(_) if !fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) => {
                            let error = io::Error::other("it is not a folder");
                            return Err(StartError::Log(folder, error));
                        }
                        _ => *lock(made) = Some(folder.clone()),
                    }
                }
                create(path_of(&folder, id)).inspect_err(|_| *lock(made) = None)
            }
            Sink::Kept(scratch) | Sink::Packed(scratch, _) => scratch.open(slot),
            Sink::Nowhere(null) => Ok(Arc::clone(null)),
        }
    }

    /// Adds to the output of a task whose first process has just ended. No descriptor is kept for that: there may be as
    /// many tasks as descriptors.
    pub(super) fn add(&self, slot: u32, id: u32, text: &[u8]) -> io::Result<()> {
        let append = |path: PathBuf| regular::open_no_link(OpenOptions::new().append(true), &path)?.write_all(text);
        match &self.sink {
            Sink::Files { per_folder: None, .. } => append(path_of(&self.folder, id)),
            Sink::Files { per_folder: Some(count), .. } => append(path_of(&folder_of(&self.folder, id, *count), id)),
            Sink::Kept(scratch) | Sink::Packed(scratch, _) => {
                scratch.of(slot).map_or(Ok(()), |file| (&*file).write_all(text))
            }
            Sink::Nowhere(_) => Ok(()),
        }
    }

    /// Whether the folder accepts new files. If it does, the name of a log that cannot be made is the problem: a
    /// folder, a link or a FIFO has that name. If not, the problem is the node's or the farm's, whatever the error.
    fn takes_files(&self, slot: u32) -> bool {
        let path = probe_of(&self.folder, self.rank, slot);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        // A file left over after a kill would only show that it could be made then.
        let removed = fs::remove_file(&path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed.is_ok(),
            made => made.is_ok() && removed.is_ok(),
        }
    }

    /// Removes what an earlier run kept of a task that has run again. If that fails, the task still has what it needs,
    /// and `logs` prints the newest.
    fn forget(&self, id: u32) {
        if !self.used {
            return;
        }
        let path = path_of(&self.folder, id);
        let Err(error) = fs::remove_file(&path) else { return };
        if error.kind() != io::ErrorKind::NotFound && !self.told_of_old.swap(true, Ordering::Relaxed) {
            log::warn!("cannot remove {}, which is from an earlier run: {error}", path.display());
        }
    }
}

impl Outputs for Logs {
    fn discard(&self, slot: u32) {
        if let Sink::Kept(scratch) | Sink::Packed(scratch, _) = &self.sink {
            scratch.take(slot);
        }
    }

    fn keep(&self, slot: u32, is_alone: bool, end: &Ended<'_>) -> Result<(), KeepError> {
        let id = end.task.id.0;
        let scratch = match &self.sink {
            Sink::Files { .. } => return Ok(()),
            Sink::Nowhere(_) => {
                self.forget(id);
                return Ok(());
            }
            Sink::Kept(scratch) | Sink::Packed(scratch, _) => scratch,
        };
        let Some(file) = scratch.of(slot) else { return Ok(()) };
        let unreadable = |source| KeepError { path: scratch.folder.clone(), source };
        let len = file.metadata().map_err(unreadable)?.len();
        let mut output = &*file;
        output.rewind().map_err(unreadable)?;
        match &self.sink {
            Sink::Packed(_, packed) => {
                lock(packed).append(end, &mut output, len)?;
                self.forget(id);
            }
            _ if len > 0 || end.asked_to_end || !end.outcome.is_success() => {
                write_log(&path_of(&self.folder, id), &mut output, len)?;
            }
            _ => self.forget(id),
        }
        // Otherwise, the next task gets a new one.
        let emptied = || len == 0 || output.set_len(0).and_then(|()| (&*file).rewind()).is_ok();
        if !is_alone || !emptied() {
            scratch.take(slot);
        }
        Ok(())
    }

    fn is_packed(&self) -> bool {
        matches!(self.sink, Sink::Packed(..))
    }

    fn check(&self) -> Result<(), KeepError> {
        if let Sink::Packed(_, packed) = &self.sink { lock(packed).check() } else { Ok(()) }
    }

    fn is_ours(&self, error: &io::Error, slot: u32) -> bool {
        let errno = error.raw_os_error().map(Errno::from_raw);
        errno.is_some_and(|errno| is_shortage(errno) || is_disk_trouble(errno)) || !self.takes_files(slot)
    }
}

/// Writes the log of one task: all of it or none, so that half of it is not mistaken for the whole.
fn write_log(path: &Path, output: &mut impl Read, len: u64) -> Result<(), KeepError> {
    let mut file = regular::create_for_task(path).map_err(KeepError::at(path))?;
    if len > 0
        && let Err(source) = io::copy(output, &mut file)
    {
        let _ = fs::remove_file(path);
        return Err(KeepError { path: path.to_owned(), source });
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create(path: PathBuf) -> Result<Arc<File>, StartError> {
    regular::create_for_task(&path).map(Arc::new).map_err(|error| StartError::Log(path, error))
}

/// Files without a name, by slot. Each is empty and at its start.
#[derive(Debug)]
struct Scratch {
    files: Mutex<Vec<Option<Arc<File>>>>,
    folder: PathBuf,
}

impl Scratch {
    fn make(&self) -> io::Result<Arc<File>> {
        tempfile::tempfile_in(&self.folder).map(Arc::new)
    }

    fn open(&self, slot: u32) -> Result<Arc<File>, StartError> {
        if let Some(Some(file)) = lock(&self.files).get(slot as usize) {
            return Ok(Arc::clone(file));
        }
        let file = self.make().map_err(|error| StartError::Log(self.folder.clone(), error))?;
        self.put(slot, Arc::clone(&file));
        Ok(file)
    }

    fn of(&self, slot: u32) -> Option<Arc<File>> {
        lock(&self.files).get(slot as usize)?.clone()
    }

    fn take(&self, slot: u32) -> Option<Arc<File>> {
        lock(&self.files).get_mut(slot as usize)?.take()
    }

    fn put(&self, slot: u32, file: Arc<File>) {
        if let Some(place) = lock(&self.files).get_mut(slot as usize) {
            *place = Some(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::classes::Class;
    use crate::task::{Attempt, Outcome, TaskId};
    use crate::workdir::logs::Finder;

    fn task(id: u32) -> Assignment {
        Assignment { id: TaskId(id), attempt: Attempt(1), class: Class::default(), command: b"x".to_vec() }
    }

    /// Runs a task that writes something and leaves nothing behind.
    fn say(logs: &Logs, id: u32, text: &str, outcome: Outcome) {
        let task = task(id);
        (&*logs.open(0, &task).unwrap()).write_all(text.as_bytes()).unwrap();
        logs.keep(0, true, &Ended { task: &task, outcome: &outcome, asked_to_end: false, ended_ms: 1 }).unwrap();
    }

    fn logs(kind: Kind, workdir: &Path) -> Logs {
        fs::create_dir_all(workdir.join("logs")).unwrap();
        Logs::new(kind, workdir.join("logs"), 3, 1).unwrap()
    }

    fn found(workdir: &Path, id: u32) -> Option<String> {
        let mut text = Vec::new();
        Finder::new(workdir).unwrap().find(id).unwrap()?.copy_to(&mut text).unwrap().unwrap();
        Some(String::from_utf8(text).unwrap())
    }

    fn names(workdir: &Path) -> Vec<String> {
        let entries = fs::read_dir(workdir.join("logs")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const OK: Outcome = Outcome::Exited(0);

    /// `--logs rank`: two files, in which every task's output is found, even after a crash in the middle of a line.
    #[test]
    fn a_rank_has_two_files() {
        let workdir = tempfile::tempdir().unwrap();
        let packed = logs(Kind::Rank, workdir.path());
        let long = "long ".repeat(20_000);
        say(&packed, 1, "one\n", OK);
        say(&packed, 2, "", OK);
        say(&packed, 3, &long, Outcome::Exited(4));
        drop(packed);
        let index = workdir.path().join("logs/rank_3.idx");
        OpenOptions::new().append(true).open(index).unwrap().write_all(b"1 1 99").unwrap();
        let packed = logs(Kind::Rank, workdir.path());
        say(&packed, 5, "five", OK);
        // Whatever the reason, its heading is one line.
        say(&packed, 6, "six", OK.unkept("cannot write a\n==> task 9\u{1b}[2J".to_owned()));
        assert_eq!(found(workdir.path(), 6).as_deref(), Some("six"));
        assert_eq!(names(workdir.path()), ["rank_3.idx", "rank_3.log"]);
        let texts = [1, 2, 3, 4, 5].map(|id| found(workdir.path(), id));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(texts, [text("one\n"), text(""), Some(long), None, text("five")]);
        let all = fs::read_to_string(workdir.path().join("logs/rank_3.log")).unwrap();
        assert!(
            all.starts_with("==> task 1, attempt 1: exit code 0 <==\none\n\n==> task 3, attempt 1: exit code 4 <=="),
            "{all:.200}"
        );
    }

    /// A fresh run with `--logs rank` looks for no file per task; after a run with a file per task, those are removed.
    #[test]
    fn only_logs_of_tasks_are_out_of_date() {
        let workdir = tempfile::tempdir().unwrap();
        assert!(!logs(Kind::Rank, workdir.path()).used);
        assert!(!logs(Kind::Rank, workdir.path()).used, "its own files are there by now");
        say(&logs(Kind::Task, workdir.path()), 1, "old", OK);
        let packed = logs(Kind::Rank, workdir.path());
        assert!(packed.used);
        say(&packed, 1, "new", OK);
        assert_eq!(names(workdir.path()), ["rank_3.idx", "rank_3.log"]);
        assert_eq!(found(workdir.path(), 1).as_deref(), Some("new"));
    }

    /// `--logs failed`: only tasks that failed or wrote something have a file, and obsolete ones are removed.
    #[test]
    fn silent_successes_have_no_file() {
        let workdir = tempfile::tempdir().unwrap();
        let kept = logs(Kind::Failed, workdir.path());
        say(&kept, 1, "", OK);
        say(&kept, 2, "two", OK);
        say(&kept, 3, "", Outcome::Exited(1));
        say(&kept, 4, "", OK);
        assert_eq!(names(workdir.path()), ["log_2", "log_3"]);
        let kept = logs(Kind::Failed, workdir.path());
        say(&kept, 3, "", OK);
        assert_eq!(names(workdir.path()), ["log_2"]);
        assert_eq!(found(workdir.path(), 2).as_deref(), Some("two"));
    }

    /// `--logs task/N` and `--logs none`.
    #[test]
    fn folders_and_nothing() {
        let workdir = tempfile::tempdir().unwrap();
        let folders = logs(Kind::Folders(10), workdir.path());
        for id in [3, 25, 7, 29] {
            say(&folders, id, &id.to_string(), OK);
        }
        assert_eq!(names(workdir.path()), ["0", "20"]);
        assert_eq!(found(workdir.path(), 29).as_deref(), Some("29"));
        say(&logs(Kind::None, workdir.path()), 3, "discarded", OK);
        assert_eq!(found(workdir.path(), 3).as_deref(), Some("3"), "another form of log is not touched");
    }

    /// A process that outlives its task does not write into the output of the next one.
    #[test]
    fn a_process_that_outlives_its_task_keeps_its_file() {
        let workdir = tempfile::tempdir().unwrap();
        let packed = logs(Kind::Rank, workdir.path());
        let first = task(1);
        let daemons = packed.open(0, &first).unwrap();
        let end = Ended { task: &first, outcome: &OK, asked_to_end: false, ended_ms: 1 };
        // The task is not over.
        packed.keep(0, false, &end).unwrap();
        let second = task(2);
        (&*packed.open(0, &second).unwrap()).write_all(b"second").unwrap();
        (&*daemons).write_all(b"daemon").unwrap();
        packed.keep(0, true, &Ended { task: &second, ..end }).unwrap();
        assert_eq!(found(workdir.path(), 2).as_deref(), Some("second"));
    }
}
