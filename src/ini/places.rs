//! Where the program looks for INI files, and whether it may use what it finds.
//!
//! A definition determines what runs as the user, and is used without its file being named. So a file counts only if
//! nobody but the user and root can have written it or put it where it is: owner and mode of the file and of its folder
//! are checked, on what was opened. Folders further up are not checked: a user who can replace those can only put a
//! different folder there, which is checked, too. docs/runners.md explains the rule to users.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Kind;
use crate::shell::pasted_path;
use crate::sys::{accounts, owner, regular};

/// The folder for the user's own files, as messages name it.
const OWN_FOLDER: &str = "~/.config/taskfarmer";

/// A folder in which INI files are looked for.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    folder: File,
    metadata: Metadata,
    /// Below the home folder, its owner counts as the user, too: a file server may know the user by a different ID.
    home_owner: Option<u32>,
}

/// Why a file is not used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Distrust {
    /// Which users could have written it.
    pub(super) why: String,
    /// What to do.
    pub(super) cure: String,
}

/// The folders that may hold definitions of this kind, in the order in which they are read: definitions in later ones
/// win.
pub(super) fn places(kind: Kind) -> Vec<Place> {
    let home = home();
    // Root may still have the HOME of the user it was before.
    let home_owner = home.as_deref().filter(|_| !nix::unistd::geteuid().is_root());
    let home_owner = home_owner.and_then(|home| Some(home.metadata().ok()?.uid()));
    let at_home = home.iter().flat_map(|home| [home.join(kind.folder()), home.join(".config/taskfarmer")]);
    let folders = at_home.map(|path| (path, home_owner)).chain([(PathBuf::from("."), None)]);
    folders.filter_map(|(path, home_owner)| Place::open(path, home_owner).ok()).collect()
}

fn home() -> Option<PathBuf> {
    match std::env::var_os("HOME") {
        Some(home) => Some(home.into()),
        None => accounts::user_of_id(nix::unistd::getuid().as_raw()).map(|user| user.dir),
    }
}

impl Place {
    /// Opens a folder.
    pub(super) fn open(path: PathBuf, home_owner: Option<u32>) -> io::Result<Self> {
        let folder = regular::folder(&path)?;
        Ok(Self { path, metadata: folder.metadata()?, folder, home_owner })
    }

    /// Names of INI files, in the order in which they are read.
    pub(super) fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| {
                let name = name.as_encoded_bytes();
                name.ends_with(b".ini") && !name.starts_with(b".")
            })
            .collect();
        names.sort();
        names
    }

    /// The path of a file, as messages show it.
    pub(super) fn path_of(&self, name: &OsString) -> PathBuf {
        // In a message, "x.ini" reads better than "./x.ini".
        if self.path == Path::new(".") { name.into() } else { self.path.join(name) }
    }

    /// Opens a file; `None` if it is not a regular file (a folder, a pipe that would block) or no longer exists.
    pub(super) fn open_file(&self, name: &OsString) -> Option<io::Result<File>> {
        match regular::reader_in(&self.folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || regular::is_something_else(&error) => None,
            opened => Some(opened),
        }
    }

    /// Why this file, which was opened here, must not be used; `None` if it may be.
    pub(super) fn distrust(&self, path: &Path, file: &Metadata) -> Option<Distrust> {
        self.judge(&[(file, "it", "write it", path), self.itself()])
    }

    fn itself(&self) -> (&Metadata, &str, &str, &Path) {
        (&self.metadata, "its folder", "write into its folder", &self.path)
    }

    /// Judges what was opened, given its metadata, its name in messages, what others may be able to do, and its path.
    fn judge(&self, all: &[(&Metadata, &str, &str, &Path)]) -> Option<Distrust> {
        let (mut whys, mut to_close) = (Vec::new(), Some(String::new()));
        for (of, what, to_write, path) in all {
            if !owner::is_trusted(of.uid()) && self.home_owner != Some(of.uid()) {
                whys.push(format!("{what} belongs to {}", owner::user(of.uid())));
                to_close = None;
            } else if let Some(others) = owner::other_writers(of, path) {
                whys.push(format!("{others} can {to_write}"));
                // Other users are meant to write into a folder such as /tmp.
                let is_shared = of.mode() & 0o1000 != 0;
                to_close = to_close.filter(|_| owner::may_change_mode(of.uid()) && !is_shared);
                to_close = to_close.zip(as_word(path)).map(|(words, word)| words + " " + &word);
            }
        }
        let cure = match to_close {
            Some(words) => format!("read it, then: chmod go-w{words}"),
            None => format!("if you trust its content, copy it to {OWN_FOLDER}"),
        };
        (!whys.is_empty()).then(|| Distrust { why: whys.join(", and "), cure })
    }
}

/// A path as a word of a shell command; `None` if it cannot be typed. Anybody may have chosen the path.
fn as_word(path: &Path) -> Option<String> {
    path.to_str().filter(|text| !text.contains(char::is_control)).map(|_| pasted_path(path))
}

/// Why nothing in the current folder may be considered the user's own; `None` if it may be.
pub(crate) fn distrust_of_current_folder() -> Option<String> {
    match Place::open(PathBuf::from("."), None) {
        Ok(place) => {
            let (metadata, _, _, path) = place.itself();
            Some(place.judge(&[(metadata, "it", "write into it", path)])?.why)
        }
        Err(error) => Some(error.to_string()),
    }
}
