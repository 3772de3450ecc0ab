//! What the timeline and the table of attempts say about tasks that have ended.
//!
//! Owns the reading of both, ours and PyTaskFarmer's, whole or torn by a crash. Memory grows only with the number of
//! failures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::records::each_line;
use crate::farmer::Cause;
use crate::figures::tally::{End, Ended, Failure, Tally};
use crate::figures::usage::Usage;
use crate::shown;
use crate::sys::regular;
use crate::workdir::lines::{BadLines, End as LineEnd};
use crate::workdir::names;

/// The longest event, in bytes: a command has at most 1 MiB, and JSON takes up to six bytes for each of its bytes.
const EVENT_LEN_MAX: usize = 7 << 20;

/// How much of a command is kept for the slowest tasks, in characters.
const COMMAND_MAX: usize = 200;

/// How much of any other text is kept, in characters.
const TEXT_MAX: usize = 255;

/// The longest line of column names, in bytes.
const HEAD_LEN_MAX: usize = 4 << 10;

/// What is known of the past.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Lengths and the slowest of all tasks that have ended; the tasks in `failed`, and how they ended.
    pub(super) tally: Tally,
    /// Hosts of ranks.
    pub(super) hosts: BTreeMap<u32, String>,
    /// Commands of the slowest tasks, and a few others.
    pub(super) commands: BTreeMap<u32, String>,
    /// What cannot be read.
    pub(super) damage: Vec<String>,
    /// How the tasks in `failed` last ended, in the same order.
    pub(super) failures: Vec<Failure>,
}

/// One end of a task, as a file reports it.
struct Told<'a> {
    id: Option<u32>,
    rank: u32,
    length_us: u64,
    end: End,
    /// In KiB; 0 if it is not known.
    max_rss_kib: u64,
    command: &'a str,
}

/// An attempt, as the table reports it.
struct Attempt<'a> {
    id: u32,
    rank: u32,
    host: &'a str,
    usage: Usage,
    /// None if it was ended from outside.
    told: Option<Told<'a>>,
    is_interrupted: bool,
}

impl History {
    /// Reads what there is, for these tasks in `failed` (ascending) and this many of the slowest.
    pub(super) fn read(workdir: &Path, failed: &[u32], slowest: usize) -> Self {
        let unknown = |&id: &u32| Failure { id, rank: None, end: End::Unknown, max_rss_kib: 0 };
        let failures = failed.iter().map(unknown).collect();
        let mut history = Self { tally: Tally::new(slowest), failures, ..Self::default() };
        // The table says more, but earlier versions wrote only the timeline, which also contains the names of ranks.
        let has_table = history.file(names::ATTEMPTS, |history| read_attempts(workdir, history, failed));
        history.file(names::TIMELINE, |history| read_timeline(workdir, history, failed, !has_table));
        history.failures.iter().for_each(|failure| history.tally.add_failure(failure.clone()));
        history
    }

    /// Reads a file; `false` if it does not exist.
    fn file(&mut self, name: &str, read: impl FnOnce(&mut Self) -> io::Result<Option<String>>) -> bool {
        let damage = match read(self) {
            Ok(damage) => damage,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => Some(error.to_string()),
        };
        self.damage.extend(damage.map(|damage| format!("{name}: {damage}")));
        true
    }

    fn add_host(&mut self, rank: u32, host: &str) {
        if !host.is_empty() && self.hosts.get(&rank).is_none_or(|known| known != host) {
            self.hosts.insert(rank, cut(host));
        }
    }

