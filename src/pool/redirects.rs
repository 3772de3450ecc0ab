//! The files that a line without a shell redirects to.
//!
//! Owns how they are opened: as bash opens them, but in the pool, and so never waiting for the other end of a FIFO or
//! for a device. Opens regular files and `/dev/null`, and leaves all else to the shell, as it does on any error. What was
//! done by then, the shell does again: it empties the same files, and opens the others to append.
//!
//! A FIFO is not even opened without waiting: its reader would see that a writer has come and gone.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{FileStat, Mode as Permissions, SFlag, fstat, fstatat, major, minor, stat};

use crate::runner::direct::Direct;
use crate::runner::simple::{Mode, Redirect};

/// What a shell leaves to its umask.
const PERMISSIONS: Permissions = Permissions::from_bits_truncate(0o666);

/// The error for what is the shell's.
const FOR_THE_SHELL: Errno = Errno::ENOTSUP;

/// Where one of the standard descriptors of a task leads.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Where that of this number leads without redirections.
    Given(usize),
    Opened(usize),
}

/// The folder and the files of a start.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) folder: Option<File>,
    files: Vec<File>,
    ends: [End; 3],
}

impl Opened {
    /// Opens what a line names.
    pub(super) fn new(direct: &Direct) -> Result<Self, Errno> {
        Self::try_new(direct).map_err(|errno| match errno {
            // A file may be busy; the node is short of nothing.
            Errno::EAGAIN => FOR_THE_SHELL,
            errno => errno,
        })
    }

    fn try_new(direct: &Direct) -> Result<Self, Errno> {
        let mut opened = Self { folder: None, files: Vec::new(), ends: [End::Given(0), End::Given(1), End::Given(2)] };
        if let Some(path) = &direct.folder {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let folder = openat(AT_FDCWD, path.as_c_str(), flags, Permissions::empty())?;
            if Some(fstat(&folder)?.st_dev) == proc_device() {
                return Err(FOR_THE_SHELL);
            }
            opened.folder = Some(File::from(folder));
        }
        for redirect in &direct.redirects {
            let (to, end) = match redirect {
                Redirect::Copy { to, from } => (*to, opened.ends[usize::from(*from)]),
                Redirect::Open { to, mode, path } => {
                    let folder = opened.folder.as_ref().map_or(AT_FDCWD, AsFd::as_fd);
                    let file = open(folder, path, *mode)?;
                    opened.files.push(file);
                    (*to, End::Opened(opened.files.len() - 1))
                }
            };
            opened.ends[usize::from(to)] = end;
        }
        Ok(opened)
    }

    /// The three standard descriptors, if these are the ones without redirections.
    pub(super) fn ends<'a>(&'a self, given: [BorrowedFd<'a>; 3]) -> [BorrowedFd<'a>; 3] {
        self.ends.map(|end| match end {
            End::Given(fd) => given[fd],
            End::Opened(number) => self.files[number].as_fd(),
        })
    }
}

fn open(folder: BorrowedFd<'_>, path: &std::ffi::CStr, mode: Mode) -> Result<File, Errno> {
    let (flags, stays) = match mode {
        Mode::Read => (OFlag::O_RDONLY, OFlag::empty()),
        Mode::Write => (OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC, OFlag::empty()),
        Mode::Append => (OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND, OFlag::O_APPEND),
    };
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    if mode != Mode::Read && path != c"/dev/null" {
        // Usually, there is none of that name, and then nothing has to be asked.
        match openat(folder, path, flags | OFlag::O_EXCL, PERMISSIONS) {
            Err(Errno::EEXIST) => {}
            made => return made.map(File::from),
        }
    }
    let found = fstatat(folder, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    let is_null = kind == SFlag::S_IFCHR && (major(found.st_rdev), minor(found.st_rdev)) == (1, 3);
    if is_null {
        return openat(folder, path, flags, PERMISSIONS).map(File::from);
    }
    if kind != SFlag::S_IFREG || Some(found.st_dev) == proc_device() {
        return Err(FOR_THE_SHELL);
    }
    // Something else may have taken its place by now.
    let file = openat(folder, path, flags | OFlag::O_NONBLOCK, PERMISSIONS)?;
    if !is_same(&found, &fstat(&file)?) {
        return Err(FOR_THE_SHELL);
    }
    fcntl(&file, FcntlArg::F_SETFL(stays))?;
    Ok(File::from(file))
}

fn is_same(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Files of /proc differ for each process that opens them.
fn proc_device() -> Option<u64> {
    static DEVICE: OnceLock<Option<u64>> = OnceLock::new();
    *DEVICE.get_or_init(|| stat(c"/proc").ok().map(|found| found.st_dev))
}
