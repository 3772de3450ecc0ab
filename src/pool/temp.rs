//! Temporary folders for tasks, removed after them.
//!
//! Owns the folders and the thread that removes them: a folder may be large, and the pool has other tasks to start. The
//! pool process leaves none behind unless it is killed itself.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::unistd::mkdtemp;

/// Where temporary folders are made, and the thread that removes them.
#[derive(Debug, Default)]
pub(super) struct TempFolders {
    remover: Option<(Sender<PathBuf>, JoinHandle<()>)>,
    /// Those that could not be removed: something still writes there.
    left: Arc<Mutex<Vec<PathBuf>>>,
}

impl TempFolders {
    /// Makes a folder in the first place that accepts one: `$TMPDIR` of the tasks, or `/tmp`.
    pub(super) fn make(tmpdir: Option<&Path>) -> Result<PathBuf, (PathBuf, Errno)> {
        let mut refused = None;
        for place in tmpdir.into_iter().chain([Path::new("/tmp"), Path::new("/var/tmp")]) {
            match mkdtemp(&place.join("taskfarmer-XXXXXX")) {
                Ok(folder) => return Ok(folder),
                Err(errno) => refused = refused.or(Some((place.to_owned(), errno))),
            }
        }
        Err(refused.expect("there is a place"))
    }

    /// Removes a folder: in the background, or immediately if the node has no thread left for it.
    pub(super) fn remove(&mut self, folder: PathBuf) {
        if self.remover.is_none() {
            self.remover = self.start().ok();
        }
        let unsent = match &self.remover {
            // The thread ends only after its sender.
            Some((folders, _)) => folders.send(folder).err().map(|error| error.0),
            None => Some(folder),
        };
        if let Some(folder) = unsent {
            remove_or_keep(folder, &self.left);
        }
    }

    fn start(&self) -> std::io::Result<(Sender<PathBuf>, JoinHandle<()>)> {
        let (folders, to_remove) = channel::<PathBuf>();
        let left = Arc::clone(&self.left);
        let work = move || to_remove.into_iter().for_each(|folder| remove_or_keep(folder, &left));
        Ok((folders, std::thread::Builder::new().spawn(work)?))
    }

    /// Waits until all are removed. To be called when nothing runs anymore.
    pub(super) fn finish(mut self) {
        if let Some((folders, remover)) = self.remover.take() {
            drop(folders);
            let _ = remover.join();
        }
        for folder in self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            let _ = remove(&folder);
        }
    }
}

/// A folder that cannot be removed now is tried once more at the end.
fn remove_or_keep(folder: PathBuf, left: &Mutex<Vec<PathBuf>>) {
    if remove(&folder).is_err() {
        left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(folder);
    }
}

/// A task may have removed its own permission to delete something.
fn remove(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let mut folders = vec![folder.to_owned()];
            while let Some(folder) = folders.pop() {
                let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700));
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
                folders.extend(entries.filter(is_folder).map(|entry| entry.path()));
            }
            std::fs::remove_dir_all(folder)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new folder is where the environment says, accessible only to its owner, and gone at the end, whatever is in
    /// it.
    #[test]
    fn folders_come_and_go() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let place = tempfile::tempdir().unwrap();
        let mut folders = TempFolders::default();
        for _ in 0..3 {
            let folder = TempFolders::make(Some(place.path())).unwrap();
            assert_eq!((folder.parent(), folder.metadata().unwrap().mode() & 0o777), (Some(place.path()), 0o700));
            let inner = folder.join("a/b");
            std::fs::create_dir_all(&inner).unwrap();
            std::fs::write(inner.join("c"), "x").unwrap();
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o500)).unwrap();
            folders.remove(folder);
        }
        folders.finish();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        let elsewhere = TempFolders::make(Some(Path::new("/no/such/place"))).unwrap();
        remove(&elsewhere).unwrap();
    }
}
