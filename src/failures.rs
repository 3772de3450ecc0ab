//! What failed, grouped by how it failed.
//!
//! Owns the reading of the logs of failed tasks, for the summary and for `status`: tasks that ended in the same way,
//! with the same cause on the last line of their output, are one kind. Reads only the ends of logs, for a few seconds
//! at most; failures whose logs it has not read are described by their exit code alone.

mod cause;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::typed::program_as_typed;
use crate::figures::report::FailureGroup;
use crate::figures::tally::{End, Failure, Tally};
use crate::shell::pasted_path;
use crate::shown;
use crate::workdir::logs::{self, Finder, OddLog, Output};

/// How many bytes of a line are examined.
const LINE_LEN_MAX: usize = 1_000;

/// How much of it is shown.
const SHOWN_MAX: usize = 160;

/// The longest time for which logs are read.
const TIME_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Kind {
    /// All but the log and the hosts.
    group: FailureGroup,
    example: Option<u32>,
    hosts: BTreeSet<String>,
    everywhere: bool,
}

impl Kind {
    fn into_group(self, how: String, logs: &mut Logs<'_>, hosts: usize) -> FailureGroup {
        // If a kind is on all hosts, the list says nothing; if it is on many, the list is too long to read.
        let is_listed = !self.everywhere && self.hosts.len() < hosts && self.hosts.len() <= 4;
        let log = self.example.map(|id| logs.name(id)).unwrap_or_default();
        let only_on = if is_listed { self.hosts.into_iter().collect() } else { Vec::new() };
        FailureGroup { how, log, only_on, ..self.group }
    }
}

