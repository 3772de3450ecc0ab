//! Handler `default`: one command per line.
//!
//! The rules are PyTaskFarmer's: a line that starts with `#` in column 0 or is blank is skipped, every other one is
//! stripped and is a task; IDs count the kept lines from 0.

use std::io::BufRead;

use memchr::memchr;

use super::TaskList;
use super::commands::COMMAND_LEN_MAX;
use super::comments::{Directive, Ignored};
use super::directives::{self, BadDirective, Directives, Keys};
use super::encoding::mark_len;
use crate::demand::list::ListAsks;
use crate::task::TaskId;

/// Why bytes are not a tasklist.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    Nul {
        line: u64,
    },
    TooLong {
        line: u64,
    },
    TooMany,
    /// For another program.
    Foreign {
        line: u64,
        directive: Directive,
    },
    /// Of ours.
    Directive {
        line: u64,
        bad: BadDirective,
    },
}

/// The result of reading lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) list: TaskList,
    /// What the tasks ask for.
    pub(super) asks: ListAsks,
    /// Comments that are meant for another program.
    pub(super) ignored: Ignored,
}

/// What Python's `str.strip` removes, as far as it is ASCII: PyTaskFarmer's lists depend on it.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ')
}

fn strip(line: &[u8]) -> std::ops::Range<usize> {
    let Some(first) = line.iter().position(|&byte| !is_blank(byte)) else { return 0..0 };
    let last = line.iter().rposition(|&byte| !is_blank(byte)).expect("there is a first one");
    // To the shell, the blank in `a\ ` counts, unlike a Windows line end.
    let is_escaped = line[last] == b'\\' && matches!(line.get(last + 1), Some(b' ' | b'\t')) && {
        let backslashes = line[first..=last].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 1
    };
    first..last + 1 + usize::from(is_escaped)
}

/// A line that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// Without its line end.
    pub(super) whole: &'a [u8],
    /// Without blanks at either end, too.
    pub(super) stripped: &'a [u8],
}

/// The lines that are neither blank nor comments, with their numbers, 1-based: the same rules as [`parse`].
pub(super) fn kept(text: &[u8]) -> impl Iterator<Item = (u64, Line<'_>)> {
    let lines = text.split(|&byte| byte == b'\n').zip(1..);
    lines.filter(|(line, _)| line.first() != Some(&b'#')).filter_map(|(line, number)| {
        let stripped = &line[strip(line)];
        let whole = line.strip_suffix(b"\r").unwrap_or(line);
        (!stripped.is_empty()).then_some((number, Line { whole, stripped }))
    })
}

/// Makes the list in the buffer of the file, so that ten million lines need no second copy.
pub(super) fn parse(mut text: Vec<u8>, keys: Keys<'_>) -> Result<Lines, BadLine> {
    let (mut ends, mut ignored, mut directives) = (Vec::new(), Ignored::default(), Directives::new(keys));
    let (mut read, mut kept, mut number) = (0, 0, 0_u64);
    while read < text.len() {
        number += 1;
        let line_end = memchr(b'\n', &text[read..]).map_or(text.len(), |offset| read + offset);
        let line = &text[read..line_end];
        if memchr(0, line).is_some() {
            return Err(BadLine::Nul { line: number });
        }
        let command = if line.first() == Some(&b'#') {
            ignored.comment(line, number).map_err(|directive| BadLine::Foreign { line: number, directive })?;
            if let Some(text) = directives::text_of(line) {
                let read = directives.read(text, number, ends.len());
                read.map_err(|(line, bad)| BadLine::Directive { line, bad })?;
            }
            0..0
        } else {
            strip(line)
        };
        if command.len() > COMMAND_LEN_MAX {
            return Err(BadLine::TooLong { line: number });
        }
        if !command.is_empty() {
            text.copy_within(read + command.start..read + command.end, kept);
            kept += command.len();
            ends.push(kept as u64);
            directives.task(ends.len());
        }
        read = line_end + 1;
    }
    text.truncate(kept);
    text.shrink_to_fit();
    if u32::try_from(ends.len()).is_err() {
        return Err(BadLine::TooMany);
    }
    let asks = directives.finish(ends.len()).map_err(|(line, bad)| BadLine::Directive { line, bad })?;
    Ok(Lines { list: TaskList { text, ends }, asks, ignored })
}

