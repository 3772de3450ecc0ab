//! Whose a workdir is. Who owns a folder, or a link to one, decides what the names in it stand for.
//!
//! Owns the rule that nothing is written into what is another user's unless the command line says so. What is in a workdir
//! is no matter of trust: a link is never followed there, and records are checked.

use std::fs::{metadata, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::WorkdirError;
use crate::sys::owner;

/// Checks that a workdir belongs to the user, and so does the link, if it is one. One that is not there will.
///
/// # Errors
/// With the owner's name.
pub fn check(workdir: &Path) -> Result<(), WorkdirError> {
    // With a slash at its end, a link would be followed.
    let workdir = &workdir.components().collect::<PathBuf>();
    let (Ok(link), Ok(folder)) = (symlink_metadata(workdir), metadata(workdir)) else { return Ok(()) };
    let foreign = |uid| WorkdirError::Foreign { path: workdir.to_owned(), owner: owner::user(uid) };
    if folder.is_dir() && !owner::is_trusted(folder.uid()) && new_files_belong_to(workdir).ok() != Some(folder.uid()) {
        return Err(foreign(folder.uid()));
    }
    if link.uid() != folder.uid() && !owner::is_trusted(link.uid()) {
        return Err(foreign(link.uid()));
    }
    Ok(())
}

/// Checks that a folder within a workdir, or the link that has its name, belongs to the user, or to whom the workdir does.
///
/// # Errors
/// As [`check`].
pub(super) fn check_within(workdir: &Path, name: &str) -> Result<(), WorkdirError> {
    let path = workdir.join(name);
    let (Ok(workdir), Ok(within)) = (metadata(workdir), symlink_metadata(&path)) else { return Ok(()) };
    if within.uid() == workdir.uid() || owner::is_trusted(within.uid()) {
        return Ok(());
    }
    Err(WorkdirError::Foreign { path, owner: owner::user(within.uid()) })
}

/// Whom a file belongs to that this process makes there. A server may know everybody, or root, by another number (NFS with
/// `root_squash`, a share that is mounted for one user): then all that the user makes there looks like another user's.
fn new_files_belong_to(folder: &Path) -> io::Result<u32> {
    let file = tempfile::Builder::new().prefix(".owner").tempfile_in(folder)?;
    Ok(file.as_file().metadata()?.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    /// The user's own folders and links are fine, whoever made the place that a link leads to is asked for, and a refusal
    /// leaves nothing behind. Giving files away takes root: `mpi-tests/local/owners.rs` says so where there is none.
    #[test]
    fn folders_of_others_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("work")).unwrap();
        std::fs::create_dir(at("work/logs")).unwrap();
        symlink("work", at("link")).unwrap();
        check(&at("work")).unwrap();
        check(&at("link/")).unwrap();
        check(&at("new")).unwrap();
        check_within(&at("work"), "logs").unwrap();
        check_within(&at("work"), "new").unwrap();
        assert_eq!(new_files_belong_to(&at("work")).unwrap(), nix::unistd::geteuid().as_raw());
        const OTHER: u32 = 4_294_967;
        if lchown(at("link"), Some(OTHER), None).is_err() {
            return;
        }
        assert!(check(&at("link/")).unwrap_err().to_string().contains("user 4294967"));
        check(&at("work")).unwrap();
        lchown(at("link"), Some(0), None).unwrap();
        chown(at("work"), Some(OTHER), None).unwrap();
        for name in ["work", "link"] {
            assert!(check(&at(name)).unwrap_err().to_string().contains("user 4294967"));
        }
        chown(at("work/logs"), Some(OTHER), None).unwrap();
        check_within(&at("work"), "logs").unwrap();
        chown(at("work"), Some(0), None).unwrap();
        check_within(&at("work"), "logs").unwrap_err();
        assert_eq!(std::fs::read_dir(at("work")).unwrap().count(), 1);
    }
}
