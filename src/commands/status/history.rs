//! What the timeline and the table of attempts say about tasks that have ended.
//!
//! Owns what is kept of both. Memory grows only with the number of failures.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::figures::tally::{End, Ended, Failure, Tally};
use crate::figures::usage::Usage;
use crate::shown;
use crate::workdir::attempts::{self, Attempt};
use crate::workdir::names;
use crate::workdir::timeline::{self, Event};

/// How much of a command is kept for the slowest tasks, in characters.
const COMMAND_MAX: usize = 200;

/// How much of the name of a host is kept, in characters.
const HOST_MAX: usize = 255;

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
            self.hosts.insert(rank, host.chars().take(HOST_MAX).collect());
        }
    }

    fn take(&mut self, ended: Ended, command: &str, failed: &[u32]) {
        let Ended { id, rank, length_us, end, max_rss_kib } = ended;
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
            if self.commands.len() / 2 > self.tally.slowest_max.saturating_add(100) {
                let slowest: BTreeSet<u32> = self.tally.slowest().iter().map(|slow| slow.id).collect();
                self.commands.retain(|id, _| slowest.contains(id));
            }
        }
    }
}

/// Reads `tasks.tsv`. Returns the damage, if any.
fn read_attempts(workdir: &Path, history: &mut History, failed: &[u32]) -> io::Result<Option<String>> {
    attempts::each(workdir, |attempt| {
        let Attempt { id, rank, length_us, max_rss_kib, .. } = attempt;
        history.tally.usage.add(Usage::of(id, length_us, attempt.cpu_us, max_rss_kib));
        history.add_host(rank, &shown::text(attempt.host));
        if let Some(end) = attempt.end {
            history.take(Ended { id, rank, length_us, end, max_rss_kib }, &shown::text(attempt.command), failed);
        }
    })
}

/// Reads `timeline.json`, and the tasks in it only if `tasks`. Returns the damage, if any.
fn read_timeline(workdir: &Path, history: &mut History, failed: &[u32], tasks: bool) -> io::Result<Option<String>> {
    timeline::each(workdir, |event| match event {
        Event::Rank { rank, host } => history.add_host(rank, host),
        Event::Task { .. } if !tasks => {}
        Event::Task { id: Some(id), rank, length_us, end, command } => {
            history.take(Ended { id, rank, length_us, end, max_rss_kib: 0 }, command, failed);
        }
        Event::Task { length_us, .. } => history.tally.lengths.add(length_us),
    })
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
            assert_eq!((history.tally.lengths.count(), history.tally.lengths.max_us()), (3, 2_000_000));
            assert_eq!(history.hosts[&3], "nid0004");
            assert_eq!((&history.commands[&0][..], history.tally.slowest()[0].id), ("a ]}", 0));
            let ends: Vec<_> = history.tally.failures.iter().map(|failure| failure.end.clone()).collect();
            assert_eq!(ends, [End::Exit(5), End::Signal(9), End::Unknown]);
        }
        let timed_out = TIMELINE.replace("\"signal\":9", "\"signal\":9,\"why\":\"timeout\"");
        let history = read("timeline.json", timed_out.as_bytes(), &[2]);
        assert_eq!(history.tally.failures[0].end, End::Timeout, "the farm's own SIGKILL is none to wonder about");
        let pytaskfarmer =
            br#"[{"cat": "task", "name": "x", "pid": 5, "tid": 6, "ts": 1.5, "dur": 2.5, "ph": "X", "args": {}}]"#;
        let history = read("timeline.json", pytaskfarmer, &[]);
        assert_eq!((history.tally.lengths.count(), history.damage.len()), (1, 0));
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
        assert_eq!((history.tally.lengths.count(), history.tally.lengths.max_us()), (3, 2_500_000));
        assert_eq!((&history.hosts[&2][..], &history.commands[&0][..]), ("n2", "echo a\tb"));
        let failures: Vec<_> = history.tally.failures.iter().map(|one| (one.end.clone(), one.max_rss_kib)).collect();
        assert_eq!(failures, [(End::Exit(3), 950), (End::Timeout, 900)]);
        assert_eq!(history.tally.usage, Usage { busy_us: 5_500_000, cpu_us: 800_000, peak: Some((990, 3)) });
        let without = "id\trank\tstart\tend\twhy\tcommand\n0\t2\t10.0\t12.5\tfinished\tx\n";
        let history = read("tasks.tsv", without.as_bytes(), &[]);
        assert_eq!((history.damage.len(), history.tally.usage.peak), (0, None), "a table with fewer columns");
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
