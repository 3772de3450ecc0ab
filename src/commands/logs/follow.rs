//! `logs --follow`: what running tasks write, as they write it.
//!
//! Owns when to look again and when to stop. Polls, since network file systems report no changes; takes no lock.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::commands::status::{is_at_work, list_len};
use crate::exit_code::ExitCode;
use crate::figures::words;
use crate::shown::TerminalWriter;
use crate::stderr::say_error;
use crate::stdout;
use crate::sys::regular;
use crate::workdir::logs::{self, OddLog, PrintOptions, Unprinted};
use crate::workdir::records::Ended;

/// The pause between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// The pause between two checks whether the farm is at work; before the first one, it may still be starting.
const PAUSE_OF_LIFE: Duration = Duration::from_secs(2);

/// A log that is not in its default place is searched for in one of this many looks: the search reads a folder.
const LOOKS_PER_SEARCH: u32 = 8;

/// The most that is read at a time, in bytes.
const CHUNK: u64 = 1 << 20;

/// If a task keeps writing, no more than this many chunks are printed before others have their turn.
const CHUNKS_PER_LOOK: u32 = 16;

/// A log is recognized by this many of the last bytes that were read.
const RECENT_MAX: usize = 4 << 10;

/// Prints what these tasks have written and are writing, until all of them have ended, or the farm has. `tail`: print
/// only this many lines of what each has already written. `has_headings`: print a heading even for a single task.
pub(super) fn follow(workdir: &Path, ids: &[u32], tail: Option<u64>, has_headings: bool) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    if let Some(text) = not_in_list(workdir, ids) {
        say_error(&text);
        return ExitCode::BadInput;
    }
    let mut known = BTreeSet::new();
    let ids: Vec<u32> = ids.iter().copied().filter(|&id| known.insert(id)).collect();
    let mut tasks: Vec<Task> = ids.iter().map(|&id| Task::new(id, tail, is_terminal)).collect();
    let mut ended = Ended::new(workdir);
    let mut printer = Printer { has_headings: has_headings || ids.len() > 1, last: None, is_at_line_start: true };
    let mut unprinted = Unprinted::default();
    let (mut looked, mut at_work) = (Instant::now(), is_at_work(workdir));
    loop {
        // Checked before the last bytes are read: a task that has ended writes nothing more.
        let is_over = tasks.iter().all(|task| task.is_done || ended.contains(task.id)) || !at_work;
        for place in 0..tasks.len() {
            // What an ended task wrote is limited, so all of it is read; until then, other tasks must not wait for this
            // one.
            let is_last = is_over || ended.contains(tasks[place].id);
            let mut chunks = 0;
            while !tasks[place].is_done && (is_last || chunks < CHUNKS_PER_LOOK) {
                chunks += 1;
                let text = tasks[place].read(workdir, is_last, &mut unprinted);
                if text.is_empty() {
                    tasks[place].is_done |= is_last;
                    break;
                }
                let is_new = std::mem::take(&mut tasks[place].is_new_attempt);
                let last = printer.last.filter(|&last| last != place || is_new);
                let colors = last.map(|last| tasks[last].without_colors()).unwrap_or_default();
                if let Err(code) = printer.print(place, tasks[place].id, is_new, &colors, &text) {
                    return code;
                }
            }
        }
        if is_over {
            break;
        }
        std::thread::sleep(PAUSE);
        if looked.elapsed() >= PAUSE_OF_LIFE {
            (looked, at_work) = (Instant::now(), is_at_work(workdir));
        }
        // Read last: a farm that is no longer at work records nothing more.
        ended.look();
    }
    let open: Vec<u32> = ids.iter().copied().filter(|&id| !ended.contains(id)).collect();
    unprinted.without.retain(|id| !open.contains(id));
    let code = super::report(workdir, &unprinted);
    if open.is_empty() {
        return code;
    }
    report_open(workdir, &open);
    if code == ExitCode::Success { ExitCode::TasksFailed } else { code }
}

