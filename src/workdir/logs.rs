//! Where the output of tasks is kept: the names and formats within `logs/`, for who writes and who reads.
//!
//! Owns the layout. A task has a file of its own, `log_<ID>`, perhaps in a folder of some IDs, `<first ID>/log_<ID>`;
//! or its output lies among that of others in `rank_<r>.log`, and a line of `rank_<r>.idx` says where. Never decides
//! which: the pools do, by [`crate::protocol::Logs`].

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::sys::regular;

pub use super::names::LOGS as FOLDER;

/// First line of an index, for people.
pub(crate) const INDEX_HEAD: &[u8] = b"# ID attempt ended_ms offset length\n";

/// An index line is not longer: five numbers of at most 20 digits.
const INDEX_LINE_MAX: u64 = 128;

/// The file of one task.
#[must_use]
pub fn path_of(logs: &Path, id: u32) -> PathBuf {
    logs.join(format!("log_{id}"))
}

/// The folder of a task, where a folder holds so many IDs.
#[must_use]
pub fn folder_of(logs: &Path, id: u32, per_folder: u32) -> PathBuf {
    logs.join((id - id % per_folder.max(1)).to_string())
}

/// What a rank writes all output into, and its index.
#[must_use]
pub fn rank_files(logs: &Path, rank: u32) -> (PathBuf, PathBuf) {
    (logs.join(format!("rank_{rank}.log")), logs.join(format!("rank_{rank}.idx")))
}

/// Made and removed again by a slot that could not make a log.
#[must_use]
pub(crate) fn probe_of(logs: &Path, rank: u32, slot: u32) -> PathBuf {
    logs.join(format!(".probe_{rank}_{slot}"))
}

/// Where the output of one attempt lies in a rank's file: a line of its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// The task.
    pub id: u32,
    /// Which try of it, within its run of the farm.
    pub attempt: u16,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// First byte of its output.
    pub offset: u64,
    /// Bytes of its output.
    pub len: u64,
}

impl fmt::Display for IndexEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {} {} {}", self.id, self.attempt, self.ended_ms, self.offset, self.len)
    }
}

impl IndexEntry {
    /// Reads a line, without its newline; `None` for the head, and for what a crash has left of a line.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(line).ok()?.split(' ');
        let mut number = || fields.next()?.parse::<u64>().ok();
        let entry = Self {
            id: u32::try_from(number()?).ok()?,
            attempt: u16::try_from(number()?).ok()?,
            ended_ms: number()?,
            offset: number()?,
            len: number()?,
        };
        fields.next().is_none().then_some(entry)
    }
}

/// A log that can't be read.
#[derive(Debug, Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct OddLog {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: io::Error,
}

impl OddLog {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// Output of a task, ready to be read.
#[derive(Debug)]
pub struct Output {
    /// The file that it is in.
    pub path: PathBuf,
    reader: io::Take<File>,
    /// How long it is, if it is a part of the file.
    part: Option<u64>,
}

impl Output {
    /// All of a file. A symbolic link is not followed.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn of_file(path: PathBuf) -> Result<Self, OddLog> {
        Self::open(path, None)
    }

    fn open(path: PathBuf, part: Option<(u64, u64)>) -> Result<Self, OddLog> {
        let (offset, len) = part.unwrap_or((0, u64::MAX));
        let opened = regular::reader_no_link(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        });
        let reader = opened.map_err(OddLog::at(&path))?.take(len);
        Ok(Self { path, reader, part: part.map(|(_, len)| len) })
    }

    /// Copies all of it to `out`. What is there is copied, also if that is not all.
    ///
    /// # Errors
    /// The outer one if `out` takes no more, the inner one if the log can't be read to its end.
    pub(crate) fn copy_to(mut self, out: &mut impl Write) -> io::Result<Result<(), OddLog>> {
        let mut chunk = vec![0; 64 << 10];
        let mut copied = 0;
        loop {
            match self.reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    out.write_all(&chunk[..len])?;
                    copied += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Ok(Err(OddLog { path: self.path, source })),
            }
        }
        Ok(match self.part {
            Some(len) if copied < len => {
                let text = format!("it ends in the middle of this task's output, {} bytes short", len - copied);
                Err(OddLog { path: self.path, source: io::Error::other(text) })
            }
            _ => Ok(()),
        })
    }

    /// The last line that is not blank, without white space around it; at most `max` bytes of it. Reads no more than
    /// the end of the output.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn last_line(mut self, max: usize) -> io::Result<Vec<u8>> {
        const TAIL: u64 = 8 << 10;
        let len = match self.reader.limit() {
            u64::MAX => self.reader.get_ref().metadata()?.len(),
            len => len,
        };
        let skipped = len.saturating_sub(TAIL);
        self.reader.get_mut().seek_relative(i64::try_from(skipped).map_err(io::Error::other)?)?;
        let mut tail = Vec::new();
        self.reader.take(TAIL.min(len)).read_to_end(&mut tail)?;
        let line =
            tail.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).rfind(|line| !line.is_empty());
        Ok(line.map_or(Vec::new(), |line| line[..line.len().min(max)].to_vec()))
    }
}

