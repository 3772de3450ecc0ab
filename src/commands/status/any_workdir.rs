//! `status` and `logs` on workdirs in which any part may be damaged. Unit tests only.
//!
//! Owns a small workdir that is intact, and what may happen to each of its files.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;

use super::exit_code;
use super::*;
use crate::figures::report::{FailureGroup, LengthFigures, RUN, SlowTask, WorkerFigures};
use crate::fuzz::{nearly, within};
use crate::shown::{is_hidden, to_json};
use crate::workdir::lines::LINE_LEN_MAX;
use crate::workdir::logs::{self, INDEX_HEAD, IndexEntry, PrintOptions, heading_of};

/// The memory that a look at a workdir may take, in bytes: a few buffers, and a few times the longest event of a
/// timeline.
const MEMORY_MAX: usize = 24 * LINE_LEN_MAX;

/// The most that small files may make `status` print, in bytes.
const OUTPUT_MAX: usize = 1 << 20;

/// Longer than any file of which a part is kept; sparse, so that it takes no disk space.
const HUGE: u64 = MEMORY_MAX as u64 + 1;

/// The time that a look may take, however busy the machine is: logs are read for two seconds.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of an output that are checked.
const KEPT: usize = 64 << 10;

/// The first bytes that are written.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(&bytes[..bytes.len().min(KEPT - self.0.len())]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What may exist under a name in a workdir.
#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// These bytes, and zeros.
    Huge(Vec<u8>),
    Fifo,
    Folder,
    Missing,
}

impl Content {
    fn make(&self, path: &Path) {
        match self {
            Self::Bytes(bytes) => fs::write(path, bytes).unwrap(),
            Self::Huge(bytes) => {
                fs::write(path, bytes).unwrap();
                File::options().write(true).open(path).unwrap().set_len(HUGE).unwrap();
            }
            Self::Fifo => mkfifo(path, Mode::S_IRWXU).unwrap(),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Missing => {}
        }
    }
}

/// `huge`: how often a file is too long, in about eighty cases.
fn content(right: Vec<u8>, huge: u32) -> impl Strategy<Value = Content> {
    prop_oneof![
        60 => nearly(Just(right.clone())).prop_map(Content::Bytes),
        8 => any::<Vec<u8>>().prop_map(Content::Bytes),
        huge => nearly(Just(right)).prop_map(Content::Huge),
        2 => Just(Content::Fifo),
        2 => Just(Content::Folder),
        4 => Just(Content::Missing),
    ]
}

/// ID, attempt and output of tasks with `--logs rank`. No output is the beginning of another one's.
const PACKED: [(u32, u16, &str); 5] = [
    (7, 1, "seven\n"),
    (8, 1, "eight, \x1b[31mred\x1b[0m \u{202e}"),
    (9, 1, ""),
    (8, 2, "once more eight"),
    (10, 1, "ten\n\n"),
];

/// A rank's log and its index.
fn packed() -> (Vec<u8>, Vec<u8>) {
    let (mut log, mut index) = (Vec::new(), INDEX_HEAD.to_vec());
    for (ended_ms, (id, attempt, output)) in (1..).zip(PACKED) {
        let mut entry = IndexEntry { id, attempt, ended_ms, offset: 0, len: output.len() as u64 };
        if !output.is_empty() {
            log.extend_from_slice(format!("{}exit code 0 <==\n", heading_of(id, attempt)).as_bytes());
            entry.offset = log.len() as u64;
            log.extend_from_slice(output.as_bytes());
            log.push(b'\n');
        }
        index.extend_from_slice(entry.to_string().as_bytes());
    }
    (log, index)
}

