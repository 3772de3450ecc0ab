//! `tasks.tsv`: a line for each attempt that has ended, for people and for tools that read tables.
//!
//! Owns the format of that file, written and read. It is a log and never the basis of a resume, which reads only one
//! thing from it: [`super::crashes`]. `status` and `logs` read the rest.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use super::begin::{Begin, Kind};
use super::lines::{BadLines, End as LineEnd, LINE_LEN_MAX, Lines, find_last};
use super::names;
use crate::farmer::{Cause, Record};
use crate::figures::tally::End;
use crate::sys::regular;

/// The first line. The command is last, because it may hold anything but a newline, including tabs.
pub(crate) const HEADER: &[u8] =
    b"id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand\n";

/// The longest line of column names, in bytes.
const HEAD_LEN_MAX: usize = 4 << 10;

/// Appends the line of an attempt. Times are seconds with six decimals: since 1970, or of CPU time.
pub(crate) fn push_line(out: &mut Vec<u8>, record: &Record, host: &[u8], command: &[u8]) {
    let result = &record.result;
    let mut fields = Fields(out);
    for number in [result.id.0, result.attempt.0.into(), record.rank.0] {
        fields.number(number);
    }
    fields.text(host);
    if record.has_times() {
        fields.number(result.slot);
        fields.seconds(result.start_us, 6);
        fields.seconds(result.start_us.saturating_add(result.duration_us), 6);
        fields.number_if_any(result.outcome.exit_code());
        fields.number_if_any(result.outcome.signal());
        fields.seconds(result.user_us, 6);
        fields.seconds(result.system_us, 6);
        fields.number(result.max_rss_kib);
    } else {
        (0..8).for_each(|_| fields.text(b""));
    }
    fields.text(record.cause.word().as_bytes());
    fields.end(command);
}

/// Writes a line of fields that are separated by tabs.
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    pub(super) fn text(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
        self.0.push(b'\t');
    }

    pub(super) fn number(&mut self, number: impl Into<u64>) {
        self.text(itoa::Buffer::new().format(number.into()).as_bytes());
    }

    fn number_if_any(&mut self, number: Option<u8>) {
        match number {
            Some(number) => self.number(number),
            None => self.text(b""),
        }
    }

    /// Seconds with this many decimals, at most six.
    pub(super) fn seconds(&mut self, us: u64, decimals: u32) {
        self.0.extend_from_slice(itoa::Buffer::new().format(us / 1_000_000).as_bytes());
        // The first digit keeps the zeros after it, and marks the place of the point.
        let at = self.0.len();
        self.number((1_000_000 + us % 1_000_000) / 10_u64.pow(6 - decimals));
        self.0[at] = b'.';
    }

    /// The last field.
    pub(super) fn end(self, text: &[u8]) {
        self.0.extend_from_slice(text);
        self.0.push(b'\n');
    }
}

/// How a table is continued: a torn last line is cut off. A file of a different kind is moved aside, because this file
/// is never worth losing a run.
pub(super) const KIND: Kind = Kind {
    look: |file| continue_lines(file, HEADER),
    start: || HEADER.to_vec(),
    aside: "tsv.damaged",
    open: regular::open_no_link,
};

/// How a file of lines that begins with this header is continued; `None` if it begins differently.
pub(super) fn continue_lines(file: &mut File, header: &[u8]) -> io::Result<Option<Begin>> {
    if !begins_with(file, header)? {
        return Ok(None);
    }
    let last_newline = find_last(file, 0..file.metadata()?.len(), |byte| byte == b'\n')?;
    let len = last_newline.map_or(0, |(len, _)| len);
    Ok(Some(Begin { len, first: if len == 0 { header.to_vec() } else { Vec::new() } }))
}

/// Whether a file begins with this line, or with as much of it as there is.
pub(super) fn begins_with(file: &mut File, header: &[u8]) -> io::Result<bool> {
    let mut first = Vec::new();
    file.take(header.len() as u64).read_to_end(&mut first)?;
    Ok(header.starts_with(&first))
}

/// Reads a table, ours or one that has other columns as well, line by line.
#[derive(Debug)]
pub(super) struct Table<R> {
    lines: Lines<R>,
    columns: Vec<Vec<u8>>,
    /// Whether the first line is [`HEADER`].
    pub(super) is_ours: bool,
}

impl<R: Read> Table<BufReader<R>> {
    /// Reads the names of the columns. Lines with more than `max` bytes are not attempts.
    pub(super) fn of(file: R, max: usize) -> io::Result<Self> {
        let mut lines = Lines::of(file, max);
        let (mut columns, mut is_ours) = (Vec::new(), false);
        if let Some(head) = lines.next()? {
            let names = &head.bytes[..head.bytes.len().min(HEAD_LEN_MAX)];
            columns = names.split(|&byte| byte == b'\t').map(<[u8]>::to_vec).collect();
            is_ours = (head.end, head.bytes) == (LineEnd::Whole, HEADER.trim_ascii_end());
        }
        Ok(Self { lines, columns, is_ours })
    }

