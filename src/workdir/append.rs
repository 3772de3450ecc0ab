//! Files that are only ever appended to, a whole batch in one write.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The error and the file concerned.
pub(super) type Failure = (PathBuf, io::Error);

/// How a file is opened: [`open`](crate::sys::regular::open) follows a symbolic link, for a file that the user named;
/// [`open_no_link`](crate::sys::regular::open_no_link) refuses one: in a workdir, any user may have put it there.
pub(super) type Open = fn(&OpenOptions, &Path) -> io::Result<File>;

/// A file that is only appended to. After an error it accepts nothing more, so its content is known.
#[derive(Debug)]
pub(crate) struct Appender {
    path: PathBuf,
    file: File,
    len: u64,
    failed: bool,
}

impl Appender {
    /// Opens the file, and creates it if it does not exist.
    pub(super) fn open(path: &Path, open: Open) -> io::Result<Self> {
        let file = open(OpenOptions::new().append(true).create(true), path)?;
        let len = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, len, failed: false })
    }

    /// Appends all of `bytes`, or as good as nothing: what a full disk accepted of them is cut off again.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.failed {
            return Err((self.path.clone(), io::Error::other("an earlier write failed")));
        }
        if let Err(error) = self.file.write_all(bytes) {
            self.failed = true;
            // If even this fails, the next start finds a torn tail and cuts it off.
            let _ = self.file.set_len(self.len);
            return Err((self.path.clone(), error));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Its path, and a second descriptor of it, to sync it elsewhere.
    pub(super) fn for_sync(&self) -> io::Result<(PathBuf, File)> {
        Ok((self.path.clone(), self.file.try_clone()?))
    }
}
