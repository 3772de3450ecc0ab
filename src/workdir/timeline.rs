//! Records → Chrome trace events, for Perfetto.
//!
//! Owns the format of `timeline.json`: one JSON array, an event per line, only ever appended to. The bracket that
//! closes it is written at the end of a run and cut off by the next; Perfetto opens the file without it, too.

mod events;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::begin::{Begin, Kind};
use super::lines::find_last;
use crate::farmer::{Cause, Record};
use crate::sys::regular;
pub(crate) use events::{Event, each};

/// Closes the array.
pub(crate) const END: &[u8] = b"\n]\n";

/// A last line longer than this, in bytes, is not an event of ours: the array is scanned from its start instead.
const LINE_LEN_MAX: u64 = 64 << 20;

/// The first thread of a rank has this number times rank + 1, so that no thread has the number of its process: Perfetto
/// would consider it the main thread. At least the number of slots.
const THREADS: u64 = 100_000;

/// An event that every run begins with, so that each further one can begin with a comma.
const RUN: &str = r#"{"name":"taskfarmer_run","ph":"M","pid":0,"tid":0,"args":{}}"#;

#[derive(Serialize)]
struct TaskEvent<'a> {
    cat: &'static str,
    name: &'a str,
    pid: u32,
    tid: u64,
    ts: &'a RawValue,
    dur: &'a RawValue,
    ph: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'static str>,
    args: TaskArgs<'a>,
}