    /// Whether it has the columns without which a table says nothing. An empty file is a table without attempts.
    fn is_one(&self) -> bool {
        let needed = [&b"id"[..], b"rank", b"start", b"end", b"why", b"command"];
        self.columns.is_empty() || needed.iter().all(|name| self.columns.iter().any(|column| column == name))
    }

    /// The next line. A torn one is not returned: a crash has torn it, or a farm is just writing it.
    pub(super) fn next(&mut self) -> io::Result<Option<Row<'_>>> {
        let Some(line) = self.lines.next()?.filter(|line| line.end != LineEnd::Torn) else { return Ok(None) };
        let fields = match line.end {
            LineEnd::Whole => line.bytes.splitn(self.columns.len(), |&byte| byte == b'\t').collect(),
            _ => Vec::new(),
        };
        Ok(Some(Row { number: line.number, columns: &self.columns, fields }))
    }
}

/// A line of a table, damaged or not.
pub(super) struct Row<'a> {
    number: u64,
    columns: &'a [Vec<u8>],
    fields: Vec<&'a [u8]>,
}

impl<'a> Row<'a> {
    pub(super) fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.get(self.columns.iter().rposition(|column| column == name.as_bytes())?).copied()
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        std::str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// As [`Self::number`], but zero if nothing is known: for an attempt that was lost with its rank, and in a table
    /// without this column.
    fn number_or_zero<T: FromStr + Default>(&self, name: &str) -> Option<T> {
        if self.field(name).unwrap_or_default().is_empty() { Some(T::default()) } else { self.number(name) }
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        Cause::of_word(std::str::from_utf8(self.field("why")?).ok()?)
    }

    /// All of it; `None` if it is damaged.
    fn attempt(&self) -> Option<Attempt<'a>> {
        self.field("why")?;
        let seconds = |name| self.number_or_zero::<f64>(name);
        let micros = |seconds: f64| (seconds.max(0.0) * 1e6).round() as u64;
        let attempt = Attempt {
            id: self.number("id")?,
            rank: self.number("rank")?,
            host: self.field("host").unwrap_or_default(),
            length_us: micros(seconds("end")? - seconds("start")?),
            cpu_us: micros(seconds("user")? + seconds("system")?),
            max_rss_kib: self.number_or_zero("max_rss_kib")?,
            cause: self.cause(),
            end: None,
            command: self.field("command")?,
        };
        let end = match attempt.cause {
            Some(Cause::Finished) => End::Exit(0),
            Some(Cause::Timeout) => End::Timeout,
            Some(Cause::Crashed) => End::Crashed,
            Some(Cause::Unkept) => End::Unkept("".into()),
            Some(Cause::Failed) => {
                match (self.field("exit").unwrap_or_default(), self.field("signal").unwrap_or_default()) {
                    (exit, b"" | b"0") if !exit.is_empty() => End::Exit(self.number("exit")?),
                    (_, signal) if !signal.is_empty() => End::Signal(self.number("signal")?),
                    _ => End::NotStarted("".into()),
                }
            }
            Some(Cause::Interrupted | Cause::Lost) | None => return Some(attempt),
        };
        // A task that ended on its own has run. If it crashed with its node, the times are not known.
        let has_run = !self.field("start")?.is_empty() && !self.field("end")?.is_empty();
        (has_run || end == End::Crashed).then_some(Attempt { end: Some(end), ..attempt })
    }
}

/// An attempt, as a table reports it.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) id: u32,
    pub(crate) rank: u32,
    /// Empty if it is not known.
    pub(crate) host: &'a [u8],
    pub(crate) length_us: u64,
    pub(crate) cpu_us: u64,
    /// 0 if it is not known.
    pub(crate) max_rss_kib: u64,
    /// `None` for a word that this version does not know.
    pub(crate) cause: Option<Cause>,
    /// How the task ended; `None` if it was ended from outside.
    pub(crate) end: Option<End>,
    pub(crate) command: &'a [u8],
}

/// Goes through the attempts in a workdir. Returns the damage, if any.
///
/// # Errors
/// If the table does not exist or cannot be read.
pub(crate) fn each(workdir: &Path, mut take: impl FnMut(Attempt<'_>)) -> io::Result<Option<String>> {
    let mut table = Table::of(regular::reader_no_link(&workdir.join(names::ATTEMPTS))?, LINE_LEN_MAX)?;
    if !table.is_one() {
        return Ok(Some("line 1 is not the line of column names".to_owned()));
    }
    let mut bad = BadLines::default();
    while let Some(row) = table.next()? {
        match row.attempt() {
            Some(attempt) => take(attempt),
            None => bad.add(row.number),
        }
    }
    Ok(bad.message("an attempt of a task"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::begin::Found;
    use super::*;
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
            Fields(&mut out).seconds(us, 6);
            let text = String::from_utf8(out).unwrap();
            let text = text.trim_end_matches('\t');
            let (seconds, rest) = text.split_once('.').unwrap();
            prop_assert_eq!(rest.len(), 6);
            prop_assert_eq!(seconds.parse::<u64>().unwrap() * 1_000_000 + rest.parse::<u64>().unwrap(), us);
        }
    }
}