/// Finds the output of tasks, whatever form it was kept in.
#[derive(Debug)]
pub struct Finder {
    logs: PathBuf,
    /// First IDs of folders, largest first.
    folders: Vec<u32>,
    /// Indexes of ranks.
    indexes: Vec<PathBuf>,
    /// Read when it is first asked for.
    packed: Option<HashMap<u32, (PathBuf, IndexEntry)>>,
    /// Indexes that can't be read.
    odd: Vec<OddLog>,
}

impl Finder {
    /// For a workdir.
    ///
    /// # Errors
    /// If it has no logs, or they can't be read.
    pub fn new(workdir: &Path) -> Result<Self, OddLog> {
        let logs = workdir.join(FOLDER);
        let (mut folders, mut indexes) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&logs).map_err(OddLog::at(&logs))? {
            // A folder is named by digits; a million logs are not asked what they are.
            let name = entry.map_err(OddLog::at(&logs))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with("rank_") && name.ends_with(".idx") {
                indexes.push(logs.join(name));
            } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
                folders.extend(name.parse::<u32>().ok());
            }
        }
        folders.sort_unstable_by(|a, b| b.cmp(a));
        indexes.sort_unstable();
        Ok(Self { logs, folders, indexes, packed: None, odd: Vec::new() })
    }

    /// The output of a task, the newest if there are several; `None` if none was kept. Nothing else is taken for one, if
    /// there is one.
    ///
    /// # Errors
    /// If it is there and can't be read.
    pub fn find(&mut self, id: u32) -> Result<Option<Output>, OddLog> {
        let (logs, name) = (self.logs.clone(), format!("log_{id}"));
        let is_folder = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
        let folders = self.folders.iter().filter(|first| **first <= id).map(|first| logs.join(first.to_string()));
        let places = std::iter::once(logs.clone()).chain(folders.filter(is_folder));
        let files: Vec<(fs::Metadata, PathBuf)> = places
            .map(|folder| folder.join(&name))
            .filter_map(|path| Some((fs::symlink_metadata(&path).ok()?, path)))
            .collect();
        let packed = self.packed().get(&id).cloned();
        let packed = packed.map(|(path, entry)| {
            let ended = SystemTime::UNIX_EPOCH + Duration::from_millis(entry.ended_ms);
            (ended, path, Some((entry.offset, entry.len)))
        });
        let whole = files.iter().filter(|(found, _)| found.is_file());
        let whole = whole.filter_map(|(found, path)| Some((found.modified().ok()?, path.clone(), None)));
        match whole.chain(packed).max() {
            Some((_, path, part)) => Output::open(path, part).map(Some),
            // Something has its name.
            None => files.into_iter().next().map(|(_, path)| Output::of_file(path)).transpose(),
        }
    }

    /// Indexes that could not be read. Tasks that are only in these are not found.
    pub fn odd(&self) -> &[OddLog] {
        &self.odd
    }

    /// The last entry of each task in all indexes.
    fn packed(&mut self) -> &HashMap<u32, (PathBuf, IndexEntry)> {
        self.packed.get_or_insert_with(|| {
            let mut packed = HashMap::new();
            for index in &self.indexes {
                if let Err(source) = read_index(index, &mut packed) {
                    self.odd.push(OddLog { path: index.clone(), source });
                }
            }
            packed
        })
    }
}