#[derive(Serialize)]
struct TaskArgs<'a> {
    id: u32,
    attempt: u16,
    slot: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct NameEvent {
    name: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u64,
    args: NameArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum NameArgs {
    Name(String),
    SortIndex(u32),
}

/// The thread of a slot.
fn thread(rank: u32, slot: u32) -> u64 {
    (u64::from(rank) + 1) * THREADS + u64::from(slot)
}

/// The categories of an attempt, the first of which is PyTaskFarmer's, and the name of its color in the format's own
/// palette. Perfetto ignores colors; Chrome's viewer shows them.
fn kind(record: &Record) -> (&'static str, Option<&'static str>) {
    match (record.cause, record.is_last) {
        (Cause::Finished, _) => ("task", None),
        (Cause::Interrupted | Cause::Lost, _) | (Cause::Crashed, false) => ("task,interrupted", Some("grey")),
        (Cause::Failed | Cause::Timeout | Cause::Unkept, _) | (Cause::Crashed, true) => {
            ("task,failed", Some("terrible"))
        }
    }
}

/// PyTaskFarmer's numbers are floats; a reader in a typed language may count on that.
fn float(us: u64) -> Box<RawValue> {
    RawValue::from_string(format!("{us}.0")).expect("digits and a point are JSON")
}

fn push(out: &mut Vec<u8>, event: &impl Serialize) {
    out.extend_from_slice(b",\n");
    serde_json::to_writer(&mut *out, event).expect("strings and numbers are JSON, and a Vec takes them");
}

/// Appends the event of an attempt that is over. A command that is not UTF-8 appears with replacement characters;
/// `finished` and `failed` have its bytes.
pub(crate) fn push_task(out: &mut Vec<u8>, record: &Record, command: &[u8]) {
    let result = &record.result;
    let (exit, signal, error) = (result.outcome.exit_code(), result.outcome.signal(), result.outcome.error());
    // If the end of the process does not show it.
    let why = (!matches!(record.cause, Cause::Finished | Cause::Failed)).then(|| record.cause.word());
    let (cat, cname) = kind(record);
    let event = TaskEvent {
        cat,
        name: &String::from_utf8_lossy(command),
        pid: record.rank.0,
        tid: thread(record.rank.0, result.slot),
        ts: &float(result.start_us),
        dur: &float(result.duration_us),
        ph: "X",
        cname,
        args: TaskArgs { id: result.id.0, attempt: result.attempt.0, slot: result.slot, exit, signal, why, error },
    };
    push(out, &event);
}

/// Appends the names of a rank and its slots, and their order.
pub(crate) fn push_names(out: &mut Vec<u8>, rank: u32, host: &str, slots: u32) {
    let mut name = |name, slot, args| {
        push(out, &NameEvent { name, ph: "M", pid: rank, tid: thread(rank, slot), args });
    };
    name("process_name", 0, NameArgs::Name(format!("rank {rank} on {host}")));
    name("process_sort_index", 0, NameArgs::SortIndex(rank));
    for slot in 0..slots {
        name("thread_name", slot, NameArgs::Name(format!("slot {slot}")));
        name("thread_sort_index", slot, NameArgs::SortIndex(slot));
    }
}

/// How a timeline is continued: a torn end is cut off, and so is the bracket that closes it. A file that is not a
/// timeline is moved aside, since no timeline is worth losing a run.
pub(crate) const KIND: Kind = Kind { look, start: || start("[\n"), aside: "json.damaged", open: regular::open_no_link };

fn start(separator: &str) -> Vec<u8> {
    [separator.as_bytes(), RUN.as_bytes()].concat()
}

/// How an array is continued after this many bytes, which contain events or not.
fn after(len: u64, has_events: bool) -> Begin {
    let separator = match (len, has_events) {
        (0, _) => "[\n",
        (_, false) => "\n",
        (_, true) => ",\n",
    };
    Begin { len, first: start(separator) }
}

fn look(file: &mut File) -> io::Result<Option<Begin>> {
    let mut first = [0];
    if file.read(&mut first)? == 0 {
        return Ok(Some(after(0, false)));
    }
    if first != *b"[" {
        return Ok(None);
    }
    // A JSON string contains no newline, so the last line is all that a crash can have torn.
    let content = find_last(file, 0..file.metadata()?.len(), |byte| !byte.is_ascii_whitespace())?;
    let content_len = content.map_or(0, |(len, _)| len);
    let line_start = match find_last(file, 0..content_len, |byte| byte == b'\n')? {
        Some((newline, _)) if content_len - newline <= LINE_LEN_MAX => newline,
        // The array is on one line, as PyTaskFarmer writes it, or contains something else.
        _ => return scan_events(file),
    };
    let mut line = vec![0; usize::try_from(content_len - line_start).expect("at most LINE_LEN_MAX")];
    file.read_exact_at(&mut line, line_start)?;
    let text = line.trim_ascii().strip_suffix(b",").unwrap_or(line.trim_ascii());
    if text != b"]" && serde_json::from_slice::<&RawValue>(text).is_ok() {
        return end_before(file, content_len);
    }
    end_before(file, line_start)
}

/// The end of what is before `end`, without commas and white space.
fn end_before(file: &File, end: u64) -> io::Result<Option<Begin>> {
    let last = find_last(file, 0..end, |byte| byte != b',' && !byte.is_ascii_whitespace())?;
    Ok(last.map(|(len, byte)| after(len, byte != b'[' || len > 1)))
}

/// Scans an array that is on one line, as PyTaskFarmer writes it, up to its last complete event.
fn scan_events(file: &mut File) -> io::Result<Option<Begin>> {
    file.rewind()?;
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    let mut end = 1;
    for (offset, byte) in (1_u64..).zip(BufReader::with_capacity(1 << 20, file).bytes()) {
        match (byte?, in_string) {
            (_, true) if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => in_string = !in_string,
            (b'{' | b'[', false) => depth = depth.saturating_add(1),
            (b'}' | b']', false) => {
                depth = depth.saturating_sub(1);
                match depth {
                    1 => end = offset,
                    0 => break,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Ok(Some(after(end, end > 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::begin::Found;
    use super::*;
    use crate::fuzz::{nearly, within};
    use crate::task::{Attempt, Outcome, Rank, TaskId, TaskResult};

    fn record(outcome: Outcome) -> Record {
        let result = TaskResult {
            slot: 3,
            start_us: 1_795_358_813_250_435,
            duration_us: 2_763,
            ..TaskResult::of(TaskId(7), Attempt(2), outcome)
        };
        Record { rank: Rank(5), cause: Cause::of(&result), result, is_last: true }
    }

    /// A run on a file with these bytes: prepare, two events, the end.
    fn run_on(before: Option<&[u8]>) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.json");
        if let Some(bytes) = before {
            std::fs::write(&path, bytes).unwrap();
        }
        let (mut file, undo) = Found::look(&path, &KIND).unwrap().begin().unwrap();
        undo.keep();
        let mut text = Vec::new();
        push_task(&mut text, &record(Outcome::Exited(0)), b"echo \"[{\" \xff\n");
        push_task(&mut text, &record(Outcome::Signaled(9)), b"b");
        text.extend_from_slice(END);
        file.append(&text).unwrap();
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    fn tasks(events: &[Value]) -> usize {
        events.iter().filter(|event| event["ph"] == "X").count()
    }

    /// The keys and types that PyTaskFarmer's users read.
    #[test]
    fn an_event_has_pytaskfarmers_keys() {
        let events = run_on(None);
        let event = &events[1];
        let keys: Vec<_> = event.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["cat", "name", "pid", "tid", "ts", "dur", "ph", "args"]
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert!(event["ts"].is_f64() && event["dur"].is_f64());
        assert_eq!(event["args"], serde_json::json!({"id": 7, "attempt": 2, "slot": 3, "exit": 0}));
        assert_eq!(events[2]["args"]["signal"], 9);
    }

    /// Promise: a viewer can tell what failed and what was cut short from what finished.
    #[test]
    fn ends_have_categories_and_colors() {
        for (cause, is_last, cat, cname, said) in [
            (Cause::Finished, true, "task", None, None),
            (Cause::Failed, false, "task,failed", Some("terrible"), None),
            (Cause::Timeout, true, "task,failed", Some("terrible"), Some("timeout")),
            (Cause::Interrupted, false, "task,interrupted", Some("grey"), Some("interrupted")),
            (Cause::Crashed, false, "task,interrupted", Some("grey"), Some("crashed")),
            (Cause::Crashed, true, "task,failed", Some("terrible"), Some("crashed")),
        ] {
            let mut text = Vec::new();
            push_task(&mut text, &Record { cause, is_last, ..record(Outcome::Exited(0)) }, b"x");
            let event: Value = serde_json::from_slice(&text[2..]).unwrap();
            let found = (event["cat"].as_str(), event["cname"].as_str(), event["args"]["why"].as_str());
            assert_eq!(found, (Some(cat), cname, said), "{cause:?}");
        }
    }

    /// Promise: slots are shown in their order under their rank, and none is mistaken for the main thread of a process.
    #[test]
    fn threads_are_slots_in_their_order() {
        let mut text = b"[{}".to_vec();
        push_names(&mut text, 3, "nid0004", 5);
        text.push(b']');
        let events: Vec<Value> = serde_json::from_slice(&text).unwrap();
        let threads: std::collections::BTreeSet<_> =
            events.iter().filter(|event| event["name"] == "thread_name").map(|event| event["tid"].as_u64()).collect();
        assert_eq!((threads.len(), threads.contains(&Some(3))), (5, false));
        let sorted = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
        assert_eq!(sorted("process_sort_index")[0]["args"]["sort_index"], 3);
        assert!((0..5).all(|slot| sorted("thread_sort_index")[slot]["args"]["sort_index"] == slot));
        assert!(crate::task::SLOTS_MAX <= u32::try_from(THREADS).unwrap());
    }

    /// A resume continues the same array, whichever program began it and however it ended.
    #[test]
    fn a_run_continues_the_array() {
        let pytaskfarmer = br#"[{"ph": "X", "name": "a]}"}, {"ph": "X", "name": "\\\"]"}]"#;
        assert_eq!(tasks(&run_on(Some(pytaskfarmer))), 4);
        assert_eq!(tasks(&run_on(Some(b"[]"))), 2);
        assert_eq!(tasks(&run_on(Some(b""))), 2);
        assert_eq!(tasks(&run_on(Some(b"["))), 2);
        assert_eq!(tasks(&run_on(Some(b"[\n{\"ph\":\"X\"},\n{\"ph\":\"X\"}\n]\n"))), 4);
        assert_eq!(tasks(&run_on(Some(b"[\n{\"ph\":\"X\"}\n]\n\n"))), 3);
    }

    /// A crash costs at most the event that was being written.
    #[test]
    fn a_torn_end_is_cut_off() {
        assert_eq!(tasks(&run_on(Some(b"[\n{\"ph\":\"X\"},\n{\"ph\":\"X\",\"na"))), 3);
        assert_eq!(tasks(&run_on(Some(b"[\n{\"ph\":\"X\"},\n{\"ph\":\"X\"}"))), 4);
        assert_eq!(tasks(&run_on(Some(b"[\n{\"ph\":\"X\"},\n"))), 3);
        assert_eq!(tasks(&run_on(Some(br#"[{"ph": "X"}, {"ph": "X", "name": "]"#))), 3);
    }

    /// A file that is something else is kept, and no run is lost because of it.
    #[test]
    fn another_file_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.json");
        std::fs::write(&path, "{}").unwrap();
        Found::look(&path, &KIND).unwrap().begin().unwrap().1.keep();
        assert!(std::fs::read(&path).unwrap().starts_with(b"["));
        assert_eq!(std::fs::read(folder.path().join("timeline.json.damaged")).unwrap(), b"{}");
    }

    /// A long array on one line, a long last line and a long blank end take no more memory than a short one.
    #[test]
    fn long_timelines_are_not_read_into_memory() {
        let event = br#"{"ph":"X","name":"x"}, "#.repeat(1 << 17);
        let one_line = [b"[", &event[..], b"{}]"].concat();
        let blank_end = [&b"[\n{\"ph\":\"X\"}\n"[..], &vec![b' '; 3 << 20]].concat();
        for (text, len) in [(&one_line, one_line.len() - 1), (&blank_end, 12)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("timeline.json");
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            let begin = within(3 << 19, || look(&mut file).unwrap()).unwrap();
            assert!(begin.first.starts_with(b",\n"));
            assert_eq!(begin.len, len as u64);
        }
    }

    fn pytaskfarmers() -> Vec<u8> {
        let event = r#"{"cat": "a]}", "name": "\\\"]", "ph": "X", "args": {"x": [1, {"y": "}"}]}}"#;
        format!("[{event}, {event}, {event}]").into_bytes()
    }

    fn ours() -> Vec<u8> {
        let mut text = b"[\n".to_vec();
        text.extend_from_slice(RUN.as_bytes());
        for _ in 0..3 {
            push_task(&mut text, &record(Outcome::Exited(1)), b"x ]}\\\" y");
        }
        text.extend_from_slice(END);
        text
    }

    fn any_timeline() -> impl Strategy<Value = Vec<u8>> {
        let theirs = pytaskfarmers();
        let both = [theirs.strip_suffix(b"]").unwrap(), b",\n", &ours()[2..]].concat();
        prop::sample::select(vec![theirs, ours(), both])
    }

    proptest! {
        /// Promise 5: wherever a crash cuts a timeline, the next run makes it whole again.
        #[test]
        fn any_cut_is_mended(text in any_timeline(), cut: prop::sample::Index) {
            run_on(Some(&text[..cut.index(text.len() + 1)]));
        }

        /// … and whatever is in the file, it is continued or moved aside; that never makes it longer.
        #[test]
        fn any_file_is_continued_or_moved_aside(text in nearly(any_timeline()), bytes: Vec<u8>, array: bool) {
            let bytes = if array { [b"[", &bytes[..]].concat() } else { bytes };
            for text in [text, bytes] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("timeline.json");
                std::fs::write(&path, &text).unwrap();
                let mut file = File::open(&path).unwrap();
                let begin = within(3 << 19, || look(&mut file).unwrap());
                prop_assert_eq!(begin.is_none(), text.first().is_some_and(|&byte| byte != b'['));
                prop_assert!(begin.is_none_or(|begin| begin.len <= text.len() as u64 && !begin.first.is_empty()));
                prop_assert_eq!(std::fs::read(&path).unwrap(), text);
            }
        }
    }
}
