//! Where the output of tasks is kept: the names and formats within `logs/`, for writers and readers.
//!
//! Owns the layout. A task has a file of its own, `log_<ID>`, possibly in a folder for a range of IDs, `<first
//! ID>/log_<ID>`; or its output is in `rank_<r>.log` together with that of other tasks, at the place that a line of
//! `rank_<r>.idx` names. Never decides which: the pools do, by [`crate::protocol::Logs`].

mod index;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::shown::TerminalWriter;
use index::{Place, Places};

pub(crate) use super::names::LOGS as FOLDER;
pub(crate) use index::IndexEntry;
pub(crate) use index::{INDEX_HEAD, INDEX_TORN, heading_of};
pub(crate) use output::{Output, start_of_last_lines};

/// After this many lookups of tasks in folders, all folders are listed: for a few tasks this does not pay off, and for
/// many tasks it is done once.
const LOOKS_MAX: usize = 20_000;

/// The file of one task.
pub(crate) fn path_of(logs: &Path, id: u32) -> PathBuf {
    logs.join(format!("log_{id}"))
}

/// The folder of a task, if a folder holds this many IDs.
pub(crate) fn folder_of(logs: &Path, id: u32, per_folder: u32) -> PathBuf {
    logs.join((id - id % per_folder.max(1)).to_string())
}

/// The file into which a rank writes all output, and its index.
pub(crate) fn rank_files(logs: &Path, rank: u32) -> (PathBuf, PathBuf) {
    (logs.join(format!("rank_{rank}.log")), logs.join(format!("rank_{rank}.idx")))
}

/// A file that is created and removed again by a slot that could not create a log.
pub(crate) fn probe_of(logs: &Path, rank: u32, slot: u32) -> PathBuf {
    logs.join(format!(".probe_{rank}_{slot}"))
}

/// A log that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}: {source}", path.display())]
pub(crate) struct OddLog {
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

/// Finds the output of tasks, in whatever form it was kept.
#[derive(Debug)]
pub(crate) struct Finder {
    logs: PathBuf,
    /// First IDs of folders, largest first.
    folders: Vec<u32>,
    /// How many times folders were searched for a task.
    looks: usize,
    /// IDs that have a log in a folder, each with the folder's first ID, ascending; read when it pays off.
    in_folders: Option<Vec<(u32, u32)>>,
    /// Indexes of ranks.
    indexes: Vec<PathBuf>,
    /// Read when it is first asked for.
    packed: Option<Places>,
    /// Indexes that cannot be read.
    odd: Vec<OddLog>,
}

impl Finder {
    /// For a workdir.
    ///
    /// # Errors
    /// If it has no logs, or they cannot be read.
    pub(crate) fn new(workdir: &Path) -> Result<Self, OddLog> {
        let logs = workdir.join(FOLDER);
        let (mut folders, mut indexes) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&logs).map_err(OddLog::at(&logs))? {
            // A folder's name is digits; a million logs are not examined to find out what they are.
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
        Ok(Self { logs, folders, looks: 0, in_folders: None, indexes, packed: None, odd: Vec::new() })
    }

    /// The output of a task, the newest if there are several; `None` if none was kept. If there is one, nothing else
    /// with its name is considered.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    pub(crate) fn find(&mut self, id: u32) -> Result<Option<Output>, OddLog> {
        let places = std::iter::once(self.logs.clone()).chain(self.folders_of(id));
        let files: Vec<(fs::Metadata, PathBuf)> = files_of(id, places).collect();
        let whole = files.iter().filter(|(found, _)| found.is_file());
        let whole = whole.filter_map(|(found, path)| Some((found.modified().ok()?, path.clone()))).max();
        let packed = self.packed().get(&id).copied();
        let ended = |place: &Place| SystemTime::UNIX_EPOCH + Duration::from_millis(place.entry.ended_ms);
        match (whole, packed) {
            (Some((modified, path)), place) if place.is_none_or(|place| modified > ended(&place)) => {
                Output::of_file(path).map(Some)
            }
            (_, Some(place)) => {
                let index = &self.indexes[place.index as usize];
                Output::of_part(index.with_extension("log"), index, place).map(Some)
            }
            // Something else has its name.
            _ => files.into_iter().next().map(|(_, path)| Output::of_file(path)).transpose(),
        }
    }

    /// The file of a task in a folder of IDs, the one of the newest layout if there are several.
    pub(crate) fn file_in_folder(&mut self, id: u32) -> Option<PathBuf> {
        let files = files_of(id, self.folders_of(id));
        files.filter_map(|(found, path)| Some((found.modified().ok()?, path))).max().map(|(_, path)| path)
    }

