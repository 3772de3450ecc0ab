//! Why a task did not become a process.

use std::fs::File;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::runner::Launch;

/// A start that failed.
#[derive(Debug)]
pub(super) enum StartError {
    Log(PathBuf, std::io::Error),
    Program(Box<Launch>, Errno),
    Input(std::io::Error),
    /// The runner's `cwd`.
    Folder(PathBuf, std::io::Error),
    /// No place for a new folder.
    Temp(PathBuf, Errno),
}

impl StartError {
    pub(super) fn place(&self) -> String {
        match self {
            Self::Log(path, _) | Self::Folder(path, _) | Self::Temp(path, _) => format!("{}: ", path.display()),
            Self::Program(..) | Self::Input(_) => String::new(),
        }
    }

    /// The system's error.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Program(_, errno) | Self::Temp(_, errno) => errno.desc().to_owned(),
            Self::Log(_, error) | Self::Input(error) | Self::Folder(_, error) => {
                let errno = error.raw_os_error().map(Errno::from_raw);
                errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
            }
        }
    }

    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Program(_, errno) | Self::Temp(_, errno) => Some(*errno),
            Self::Log(_, error) | Self::Input(error) | Self::Folder(_, error) => {
                error.raw_os_error().map(Errno::from_raw)
            }
        }
    }
}

/// Errors of a node that has temporarily run out of something.
pub(super) fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
}

/// Errors in creating a log that affect every task alike: the file system is full, read-only or gone, or the folder no
/// longer exists. They are never a task's failure, even if all is well again a moment later. For other errors,
/// [`super::logs`] finds out whether the task is the cause.
pub(super) fn is_disk_trouble(errno: Errno) -> bool {
    use Errno::{EDQUOT, EIO, ENOENT, ENOSPC, ENOTCONN, EROFS, ESTALE};
    matches!(errno, ENOSPC | EDQUOT | EROFS | EIO | ESTALE | ENOENT | ENOTCONN)
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Self::Program(launch, errno) => {
                let found = Some(&launch.program).filter(|path| !path.is_empty());
                let name = found.or(launch.argv.first()).map(|name| name.to_string_lossy()).unwrap_or_default();
                write!(f, "cannot run {name}: {}", errno.desc())
            }
            Self::Input(error) => write!(f, "cannot prepare its start: {error}"),
            Self::Folder(path, error) => write!(f, "cannot enter {}: {error}", path.display()),
            Self::Temp(path, errno) => write!(f, "cannot make a folder in {}: {}", path.display(), errno.desc()),
        }
    }
}

impl StartError {
    /// Writes the reason into the log of the task, where the user looks for it.
    pub(super) fn write_to(&self, mut log: &File) {
        use std::io::Write;
        let _ = writeln!(log, "taskfarmer-mpi: {self}");
    }
}