    fn take(&mut self, told: Told<'_>, failed: &[u32]) {
        let Told { id, rank, length_us, end, max_rss_kib, command } = told;
        let Some(id) = id else {
            // PyTaskFarmer's events do not say which task they belong to.
            return self.tally.add_length(length_us);
        };
        let is_crash = end == End::Crashed;
        if let Ok(place) = failed.binary_search(&id) {
            self.failures[place] = match end {
                End::Exit(0) => Failure { id, rank: None, end: End::Unknown, max_rss_kib: 0 },
                end => Failure { id, rank: Some(rank), end, max_rss_kib },
            };
        }
        if is_crash {
            return; // How long it would have taken is not known.
        }
        // Failures are counted by what is in `failed`, not by attempts.
        if self.tally.add(Ended { id, rank, length_us, end: End::Exit(0), max_rss_kib }) {
            self.commands.insert(id, command.chars().take(COMMAND_MAX).collect());
            // Done so rarely that a task costs next to nothing, however many are wanted.
            if self.commands.len() / 2 > self.tally.slowest_max().saturating_add(100) {
                let slowest: BTreeSet<u32> = self.tally.slowest().iter().map(|slow| slow.id).collect();
                self.commands.retain(|id, _| slowest.contains(id));
            }
        }
    }
}

/// The part of a text that is kept.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// How the last attempts of these tasks (ascending) ended: `exit 3`, `SIGKILL`, `interrupted`. Empty for a workdir without
/// a table of attempts.
pub(in crate::commands) fn last_ends(workdir: &Path, ids: &[u32]) -> BTreeMap<u32, String> {
    let mut ends = BTreeMap::new();
    // What cannot be read says nothing about an end.
    let _ = each_attempt(workdir, |attempt| {
        if ids.binary_search(&attempt.id).is_ok() {
            let end = match attempt.told {
                Some(told) => Some(told.end.to_string()),
                None => attempt.is_interrupted.then(|| "interrupted".to_owned()),
            };
            _ = match end {
                Some(end) => ends.insert(attempt.id, end),
                None => ends.remove(&attempt.id),
            };
        }
    });
    ends
}

/// Reads `tasks.tsv`. Returns the damage, if any.
fn read_attempts(workdir: &Path, history: &mut History, failed: &[u32]) -> io::Result<Option<String>> {
    each_attempt(workdir, |Attempt { rank, host, usage, told, .. }| {
        history.tally.add_usage(usage);
        history.add_host(rank, host);
        if let Some(told) = told {
            history.take(told, failed);
        }
    })
}

