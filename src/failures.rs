//! What failed, by what it looks like.
//!
//! Owns the look into the logs of failed tasks, for the summary and for `status`: tasks that ended in the same way with
//! nearly the same last line are one kind. Reads the ends of logs only, and not for longer than a few seconds; what it
//! did not read is told by its exit code alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figures::report::FailureGroup;
use crate::figures::tally::{End, Failure, Tally};
use crate::progress::program_as_typed;
use crate::shell::pasted_path;
use crate::shown;
use crate::workdir::logs::{self, Finder, OddLog, Output};

/// So many bytes of a line are looked at.
const LINE_LEN_MAX: usize = 1_000;

/// So much of it is shown.
const SHOWN_MAX: usize = 160;

/// No longer than this are logs read.
const TIME_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Kind {
    count: u64,
    killed: bool,
    peak_kib: u64,
    line: String,
    example: Option<u32>,
    hosts: BTreeSet<String>,
    everywhere: bool,
}

/// Sorts failures into kinds, the most frequent first. `host` is that of a rank; `hosts` is how many the farm has.
pub fn group(workdir: &Path, tally: &Tally, host: impl Fn(u32) -> Option<String>, hosts: usize) -> Vec<FailureGroup> {
    let deadline = Instant::now() + TIME_MAX;
    let mut logs = Logs::of(workdir);
    let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
    for Failure { id, rank, end, max_rss_kib } in tally.failures() {
        let late = Instant::now() >= deadline;
        let line = match end {
            End::NotStarted(why) if !why.is_empty() => Some(shown(why.as_bytes())),
            // What stands in the place of its log is not its output.
            End::Unkept(why) => Some(shown(why.as_bytes())),
            _ if late => None,
            _ => Some(logs.last_line(*id)),
        };
        let key = (end.to_string(), line.as_deref().map_or_else(|| "\0".to_owned(), alike));
        let kind = kinds.entry(key).or_default();
        kind.count += 1;
        kind.killed = end.is_kill();
        kind.peak_kib = kind.peak_kib.max(*max_rss_kib);
        if kind.count == 1 {
            kind.line = line.clone().unwrap_or_default();
        }
        if kind.example.is_none() && line.is_some() {
            kind.example = Some(*id);
        }
        match rank.and_then(&host) {
            Some(host) => _ = kind.hosts.insert(host),
            None => kind.everywhere = true,
        }
    }
    for (end, count) in tally.further_failures() {
        let kind = kinds.entry((end.to_string(), "\0".to_owned())).or_default();
        (kind.count, kind.killed, kind.everywhere) = (kind.count + count, end.is_kill(), true);
    }
    let mut groups: Vec<FailureGroup> = kinds
        .into_iter()
        .map(|((how, _), kind)| FailureGroup {
            count: kind.count,
            how,
            killed: kind.killed,
            peak_kib: kind.peak_kib,
            last_line: kind.line,
            log: kind.example.map(|id| logs.name(id)).unwrap_or_default(),
            // On all of them it says nothing; on many, nobody reads it.
            only_on: if kind.everywhere || kind.hosts.len() >= hosts || kind.hosts.len() > 4 {
                Vec::new()
            } else {
                kind.hosts.into_iter().collect()
            },
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// Logs of tasks. Most have a file of their own; who keeps them otherwise is asked when the first has none.
pub(crate) struct Logs<'a> {
    workdir: &'a Path,
    finder: Option<Result<Finder, OddLog>>,
}

impl<'a> Logs<'a> {
    /// Those of a workdir.
    pub(crate) fn of(workdir: &'a Path) -> Self {
        Self { workdir, finder: None }
    }

    /// The last line of a task that is not blank; empty if there is none, or it can't be read.
    fn last_line(&mut self, id: u32) -> String {
        self.output(id)
            .and_then(|output| output.last_line(LINE_LEN_MAX).ok())
            .map_or_else(String::new, |line| shown(&line))
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

    /// Where its log is, as a user may say it; empty if there is none.
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

/// What lines of the same kind have in common: all but their numbers.
fn alike(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        if !c.is_ascii_digit() {
            text.push(c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
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

    /// Hundreds of failures are a few kinds, each with a log to look at and the hosts that it is confined to.
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

    /// A log may hold anything; a terminal gets a line of text.
    #[test]
    fn lines_are_made_harmless() {
        assert_eq!(shown(b"10 %\r20 %\rdone\tnow \x07"), "done now \\x07");
        assert_eq!(shown(b"\x1b[2J\x1b[1;31mred\x1b[0m\x1b]0;t\xff"), "red\\x1b]0;t\\xff");
        assert_eq!(shown(&[b'x'; 500]).chars().count(), SHOWN_MAX);
        assert_eq!(alike("at 0x7f: line 12"), "at #x#f: line #");
    }
}
