//! The folder in which an earlier run was started.
//!
//! Tasks start where the farm is started, so the rest of a list that is resumed in a different folder would read and
//! write different files from its beginning. `status.json` records the folder of the last run; without it, nothing is
//! known.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::status_file;

/// The relevant part of `status.json`.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    cwd: String,
}

/// Where the last run in this workdir was started, if that is known and is a different folder from `cwd`.
pub(super) fn other_than(cwd: &Path, workdir: &Path) -> Option<PathBuf> {
    let status: Status = status_file::read(workdir).ok()?.ok()?;
    // What is not UTF-8 was replaced there.
    if status.cwd.is_empty() || status.cwd == cwd.to_string_lossy() {
        return None;
    }
    let earlier = PathBuf::from(status.cwd);
    let id = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let is_same = earlier == cwd || id(&earlier).is_some_and(|earlier| Some(earlier) == id(cwd));
    (!is_same).then_some(earlier)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// Folders are compared by identity, not by name; a file that cannot be read says nothing.
    #[test]
    fn another_folder_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b", "work"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        let cwd = at("a");
        let earlier = |status: &str| {
            std::fs::write(at("work/status.json"), status).unwrap();
            other_than(&cwd, &at("work"))
        };
        assert_eq!(other_than(&cwd, &at("work")), None);
        let status = |name: &str| serde_json::json!({ "format": 1, "cwd": at(name), "total": 3 }).to_string();
        assert_eq!(earlier(&status("a")), None);
        assert_eq!(earlier(&status("link")), None);
        assert_eq!(earlier(&status("b")), Some(at("b")));
        assert_eq!(earlier(&status("gone")), Some(at("gone")));
        for nothing in ["", "{}", "[", "{\"cwd\":\"\"}", "{\"cwd\":3}"] {
            assert_eq!(earlier(nothing), None, "{nothing}");
        }
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
        std::fs::write(at("work/status.json"), "{\"cwd\":\"/\u{fffd}\"}").unwrap();
        assert_eq!(other_than(odd, &at("work")), None, "as far as it is known");
        assert_eq!(other_than(&cwd, &at("work")), Some("/\u{fffd}".into()));
    }
}