/// The numbers of the lines, 1-based, from which [`parse`] makes these tasks; `ids` in ascending order.
pub(super) fn numbers(mut text: impl BufRead, ids: &[TaskId]) -> Vec<u64> {
    let (mut numbers, mut line, mut number, mut next) = (Vec::new(), Vec::new(), 0, 0);
    while numbers.len() < ids.len() {
        line.clear();
        if !text.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            break;
        }
        let command = if number == 0 { &line[mark_len(&line)..] } else { &line[..] };
        number += 1;
        if command.first() != Some(&b'#') && !strip(command).is_empty() {
            if ids[numbers.len()].0 == next {
                numbers.push(number);
            }
            next += 1;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: Vec<u8>) -> Result<Lines, BadLine> {
        parse(text, Keys::default())
    }

    fn commands(text: &[u8]) -> Vec<Vec<u8>> {
        let list = read(text.to_vec()).unwrap().list;
        (0..list.len()).map(|id| list.command(TaskId(id)).to_vec()).collect()
    }

    /// PyTaskFarmer's rules, with its quirk that only a `#` in column 0 is a comment.
    #[test]
    fn keeps_what_pytaskfarmer_keeps() {
        assert_eq!(commands(b"# a\n\n b \n # x\n\t\n#\nc"), [&b"b"[..], b"# x", b"c"]);
        assert_eq!(commands(b""), [b""; 0]);
        assert_eq!(commands(b"#only\n"), [b""; 0]);
    }

    /// A list that was saved on Windows, or without a final newline, is the same list.
    #[test]
    fn line_ends_do_not_matter() {
        assert_eq!(commands(b"a\r\nb\r\n"), commands(b"a\nb"));
    }

    /// A blank that the shell must see stays, and a line end after a backslash is not one.
    #[test]
    fn an_escaped_blank_stays() {
        assert_eq!(
            commands(b"printf %s a\\ \nb\\ \t \nc\\\\ \nd\\\t\r\ne\\\r\nf\\\\\\ "),
            [&b"printf %s a\\ "[..], b"b\\ ", b"c\\\\", b"d\\\t", b"e\\", b"f\\\\\\ "]
        );
    }

    /// A message gives the line number in the file, counting comments, blank lines and a byte order mark.
    #[test]
    fn line_numbers_of_tasks() {
        let text = b"\xef\xbb\xbf# x\na\n\n  \nb\r\n # c\n#\nd";
        let ids = [0, 1, 2, 3].map(TaskId);
        assert_eq!(numbers(&text[..], &ids), [2, 5, 6, 8]);
        assert_eq!(numbers(&text[..], &[TaskId(1), TaskId(3), TaskId(9)]), [5, 8]);
        assert_eq!(numbers(&text[3..], &ids[..1]), [2]);
    }

    /// Bytes are bytes: a list does not have to be UTF-8.
    #[test]
    fn odd_bytes_stay() {
        assert_eq!(commands(b"\xff\xfe x\xa0\n"), [b"\xff\xfe x\xa0"]);
    }

    proptest! {
        /// Promise 5: any bytes are a list or are refused, and no command in it is empty, contains a line end, or has
        /// blanks around it.
        #[test]
        fn any_bytes_are_a_list_or_refused(bytes: Vec<u8>) {
            let kept: Vec<Vec<u8>> = kept(&bytes).map(|(_, line)| line.stripped.to_vec()).collect();
            if let Ok(Lines { list, .. }) = read(bytes) {
                prop_assert_eq!(list.len() as usize, kept.len());
                for (command, kept) in (0..list.len()).map(|id| list.command(TaskId(id))).zip(kept) {
                    prop_assert_eq!(command, kept);
                    prop_assert_eq!(strip(command), 0..command.len());
                    prop_assert!(!command.is_empty() && !command.contains(&b'\n') && !command.contains(&0));
                }
            }
        }
    }

    /// A line that is too long for a message is refused before anything starts; a comment may be that long.
    #[test]
    fn a_long_line_is_refused_with_its_line() {
        let longest = vec![b'x'; COMMAND_LEN_MAX];
        assert_eq!(commands(&[b"a\n  ", &longest[..], b" \r\n#y", &longest, b"\n"].concat()), [b"a", &longest[..]]);
        assert_eq!(read([b"a\nx", &longest[..]].concat()), Err(BadLine::TooLong { line: 2 }));
    }

    /// A NUL is refused with the number of its line, counting comments and blank lines.
    #[test]
    fn a_nul_is_refused_with_its_line() {
        assert_eq!(read(b"a\n#\n\nb\0\n".to_vec()), Err(BadLine::Nul { line: 4 }));
    }
}
