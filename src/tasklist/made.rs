//! A folder that was created before it was certain to be needed.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that were created. They are removed when this value is dropped, if they contain nothing but empty folders,
/// unless they are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Innermost first.
    pub(super) folders: Vec<PathBuf>,
}

impl Made {
    /// The folder and those of its parents that do not exist, as if they had been created.
    pub(super) fn missing(path: &Path) -> Self {
        let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        Self { folders: missing.map(Path::to_owned).collect() }
    }

    /// Makes them permanent.
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
