//! Who owns a workdir. The owner of a folder, or of a link to one, decides what the names in it refer to.
//!
//! Owns the rule that nothing is written into a different user's folder unless the command line allows it. The files in
//! a workdir need no trust: links in place of them are never followed, and records are checked.

use std::fs::{metadata, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::WorkdirError;
use crate::sys::owner;

/// Checks that a workdir belongs to the user, and if it is a link, so does the link. A workdir that does not exist yet
/// will belong to the user.
///
/// # Errors
/// If not; the error names the owner.
pub(crate) fn check(workdir: &Path) -> Result<(), WorkdirError> {
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

/// Checks that a folder within a workdir, or the link that has its name, belongs to the user, or to the owner of the
/// workdir.
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

/// The owner of a file that this process creates there. A server may map every user, or root, to a different ID (NFS
/// with `root_squash`, a share that is mounted for one user): then everything that the user creates there appears to
/// belong to a different user.
/// another user.
fn new_files_belong_to(folder: &Path) -> io::Result<u32> {
    let file = tempfile::Builder::new().prefix(".owner").tempfile_in(folder)?;
    Ok(file.as_file().metadata()?.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    /// The user's own folders and links are accepted, the owner of a link's target is checked, and a refusal leaves
    /// nothing behind. Giving files away requires root: `mpi-tests/local/owners.rs` reports it if the tests do not run
    /// as root.
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
