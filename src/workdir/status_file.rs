//! `status.json`: the state of the farm, for `taskfarmer-mpi status` on a different node.
//!
//! Owns that file, when it is written (soon after the start, then about once a second, and at the end), and how it is
//! read. What it contains is [`crate::figures::report::Figures`]. It is never authoritative, and not synced.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::names;
use super::replace::{Manner, Replacer};
use crate::sys::regular;

/// The longest `status.json`, in bytes: that of a million slots has half of this.
const LEN_MAX: u64 = 64 << 20;

const MANNER: Manner = Manner {
    thread: "tfarmer-status",
    // Most runs that end sooner are tests of a list.
    first: Duration::from_secs(1),
    // Short enough that each check of the farm, once a second, finds it due. With a longer one, `status --running` would
    // miss tasks that have started since: if they take only a few seconds, all of them. But a file system that was slow
    // once may be quick again.
    pause: (Duration::from_millis(900), Duration::from_secs(60)),
    is_synced: false,
};

/// Writes `status.json` in the background.
#[derive(Debug)]
pub(crate) struct StatusFile {
    file: Replacer,
    told: bool,
}

impl StatusFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { file: Replacer::new(path, MANNER), told: false }
    }

    /// Whether it is due.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.file.is_due();
        due.unwrap_or_else(|error| {
            self.report(&error);
            false
        })
    }

    /// The approximate time between the next write and the one after it.
    pub(crate) fn interval(&self) -> Duration {
        self.file.pause()
    }

    /// Starts to write these bytes.
    pub(crate) fn write(&mut self, bytes: Vec<u8>) {
        if let Err(error) = self.file.begin(move |out| out.write_all(&bytes)) {
            self.report(&error);
        }
    }

    /// Writes the last state.
    pub(crate) fn finish(mut self, bytes: &[u8]) {
        if let Err(error) = self.file.finish(|out| out.write_all(bytes)) {
            self.report(&error);
        }
    }

    /// Reports it once: what counts is in other files, and if those cannot be written, the farm stops.
    fn report(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            log::info!("cannot write {}: {error}; only `status` misses it", self.file.path().display());
        }
    }
}

/// Reads that of a workdir, or the part of it that `T` has. No more is read than makes sense, so that a file of zeros
/// costs nothing.
///
/// # Errors
/// If it does not exist, cannot be read or is too long; the inner error, if it is damaged.
pub(crate) fn read<T: DeserializeOwned>(workdir: &Path) -> io::Result<serde_json::Result<T>> {
    let file = regular::reader_no_link(&workdir.join(names::STATUS))?;
    let len = file.metadata()?.len();
    if len > LEN_MAX {
        return Err(io::Error::other(format!("it has {len} bytes, more than a farm writes; it is ignored")));
    }
    Ok(serde_json::from_reader(BufReader::new(file.take(LEN_MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A very short run does without it until its end. An error is not one of the farm.
    #[test]
    fn it_is_written_at_the_end_at_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let mut file = StatusFile::new(path.clone());
        assert!(!file.is_due(), "a very short run does without");
        file.write(b"{}".to_vec());
        assert!(!file.is_due());
        file.finish(b"{\"total\":1}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"total\":1}");
        StatusFile::new(folder.path().join("no/status.json")).finish(b"{}");
    }
}
