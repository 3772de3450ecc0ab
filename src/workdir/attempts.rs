//! `tasks.tsv`: a line for each attempt that has ended, for people and for tools that read tables.
//!
//! Owns the format of that file. It is a log and never the basis of a resume, which reads only one thing from it:
//! [`super::crashes`].

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::append::Links;
use super::begin::{Begin, Kind};
use crate::farmer::Record;

/// The first line. The command is last, because it may hold anything but a newline, including tabs.
pub(crate) const HEADER: &[u8] =
    b"id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand\n";

/// Appends the line of an attempt. Times are seconds with six decimals: since 1970, or of CPU time.
pub(crate) fn push_line(out: &mut Vec<u8>, record: &Record, host: &[u8], command: &[u8]) {
    let result = &record.result;
    push_number(out, result.id.0.into());
    out.push(b'\t');
    push_number(out, result.attempt.0.into());
    out.push(b'\t');
    push_number(out, record.rank.0.into());
    out.push(b'\t');
    out.extend_from_slice(host);
    if !record.has_times() {
        out.extend_from_slice(b"\t\t\t\t\t\t\t\t");
    } else {
        out.push(b'\t');
        push_number(out, result.slot.into());
        out.push(b'\t');
        push_seconds(out, result.start_us);
        out.push(b'\t');
        push_seconds(out, result.start_us.saturating_add(result.duration_us));
        out.push(b'\t');
        result.outcome.exit_code().into_iter().for_each(|code| push_number(out, code.into()));
        out.push(b'\t');
        result.outcome.signal().into_iter().for_each(|signal| push_number(out, signal.into()));
        out.push(b'\t');
        push_seconds(out, result.user_us);
        out.push(b'\t');
        push_seconds(out, result.system_us);
        out.push(b'\t');
        push_number(out, result.max_rss_kib);
    }
    out.push(b'\t');
    out.extend_from_slice(record.cause.word().as_bytes());
    out.push(b'\t');
    out.extend_from_slice(command);
    out.push(b'\n');
}

pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_seconds(out: &mut Vec<u8>, us: u64) {
    push_number(out, us / 1_000_000);
    // The first digit keeps the zeros after it, and marks the place of the point.
    let at = out.len();
    push_number(out, 1_000_000 + us % 1_000_000);
    out[at] = b'.';
}

/// How a table is continued: a torn last line is cut off. A file of a different kind is moved aside, because this file
/// is never worth losing a run.
pub(super) const KIND: Kind = Kind {
    look: |file| continue_lines(file, HEADER),
    start: || HEADER.to_vec(),
    aside: "tsv.damaged",
    links: Links::Refuse,
};

/// How a file of lines that begins with this header is continued; `None` if it begins differently.
pub(super) fn continue_lines(file: &mut File, header: &[u8]) -> io::Result<Option<Begin>> {
    if !begins_with(file, header)? {
        return Ok(None);
    }
    let len = whole_lines(file)?;
    Ok(Some(Begin { len, first: if len == 0 { header.to_vec() } else { Vec::new() } }))
}

/// Whether a file begins with this line, or with as much of it as there is.
pub(super) fn begins_with(file: &mut File, header: &[u8]) -> io::Result<bool> {
    let mut first = Vec::new();
    file.take(header.len() as u64).read_to_end(&mut first)?;
    Ok(header.starts_with(&first))
}

