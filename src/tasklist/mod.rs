//! A file → tasks.
//!
//! Owns the list itself ([`TaskList`]), the handlers that make one, see [`Handler`], and the check of a list, see
//! [`judge`]. Only rank 0 ever holds a list; a task reaches a worker by message. Never runs a task. Some handlers start
//! a program, and the one for Python classes creates the workdir for them: see [`Tasks`].

mod atlas;
mod commands;
mod comments;
mod directives;
mod encoding;
mod exec;
mod fields;
mod handler;
pub(crate) mod judge;
mod lines;
mod literal;
mod made;
mod product;
mod program;
mod python;
mod range;
#[cfg(feature = "root")]
mod root;
#[cfg(not(feature = "root"))]
#[path = "no_root.rs"]
mod root;
mod wire;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::demand::list::ListAsks;
use crate::ini::{IniError, Key, Section};
use crate::task::TaskId;

pub(crate) use atlas::OUTPUT;
pub(crate) use commands::COMMAND_LEN_MAX;
use directives::Keys;
use handler::built_in_kinds;
pub(crate) use handler::{DEFAULT_HANDLER, Tasks, listing};
pub use handler::{Handler, Source};
pub(crate) use made::Made;

/// All tasks of a run: the text of each, by ID.
///
/// Costs 8 bytes per task in addition to the text, which is kept in one piece.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TaskList {
    text: Vec<u8>,
    /// Where each task's text ends; the next one starts there.
    ends: Vec<u64>,
}

/// Why there is no tasklist.
#[derive(Debug, Error)]
pub enum ListError {
    /// The file cannot be read.
    #[error("cannot read the tasklist {}: {source}\n  {}", path.display(), hint(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A path that is not a file.
    #[error("the tasklist '{}' is a folder\n  give the name of a file with one command per line", .0.display())]
    IsFolder(PathBuf),
    /// Something in the file.
    #[error("{}:{} {what}\n  nothing was started", path.display(), line.map_or(String::new(), |line| format!(" line {line}:")))]
    Content {
        /// The file.
        path: PathBuf,
        /// 1-based, as editors count.
        line: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// Something in the handler's section.
    #[error(transparent)]
    Ini(#[from] IniError),
    /// Anything else, as a text for the user.
    #[error("{0}")]
    Message(String),
}

impl ListError {
    fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    /// Line 0: the file as a whole.
    fn content(path: &Path, line: u64, what: &str) -> Self {
        Self::Content { path: path.to_owned(), line: (line > 0).then_some(line), what: what.to_owned() }
    }
}

/// A file that a line of a list names.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    /// As in the list.
    name: &'a [u8],
    /// Its line, 1-based.
    line: u64,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path; nothing was started",
        io::ErrorKind::PermissionDenied => "its permissions do not let you read it; nothing was started",
        _ => "nothing was started",
    }
}

/// A list whose lines are not commands has no directives.
fn refuse_directives(path: &Path, bytes: &[u8], remedy: &str) -> Result<(), ListError> {
    match directives::find(bytes) {
        Some(line) => {
            let what = format!("#TF directives are for lists of commands\n  {remedy}");
            Err(ListError::content(path, line, &what))
        }
        None => Ok(()),
    }
}

fn check_is_file(path: &Path) -> Result<(), ListError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(ListError::IsFolder(path.to_owned())),
        Ok(_) => Ok(()),
        Err(source) => Err(ListError::unreadable(path, source)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ListError> {
    check_is_file(path)?;
    let text = std::fs::read(path).map_err(|source| ListError::unreadable(path, source))?;
    if encoding::is_utf16(&text) {
        let new = path.with_extension("utf8");
        let what = format!(
            "the file is UTF-16, which some Windows programs write\n  \
             convert it to UTF-8: iconv -f UTF-16 -t UTF-8 {} > {}",
            path.display(),
            new.display()
        );
        return Err(ListError::content(path, 0, &what));
    }
    Ok(encoding::without_mark(text))
}

/// A value that becomes part of commands.
fn one_line<'a>(section: &Section, key: &'a Key) -> Result<&'a Key, IniError> {
    if key.value.contains('\n') {
        let what = "its value has several lines, and a task is one line\n  write it in one";
        return Err(section.error(Some(key), what));
    }
    Ok(key)
}

/// Handler `default`.
fn read_lines(path: &Path, keys: Keys<'_>) -> Result<(TaskList, ListAsks), ListError> {
    let lines = lines::parse(read_file(path)?, keys).map_err(|bad| match bad {
        lines::BadLine::Nul { line } => {
            ListError::content(path, line, "contains a NUL byte\n  a tasklist is a text file with one command per line")
        }
        lines::BadLine::TooLong { line } => {
            let what =
                format!("has more than {COMMAND_LEN_MAX} bytes\n  put it into a script, and the script's name here");
            ListError::content(path, line, &what)
        }
        lines::BadLine::TooMany => ListError::content(path, 0, &format!("more than {} tasks", u32::MAX)),
        lines::BadLine::Foreign { line, directive } => ListError::content(path, line, &directive.refusal()),
        lines::BadLine::Directive { line, bad } => ListError::content(path, line, &bad.to_string()),
    })?;
    for text in lines.ignored.near_miss().into_iter().chain(lines.ignored.message()) {
        log::warn!("{}: {text}", path.display());
    }
    Ok((lines.list, lines.asks))
}

/// The numbers of the lines, 1-based, from which the handler `default` makes these tasks; `ids` in ascending order.
/// Fewer if the file has changed.
pub(crate) fn line_numbers(path: &Path, ids: &[TaskId]) -> Vec<u64> {
    match std::fs::File::open(path) {
        Ok(file) if !ids.is_empty() => lines::numbers(io::BufReader::with_capacity(1 << 20, file), ids),
        _ => Vec::new(),
    }
}

impl TaskList {
    /// A list of these commands.
    pub fn from_commands<'a>(commands: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut list = Self::default();
        for command in commands {
            list.append(command);
        }
        list
    }

    fn append(&mut self, command: &[u8]) {
        self.text.extend_from_slice(command);
        self.ends.push(self.text.len() as u64);
    }

    /// How many tasks there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("checked when the list was made")
    }

    /// Whether there is no task at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of the longest command, in bytes.
    pub fn len_max(&self) -> usize {
        let starts = std::iter::once(&0).chain(&self.ends);
        let lens = self.ends.iter().zip(starts).map(|(end, start)| end - start);
        usize::try_from(lens.max().unwrap_or(0)).expect("all of it is in memory")
    }

    /// The command of a task; `None` if the list has no such ID.
    pub fn get(&self, id: TaskId) -> Option<&[u8]> {
        let index = id.0 as usize;
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        Some(&self.text[start..end])
    }

    /// The command of a task that is known to be in the list.
    ///
    /// # Panics
    /// If it is not. IDs from outside go through [`Self::get`].
    pub fn command(&self, id: TaskId) -> &[u8] {
        self.get(id).expect("the core hands out IDs of the list only")
    }
}
