//! A folder that was made before it was sure that it is needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that were made. They go again with this, as far as nothing but empty folders is in them, unless they are
/// kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Innermost first.
    pub(super) folders: Vec<PathBuf>,
}

impl Made {
    /// The folder and its parents, as far as they are not there; as if they were made.
    pub(super) fn missing(path: &Path) -> Self {
        let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        Self { folders: missing.map(Path::to_owned).collect() }
    }

    /// Makes a folder and its parents.
    ///
    /// # Errors
    /// What the system says; nothing is left then.
    pub(super) fn folder(path: &Path) -> io::Result<Self> {
        let made = Self::missing(path);
        fs::create_dir_all(path)?;
        Ok(made)
    }

    /// They stay.
    pub fn keep(mut self) {
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(innermost) = self.folders.first() {
            for entry in fs::read_dir(innermost).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(entry.path());
            }
        }
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