/// Sorts failures into kinds, the most frequent first. `host` is that of a rank; `hosts` is how many the farm has.
pub(crate) fn group(
    workdir: &Path,
    tally: &Tally,
    host: impl Fn(u32) -> Option<String>,
    hosts: usize,
) -> Vec<FailureGroup> {
    let deadline = Instant::now() + TIME_MAX;
    let mut logs = Logs::of(workdir);
    let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
    for Failure { id, rank, end, max_rss_kib } in &tally.failures {
        let late = Instant::now() >= deadline;
        let line = match end {
            End::NotStarted(why) if !why.is_empty() => Some(shown(why.as_bytes())),
            // What is in the place of its log is not its output.
            End::Unkept(why) => Some(shown(why.as_bytes())),
            _ if late => None,
            _ => Some(logs.last_line(*id)),
        };
        let cause = match &line {
            // What it wrote before is unrelated.
            _ if end.is_signal() || matches!(end, End::Timeout | End::Crashed) => "\0".to_owned(),
            Some(line) => cause::alike(line),
            None => "\0".to_owned(),
        };
        let key = (end.to_string(), cause);
        let kind = kinds.entry(key).or_default();
        kind.example = kind.example.or(line.is_some().then_some(*id));
        let group = &mut kind.group;
        group.count += 1;
        group.killed = end.is_kill();
        group.peak_kib = group.peak_kib.max(*max_rss_kib);
        if group.count == 1 {
            group.last_line = line.unwrap_or_default();
        }
        match rank.and_then(&host) {
            Some(host) => _ = kind.hosts.insert(host),
            None => kind.everywhere = true,
        }
    }
    for (end, count) in &tally.further {
        let kind = kinds.entry((end.to_string(), "\0".to_owned())).or_default();
        kind.group.count += count;
        (kind.group.killed, kind.everywhere) = (end.is_kill(), true);
    }
    let kinds = kinds.into_iter();
    let mut groups: Vec<_> = kinds.map(|((how, _), kind)| kind.into_group(how, &mut logs, hosts)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// Logs of tasks. Most have a file of their own; other places are searched once a task has none.
pub(crate) struct Logs<'a> {
    workdir: &'a Path,
    finder: Option<Result<Finder, OddLog>>,
}

impl<'a> Logs<'a> {
    /// The logs of a workdir.
    pub(crate) fn of(workdir: &'a Path) -> Self {
        Self { workdir, finder: None }
    }

    /// The line at the end of a task's output that names the cause of its failure; empty if there is none, or it can't be
    /// read.
    fn last_line(&mut self, id: u32) -> String {
        let tail = self.output(id).and_then(|output| output.tail().ok()).unwrap_or_default();
        let lines: Vec<&[u8]> = lines(&tail).collect();
        let line = cause::telling_line(&lines);
        shown(&line[..line.len().min(LINE_LEN_MAX)])
    }

    /// The last line of a task, and the path of its output, or, if the output has no file of its own, the command that
    /// prints it. Path and command can be pasted if the path of the workdir is what the user typed.
    pub(crate) fn last_line_and_place(&mut self, id: u32) -> (String, String) {
        let Some(output) = self.output(id) else { return Default::default() };
        let is_own = output.path.to_string_lossy().ends_with(&format!("log_{id}"));
        let place = match is_own {
            true => pasted_path(&output.path),
            false => format!("{} logs {} {id}", program_as_typed(), pasted_path(self.workdir)),
        };
        (self.last_line(id), place)
    }

    /// Where the log of a task is, in words for the user; empty if there is none.
    pub(crate) fn name(&mut self, id: u32) -> String {
        let Some(output) = self.output(id) else { return String::new() };
        let path = output.path.strip_prefix(self.workdir).unwrap_or(&output.path).display().to_string();
        if path.ends_with(&format!("log_{id}")) { path } else { format!("task {id} in {path}") }
    }

    fn output(&mut self, id: u32) -> Option<Output> {
        if self.finder.is_none()
            && let Ok(output) = Output::of_file(logs::path_of(&self.workdir.join(logs::FOLDER), id))
        {
            return Some(output);
        }
        self.finder.get_or_insert_with(|| Finder::new(self.workdir)).as_mut().ok()?.find(id).ok()?
    }
}

/// The lines that are not blank, without white space around them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// A line of output as it is shown: without colors, and not too long.
fn shown(line: &[u8]) -> String {
    let mut text = Vec::new();
    let mut bytes = line.trim_ascii().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            // A terminal sequence, such as a color.
            0x1b if bytes.next_if_eq(&b'[').is_some() => _ = bytes.by_ref().find(|byte| (b'@'..=b'~').contains(byte)),
            // What overwrites a line counts, not what was overwritten.
            b'\r' => text.clear(),
            b'\t' => text.push(b' '),
            byte => text.push(byte),
        }
    }
    shown::short(text.trim_ascii(), SHOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ends: &[(u32, u32, End)]) -> Tally {
        let mut tally = Tally::default();
        for (id, rank, end) in ends {
            tally.add_failure(Failure { id: *id, rank: Some(*rank), end: end.clone(), max_rss_kib: (*id).into() });
        }
        tally
    }

    /// Hundreds of failures form a few kinds, each with a log to look at and the hosts that it is confined to.
    #[test]
    fn failures_of_a_kind_are_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        for id in 0..20 {
            let text = format!("line\n\x1b[31mKeyError: {id}\x1b[0m\n\n");
            std::fs::write(folder.path().join(format!("logs/log_{id}")), text).unwrap();
        }
        let mut ends: Vec<_> = (0..20).map(|id| (id, id % 2, End::Exit(1))).collect();
        ends.extend([(31, 1, End::Signal(9)), (30, 1, End::Signal(9))]);
        let host = |rank: u32| Some(format!("node{rank}"));
        let groups = group(folder.path(), &tally(&ends), host, 2);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].count, &groups[0].how[..], &groups[0].last_line[..]), (20, "exit 1", "KeyError: 0"));
        assert_eq!((&groups[0].log[..], groups[0].only_on.len()), ("logs/log_0", 0), "on all hosts");
        assert_eq!((&groups[1].how[..], &groups[1].only_on[..]), ("SIGKILL", &["node1".to_owned()][..]));
        assert_eq!([&groups[0], &groups[1]].map(|group| (group.killed, group.peak_kib)), [(false, 19), (true, 31)]);
    }

    /// Promise: a signal is a cause by itself, whatever the task wrote before; so is running out of time.
    #[test]
    fn a_signal_is_a_kind() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let words = ["one", "two", "three", "four", "five", "six"];
        for (id, word) in words.iter().enumerate() {
            std::fs::write(folder.path().join(format!("logs/log_{id}")), word).unwrap();
        }
        let ends = [End::Signal(11), End::Signal(11), End::Exit(139), End::Exit(139), End::Timeout, End::Timeout];
        let ends: Vec<_> = (0..).zip(ends).map(|(id, end)| (id, 0, end)).collect();
        let groups = group(folder.path(), &tally(&ends), |_| None, 1);
        let found: Vec<_> = groups.iter().map(|group| (group.count, &group.how[..], &group.last_line[..])).collect();
        assert_eq!(found, [(2, "SIGSEGV", "one"), (2, "exit 139", "three"), (2, "over its time limit", "five")]);
    }

    /// A log may hold anything; a terminal gets a line of text.
    #[test]
    fn lines_are_made_harmless() {
        assert_eq!(shown(b"10 %\r20 %\rdone\tnow \x07"), "done now \\x07");
        assert_eq!(shown(b"\x1b[2J\x1b[1;31mred\x1b[0m\x1b]0;t\xff"), "red\\x1b]0;t\\xff");
        assert_eq!(shown(&[b'x'; 500]).chars().count(), SHOWN_MAX);
    }
}