/// Why these tasks cannot be followed, if the list has no such tasks.
fn not_in_list(workdir: &Path, ids: &[u32]) -> Option<String> {
    let total = list_len(workdir)?;
    let id = ids.iter().find(|&&id| u64::from(id) >= total)?;
    Some(format!("there is no task {id}\n  the list has {}, numbered from 0", words::counted(total, "task")))
}

/// Reports that the farm has ended before these tasks.
fn report_open(workdir: &Path, open: &[u32]) {
    let (tasks, are) = if open.len() == 1 { ("task", "is") } else { ("tasks", "are") };
    let why = match workdir.is_dir() {
        true => "no farm is at work\n  to resume, type the command of the farm again: see taskfarmer-mpi status",
        false => "the workdir is gone",
    };
    let ids = words::ids(open.iter().copied());
    say_error(&format!("{tasks} {ids} {are} not recorded as finished or failed, and {why}"));
}

/// What goes to standard output.
struct Printer {
    has_headings: bool,
    /// The place of the task that was printed last.
    last: Option<usize>,
    is_at_line_start: bool,
}

impl Printer {
    /// Prints what a task wrote, under a heading if a different task or attempt was printed before. `colors`: what
    /// resets the colors of that output.
    fn print(&mut self, place: usize, id: u32, is_new: bool, colors: &[u8], text: &[u8]) -> Result<(), ExitCode> {
        let heading = match (self.has_headings, self.last != Some(place) || is_new) {
            (true, true) => logs::heading(id, None, self.is_at_line_start),
            (false, true) if !self.is_at_line_start => "\n".to_owned(),
            _ => String::new(),
        };
        self.last = Some(place);
        self.is_at_line_start = text.ends_with(b"\n");
        stdout::print(|out| [colors, heading.as_bytes(), text].iter().try_for_each(|part| out.write_all(part)))
    }
}

/// A task that is followed.
struct Task {
    id: u32,
    /// How many lines to print of what is in the log at the first look.
    tail: Option<u64>,
    /// The log, once there is one.
    log: Option<Log>,
    terminal: Option<TerminalWriter<Vec<u8>>>,
    /// Nothing more is to be printed.
    is_done: bool,
    /// What was read last begins the output of a different attempt.
    is_new_attempt: bool,
    /// The number of looks at which it had no log.
    in_vain: u32,
}

/// The log of a task, and how much of it has been read.
struct Log {
    path: PathBuf,
    file: File,
    inode: u64,
    read: u64,
    /// The last bytes that were read.
    recent: Vec<u8>,
}

impl Log {
    /// Whether a file is the same log, possibly longer. A retry writes from the beginning, possibly more than before.
    fn is_continued_by(&self, now: &File) -> io::Result<bool> {
        let found = now.metadata()?;
        let mut recent = vec![0; self.recent.len()];
        let is_same = found.ino() == self.inode && found.len() >= self.read;
        let from = self.read - recent.len() as u64;
        Ok(is_same && now.read_exact_at(&mut recent, from).is_ok() && recent == self.recent)
    }

    /// What is new.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.read += (&self.file).take(CHUNK).read_to_end(&mut bytes)? as u64;
        self.recent.extend_from_slice(&bytes[bytes.len().saturating_sub(RECENT_MAX)..]);
        self.recent.drain(..self.recent.len().saturating_sub(RECENT_MAX));
        Ok(bytes)
    }
}

/// A log in a folder of IDs. Packed logs contain an output only after it has ended.
fn find(workdir: &Path, id: u32) -> Option<(PathBuf, File)> {
    let path = logs::Finder::new(workdir).ok()?.file_in_folder(id)?;
    let file = regular::reader_no_link(&path).ok()?;
    Some((path, file))
}

impl Task {
    fn new(id: u32, tail: Option<u64>, is_terminal: bool) -> Self {
        let terminal = is_terminal.then(|| TerminalWriter::new(Vec::new()));
        Self { id, tail, log: None, terminal, is_done: false, is_new_attempt: false, in_vain: 0 }
    }

