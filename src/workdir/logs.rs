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

/// Output of a task, ready to be read.
#[derive(Debug)]
pub struct Output {
    /// The file that it is in.
    pub path: PathBuf,
    reader: io::Take<File>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Output {
    /// All of a file.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn of_file(path: PathBuf) -> io::Result<Self> {
        Self::open(path, 0, u64::MAX)
    }

    fn open(path: PathBuf, offset: u64, len: u64) -> io::Result<Self> {
        let mut file = regular::reader(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { path, reader: file.take(len) })
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
    /// Read when the first task has no file of its own.
    packed: Option<HashMap<u32, (PathBuf, IndexEntry)>>,
}

impl Finder {
    /// For a workdir.
    ///
    /// # Errors
    /// If it has no logs, or they can't be read.
    pub fn new(workdir: &Path) -> io::Result<Self> {
        let logs = workdir.join(FOLDER);
        let mut folders = Vec::new();
        for entry in fs::read_dir(&logs)? {
            // A folder is named by digits; a million logs are not asked what they are.
            let name = entry?.file_name();
            folders.extend(
                name.to_str()
                    .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
                    .and_then(|name| name.parse::<u32>().ok()),
            );
        }
        folders.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { logs, folders, packed: None })
    }

    /// The output of a task, the newest if there are several; `None` if none was kept.
    ///
    /// # Errors
    /// If it is there and can't be read.
    pub fn find(&mut self, id: u32) -> io::Result<Option<Output>> {
        let name = format!("log_{id}");
        let folders = self.folders.iter().filter(|first| **first <= id).map(|first| self.logs.join(first.to_string()));
        let files = std::iter::once(self.logs.clone()).chain(folders).map(|folder| folder.join(&name));
        let times = files.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)));
        if let Some((_, path)) = times.max() {
            return Output::open(path, 0, u64::MAX).map(Some);
        }
        match self.packed()?.get(&id) {
            Some((path, entry)) => Output::open(path.clone(), entry.offset, entry.len).map(Some),
            None => Ok(None),
        }
    }

    fn packed(&mut self) -> io::Result<&HashMap<u32, (PathBuf, IndexEntry)>> {
        if self.packed.is_none() {
            self.packed = Some(read_indexes(&self.logs)?);
        }
        Ok(self.packed.as_ref().expect("just set"))
    }
}

/// The last entry of each task in all indexes.
fn read_indexes(logs: &Path) -> io::Result<HashMap<u32, (PathBuf, IndexEntry)>> {
    let mut packed: HashMap<u32, (PathBuf, IndexEntry)> = HashMap::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "idx") {
            continue;
        }
        let output = path.with_extension("log");
        let mut reader = BufReader::new(regular::reader(&path)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            // Whatever is in the file: no line takes more memory than one of ours.
            if reader.by_ref().take(INDEX_LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(entry) = line.strip_suffix(b"\n").and_then(IndexEntry::parse) else { continue };
            match packed.get(&entry.id) {
                Some((_, known)) if known.ended_ms > entry.ended_ms => {}
                _ => drop(packed.insert(entry.id, (output.clone(), entry))),
            }
        }
    }
    Ok(packed)
}

/// Prints the output of tasks, each under a heading if there are several. Tells which have none.
///
/// # Errors
/// If logs can't be read or `out` takes no more.
pub fn print(workdir: &Path, ids: &[u32], out: &mut impl Write) -> io::Result<Vec<u32>> {
    let mut finder = Finder::new(workdir)?;
    let mut without = Vec::new();
    for &id in ids {
        let Some(mut output) = finder.find(id)? else {
            without.push(id);
            continue;
        };
        if ids.len() > 1 {
            writeln!(out, "==> task {id} <==")?;
        }
        io::copy(&mut output, out)?;
    }
    out.flush()?;
    Ok(without)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(finder: &mut Finder, id: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        finder.find(id).unwrap()?.read_to_end(&mut bytes).unwrap();
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
        assert_eq!(print(workdir.path(), &[7, 11, 8], &mut printed).unwrap(), [11]);
        assert_eq!(String::from_utf8(printed).unwrap(), "==> task 7 <==\nseven\n==> task 8 <==\neight");
    }

    /// The last line that says something, of a file and of a part of one.
    #[test]
    fn the_last_line_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(20_000);
        fs::write(&path, format!("{long}\nfirst\n  Error: one \n\n \nother")).unwrap();
        let last = |offset, len, max| Output::open(path.clone(), offset, len).unwrap().last_line(max).unwrap();
        assert_eq!(last(0, u64::MAX, 100), b"other");
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
            let packed = read_indexes(folder.path()).unwrap();
            prop_assert_eq!(packed[&id].1, entry);
        }
    }
}
