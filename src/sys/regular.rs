//! Opens regular files, and nothing else.
//!
//! Owns the rule for files in a workdir: opening one never waits, neither for the other end of a FIFO nor for a device,
//! and anything other than a regular file is an error that says so. A symbolic link is followed only if the user named
//! the file: the target of any other link could belong to any user. The user's own files (tasklists, runners) may be of
//! any kind.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

/// Opens a regular file.
///
/// # Errors
/// The error of open(2), or that it is not a regular file.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    open_with(options, path, OFlag::O_NONBLOCK)
}

/// Opens a regular file, and follows no symbolic link: its target could belong to any user.
///
/// # Errors
/// As [`open`], or that a symbolic link has its name.
pub(crate) fn open_no_link(options: &OpenOptions, path: &Path) -> io::Result<File> {
    open_with(options, path, OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW)
}

/// Opens a regular file for reading.
///
/// # Errors
/// As [`open`].
pub(crate) fn reader(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// Opens a regular file in a folder for reading, whatever happens to the folder's name in the meantime. A link is
/// followed.
///
/// # Errors
/// As [`open`].
pub(crate) fn reader_in(folder: &File, name: &OsStr) -> io::Result<File> {
    // Opening a device may have effects, so it is not even tried.
    let found = fstatat(folder, name, AtFlags::empty())?;
    if SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
        return Err(io::Error::other(NotRegular::Other));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    if_regular(openat(folder, name, flags, Mode::empty())?.into())
}

/// Opens a regular file for reading, and follows no symbolic link.
///
/// # Errors
/// As [`open_no_link`].
pub(crate) fn reader_no_link(path: &Path) -> io::Result<File> {
    open_no_link(OpenOptions::new().read(true), path)
}

/// Opens a folder to identify it: to distinguish it later from a different one with the same name, not to read it.
///
/// # Errors
/// The error of open(2).
pub(crate) fn folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits()).open(path)
}

/// Creates a file whose name is meant to last only until it is renamed. Anything that already has this name, except for
/// a folder, is removed: a link is not followed.
///
/// # Errors
/// The system's error.
pub(crate) fn temporary(path: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().write(true).create_new(true).open(path);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            make()
        }
        made => made,
    }
}

/// All bytes of a regular file that has at most `max`. A symbolic link is not followed.
///
/// # Errors
/// As [`open_no_link`], or if it cannot be read or is longer.
pub(crate) fn bytes(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader_no_link(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(io::Error::other(format!("it has more than {max} bytes"))) } else { Ok(bytes) }
}

/// Creates or empties a regular file, for a task to write to: opened as a shell opens it, except for links.
///
/// # Errors
/// As [`open_no_link`].
pub(crate) fn create_for_task(path: &Path) -> io::Result<File> {
    let file = open_no_link(OpenOptions::new().write(true).create(true).truncate(true), path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}

fn open_with(options: &OpenOptions, path: &Path, flags: OFlag) -> io::Result<File> {
    let opened = options.clone().custom_flags(flags.bits()).open(path);
    if_regular(opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) if flags.contains(OFlag::O_NOFOLLOW) => io::Error::other(NotRegular::Link),
        // A FIFO that nothing reads, a socket, a device that does not exist.
        Some(Errno::ENXIO) => io::Error::other(NotRegular::Other),
        _ => error,
    })?)
}

fn if_regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other(NotRegular::Other)) }
}

/// The name does not refer to a regular file.
#[derive(Debug, thiserror::Error)]
enum NotRegular {
    #[error("a symbolic link has its name")]
    Link,
    #[error("it is not a regular file")]
    Other,
}

/// Whether an error of this module says that something other than a regular file has the name.
pub(crate) fn is_something_else(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotRegular>())
}

/// Removes a file if it exists.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// Nothing here waits: the FIFO has no process at its other end.
    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        for (name, path) in [("fifo", path("fifo")), ("folder", path("folder")), ("null", "/dev/null".into())] {
            for result in [reader(&path), open(OpenOptions::new().append(true), &path), create_for_task(&path)] {
                let error = result.unwrap_err();
                assert!(name == "folder" || error.to_string() == "it is not a regular file", "{name}: {error}");
                assert!(name == "folder" || is_something_else(&error), "{name}: {error}");
            }
        }
        assert!(is_something_else(&reader(&path("folder")).unwrap_err()));
        assert!(!is_something_else(&reader(&path("nothing")).unwrap_err()));
        assert_eq!(io::read_to_string(reader(&path("link")).unwrap()).unwrap(), "text");
        assert!(is_something_else(&bytes(&path("link"), 4).unwrap_err()));
        let here = super::folder(folder.path()).unwrap();
        assert_eq!(io::read_to_string(reader_in(&here, "link".as_ref()).unwrap()).unwrap(), "text");
        assert!(is_something_else(&reader_in(&here, "fifo".as_ref()).unwrap_err()));
        assert_eq!(bytes(&path("file"), 4).unwrap(), b"text");
        assert_eq!(bytes(&path("file"), 3).unwrap_err().to_string(), "it has more than 3 bytes");
        assert_eq!(create_for_task(&path("link")).unwrap_err().to_string(), "a symbolic link has its name");
        for name in ["link", "fifo", "new"] {
            io::Write::write_all(&mut temporary(&path(name)).unwrap(), b"new").unwrap();
            assert_eq!(bytes(&path(name), 9).unwrap(), b"new");
        }
        temporary(&path("folder")).unwrap_err();
        assert_eq!(bytes(&path("file"), 9).unwrap(), b"text", "not written through the link");
        create_for_task(&path("file")).unwrap();
        assert_eq!(bytes(&path("file"), 0).unwrap(), b"");
    }
}