    /// What is new in its log; empty if nothing is. `is_last`: nothing more will come. A log that can't be read is
    /// added to `unprinted`, and its task is not followed any longer.
    fn read(&mut self, workdir: &Path, is_last: bool, unprinted: &mut Unprinted) -> Vec<u8> {
        let path = match &self.log {
            Some(log) => log.path.clone(),
            None => logs::path_of(&workdir.join(logs::FOLDER), self.id),
        };
        let bytes = match regular::reader_no_link(&path) {
            Ok(file) => self.read_file(path.clone(), file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // The run keeps the output in a different form, or it was not kept.
            Err(_) if is_last => {
                self.is_done = true;
                return self.read_whole(workdir, path, unprinted);
            }
            Err(_) => {
                self.in_vain += u32::from(self.log.is_none());
                let in_folder = (self.in_vain % LOOKS_PER_SEARCH == 1).then(|| find(workdir, self.id)).flatten();
                // A log that appears later is new.
                self.tail = self.tail.filter(|_| in_folder.is_some());
                in_folder.map_or_else(|| Ok(Vec::new()), |(path, file)| self.read_file(path, file))
            }
        };
        match bytes {
            Ok(bytes) => self.shown(&bytes, is_last),
            Err(source) => {
                self.is_done = true;
                unprinted.odd.push((Some(self.id), OddLog { path, source }));
                Vec::new()
            }
        }
    }

    /// `now`: the file that has this name now; after a retry, its content is different.
    fn read_file(&mut self, path: PathBuf, now: File) -> io::Result<Vec<u8>> {
        if !self.log.as_ref().map_or(Ok(false), |log| log.is_continued_by(&now))? {
            let found = now.metadata()?;
            let tail = self.tail.take();
            let read = tail.map_or(Ok(0), |lines| logs::start_of_last_lines(&now, 0, found.len(), lines))?;
            self.is_new_attempt = self.log.is_some();
            self.log = Some(Log { path, file: now, inode: found.ino(), read, recent: Vec::new() });
        }
        self.log.as_mut().map_or(Ok(Vec::new()), Log::read)
    }

    /// All of an output that appears only after its task has ended. `path`: where its log was, or should have been.
    fn read_whole(&mut self, workdir: &Path, path: PathBuf, unprinted: &mut Unprinted) -> Vec<u8> {
        let mut bytes = Vec::new();
        let options = PrintOptions { tail: self.tail, ..PrintOptions::default() };
        // Writing to a Vec cannot fail.
        match logs::print(workdir, &[self.id], &options, &mut bytes) {
            // There was a log before.
            Ok(Ok(found)) if !found.without.is_empty() && self.log.is_some() => {
                let source = io::Error::from(io::ErrorKind::NotFound);
                unprinted.odd.push((Some(self.id), OddLog { path, source }));
            }
            Ok(Ok(found)) => {
                unprinted.without.extend(found.without);
                unprinted.odd.extend(found.odd);
                self.is_new_attempt = self.log.is_some();
            }
            Ok(Err(odd)) => unprinted.odd.push((Some(self.id), odd)),
            Err(_) => {}
        }
        let mut text = self.shown(&bytes, false);
        text.extend(self.shown(b"", true));
        text
    }

    /// The bytes as the terminal shows them. An incomplete sequence is held back until nothing more will come.
    fn shown(&mut self, bytes: &[u8], is_last: bool) -> Vec<u8> {
        let Some(terminal) = &mut self.terminal else { return bytes.to_vec() };
        // Writing to a Vec cannot fail.
        let _ = terminal.write_all(bytes);
        if is_last && bytes.is_empty() {
            let _ = terminal.finish();
        }
        terminal.take()
    }

    /// What resets its colors, so that they do not spread to the output of other tasks.
    fn without_colors(&mut self) -> Vec<u8> {
        let Some(terminal) = &mut self.terminal else { return Vec::new() };
        let _ = terminal.end_colors();
        terminal.take()
    }
}
