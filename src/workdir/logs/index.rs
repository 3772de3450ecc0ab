//! `rank_<r>.idx`: where in `rank_<r>.log` the output of each attempt is.
//!
//! Owns the format of both. An entry of the index counts only if its checksum is right: a wrong length may end where
//! another output ends, which nothing in the log would show. And the output that it names must begin and end where the
//! headings in the log show it; otherwise, only what certainly belongs to the task is returned.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use memchr::memmem::Finder;

use crate::sys::regular;
use crate::workdir::lines::{BadLines, End, Line, Lines};

/// First line of an index, for people.
pub(crate) const INDEX_HEAD: &[u8] = b"# ID attempt ended_ms offset length crc32\n";

/// The end of a line that a crash has cut off, once a later run appends to the index.
pub(crate) const INDEX_TORN: &[u8] = b" torn";

/// The longest index line, in bytes: five numbers of at most 20 digits, and a checksum.
const INDEX_LINE_MAX: usize = 128;

/// The longest heading in a log, in bytes.
const HEADING_LEN_MAX: u64 = 16 << 10;

const HEADING: &str = "==> task ";

/// Bytes of a log that are searched at a time.
const CHUNK_LEN: u64 = 64 << 10;

/// The beginning of an attempt's heading in a rank's log. The heading is a line that ends with ` <==`.
pub(crate) fn heading_of(id: u32, attempt: u16) -> String {
    format!("{HEADING}{id}, attempt {attempt}: ")
}

/// Where the output of one attempt is in a rank's file: a line of its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexEntry {
    /// The task.
    pub id: u32,
    /// The number of the attempt, within its run of the farm.
    pub attempt: u16,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// First byte of its output; 0 if there is none.
    pub offset: u64,
    /// Bytes of its output.
    pub len: u64,
}

impl fmt::Display for IndexEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = format!("{} {} {} {} {}", self.id, self.attempt, self.ended_ms, self.offset, self.len);
        writeln!(f, "{numbers} {:08x}", crc32fast::hash(numbers.as_bytes()))
    }
}

impl IndexEntry {
    /// Reads a line, without its newline; `None` for the head, and for anything else that is not an entry.
    fn parse(line: &[u8]) -> Option<Self> {
        let (numbers, check) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
        if check != format!("{:08x}", crc32fast::hash(numbers.as_bytes())) {
            return None;
        }
        let mut fields = numbers.split(' ');
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

/// An entry and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Which index.
    pub(super) index: u32,
    /// Its line there, from 1.
    pub(super) line: u64,
    pub(super) entry: IndexEntry,
}

/// The last entry of each task.
pub(super) type Places = HashMap<u32, Place>;

/// Adds the entries of the index with this number; of each task, the one that ended last.
///
/// # Errors
/// If it cannot be read, or contains lines that are not entries. All entries have been added anyway.
pub(super) fn read(path: &Path, index: u32, places: &mut Places) -> io::Result<()> {
    let mut lines = Lines::of(regular::reader_no_link(path)?, INDEX_LINE_MAX);
    let mut bad = BadLines::default();
    while let Some(Line { number, bytes, end, .. }) = lines.next()? {
        match IndexEntry::parse(bytes) {
            // A farm may be writing it at this moment, but not a line of this length.
            _ if end == End::Torn && bytes.len() < INDEX_LINE_MAX => {}
            Some(entry) if end == End::Whole => match places.get(&entry.id) {
                Some(known) if known.entry.ended_ms > entry.ended_ms => {}
                _ => _ = places.insert(entry.id, Place { index, line: number, entry }),
            },
            None if end == End::Whole && (bytes == INDEX_HEAD.trim_ascii_end() || bytes.ends_with(INDEX_TORN)) => {}
            _ => bad.add(number),
        }
    }
    bad.message("\"ID attempt ended_ms offset length crc32\"").map_or(Ok(()), |told| Err(io::Error::other(told)))
}

/// How much of an entry is correct.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// All of it.
    Sound,
    /// The log ends before the output does: this many bytes of it are there.
    CutOff(u64),
    /// This many bytes of the output certainly belong to the task; and what is wrong.
    Only(u64, String),
    /// Nothing: what is wrong.
    Nothing(String),
}

/// Compares an entry with the log.
///
/// # Errors
/// If the log cannot be read.
pub(super) fn check(log: &File, entry: &IndexEntry) -> io::Result<Check> {
    let IndexEntry { id, attempt, offset, len, .. } = *entry;
    if len == 0 {
        return Ok(match offset {
            0 => Check::Sound,
            _ => Check::Nothing(format!("an empty output cannot begin at byte {offset}")),
        });
    }
    let size = log.metadata()?.len();
    if !begins_with_heading(log, offset, &heading_of(id, attempt))? {
        // If the log was cut off, the message is about the log.
        let is_cut_off = size < offset;
        return Ok(match is_cut_off {
            true => Check::Nothing(format!("the log ends at byte {size}, before byte {offset}")),
            false => {
                Check::Nothing(format!("no output of task {id}, attempt {attempt}, begins at byte {offset} of the log"))
            }
        });
    }
    let end = offset.saturating_add(len);
    if end < size && ends_at(log, end)? {
        return Ok(Check::Sound);
    }
    Ok(match next_heading(log, offset, end.min(size))? {
        Some(next) => {
            let sure = next - offset;
            Check::Only(sure, format!("of {len} bytes, only {sure} certainly belong to task {id}"))
        }
        None if end >= size => {
            // The newline at the very end may be the one after the output.
            let is_newline = size > offset && bytes_at(log, size - 1, 1)? == b"\n";
            Check::CutOff(size.saturating_sub(offset).saturating_sub(is_newline.into()))
        }
        None => Check::Only(len, format!("the output of task {id} does not end after {len} bytes")),
    })
}

/// Whether a heading ends right before this byte.
fn begins_with_heading(log: &File, offset: u64, heading: &str) -> io::Result<bool> {
    let from = offset.saturating_sub(HEADING_LEN_MAX);
    let before = bytes_at(log, from, offset - from)?;
    let Some(line) = before.strip_suffix(b" <==\n").filter(|_| before.len() as u64 == offset - from) else {
        return Ok(false);
    };
    let begin = memchr::memrchr(b'\n', line).map_or(0, |at| at + 1);
    // After the rest of a heading that a crash cut off, this one does not begin a line.
    Ok(memchr::memmem::rfind(&line[begin..], heading.as_bytes()).is_some())
}

/// Whether an output ends at this byte: a newline follows, and then a heading or nothing.
fn ends_at(log: &File, end: u64) -> io::Result<bool> {
    let behind = bytes_at(log, end, 5)?;
    Ok(behind.strip_prefix(b"\n").is_some_and(|next| HEADING.as_bytes().starts_with(next)))
}

/// The first place in a range of a log where an output could end: a newline, followed by a heading.
fn next_heading(log: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let needle = format!("\n{HEADING}");
    let finder = Finder::new(&needle);
    let mut at = from;
    while at < to {
        // Long enough for a heading that begins at the end of the chunk.
        let bytes = bytes_at(log, at, CHUNK_LEN + needle.len() as u64)?;
        let found = finder.find(&bytes).map(|found| at + found as u64).filter(|&found| found < to);
        if found.is_some() || bytes.is_empty() {
            return Ok(found);
        }
        at += CHUNK_LEN;
    }
    Ok(None)
}

/// This many bytes of a file, or as many as there are.
fn bytes_at(mut file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