fn figures() -> Figures {
    let text = |text: &str| text.to_owned();
    Figures {
        format: FORMAT,
        state: State::Running,
        exit_code: Some(3),
        run: Some(text("7.0")),
        workdir: text("/w"),
        cwd: text("/a folder"),
        command: text("taskfarmer-mpi tasks.txt"),
        host: text("node1"),
        pid: 4_711,
        job: Some(text("42")),
        started_s: 1.7e9,
        written_s: 1.7e9,
        next_in_s: 1.0,
        elapsed_s: 100.0,
        total: 20,
        finished: 3,
        failed: 2,
        running: 2,
        earlier: 1,
        ranks: 2,
        lost_ranks: vec![1],
        slots: 4,
        tasks_per_s: 1.5,
        left_s: Some(9.5),
        utilization: Some(0.9),
        lengths: Some(LengthFigures { count: 3, min_s: 1.0, ..LengthFigures::default() }),
        slowest: vec![SlowTask { id: 3, seconds: 2.0, command: text("./run"), ..SlowTask::default() }; 2],
        failures: vec![FailureGroup {
            count: 2,
            how: text("exit 1"),
            killed: true,
            peak_kib: 9,
            ..FailureGroup::default()
        }],
        workers: vec![WorkerFigures {
            host: text("node1"),
            running: vec![(4, 1.7e9), (5, 1.7e9)],
            ..WorkerFigures::default()
        }],
        ..Figures::default()
    }
}

fn files() -> impl Strategy<Value = Vec<(&'static str, Content)>> {
    let mut status = Vec::new();
    to_json(&figures(), &mut status).unwrap();
    let (log, index) = packed();
    let table = "id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand\n\
        0\t1\t0\tnode1\t0\t10.000000\t12.500000\t0\t\t0.1\t0.1\t900\tfinished\techo a\tb\n\
        1\t1\t1\tnode2\t1\t10.000000\t11.000000\t3\t\t0.1\t0.1\t950\tfailed\t./x\n\
        8\t1\t1\tnode2\t1\t10.000000\t11.000000\t\t9\t0.1\t0.1\t900\tfailed\ty\n\
        2\t1\t1\tnode2\t1\t10.000000\t11.000000\t\t15\t0.1\t0.1\t990\tinterrupted\tz\n\
        3\t1\t1\tnode2\t\t\t\t\t\t\t\t\tcrashed\tz\n";
    let timeline = br#"[
{"name":"process_name","ph":"M","pid":1,"tid":0,"args":{"name":"rank 1 on node2"}},
{"cat":"task","name":"a ]}","pid":1,"tid":0,"ts":1.0,"dur":2000000.0,"ph":"X","args":{"id":0,"attempt":1,"exit":0}},
{"cat":"task","name":"b","pid":1,"tid":0,"ts":1.0,"dur":1.0,"ph":"X","args":{"id":1,"attempt":1,"error":"no such file"}},
{"cat":"task","name":"c","pid":1,"tid":0,"ts":1.0,"dur":5.0,"ph":"X","args":{"id":8,"attempt":1,"signal":9}}
]"#;
    let right: [(&str, &[u8]); 12] = [
        ("status.json", &status),
        ("lock", b"host node1, pid 4711, job 42"),
        ("finished", b"0 echo a\tb\n6 \xff\x1b[2J\n"),
        ("failed", b"1 ./x\n8 y \xe2\x80\xae\n3 z\n"),
        ("toprocess", b"2 z\n4 ./run --n 4\n5 ./run --n 5\n"),
        ("tasks.tsv", table.as_bytes()),
        ("timeline.json", timeline),
        ("logs/log_1", b"KeyError: \x1b[1m7\x1b[0m\n"),
        ("logs/1000/log_1234", b"in a folder"),
        ("logs/log_12", b"a FIFO, perhaps"),
        ("logs/rank_0.log", &log),
        ("logs/rank_0.idx", &index),
    ];
    // The output of a task may have any length: it is passed on.
    let huge = |name: &str| u32::from(!name.contains("log_"));
    right
        .map(|(name, bytes)| content(bytes.to_vec(), huge(name)).prop_map(move |content| (name, content)))
        .into_iter()
        .collect::<Vec<_>>()
}