    /// The folders in which a task may have a log.
    fn folders_of(&mut self, id: u32) -> Vec<PathBuf> {
        if self.in_folders.is_none() && self.looks >= LOOKS_MAX {
            let mut all: Vec<_> = self.folders.iter().flat_map(|first| ids_in(&self.logs, *first)).collect();
            all.sort_unstable();
            self.in_folders = Some(all);
        }
        if let Some(all) = &self.in_folders {
            let begin = all.partition_point(|(other, _)| *other < id);
            let same = all[begin..].iter().take_while(|(other, _)| *other == id);
            return same.map(|(_, first)| self.logs.join(first.to_string())).collect();
        }
        let folders = self.folders.iter().filter(|first| **first <= id);
        let folders: Vec<PathBuf> = folders.map(|first| self.logs.join(first.to_string())).collect();
        self.looks += folders.len();
        folders.into_iter().filter(|path| is_folder(path)).collect()
    }

    /// The last entry of each task in all indexes.
    fn packed(&mut self) -> &Places {
        self.packed.get_or_insert_with(|| {
            let mut packed = Places::new();
            for (number, index) in (0..).zip(&self.indexes) {
                if let Err(source) = index::read(index, number, &mut packed) {
                    self.odd.push(OddLog { path: index.clone(), source });
                }
            }
            packed
        })
    }
}

/// What has the name of a task's log in these folders.
fn files_of(id: u32, folders: impl IntoIterator<Item = PathBuf>) -> impl Iterator<Item = (fs::Metadata, PathBuf)> {
    let paths = folders.into_iter().map(move |folder| path_of(&folder, id));
    paths.filter_map(|path| Some((fs::symlink_metadata(&path).ok()?, path)))
}

/// Whether this is a folder, and not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// The tasks that have a log in the folder with this first ID, each paired with that ID.
fn ids_in(logs: &Path, first: u32) -> Vec<(u32, u32)> {
    let folder = logs.join(first.to_string());
    let entries = is_folder(&folder).then(|| fs::read_dir(&folder).ok()).flatten();
    let id = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix("log_")?.parse().ok();
    entries.into_iter().flatten().flatten().filter_map(id).map(|id| (id, first)).collect()
}

/// What could not be printed.
#[derive(Debug, Default)]
pub(crate) struct Unprinted {
    /// Tasks that have no output.
    pub without: Vec<u32>,
    /// Logs that cannot be read, or only in part, each with its task; indexes have none.
    pub odd: Vec<(Option<u32>, OddLog)>,
}

/// What stands above the output of a task where there are several: `==> task 17: exit 3 <==`.
/// It begins a line, whatever was printed before.
pub(crate) fn heading(id: u32, end: Option<&String>, is_at_line_start: bool) -> String {
    let end = end.map_or_else(String::new, |end| format!(": {end}"));
    let newline = if is_at_line_start { "" } else { "\n" };
    format!("{newline}==> task {id}{end} <==\n")
}

/// How output is printed.
#[derive(Default, Debug)]
pub(crate) struct PrintOptions {
    /// How tasks ended, for the headings.
    pub ends: BTreeMap<u32, String>,
    /// Only that many lines at the end of each.
    pub tail: Option<u64>,
    /// As `TerminalWriter` shows it, rather than byte by byte.
    pub is_terminal: bool,
}

/// Knows whether a line has just ended.
struct LineStart<'a> {
    out: &'a mut dyn Write,
    is_at_line_start: bool,
}