/// How many bytes of the file are complete lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let step = end.min(STEP);
        file.seek(SeekFrom::Start(end - step))?;
        let mut chunk = Vec::new();
        (&mut *file).take(step).read_to_end(&mut chunk)?;
        if let Some(newline) = memchr::memrchr(b'\n', &chunk) {
            return Ok(end - step + newline as u64 + 1);
        }
        end -= step;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::begin::Found;
    use super::*;
    use crate::farmer::Cause;
    use crate::task::{Attempt, Outcome, Rank, TaskId, TaskResult};

    fn line(outcome: Outcome, cause: Cause) -> String {
        let result = TaskResult {
            slot: 3,
            start_us: 1_795_358_813_250_435,
            duration_us: 2_763,
            user_us: 1_000_001,
            system_us: 20,
            max_rss_kib: 4_096,
            ..TaskResult::of(TaskId(7), Attempt(2), outcome)
        };
        let mut out = Vec::new();
        push_line(&mut out, &Record { rank: Rank(5), result, cause, is_last: true }, b"node5", b"a\tb  c");
        String::from_utf8(out).unwrap()
    }

    /// The columns that docs/workdir.md promises, in each of their forms.
    #[test]
    fn a_line_has_the_promised_columns() {
        let times = "1795358813.250435\t1795358813.253198";
        let usage = "1.000001\t0.000020\t4096";
        for (outcome, cause, end, word) in [
            (Outcome::Exited(0), Cause::Finished, "0\t", "finished"),
            (Outcome::Exited(255), Cause::Failed, "255\t", "failed"),
            (Outcome::Exited(0), Cause::Timeout, "0\t", "timeout"),
            (Outcome::Signaled(15), Cause::Interrupted, "\t15", "interrupted"),
            (Outcome::NotStarted("no log".to_owned()), Cause::Failed, "\t", "failed"),
            (Outcome::Exited(0).unkept("a folder".to_owned()), Cause::Unkept, "0\t", "unkept"),
            (Outcome::Signaled(9).unkept("a folder".to_owned()), Cause::Unkept, "\t9", "unkept"),
        ] {
            let expected = format!("7\t2\t5\tnode5\t3\t{times}\t{end}\t{usage}\t{word}\ta\tb  c\n");
            assert_eq!(line(outcome, cause), expected);
        }
        assert_eq!(
            line(Outcome::NotStarted(String::new()), Cause::Lost),
            "7\t2\t5\tnode5\t\t\t\t\t\t\t\t\tlost\ta\tb  c\n"
        );
        let crashed = format!("7\t2\t5\tnode5\t3\t{times}\t\t9\t{usage}\tcrashed\ta\tb  c\n");
        assert_eq!(line(Outcome::Signaled(9), Cause::Crashed), crashed);
        let tabs = |line: &str| line.bytes().filter(|&byte| byte == b'\t').count();
        assert_eq!(tabs(&line(Outcome::Exited(0), Cause::Lost)), tabs(&line(Outcome::Exited(0), Cause::Failed)));
        assert_eq!(HEADER.iter().filter(|&&byte| byte == b'\t').count() + 1, 14);
    }

    fn prepared(before: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.tsv");
        fs::write(&path, before).unwrap();
        Found::look(&path, &KIND).unwrap().begin().unwrap().1.keep();
        (fs::read(&path).unwrap(), fs::read(folder.path().join("tasks.tsv.damaged")).ok())
    }

    /// A file of a different kind is kept, and does not make the run fail.
    #[test]
    fn another_file_is_moved_aside() {
        for other in [&b"id\tname\n1\tx\n"[..], b"x", b"\n", b"id\tattempt\trank\thost\tslots"] {
            assert_eq!(prepared(other), (HEADER.to_vec(), Some(other.to_vec())));
        }
    }

    proptest! {
        /// Wherever a crash cuts the file, complete lines stay, and one header.
        #[test]
        fn any_cut_is_mended(cut in 0_usize..400, long in 0_usize..3) {
            let row = [b"7\t1\t".to_vec(), b"x".repeat(long * 40_000), b"\n".to_vec()].concat();
            let text = [HEADER, &row, &row, &row].concat();
            let torn = &text[..cut.min(text.len())];
            let whole = torn.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let expected = if whole == 0 { HEADER } else { &text[..whole] };
            prop_assert_eq!(prepared(torn), (expected.to_vec(), None));
        }

        /// Every number of microseconds is written as exactly the same number of seconds.
        #[test]
        fn seconds_are_exact(us: u64) {
            let mut out = Vec::new();
            push_seconds(&mut out, us);
            let text = String::from_utf8(out).unwrap();
            let (seconds, rest) = text.split_once('.').unwrap();
            prop_assert_eq!(rest.len(), 6);
            prop_assert_eq!(seconds.parse::<u64>().unwrap() * 1_000_000 + rest.parse::<u64>().unwrap(), us);
        }
    }
}