fn make(files: &[(&'static str, Content)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("logs/1000")).unwrap();
    files.iter().for_each(|(name, content)| content.make(&folder.path().join(name)));
    folder
}

/// What `status` prints.
fn shown(workdir: &Path, json: bool, lists: bool, before: Option<Figures>) -> (Vec<u8>, Figures) {
    let args = StatusArgs {
        workdir: Some(workdir.to_owned()),
        json,
        failed: lists,
        running: lists,
        slowest: lists.then_some(3),
        ..StatusArgs::default()
    };
    let start = Instant::now();
    let (out, figures) = within(MEMORY_MAX, || {
        let mut out = Vec::new();
        let status = Status::read(workdir, &args, before);
        print::status(&status, &args, workdir, &mut out).unwrap();
        (out, status.figures)
    });
    assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    assert!(out.len() < OUTPUT_MAX, "{} bytes are printed", out.len());
    (out, figures)
}

proptest! {
    /// Promise 5: whatever is in a workdir, `status` ends soon, with lines of harmless text or with JSON, and its
    /// memory is bounded.
    #[test]
    fn any_workdir_has_a_status(files in files()) {
        let folder = make(&files);
        let (whole, figures) = shown(folder.path(), false, false, None);
        let (lists, _) = shown(folder.path(), false, true, None);
        shown(folder.path(), false, false, Some(figures));
        for text in [whole, lists] {
            let text = String::from_utf8(text).unwrap();
            prop_assert!(!text.contains(|c| is_hidden(c) && c != '\n' && c != '\t'), "{:?}", text);
        }
        for lists in [false, true] {
            let text = String::from_utf8(shown(folder.path(), true, lists, None).0).unwrap();
            prop_assert!(!text.trim_end_matches('\n').contains(is_hidden), "{:?}", text);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value["failed_tasks"].is_array(), lists);
        }
        let _ = within(MEMORY_MAX, || exit_code::judge(&Life::read(folder.path()), Some(RUN)));
    }

    /// Promise 5: whatever is in a workdir, `logs` prints what there is, and sends a terminal nothing that it would
    /// obey, except colors.
    #[test]
    fn any_workdir_has_logs(files in files()) {
        let folder = make(&files);
        for (is_terminal, tail) in [(false, None), (true, None), (false, Some(2))] {
            let mut out = Beginning(Vec::with_capacity(KEPT));
            let start = Instant::now();
            let options = PrintOptions { tail, is_terminal, ..PrintOptions::default() };
            let printed = within(MEMORY_MAX, || logs::print(folder.path(), &[7, 8, 9, 1, 12, 1234, 99], &options, &mut out));
            prop_assert!(start.elapsed() < TIME_MAX);
            let unprinted = printed.unwrap().unwrap();
            prop_assert!(unprinted.without.contains(&99) || unprinted.odd.iter().any(|(id, _)| *id != Some(99)) || !out.0.is_empty());
            if is_terminal {
                let text = String::from_utf8_lossy(&out.0);
                prop_assert!(!text.contains(|c| is_hidden(c) && !matches!(c, '\n' | '\t' | '\x1b')), "{:?}", text);
            }
        }
    }

    /// Promise: `logs` prints only the task's own output, whatever has happened to the index.
    #[test]
    fn any_index_gives_only_what_is_the_tasks(index in nearly(Just(packed().1))) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        fs::write(folder.path().join("logs/rank_0.log"), packed().0).unwrap();
        fs::write(folder.path().join("logs/rank_0.idx"), &index).unwrap();
        for id in 0..20 {
            let mut out = Vec::new();
            let unprinted = logs::print(folder.path(), &[id], &PrintOptions::default(), &mut out).unwrap().unwrap();
            let own = PACKED.iter().filter(|(task, ..)| *task == id);
            let is_own = out.is_empty() || own.clone().any(|(.., output)| output.as_bytes().starts_with(&out));
            prop_assert!(is_own, "task {}: {:?}", id, String::from_utf8_lossy(&out));
            // An incomplete output is never reported as complete.
            if unprinted.odd.is_empty() && !out.is_empty() {
                prop_assert!(own.clone().any(|(.., output)| output.as_bytes() == out), "task {}: {:?}", id, out);
            }
        }
    }
}