/// Goes through `tasks.tsv`. Returns the damage, if any.
fn each_attempt(workdir: &Path, mut take: impl FnMut(Attempt<'_>)) -> io::Result<Option<String>> {
    let mut columns: BTreeMap<String, usize> = BTreeMap::new();
    let mut head_is_wrong = false;
    let mut bad = BadLines::default();
    each_line(&workdir.join(names::ATTEMPTS), |line| {
        if line.number == 1 {
            let text = shown::text(&line.bytes[..line.bytes.len().min(HEAD_LEN_MAX)]);
            columns = text.split('\t').zip(0..).map(|(name, column)| (name.to_owned(), column)).collect();
            let needed = ["id", "rank", "start", "end", "why", "command"];
            head_is_wrong = !needed.iter().all(|name| columns.contains_key(*name));
        }
        if line.number == 1 || head_is_wrong || line.end == LineEnd::Torn {
            return;
        }
        let text = shown::text(line.bytes);
        let fields: Vec<&str> = text.splitn(columns.len(), '\t').collect();
        match attempt(&fields, &columns).filter(|_| line.end == LineEnd::Whole) {
            Some(attempt) => take(attempt),
            None => bad.add(line.number),
        }
    })?;
    Ok(match head_is_wrong {
        true => Some("line 1 is not the line of column names".to_owned()),
        false => bad.message("an attempt of a task"),
    })
}

/// One line of the table.
fn attempt<'a>(fields: &[&'a str], columns: &BTreeMap<String, usize>) -> Option<Attempt<'a>> {
    let field = |name: &str| fields.get(*columns.get(name)?).copied();
    let (id, rank): (u32, u32) = (field("id")?.parse().ok()?, field("rank")?.parse().ok()?);
    let (why, command) = (field("why")?, field("command")?);
    let host = field("host").unwrap_or_default();
    // Empty if nothing is known: for an attempt that was lost with its rank, and in a table without these columns.
    let seconds = |name: &str| match field(name) {
        None | Some("") => Some(0.0),
        Some(text) => text.parse::<f64>().ok(),
    };
    let micros = |seconds: f64| (seconds.max(0.0) * 1e6).round() as u64;
    let length_us = micros(seconds("end")? - seconds("start")?);
    let max_rss_kib = match field("max_rss_kib") {
        None | Some("") => 0,
        Some(text) => text.parse().ok()?,
    };
    let usage = Usage::of(id, length_us, micros(seconds("user")? + seconds("system")?), max_rss_kib);
    let end = match Cause::of_word(why) {
        Some(Cause::Finished) => End::Exit(0),
        Some(Cause::Timeout) => End::Timeout,
        Some(Cause::Crashed) => End::Crashed,
        Some(Cause::Unkept) => End::Unkept("".into()),
        Some(Cause::Failed) => match (field("exit").unwrap_or_default(), field("signal").unwrap_or_default()) {
            (exit, "" | "0") if !exit.is_empty() => End::Exit(exit.parse().ok()?),
            (_, signal) if !signal.is_empty() => End::Signal(signal.parse().ok()?),
            _ => End::NotStarted("".into()),
        },
        cause @ (Some(Cause::Interrupted | Cause::Lost) | None) => {
            let is_interrupted = cause == Some(Cause::Interrupted);
            return Some(Attempt { id, rank, host, usage, told: None, is_interrupted });
        }
    };
    // If the task crashed with its node, the times are not known.
    if end != End::Crashed && (field("start")?.is_empty() || field("end")?.is_empty()) {
        return None; // A task that ended on its own has run.
    }
    let told = Some(Told { id: Some(id), rank, length_us, end, max_rss_kib, command });
    Some(Attempt { id, rank, host, usage, told, is_interrupted: false })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    ph: String,
    cat: String,
    name: String,
    pid: serde_json::Value,
    dur: f64,
    args: Args,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    id: Option<u32>,
    exit: Option<u8>,
    signal: Option<u8>,
    why: Option<String>,
    error: Option<String>,
    name: String,
}

/// Reads `timeline.json`, and the tasks in it only if `tasks`. Returns the damage, if any.
fn read_timeline(workdir: &Path, history: &mut History, failed: &[u32], tasks: bool) -> io::Result<Option<String>> {
    let mut damage = None;
    each_object(regular::reader_no_link(&workdir.join(names::TIMELINE))?, |at, bytes| {
        let event = match serde_json::from_slice::<Event>(bytes) {
            Ok(event) => event,
            Err(error) => {
                damage.get_or_insert_with(|| format!("not an event at byte {at}: {error}"));
                return;
            }
        };
        let rank = event.pid.as_u64().and_then(|rank| u32::try_from(rank).ok()).unwrap_or(0);
        match &event.ph[..] {
            "M" if event.name == "process_name" => {
                if let Some((_, host)) = event.args.name.split_once(" on ") {
                    history.add_host(rank, host);
                }
            }
            "X" if tasks && !event.cat.contains("interrupted") => {
                let end = match event.args {
                    // However it responded when it was asked to end.
                    Args { why: Some(why), .. } if why == "timeout" => End::Timeout,
                    Args { error: Some(text), why: Some(why), .. } if why == "unkept" => End::Unkept(cut(&text).into()),
                    Args { error: Some(why), .. } => End::NotStarted(cut(&why).into()),
                    Args { signal: Some(signal), .. } => End::Signal(signal),
                    Args { exit: Some(code), .. } => End::Exit(code),
                    _ => End::Unknown,
                };
                let length_us = event.dur.max(0.0) as u64;
                let told = Told { id: event.args.id, rank, length_us, end, max_rss_kib: 0, command: &event.name };
                history.take(told, failed);
            }
            _ => {}
        }
    })
    .map(|broken| damage.or(broken))
}

