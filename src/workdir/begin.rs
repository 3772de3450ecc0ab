//! How a run begins with the files that it appends to: first it examines each, which changes nothing, then it changes
//! them.
//!
//! Owns undoing the changes if a later one fails: a start that is refused leaves the workdir as it was.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::append::{Appender, Open};

/// A longer tail of a file, in bytes, is not restored once it was cut off: only a crash leaves such a tail.
const TAIL_LEN_MAX: u64 = 1 << 20;

/// How a file of the right kind is continued.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Begin {
    /// This many of its bytes stay; the rest was torn, or is written again at the end.
    pub(crate) len: u64,
    /// What is appended first.
    pub(crate) first: Vec<u8>,
}

/// What is known of a kind of file.
#[derive(Debug)]
pub(crate) struct Kind {
    /// How a file is continued; `None` if it is of a different kind. Changes nothing.
    pub(crate) look: fn(&mut File) -> io::Result<Option<Begin>>,
    /// The beginning of a new file.
    pub(crate) start: fn() -> Vec<u8>,
    /// The extension under which a file of a different kind is kept.
    pub(crate) aside: &'static str,
    /// How it is opened.
    pub(super) open: Open,
}

/// A file as a run finds it.
#[derive(Debug)]
pub(crate) struct Found {
    path: PathBuf,
    open: Open,
    state: State,
}

#[derive(Debug)]
enum State {
    Missing { first: Vec<u8> },
    There { file: File, begin: Begin },
    Other { aside: PathBuf, first: Vec<u8> },
}

impl Found {
    /// Examines a file.
    ///
    /// # Errors
    /// If it cannot be used: it is not a regular file, or cannot be read or written.
    pub(crate) fn look(path: &Path, kind: &Kind) -> io::Result<Self> {
        let state = match open_if_there(path, kind.open)? {
            None => State::Missing { first: (kind.start)() },
            Some(mut file) => match (kind.look)(&mut file)? {
                Some(begin) => State::There { file, begin },
                None => State::Other { aside: path.with_extension(kind.aside), first: (kind.start)() },
            },
        };
        Ok(Self { path: path.to_owned(), open: kind.open, state })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Prepares it for appending. A file of a different kind is moved aside.
    ///
    /// # Errors
    /// If the disk does not accept it. The file is then as it was before.
    pub(crate) fn begin(self) -> io::Result<(Appender, Undo)> {
        let Self { path, open, state } = self;
        let (how, first) = match state {
            State::Missing { first } => (How::Remove, first),
            State::There { file, begin: Begin { len, first } } => {
                let tail = read_tail(&file, len)?;
                (How::PutBack { file, len, tail }, first)
            }
            State::Other { aside, first } => {
                log::warn!("{} was not written by this program; it is kept as {}", path.display(), aside.display());
                fs::rename(&path, &aside)?;
                (How::MoveBack(aside), first)
            }
        };
        let undo = Undo(Some((path.clone(), how)));
        if let Some((_, How::PutBack { file, len, .. })) = &undo.0 {
            file.set_len(*len)?;
        }
        let mut appender = Appender::open(&path, open)?;
        appender.append(&first).map_err(|(_, error)| error)?;
        Ok((appender, undo))
    }
}

/// Opens a file for reading and writing, if it exists.
///
/// # Errors
/// If something exists there that cannot be used like this.
pub(super) fn open_if_there(path: &Path, open: Open) -> io::Result<Option<File>> {
    match open(OpenOptions::new().read(true).write(true), path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) if fs::symlink_metadata(path).is_ok() => Err(io::Error::other("it is a dangling symbolic link")),
        opened => Ok(opened.ok()),
    }
}

fn read_tail(file: &File, len: u64) -> io::Result<Option<Vec<u8>>> {
    let more = file.metadata()?.len().saturating_sub(len);
    if more > TAIL_LEN_MAX {
        return Ok(None);
    }
    let mut tail = vec![0; usize::try_from(more).map_err(io::Error::other)?];
    file.read_exact_at(&mut tail, len)?;
    Ok(Some(tail))
}

/// Undoes a change when it is dropped, unless the change is kept.
#[derive(Debug)]
pub(crate) struct Undo(Option<(PathBuf, How)>);

#[derive(Debug)]
enum How {
    /// The file did not exist.
    Remove,
    RemoveFolder,
    /// The file had this tail.
    PutBack {
        file: File,
        len: u64,
        tail: Option<Vec<u8>>,
    },
    /// The file was here.
    MoveBack(PathBuf),
}

impl Undo {
    /// Creates a folder if it does not exist.
    ///
    /// # Errors
    /// If that fails, or something else has its name.
    pub(super) fn of_folder(path: &Path) -> io::Result<Self> {
        match fs::create_dir(path) {
            Ok(()) => Ok(Self(Some((path.to_owned(), How::RemoveFolder)))),
            Err(_) if path.is_dir() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Makes the change permanent.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some((path, how)) = self.0.take() else { return };
        let undone = match how {
            How::Remove => fs::remove_file(&path),
            How::RemoveFolder => fs::remove_dir(&path),
            How::PutBack { file, len, tail } => {
                file.set_len(len).and_then(|()| file.write_all_at(&tail.unwrap_or_default(), len))
            }
            How::MoveBack(aside) => fs::rename(aside, &path),
        };
        if let Err(error) =
            undone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            log::warn!("cannot restore {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::regular;

    const KIND: Kind = Kind {
        look: |file| {
            let len = file.metadata()?.len();
            Ok((len < 10).then_some(Begin { len: len / 2, first: b"more".to_vec() }))
        },
        start: || b"start".to_vec(),
        aside: "old",
        open: regular::open,
    };

    /// Examining changes nothing; changes by a start are undone if it does not continue.
    #[test]
    fn a_start_that_is_refused_leaves_no_trace() {
        for (before, begun) in
            [(None, "start"), (Some("123456"), "123more"), (Some("0123456789"), "start"), (Some(""), "more")]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            before.iter().for_each(|text| fs::write(&path, text).unwrap());
            let names =
                || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
            let names_before = names();
            let now = || fs::read_to_string(&path).ok();
            let found = Found::look(&path, &KIND).unwrap();
            assert_eq!(now().as_deref(), before);
            let (_, undo) = found.begin().unwrap();
            assert_eq!(now().unwrap(), begun);
            drop(undo);
            assert_eq!((now().as_deref(), names()), (before, names_before));
            Found::look(&path, &KIND).unwrap().begin().unwrap().1.keep();
            assert_eq!(now().unwrap(), begun);
        }
    }

    /// A file that cannot be used is already found when it is examined.
    #[test]
    fn unusable_files_are_found_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(Found::look(&path, &KIND).unwrap_err().to_string().contains("dangling"));
        let in_workdir = Kind { open: regular::open_no_link, ..KIND };
        assert_eq!(Found::look(&path, &in_workdir).unwrap_err().to_string(), "a symbolic link has its name");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        Found::look(&path, &KIND).unwrap_err();
        drop(Undo::of_folder(&path).unwrap());
        assert!(path.is_dir(), "it was there before");
        drop(Undo::of_folder(&folder.path().join("new")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