impl Write for LineStart<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.is_at_line_start = bytes[..len].last().map_or(self.is_at_line_start, |&byte| byte == b'\n');
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints the output of tasks, each under a heading if there are several, as far as it can be read. Returns what could not
/// be printed.
///
/// # Errors
/// The outer one if `out` accepts no more, the inner one if there are no logs.
pub(crate) fn print(
    workdir: &Path,
    ids: &[u32],
    options: &PrintOptions,
    out: &mut dyn Write,
) -> io::Result<Result<Unprinted, OddLog>> {
    let mut finder = match Finder::new(workdir) {
        Ok(finder) => finder,
        Err(odd) => return Ok(Err(odd)),
    };
    let mut unprinted = Unprinted::default();
    let mut out = LineStart { out, is_at_line_start: true };
    for &id in ids {
        let copied = match finder.find(id) {
            Ok(None) => {
                unprinted.without.push(id);
                continue;
            }
            Ok(Some(mut output)) => {
                if ids.len() > 1 {
                    let heading = heading(id, options.ends.get(&id), out.is_at_line_start);
                    out.write_all(heading.as_bytes())?;
                }
                if let Some(Err(source)) = options.tail.map(|lines| output.keep_last_lines(lines)) {
                    unprinted.odd.push((Some(id), OddLog { path: output.path, source }));
                    continue;
                }
                if options.is_terminal {
                    let mut terminal = TerminalWriter::new(&mut out);
                    let copied = output.copy_to(&mut terminal)?;
                    terminal.finish()?;
                    copied
                } else {
                    output.copy_to(&mut out)?
                }
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

    /// Writes the files of a rank: ID, end and output of each task, and what else is in its index.
    fn rank(logs: &Path, rank: u32, tasks: &[(u32, u64, &str)], more: &[u8]) {
        let (mut log, mut index) = (Vec::new(), INDEX_HEAD.to_vec());
        for &(id, ended_ms, output) in tasks {
            let mut entry = IndexEntry { id, attempt: 1, ended_ms, offset: 0, len: output.len() as u64 };
            if !output.is_empty() {
                log.extend_from_slice(format!("{}exit code 0 <==\n", heading_of(id, 1)).as_bytes());
                entry.offset = log.len() as u64;
                log.extend_from_slice(output.as_bytes());
                log.push(b'\n');
            }
            index.extend_from_slice(entry.to_string().as_bytes());
        }
        let (log_path, index_path) = rank_files(logs, rank);
        fs::write(log_path, log).unwrap();
        fs::write(index_path, [&index, more].concat()).unwrap();
    }

    /// Promise: a task's output is its own. Damage in an index is reported with its line, and what is certain is
    /// printed.
    #[test]
    fn a_damaged_index_is_reported() {
        let workdir = tempfile::tempdir().unwrap();
        let logs = workdir.path().join(FOLDER);
        fs::create_dir(&logs).unwrap();
        rank(&logs, 0, &[(7, 5, "seven\n"), (8, 5, "eight"), (9, 6, "nine")], b"");
        let index = logs.join("rank_0.idx");
        // Without checksums, which are made anew below: the numbers are wrong, not the bytes.
        let whole = fs::read_to_string(&index).unwrap();
        let numbers = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned() + "\n";
        let whole: String = whole.lines().map(numbers).collect();
        let checked = |text: &str| -> String {
            let entry = |line: &str| {
                let mut fields = line.split(' ').map(str::parse);
                let mut next = || fields.next()?.ok();
                let (id, attempt, ended_ms) = (u32::try_from(next()?).ok()?, u16::try_from(next()?).ok()?, next()?);
                Some(IndexEntry { id, attempt, ended_ms, offset: next()?, len: next()? }.to_string())
            };
            let line = |line: &str| entry(line).unwrap_or_else(|| line.to_owned() + "\n");
            let entries = text.lines().skip(1).map(line);
            String::from_utf8(INDEX_HEAD.to_vec()).unwrap() + &entries.collect::<String>()
        };
        let printed = |from: &str, to: &str, id: u32| {
            assert!(whole.contains(from), "{from} in {whole}");
            fs::write(&index, checked(&whole.replacen(from, to, 1))).unwrap();
            let mut out = Vec::new();
            let unprinted = print(workdir.path(), &[id], &PrintOptions::default(), &mut out).unwrap().unwrap();
            let odd: Vec<_> =
                unprinted.odd.iter().map(|(_, odd)| odd.to_string().replace(&*logs.to_string_lossy(), "")).collect();
            (String::from_utf8(out).unwrap(), odd.join("; "), unprinted.without)
        };
        let expect = |what: (String, String, Vec<u32>), text: &str, odd: &str| {
            assert_eq!((&what.0[..], &what.1[..], &what.2[..]), (text, odd, &[][..]));
        };
        let of = |line: u64, text: &str| format!("cannot read /rank_0.idx: line {line} is damaged: {text}");
        expect(printed("8 1", "8 1", 8), "eight", "");
        expect(printed(" 5\n", " 50\n", 8), "eight", &of(3, "of 50 bytes, only 5 certainly belong to task 8"));
        expect(printed(" 5\n", " 5000\n", 8), "eight", &of(3, "of 5000 bytes, only 5 certainly belong to task 8"));
        expect(printed(" 5\n", " 3\n", 8), "eig", &of(3, "the output of task 8 does not end after 3 bytes"));
        expect(printed(" 5\n", " 0\n", 8), "", &of(3, "an empty output cannot begin at byte 85"));
        let other = "no output of task 8, attempt 1, begins at byte 39 of the log";
        expect(printed(" 85 5\n", " 39 6\n", 8), "", &of(3, other));
        expect(printed(" 85 5\n", " 850 5\n", 8), "", &of(3, "the log ends at byte 135, before byte 850"));
        for len in [5, 50] {
            let short = format!(
                "cannot read /rank_0.log: it ends in the middle of this task's output, {} bytes short",
                len - 4
            );
            expect(printed(" 4\n", &format!(" {len}\n"), 9), "nine", &short);
        }
        let garbage = "cannot read /rank_0.idx: line 2 is not \"ID attempt ended_ms offset length crc32\"";
        expect(printed("7 1 5", "7 1 x", 8), "eight", garbage);
        expect(printed("7 1 5", "\0\n\n7 1 x", 9), "nine", &format!("{garbage}, and 2 more lines"));
        let (text, odd, without) = printed("7 1 5", "7 1 x", 7);
        assert_eq!((&text[..], &odd[..], &without[..]), ("", garbage, &[7][..]));
    }

    /// Each form is found, and the newest output of a task wins.
    #[test]
    fn every_form_is_found() {
        let workdir = tempfile::tempdir().unwrap();
        let logs = workdir.path().join(FOLDER);
        fs::create_dir_all(logs.join("1000")).unwrap();
        fs::write(path_of(&logs, 7), "seven\n").unwrap();
        fs::write(path_of(&folder_of(&logs, 1234, 1000), 1234), "in a folder").unwrap();
        let torn = [&b"9 1 5"[..], INDEX_TORN, b"\n9 1 7 3 2"].concat();
        rank(&logs, 0, &[(8, 5, "eight"), (9, 6, "old")], &torn);
        rank(&logs, 1, &[(9, 7, "new"), (10, 7, "")], b"");
        let mut finder = Finder::new(workdir.path()).unwrap();
        let found: Vec<_> = [7, 1234, 8, 9, 10, 11].iter().map(|&id| read(&mut finder, id)).collect();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(found, [text("seven\n"), text("in a folder"), text("eight"), text("new"), text(""), None]);
        let mut printed = Vec::new();
        let ends = BTreeMap::from([(8, "exit 1".to_owned())]);
        let options = PrintOptions { ends, ..PrintOptions::default() };
        let unprinted = print(workdir.path(), &[7, 11, 8], &options, &mut printed).unwrap().unwrap();
        assert_eq!((&unprinted.without[..], unprinted.odd.len()), (&[11][..], 0));
        assert_eq!(String::from_utf8(printed).unwrap(), "==> task 7 <==\nseven\n==> task 8: exit 1 <==\neight");
    }

    /// A search for many tasks finds the same as one for a single task, without looking into every folder for each.
    #[test]
    fn many_tasks_are_found() {
        let workdir = tempfile::tempdir().unwrap();
        let logs = workdir.path().join(FOLDER);
        for first in (0..300_u32).step_by(2) {
            fs::create_dir_all(logs.join(first.to_string())).unwrap();
            fs::write(path_of(&folder_of(&logs, first, 2), first), first.to_string()).unwrap();
        }
        // From a run with different folders.
        fs::write(path_of(&logs.join("290"), 299), "299").unwrap();
        fs::create_dir(logs.join("300")).unwrap();
        std::os::unix::fs::symlink(logs.join("0"), logs.join("1")).unwrap();
        let mut finder = Finder::new(workdir.path()).unwrap();
        for _ in 0..3 {
            for id in 0..301 {
                let expected = (id % 2 == 0 && id < 300 || id == 299).then(|| id.to_string().into_bytes());
                assert_eq!(read(&mut finder, id), expected, "{id}");
            }
        }
        assert!(finder.in_folders.is_some() && finder.looks < LOOKS_MAX + 301);
    }

    proptest! {
        /// Promise 5: an index may hold anything. A written entry is read back.
        #[test]
        fn any_index_is_read(bytes: Vec<u8>, id: u32, attempt: u16, ended_ms: u64, offset: u64, len: u64) {
            let folder = tempfile::tempdir().unwrap();
            let entry = IndexEntry { id, attempt, ended_ms, offset, len };
            let path = folder.path().join("rank_0.idx");
            fs::write(&path, [&bytes[..], b"\n", entry.to_string().as_bytes()].concat()).unwrap();
            let mut places = Places::new();
            let read = index::read(&path, 3, &mut places);
            prop_assert_eq!((places[&id].entry, places[&id].index), (entry, 3));
            prop_assert!(bytes.is_empty() || read.is_err() || places.len() > 1, "{:?}", bytes);
        }
    }
}
