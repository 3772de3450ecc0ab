//! Lines of a file → tasks.
//!
//! Owns the list itself ([`TaskList`]) and the handlers that make one. Only rank 0 ever holds a list; a task
//! reaches a worker by message. Never runs anything, never writes anything.

mod lines;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::protocol::TaskId;

/// The handler that a tasklist gets when `--tasklist` is not given.
pub const DEFAULT_HANDLER: &str = "default";

/// All tasks of a run: the text of each, by ID.
///
/// Costs 8 bytes per task beside the text, which is kept in one piece.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TaskList {
    text: Vec<u8>,
    /// Where each task's text ends; the next one starts there.
    ends: Vec<u64>,
}

/// Why there is no tasklist.
#[derive(Debug, Error)]
pub enum ListError {
    /// `--tasklist` names a handler that does not exist.
    #[error("there is no tasklist handler '{0}'; built in is: {DEFAULT_HANDLER}")]
    UnknownHandler(String),
    /// The file can't be read.
    #[error("cannot read the tasklist {}: {source}\n  {}", path.display(), hint(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path that is no file.
    #[error("the tasklist {} is a folder\n  give the file that holds one command per line", .0.display())]
    IsFolder(PathBuf),
    /// A NUL byte, which no command can contain.
    #[error("{}: line {line} contains a NUL byte\n  a tasklist is a text file with one command per line", path.display())]
    Nul {
        /// The file.
        path: PathBuf,
        /// 1-based, as editors count.
        line: u64,
    },
    /// More tasks than an ID can name.
    #[error("{}: more than {} tasks", .0.display(), u32::MAX)]
    TooMany(PathBuf),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "check the path; nothing was started",
        std::io::ErrorKind::PermissionDenied => "its permissions do not let you read it; nothing was started",
        _ => "nothing was started",
    }
}

impl TaskList {
    /// Reads `path` with the handler of this name.
    ///
    /// # Errors
    /// If there is no such handler, or it can't make a list of the file. Nothing was written then.
    pub fn read(handler: &str, path: &Path) -> Result<Self, ListError> {
        if handler != DEFAULT_HANDLER {
            return Err(ListError::UnknownHandler(handler.to_owned()));
        }
        if path.is_dir() {
            return Err(ListError::IsFolder(path.to_owned()));
        }
        let bytes = std::fs::read(path).map_err(|source| ListError::Unreadable { path: path.to_owned(), source })?;
        lines::parse(bytes).map_err(|bad| match bad {
            lines::BadLine::Nul { line } => ListError::Nul { path: path.to_owned(), line },
            lines::BadLine::TooMany => ListError::TooMany(path.to_owned()),
        })
    }

    /// A list of these commands.
    #[must_use]
    pub fn from_commands<'a>(commands: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut list = Self::default();
        for command in commands {
            list.text.extend_from_slice(command);
            list.ends.push(list.text.len() as u64);
        }
        list
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("checked when the list was made")
    }

    /// Whether there is no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The command of a task; `None` if the list has no such ID.
    #[must_use]
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
    #[must_use]
    pub fn command(&self, id: TaskId) -> &[u8] {
        self.get(id).expect("the core hands out IDs of the list only")
    }
}