/// Takes the entries of an index; of each task, that which ended last.
fn read_index(index: &Path, packed: &mut HashMap<u32, (PathBuf, IndexEntry)>) -> io::Result<()> {
    let output = index.with_extension("log");
    let mut reader = BufReader::new(regular::reader_no_link(index)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Whatever is in the file: no line takes more memory than one of ours.
        if reader.by_ref().take(INDEX_LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some(entry) = line.strip_suffix(b"\n").and_then(IndexEntry::parse) else { continue };
        match packed.get(&entry.id) {
            Some((_, known)) if known.ended_ms > entry.ended_ms => {}
            _ => drop(packed.insert(entry.id, (output.clone(), entry))),
        }
    }
}

/// What could not be printed.
#[derive(Debug, Default)]
pub struct Unprinted {
    /// Tasks that have no output.
    pub without: Vec<u32>,
    /// Logs that can't be read, or only in part, each with its task; indexes have none.
    pub odd: Vec<(Option<u32>, OddLog)>,
}

/// Prints the output of tasks, each under a heading if there are several, as far as it can be read. Tells what could not
/// be printed.
///
/// # Errors
/// The outer one if `out` takes no more, the inner one if there are no logs.
pub fn print(workdir: &Path, ids: &[u32], out: &mut impl Write) -> io::Result<Result<Unprinted, OddLog>> {
    let mut finder = match Finder::new(workdir) {
        Ok(finder) => finder,
        Err(odd) => return Ok(Err(odd)),
    };
    let mut unprinted = Unprinted::default();
    for &id in ids {
        let copied = match finder.find(id) {
            Ok(None) => {
                unprinted.without.push(id);
                continue;
            }
            Ok(Some(output)) => {
                if ids.len() > 1 {
                    writeln!(out, "==> task {id} <==")?;
                }
                output.copy_to(out)?
            }
            Err(odd) => Err(odd),
        };
        unprinted.odd.extend(copied.err().map(|odd| (Some(id), odd)));
    }
    out.flush()?;
    unprinted.odd.extend(finder.odd.drain(..).map(|odd| (None, odd)));
    Ok(Ok(unprinted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(finder: &mut Finder, id: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        finder.find(id).unwrap()?.copy_to(&mut bytes).unwrap().unwrap();
        Some(bytes)
    }

    /// Each form is found, and the newest output of a task wins.
    #[test]
    fn every_form_is_found() {
        let workdir = tempfile::tempdir().unwrap();
        let logs = workdir.path().join(FOLDER);
        fs::create_dir_all(logs.join("1000")).unwrap();
        fs::write(path_of(&logs, 7), "seven\n").unwrap();
        fs::write(path_of(&folder_of(&logs, 1234, 1000), 1234), "in a folder").unwrap();
        let entry = |id, ended_ms, offset, len| IndexEntry { id, attempt: 1, ended_ms, offset, len }.to_string();
        let index = |lines: &[String]| [INDEX_HEAD, lines.concat().as_bytes(), b"9 1 5"].concat();
        fs::write(logs.join("rank_0.log"), "==> 8 <==\neight==> 9 <==\nold").unwrap();
        fs::write(logs.join("rank_0.idx"), index(&[entry(8, 5, 10, 5), entry(9, 6, 25, 3)])).unwrap();
        fs::write(logs.join("rank_1.log"), "new").unwrap();
        fs::write(logs.join("rank_1.idx"), index(&[entry(9, 7, 0, 3), entry(10, 7, 3, 0)])).unwrap();
        let mut finder = Finder::new(workdir.path()).unwrap();
        let found: Vec<_> = [7, 1234, 8, 9, 10, 11].iter().map(|&id| read(&mut finder, id)).collect();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(found, [text("seven\n"), text("in a folder"), text("eight"), text("new"), text(""), None]);
        let mut printed = Vec::new();
        let unprinted = print(workdir.path(), &[7, 11, 8], &mut printed).unwrap().unwrap();
        assert_eq!((&unprinted.without[..], unprinted.odd.len()), (&[11][..], 0));
        assert_eq!(String::from_utf8(printed).unwrap(), "==> task 7 <==\nseven\n==> task 8 <==\neight");
    }

    /// The last line that says something, of a file and of a part of one.
    #[test]
    fn the_last_line_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(20_000);
        fs::write(&path, format!("{long}\nfirst\n  Error: one \n\n \nother")).unwrap();
        let last = |offset, len, max| Output::open(path.clone(), Some((offset, len))).unwrap().last_line(max).unwrap();
        assert_eq!(Output::of_file(path.clone()).unwrap().last_line(100).unwrap(), b"other");
        assert_eq!(last(0, 20_023, 100), b"Error: one");
        assert_eq!(last(20_001, 5, 3), b"fir");
        assert_eq!(last(0, 0, 3), b"");
    }

    proptest! {
        /// Promise 5: an index may hold anything. What is written is read back.
        #[test]
        fn any_index_is_read(bytes: Vec<u8>, id: u32, attempt: u16, ended_ms: u64, offset: u64, len: u64) {
            let folder = tempfile::tempdir().unwrap();
            let entry = IndexEntry { id, attempt, ended_ms, offset, len };
            fs::write(folder.path().join("rank_0.idx"), [&bytes[..], b"\n", entry.to_string().as_bytes()].concat()).unwrap();
            let mut packed = HashMap::new();
            read_index(&folder.path().join("rank_0.idx"), &mut packed).unwrap();
            prop_assert_eq!(packed[&id].1, entry);
        }
    }
}