/// Goes through the objects of a JSON array that may lack its end: where each begins, and its bytes. Returns what else
/// is wrong with the file, if anything.
fn each_object(file: File, mut take: impl FnMut(u64, &[u8])) -> io::Result<Option<String>> {
    let (mut object, mut begin) = (Vec::new(), 0);
    let (mut depth, mut in_string, mut escaped, mut opened) = (0_u32, false, false, false);
    for (at, byte) in (0_u64..).zip(BufReader::with_capacity(1 << 20, file).bytes()) {
        let byte = byte?;
        if depth > 0 {
            object.push(byte);
            if object.len() > EVENT_LEN_MAX {
                return Ok(Some(format!("the event at byte {begin} has no end")));
            }
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if depth > 0 => in_string = !in_string,
            _ if in_string => {}
            b'[' if !opened => opened = true,
            b'{' | b'[' if opened => {
                if depth == 0 {
                    (begin, object) = (at, vec![byte]);
                }
                depth += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    take(begin, &object);
                    object.clear();
                }
            }
            b']' | b',' if opened => {}
            byte if byte.is_ascii_whitespace() || depth > 0 => {}
            _ => return Ok(Some(format!("byte {at} does not belong into an array of events"))),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str, bytes: &[u8], failed: &[u32]) -> History {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        History::read(folder.path(), failed, 2)
    }

    const TIMELINE: &str = r#"[
{"name":"process_name","ph":"M","pid":3,"tid":0,"args":{"name":"rank 3 on nid0004"}},
{"cat":"task","name":"a ]}","pid":3,"tid":0,"ts":1.0,"dur":2000000.0,"ph":"X","args":{"id":0,"attempt":1,"exit":0}},
{"cat":"task","name":"b","pid":3,"tid":0,"ts":1.0,"dur":1000000.0,"ph":"X","args":{"id":1,"attempt":1,"exit":5}},
{"cat":"task,interrupted","name":"c","pid":3,"tid":400000,"ts":1.0,"dur":9000000.0,"ph":"X","args":{"id":2,"attempt":1,"signal":15}},
{"cat":"task,failed","name":"c","pid":3,"tid":0,"ts":1.0,"dur":500000.0,"ph":"X","args":{"id":2,"attempt":2,"signal":9}}"#;

    /// A timeline contains lengths, hosts and how tasks failed, whether it was closed, torn, or written by
    /// PyTaskFarmer.
    #[test]
    fn a_timeline_is_read() {
        for end in ["\n]\n", "", ",\n{\"ph\":\"X\",\"dur\":7"] {
            let history = read("timeline.json", format!("{TIMELINE}{end}").as_bytes(), &[1, 2, 9]);
            assert!(history.damage.is_empty(), "{:?}", history.damage);
            assert_eq!((history.tally.lengths().count(), history.tally.lengths().max_us()), (3, 2_000_000));
            assert_eq!(history.hosts[&3], "nid0004");
            assert_eq!((&history.commands[&0][..], history.tally.slowest()[0].id), ("a ]}", 0));
            let ends: Vec<_> = history.tally.failures().iter().map(|failure| failure.end.clone()).collect();
            assert_eq!(ends, [End::Exit(5), End::Signal(9), End::Unknown]);
        }
        let timed_out = TIMELINE.replace("\"signal\":9", "\"signal\":9,\"why\":\"timeout\"");
        let history = read("timeline.json", timed_out.as_bytes(), &[2]);
        assert_eq!(history.tally.failures()[0].end, End::Timeout, "the farm's own SIGKILL is none to wonder about");
        let pytaskfarmer =
            br#"[{"cat": "task", "name": "x", "pid": 5, "tid": 6, "ts": 1.5, "dur": 2.5, "ph": "X", "args": {}}]"#;
        let history = read("timeline.json", pytaskfarmer, &[]);
        assert_eq!((history.tally.lengths().count(), history.damage.len()), (1, 0));
    }

    /// The table of attempts takes precedence over the timeline; an attempt that was ended from outside is not the end
    /// of a task, but what it used counts.
    #[test]
    fn a_table_of_attempts_is_read() {
        let table = "id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand\n\
            0\t1\t2\tn2\t0\t10.000000\t12.500000\t0\t\t0.1\t0.1\t900\tfinished\techo a\tb\n\
            1\t1\t2\tn2\t1\t10.000000\t11.000000\t3\t\t0.1\t0.1\t950\tfailed\tx\n\
            2\t1\t2\tn2\t1\t10.000000\t11.000000\t\t15\t0.1\t0.1\t900\ttimeout\ty\n\
            3\t1\t2\tn2\t1\t10.000000\t11.000000\t\t15\t0.1\t0.1\t990\tinterrupted\tz\n\
            4\t1\t1\tn1\t\t\t\t\t\t\t\t\tlost\tz\n\
            5\t1\t2\tn2\t1\t10.0";
        let history = read("tasks.tsv", table.as_bytes(), &[1, 2]);
        assert!(history.damage.is_empty(), "{:?}", history.damage);
        assert_eq!((history.tally.lengths().count(), history.tally.lengths().max_us()), (3, 2_500_000));
        assert_eq!((&history.hosts[&2][..], &history.commands[&0][..]), ("n2", "echo a\tb"));
        let failures: Vec<_> = history.tally.failures().iter().map(|one| (one.end.clone(), one.max_rss_kib)).collect();
        assert_eq!(failures, [(End::Exit(3), 950), (End::Timeout, 900)]);
        assert_eq!(history.tally.usage(), Usage { busy_us: 5_500_000, cpu_us: 800_000, peak: Some((990, 3)) });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tasks.tsv"), table).unwrap();
        let ends = last_ends(folder.path(), &[0, 1, 2, 3, 5]);
        let ends: Vec<_> = ends.iter().map(|(id, end)| (*id, &end[..])).collect();
        assert_eq!(ends, [(0, "exit 0"), (1, "exit 3"), (2, "over its time limit"), (3, "interrupted")]);
        let without = "id\trank\tstart\tend\twhy\tcommand\n0\t2\t10.0\t12.5\tfinished\tx\n";
        let history = read("tasks.tsv", without.as_bytes(), &[]);
        assert_eq!((history.damage.len(), history.tally.usage().peak), (0, None), "a table with fewer columns");
        let empty = read("tasks.tsv", without.replace("10.0", "").as_bytes(), &[]);
        assert_eq!(empty.damage, ["tasks.tsv: line 2 is not an attempt of a task"]);
    }

    /// Damage is reported, not hidden.
    #[test]
    fn damage_is_told() {
        assert_eq!(read("timeline.json", b"{}", &[]).damage.len(), 1);
        assert_eq!(
            read("timeline.json", b"[\n{\"ph\":3},\n{\"ph\":\"X\",\"args\":{\"id\":\"x\"}}\n]", &[]).damage.len(),
            1
        );
        assert_eq!(read("tasks.tsv", b"nothing\n", &[]).damage, ["tasks.tsv: line 1 is not the line of column names"]);
    }

    proptest! {
        /// Promise 5: whatever is in the files.
        #[test]
        fn any_bytes_are_read_or_told(bytes: Vec<u8>, text in "[\\[\\]{}\",:a-z0-9 \\\\\n\t]{0,200}") {
            for name in ["timeline.json", "tasks.tsv"] {
                read(name, &bytes, &[1]);
                read(name, text.as_bytes(), &[1]);
                read(name, format!("{TIMELINE}{text}").as_bytes(), &[1]);
            }
        }
    }
}
