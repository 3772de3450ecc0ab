//! Files of a workdir, line by line.
//!
//! Owns the bound on the memory that a line takes: whatever is in a file, no more of a line is kept than its reader
//! asked for, and the rest is skipped. Knows no format.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::figures::words;

/// The longest line that a farm writes, in bytes: a command of the greatest length, and what precedes it.
pub(crate) const LINE_LEN_MAX: usize = crate::tasklist::COMMAND_LEN_MAX + (64 << 10);

/// Bytes per read.
const CHUNK_LEN: usize = 1 << 20;

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    max: usize,
    line: Vec<u8>,
    number: u64,
    at: u64,
}

/// A line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: u64,
    /// Where it begins in the file.
    pub(crate) at: u64,
    /// Its content, without the newline; if it is too long, only the beginning.
    pub(crate) bytes: &'a [u8],
    /// How it ends.
    pub(crate) end: End,
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With a newline.
    Whole,
    /// With a newline, but it is longer than its reader wanted.
    TooLong,
    /// With the end of the file: a crash leaves such a line, or a farm is just writing it.
    Torn,
}

/// Searches a range of a file backward: the position just after the last byte for which `is` holds, and that byte.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn find_last(
    file: &File,
    range: Range<u64>,
    mut is: impl FnMut(u8) -> bool,
) -> io::Result<Option<(u64, u8)>> {
    let (mut end, mut chunk) = (range.end, vec![0; 64 << 10]);
    while end > range.start {
        let start = end.saturating_sub(chunk.len() as u64).max(range.start);
        let chunk = &mut chunk[..(end - start) as usize];
        file.read_exact_at(chunk, start)?;
        if let Some(at) = chunk.iter().rposition(|&byte| is(byte)) {
            return Ok(Some((start + at as u64 + 1, chunk[at])));
        }
        end = start;
    }
    Ok(None)
}

/// Lines of a file that are not as expected: only the first one is reported, however many there are.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct BadLines {
    /// The number of the first one.
    first: u64,
    count: u64,
}

impl BadLines {
    pub(crate) fn add(&mut self, number: u64) {
        self.first = if self.count == 0 { number } else { self.first };
        self.count += 1;
    }

    /// `line 3 is not WHAT, and 2 more lines`; `None` if there are no such lines.
    pub(crate) fn message(self, what: &str) -> Option<String> {
        let more = match self.count {
            0 => return None,
            1 => String::new(),
            count => format!(", and {}", words::counted(count - 1, "more line")),
        };
        Some(format!("line {} is not {what}{more}", self.first))
    }
}

impl<R: Read> Lines<BufReader<R>> {
    /// Reads a file, and keeps at most `max` bytes of a line.
    pub(crate) fn of(file: R, max: usize) -> Self {
        Self::new(BufReader::with_capacity(CHUNK_LEN, file), max)
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads from a reader that has its own buffer.
    pub(crate) fn new(reader: R, max: usize) -> Self {
        Self { reader, max, line: Vec::new(), number: 0, at: 0 }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        if (&mut self.reader).take(self.max as u64 + 1).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        let (number, at, mut len) = (self.number + 1, self.at, self.line.len() as u64);
        let end = if self.line.pop_if(|byte| *byte == b'\n').is_some() {
            End::Whole
        } else {
            let (rest, has_end) = self.rest_of_line()?;
            len += rest;
            self.line.truncate(self.max);
            if has_end { End::TooLong } else { End::Torn }
        };
        (self.number, self.at) = (number, at + len);
        Ok(Some(Line { number, at, bytes: &self.line, end }))
    }

    /// Skips the rest of a line with its newline. Returns its length, and whether there was a newline.
    fn rest_of_line(&mut self) -> io::Result<(u64, bool)> {
        let mut passed = 0;
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            let len = end.unwrap_or(bytes.len());
            self.reader.consume(len);
            passed += len as u64;
            if end.is_some() || len == 0 {
                return Ok((passed, end.is_some()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::within;

    fn lines(bytes: &[u8], max: usize) -> Vec<(u64, u64, Vec<u8>, End)> {
        let mut lines = Lines::new(bytes, max);
        let mut found = Vec::new();
        while let Some(Line { number, at, bytes, end }) = lines.next().unwrap() {
            found.push((number, at, bytes.to_vec(), end));
        }
        found
    }

    /// A line is whole up to the requested length, and its position is correct however long the preceding lines are.
    #[test]
    fn long_lines_are_passed_over() {
        let expected = [
            (1, 0, b"abc".to_vec(), End::Whole),
            (2, 4, b"abc".to_vec(), End::TooLong),
            (3, 9, Vec::new(), End::Whole),
            (4, 10, b"xyz".to_vec(), End::Torn),
        ];
        assert_eq!(lines(b"abc\nabcd\n\nxyz", 3), expected);
        assert_eq!(lines(b"xyzxyz", 3), [(1, 0, b"xyz".to_vec(), End::Torn)]);
        assert_eq!(lines(b"", 3), []);
    }

    /// Promise 5: gigabytes without a newline cost no memory.
    #[test]
    fn a_file_of_zeros_costs_no_memory() {
        within(CHUNK_LEN + (64 << 10), || {
            let mut lines = Lines::of(io::repeat(0).take(256 << 20), 1_000);
            assert_eq!(lines.next().unwrap().map(|line| (line.bytes.len(), line.end)), Some((1_000, End::Torn)));
            assert_eq!(lines.next().unwrap(), None);
        });
    }

    proptest! {
        /// Promise 5: any file is read, and every byte of it is in one line.
        #[test]
        fn any_file_has_lines(bytes in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..60), max in 1_usize..8) {
            let found = lines(&bytes, max);
            let expected: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
            prop_assert_eq!(found.len(), expected.len());
            for ((_, at, line, end), expected) in found.iter().zip(&expected) {
                let text = expected.strip_suffix(b"\n").unwrap_or(expected);
                prop_assert_eq!(&line[..], &text[..text.len().min(max)]);
                prop_assert_eq!(*end == End::Torn, !expected.ends_with(b"\n"));
                prop_assert_eq!(*end == End::TooLong, text.len() > max && expected.ends_with(b"\n"));
                prop_assert!(bytes[*at as usize..].starts_with(expected));
            }
        }
    }
}
