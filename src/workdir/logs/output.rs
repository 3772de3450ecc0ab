//! The output of one task, in a file of its own or as a part of a larger one.
//!
//! Owns how it is read: from where to where, all of it, its last lines or its end. Never looks for it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::OddLog;
use super::index::{self, Check, Place};
use crate::sys::regular;
use crate::workdir::lines::find_last;

/// Output of a task, ready to be read.
#[derive(Debug)]
pub(crate) struct Output {
    /// The file that it is in.
    pub path: PathBuf,
    reader: io::Take<File>,
    /// How long it is, if it is a part of the file.
    part: Option<u64>,
    /// Why this is incomplete.
    odd: Option<OddLog>,
}

impl Output {
    /// All of a file. A symbolic link is not followed.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn of_file(path: PathBuf) -> Result<Self, OddLog> {
        let reader = regular::reader_no_link(&path).map_err(OddLog::at(&path))?.take(u64::MAX);
        Ok(Self { path, reader, part: None, odd: None })
    }

    /// The output that an entry of an index assigns to a task; less if not all of it certainly belongs to the task.
    pub(super) fn of_part(path: PathBuf, index: &Path, place: Place) -> Result<Self, OddLog> {
        let entry = place.entry;
        let mut file = regular::reader_no_link(&path).map_err(OddLog::at(&path))?;
        let check = index::check(&file, &entry).map_err(OddLog::at(&path))?;
        let odd = |text: String| {
            let source = io::Error::other(format!("line {} is damaged: {text}", place.line));
            OddLog { path: index.to_owned(), source }
        };
        let whole = if let Check::Only(sure, _) = check { sure } else { entry.len };
        let (len, odd) = match check {
            Check::Sound => (entry.len, None),
            // Reading it shows that it is too short.
            Check::CutOff(there) => (there, None),
            Check::Only(sure, text) => (sure, Some(odd(text))),
            Check::Nothing(text) => return Err(odd(text)),
        };
        file.seek(SeekFrom::Start(entry.offset)).map_err(OddLog::at(&path))?;
        Ok(Self { path, reader: file.take(len), part: Some(whole), odd })
    }

    /// Copies all of it to `out`, or what there is of it.
    ///
    /// # Errors
    /// The outer one if `out` accepts no more, the inner one if the log cannot be read to its end.
    pub(crate) fn copy_to(mut self, out: &mut (impl Write + ?Sized)) -> io::Result<Result<(), OddLog>> {
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
            _ => self.odd.map_or(Ok(()), Err),
        })
    }

    /// Leaves out all but the last lines.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn keep_last_lines(&mut self, lines: u64) -> io::Result<()> {
        let begin = self.reader.get_mut().stream_position()?;
        let there = self.reader.get_ref().metadata()?.len().saturating_sub(begin);
        let end = begin + self.reader.limit().min(there);
        let from = start_of_last_lines(self.reader.get_ref(), begin, end, lines)?;
        self.reader.get_mut().seek(SeekFrom::Start(from))?;
        let skipped = from - begin;
        self.reader.set_limit(if self.reader.limit() == u64::MAX { u64::MAX } else { self.reader.limit() - skipped });
        self.part = self.part.map(|len| len.saturating_sub(skipped));
        Ok(())
    }

    /// The end of the output, a few KiB at most.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) fn tail(mut self) -> io::Result<Vec<u8>> {
        const TAIL: u64 = 8 << 10;
        let len = match self.reader.limit() {
            u64::MAX => self.reader.get_ref().metadata()?.len(),
            len => len,
        };
        let skipped = len.saturating_sub(TAIL);
        self.reader.get_mut().seek_relative(i64::try_from(skipped).map_err(io::Error::other)?)?;
        let mut tail = Vec::new();
        self.reader.take(TAIL.min(len)).read_to_end(&mut tail)?;
        Ok(tail)
    }
}

/// Where the last lines of a part of a file begin; the newline at its very end belongs to the last line.
///
/// # Errors
/// If it can't be read.
pub(crate) fn start_of_last_lines(file: &File, begin: u64, end: u64, lines: u64) -> io::Result<u64> {
    let mut ends = 0;
    let is_end = |byte| {
        ends += u64::from(byte == b'\n');
        ends == lines
    };
    if lines == 0 {
        return Ok(end);
    }
    Ok(find_last(file, begin..end.saturating_sub(1), is_end)?.map_or(begin, |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The end of a file and of a part of one.
    #[test]
    fn the_tail_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(20_000);
        fs::write(&path, format!("{long}\nfirst\nother")).unwrap();
        let tail = |offset, len| {
            let mut file = File::open(&path).unwrap();
            file.seek(SeekFrom::Start(offset)).unwrap();
            Output { path: path.clone(), reader: file.take(len), part: Some(len), odd: None }.tail().unwrap()
        };
        let whole = Output::of_file(path.clone()).unwrap().tail().unwrap();
        assert!(whole.ends_with(b"x\nfirst\nother") && whole.len() < 10_000);
        assert!(tail(0, 20_006).ends_with(b"x\nfirst"));
        assert_eq!((tail(20_001, 5), tail(0, 0)), (b"first".to_vec(), Vec::new()));
    }

    /// The last lines, with and without a newline at the end, of a file and of a part of one.
    #[test]
    fn last_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log_0");
        let long = format!("{}\nlast\n", "x".repeat(200_000));
        for (text, lines, kept) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("a\nb\n", 0, ""),
            ("\n\n", 1, "\n"),
            ("", 3, ""),
            (&long, 1, "last\n"),
            (&long, 2, &long),
        ] {
            fs::write(&path, text).unwrap();
            let mut output = Output::of_file(path.clone()).unwrap();
            output.keep_last_lines(lines).unwrap();
            let mut out = Vec::new();
            output.copy_to(&mut out).unwrap().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), kept, "{lines} of {text:?}");
        }
    }
}
