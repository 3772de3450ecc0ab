//! `logs --follow`: what running tasks write, as they write it.
//!
//! Owns when to look again and when to stop. Polls, since network file systems report no changes; takes no lock.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::commands::status::{is_at_work, records};
use crate::exit_code::ExitCode;
use crate::figures::words;
use crate::progress::say_error;
use crate::shown::TerminalWriter;
use crate::stdout;
use crate::sys::regular;
use crate::workdir::logs::{self, PrintOptions};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// The pause between two looks whether the farm is at work; before the first, it may still be starting.
const PAUSE_OF_LIFE: Duration = Duration::from_secs(2);

/// A log that is not where it is by default is searched for in one of this many looks: that reads a folder.
const LOOKS_PER_SEARCH: u32 = 8;

/// No more than this is read at a time, in bytes.
const CHUNK: u64 = 1 << 20;

/// Of a task that goes on writing, no more than this is printed before others have their turn.
const CHUNKS_PER_LOOK: u32 = 16;

/// Prints what these tasks have written and write, until all of them have ended, or the farm has. `tail`: of what is there
/// already, only that many lines of each.
pub(super) fn follow(workdir: &Path, ids: &[u32], tail: Option<u64>) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    let mut tasks: Vec<Task> = ids.iter().map(|&id| Task::new(id, tail, is_terminal)).collect();
    let mut ended = records::Ended::new(workdir);
    let mut printed = None;
    let (mut looked, mut at_work) = (Instant::now(), is_at_work(workdir));
    loop {
        // Asked before the last bytes are read: what has ended writes no more.
        let is_over = tasks.iter().all(|task| ended.contains(task.id)) || !at_work;
        for task in &mut tasks {
            // Then there is an end to what it writes; before, others must not wait for it.
            let is_last = is_over || ended.contains(task.id);
            let mut chunks = 0;
            while is_last || chunks < CHUNKS_PER_LOOK {
                chunks += 1;
                let text = match task.read(workdir, is_last) {
                    Ok(text) if text.is_empty() => break,
                    Ok(text) => text,
                    Err(error) => {
                        say_error(&format!("task {}: cannot read its output: {error}", task.id));
                        return ExitCode::BadInput;
                    }
                };
                let result = stdout::print(|out| {
                    if ids.len() > 1 && printed != Some(task.id) {
                        out.write_all(logs::heading(task.id, None).as_bytes())?;
                    }
                    out.write_all(&text)
                });
                printed = Some(task.id);
                if let Err(code) = result {
                    return code;
                }
            }
        }
        if is_over {
            break;
        }
        std::thread::sleep(PAUSE);
        ended.look();
        if looked.elapsed() >= PAUSE_OF_LIFE {
            (looked, at_work) = (Instant::now(), is_at_work(workdir));
            ended.look();
        }
    }
    let open: Vec<u32> = ids.iter().copied().filter(|&id| !ended.contains(id)).collect();
    if open.is_empty() {
        return ExitCode::Success;
    }
    let are = if open.len() == 1 { "is" } else { "are" };
    say_error(&format!(
        "task {} {are} not recorded as finished or failed, and no farm is at work\n  to resume, type the command of the \
         farm again: see taskfarmer-mpi status",
        words::ids(open.iter().copied())
    ));
    ExitCode::TasksFailed
}

/// A task that is followed.
struct Task {
    id: u32,
    /// Lines to print of what is there at the first look.
    tail: Option<u64>,
    /// Once there is one.
    log: Option<Log>,
    terminal: Option<TerminalWriter<Vec<u8>>>,
    is_printed: bool,
    /// Looks at which it had no log.
    in_vain: u32,
}

/// The log of a task, and how much of it was read.
struct Log {
    path: PathBuf,
    file: File,
    inode: u64,
    read: u64,
    /// When it was last changed, if all of it was read at that time.
    changed: Option<SystemTime>,
}

impl Log {
    /// Whether a file is the same log, perhaps longer. A retry writes from the beginning, perhaps just as much.
    fn is_continued_by(&self, now: &Metadata) -> bool {
        let is_rewritten = now.len() == self.read && self.changed.is_some_and(|at| now.modified().ok() != Some(at));
        now.ino() == self.inode && now.len() >= self.read && !is_rewritten
    }
}

/// A log in a folder of IDs. Packed logs have an output only when it has ended.
fn find(workdir: &Path, id: u32) -> Option<(PathBuf, File)> {
    let path = logs::Finder::new(workdir).ok()?.file_in_folder(id)?;
    let file = regular::reader_no_link(&path).ok()?;
    Some((path, file))
}

impl Task {
    fn new(id: u32, tail: Option<u64>, is_terminal: bool) -> Self {
        let terminal = is_terminal.then(|| TerminalWriter::new(Vec::new()));
        Self { id, tail, log: None, terminal, is_printed: false, in_vain: 0 }
    }

    /// What is new in its log; empty if nothing is. `is_last`: nothing more will come.
    fn read(&mut self, workdir: &Path, is_last: bool) -> io::Result<Vec<u8>> {
        let path = match &self.log {
            Some(log) => log.path.clone(),
            None => logs::path_of(&workdir.join(logs::FOLDER), self.id),
        };
        match regular::reader_no_link(&path) {
            Ok(file) => self.read_file(path, file, is_last),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // It is kept in another form, or was not kept.
            Err(_) if is_last && self.log.is_none() && !self.is_printed => self.read_whole(workdir),
            Err(_) if self.log.is_none() => {
                self.in_vain += 1;
                let in_folder = (self.in_vain % LOOKS_PER_SEARCH == 1).then(|| find(workdir, self.id)).flatten();
                in_folder.map_or_else(|| Ok(Vec::new()), |(path, file)| self.read_file(path, file, is_last))
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    /// `now`: the file that has the name at this moment, which is another one after a retry.
    fn read_file(&mut self, path: PathBuf, now: File, is_last: bool) -> io::Result<Vec<u8>> {
        let found = now.metadata()?;
        let len = found.len();
        let same = self.log.as_ref().is_some_and(|log| log.is_continued_by(&found));
        if !same {
            let read = match self.tail.take() {
                Some(lines) => logs::start_of_last_lines(&now, 0, len, lines)?,
                None => 0,
            };
            self.log = Some(Log { path, file: now, inode: found.ino(), read, changed: None });
        }
        let Some(log) = &mut self.log else { return Ok(Vec::new()) };
        log.file.seek(SeekFrom::Start(log.read))?;
        let mut bytes = Vec::new();
        log.read += (&log.file).take(CHUNK).read_to_end(&mut bytes)? as u64;
        let after = log.file.metadata()?;
        log.changed = (after.len() == log.read).then(|| after.modified().ok()).flatten();
        self.shown(bytes, is_last)
    }

    /// All of an output that appears only when its task has ended.
    fn read_whole(&mut self, workdir: &Path) -> io::Result<Vec<u8>> {
        self.is_printed = true;
        let mut bytes = Vec::new();
        let options = PrintOptions { tail: self.tail, ..PrintOptions::default() };
        let printed = logs::print(workdir, &[self.id], &options, &mut bytes)?;
        printed.map_err(|odd| odd.source)?;
        self.shown(bytes, false)
    }

    /// As the terminal shows it. What waits for its other half is shown when nothing more comes.
    fn shown(&mut self, bytes: Vec<u8>, is_last: bool) -> io::Result<Vec<u8>> {
        let Some(terminal) = &mut self.terminal else { return Ok(bytes) };
        terminal.write_all(&bytes)?;
        if is_last && bytes.is_empty() {
            terminal.finish()?;
        }
        Ok(terminal.take())
    }
}
