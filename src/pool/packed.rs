//! `rank_<r>.log`: the output of all tasks of a rank, one after the other.
//!
//! Owns that file and its index while the rank runs. Both are only appended to, by every run of this rank, a whole
//! entry or none of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::keeping::{Ended, KeepError};
use crate::shown;
use crate::sys::regular;
use crate::task::Outcome;
use crate::workdir::is_in_place;
use crate::workdir::logs::{INDEX_HEAD, INDEX_TORN, IndexEntry, heading_of, rank_files};

/// Output of up to this many bytes is written in one go.
const ONE_WRITE: u64 = 64 << 10;

/// A rank's file and its index.
#[derive(Debug)]
pub(super) struct Packed {
    log: Growing,
    index: Growing,
}

/// A file that is only appended to, possibly by other processes too.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    file: File,
}

impl Packed {
    /// Opens both, and creates them if they do not exist.
    pub(super) fn open(logs: &Path, rank: u32) -> Result<Self, KeepError> {
        let (log, index) = rank_files(logs, rank);
        let (log, mut index) = (Growing::open(log)?, Growing::open(index)?);
        begin_index(&mut index.file).map_err(KeepError::at(&index.path))?;
        Ok(Self { log, index })
    }

    /// Appends the output under a heading, so that the file can be read as it is; then its line in the index. What a
    /// full disk accepted of them is cut off again.
    pub(super) fn append(&mut self, end: &Ended<'_>, output: &mut impl Read, len: u64) -> Result<(), KeepError> {
        let (id, attempt) = (end.task.id.0, end.task.attempt.0);
        let mut entry = IndexEntry { id, attempt, ended_ms: end.ended_ms, offset: 0, len };
        let mut before = None;
        if len > 0 {
            let heading = format!("{}{} <==\n", heading_of(id, attempt), shown::line(&how(end.outcome))).into_bytes();
            let begin = self.log.append(|file| write_output(file, heading, output, len))?;
            // Right after what was just written, whatever other processes have appended before.
            entry.offset = self.log.position()?.saturating_sub(len + 1);
            before = Some(begin);
        }
        let indexed = self.index.append(|file| file.write_all(entry.to_string().as_bytes()));
        if let (Err(_), Some(before)) = (&indexed, before) {
            self.log.cut(before);
        }
        indexed.map(|_| ())
    }

    /// Whether both are where their names say: if they were moved or removed, their content cannot be found.
    pub(super) fn check(&self) -> Result<(), KeepError> {
        [&self.log, &self.index]
            .into_iter()
            .try_for_each(|Growing { path, file }| is_in_place(path, file).map_err(KeepError::at(path)))
    }
}

impl Growing {
    fn open(path: PathBuf) -> Result<Self, KeepError> {
        let opened = regular::open_no_link(OpenOptions::new().read(true).append(true).create(true), &path);
        let file = opened.map_err(KeepError::at(&path))?;
        Ok(Self { path, file })
    }

    /// Appends something whole, or as good as nothing; returns how long the file was before.
    fn append(&mut self, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<u64, KeepError> {
        let len = self.file.metadata().map_err(KeepError::at(&self.path))?.len();
        write(&mut self.file).map(|()| len).map_err(|source| {
            self.cut(len);
            KeepError { path: self.path.clone(), source }
        })
    }

    fn position(&mut self) -> Result<u64, KeepError> {
        self.file.stream_position().map_err(KeepError::at(&self.path))
    }

    /// Removes what was written after `len`, unless another process has written there in the meantime.
    fn cut(&mut self, len: u64) {
        let end = self.file.metadata().map(|metadata| metadata.len());
        if end.is_ok_and(|end| self.file.stream_position().is_ok_and(|position| position == end)) {
            let _ = self.file.set_len(len);
        }
    }
}

fn write_output(log: &mut File, mut heading: Vec<u8>, output: &mut impl Read, len: u64) -> io::Result<()> {
    if len <= ONE_WRITE {
        output.take(len).read_to_end(&mut heading)?;
        log.write_all(&heading)?;
    } else {
        log.write_all(&heading)?;
        io::copy(&mut output.take(len), log)?;
    }
    log.write_all(b"\n")
}

/// Prepares an index for the next line. A crash may have left part of a line: ended like this, it counts neither as an
/// entry, even if it lacks only a digit, nor as damage.
fn begin_index(index: &mut File) -> io::Result<()> {
    let len = index.seek(SeekFrom::End(0))?;
    if len == 0 {
        return index.write_all(INDEX_HEAD);
    }
    let mut last = [0];
    index.seek(SeekFrom::Start(len - 1))?;
    index.read_exact(&mut last)?;
    if last == [b'\n'] { Ok(()) } else { index.write_all([INDEX_TORN, b"\n"].concat().as_slice()) }
}
fn how(outcome: &Outcome) -> String {
    let code = || outcome.exit_code().map(|code| format!("exit code {code}"));
    let signal = || outcome.signal().map(|signal| format!("signal {signal}"));
    outcome.error().map(str::to_owned).or_else(code).or_else(signal).unwrap_or_default()
}
