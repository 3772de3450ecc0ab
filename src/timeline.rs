//! Records → Chrome trace events, for Perfetto.
//!
//! Owns the format of `timeline.json`: one JSON array, an event per line, only ever appended to. The bracket that
//! closes it is written at the end of a run and cut off by the next; Perfetto opens the file without it, too.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::farmer::Record;
use crate::protocol::Outcome;

/// Closes the array.
pub(crate) const END: &[u8] = b"\n]\n";

/// An event that every run begins with, so that each further one can begin with a comma.
const RUN: &str = r#"{"name":"taskfarmer_run","ph":"M","pid":0,"tid":0,"args":{}}"#;

#[derive(Serialize)]
struct TaskEvent<'a> {
    cat: &'static str,
    name: &'a str,
    pid: u32,
    tid: u32,
    ts: &'a RawValue,
    dur: &'a RawValue,
    ph: &'static str,
    args: TaskArgs<'a>,
}

#[derive(Serialize)]
struct TaskArgs<'a> {
    id: u32,
    attempt: u16,
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
struct NameEvent<'a> {
    name: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u32,
    args: NameArgs<'a>,
}

#[derive(Serialize)]
struct NameArgs<'a> {
    name: &'a str,
}

/// PyTaskFarmer's numbers are floats; a reader in a typed language may count on that.
fn float(us: u64) -> Box<RawValue> {
    RawValue::from_string(format!("{us}.0")).expect("digits and a point are JSON")
}

fn push(out: &mut Vec<u8>, event: &impl Serialize) {
    out.extend_from_slice(b",\n");
    serde_json::to_writer(&mut *out, event).expect("strings and numbers are JSON, and a Vec takes them");
}

/// Appends the event of a task that has ended. A command that is not UTF-8 appears with replacement characters;
/// `finished` and `failed` have its bytes.
pub(crate) fn push_task(out: &mut Vec<u8>, record: &Record, command: &[u8]) {
    let result = &record.result;
    let (exit, signal, error) = match &result.outcome {
        Outcome::Exited(code) => (Some(*code), None, None),
        Outcome::Signaled(signal) => (None, Some(*signal), None),
        Outcome::NotStarted(error) => (None, None, Some(error.as_str())),
    };
    let why = result.timed_out.then(|| record.why.word());
    let event = TaskEvent {
        cat: "task",
        name: &String::from_utf8_lossy(command),
        pid: record.rank.0,
        tid: result.slot,
        ts: &float(result.start_us),
        dur: &float(result.duration_us),
        ph: "X",
        args: TaskArgs { id: result.id.0, attempt: result.attempt.0, exit, signal, why, error },
    };
    push(out, &event);
}

/// Appends the names of a rank and its slots.
pub(crate) fn push_names(out: &mut Vec<u8>, rank: u32, host: &str, slots: u32) {
    let process = format!("rank {rank} on {host}");
    push(out, &NameEvent { name: "process_name", ph: "M", pid: rank, tid: 0, args: NameArgs { name: &process } });
    for slot in 0..slots {
        let thread = format!("slot {slot}");
        push(out, &NameEvent { name: "thread_name", ph: "M", pid: rank, tid: slot, args: NameArgs { name: &thread } });
    }
}

/// Makes a timeline ready to be appended to, and tells what to append first. A torn end is cut off; a file that
/// is no timeline is moved aside, since a timeline is never worth a run.
///
/// # Errors
/// If the file can't be read or mended.
pub(crate) fn prepare(path: &Path) -> io::Result<Vec<u8>> {
    let start = |separator: &str| [separator.as_bytes(), RUN.as_bytes()].concat();
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(start("[\n")),
        other => other?,
    };
    match find_end(&mut file)? {
        Some(End { len: 0, .. }) => {
            file.set_len(0)?;
            Ok(start("[\n"))
        }
        Some(End { len, empty }) => {
            file.set_len(len)?;
            Ok(start(if empty { "\n" } else { ",\n" }))
        }
        None => {
            let aside = path.with_extension("json.damaged");
            log::warn!("{} is no timeline; it is kept as {}", path.display(), aside.display());
            std::fs::rename(path, &aside)?;
            Ok(start("[\n"))
        }
    }
}

/// Where an array of events may be continued.
struct End {
    len: u64,
    /// No event yet.
    empty: bool,
}

fn find_end(file: &mut File) -> io::Result<Option<End>> {
    let mut first = [0];
    if file.read(&mut first)? == 0 {
        return Ok(Some(End { len: 0, empty: true }));
    }
    if first != *b"[" {
        return Ok(None);
    }
    // No newline stands within a JSON string, so the last line is all that a crash can have torn.
    let Some((line_start, line)) = last_line(file)? else { return scan_events(file) };
    let text = line.trim_ascii().strip_suffix(b",").unwrap_or(line.trim_ascii());
    if text != b"]" && serde_json::from_slice::<&RawValue>(text).is_ok() {
        return end_before(file, line_start + line.len() as u64);
    }
    end_before(file, line_start)
}

/// The last line with anything in it, and where it starts; `None` if it is the only one.
fn last_line(file: &mut File) -> io::Result<Option<(u64, Vec<u8>)>> {
    const STEP: u64 = 64 << 10;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut line = Vec::new();
    while start > 0 {
        let step = start.min(STEP);
        start -= step;
        let mut chunk = vec![0; usize::try_from(step).expect("STEP fits")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut chunk)?;
        chunk.extend_from_slice(&line);
        line = chunk;
        let content = line.trim_ascii_end().len();
        if let Some(newline) = line[..content].iter().rposition(|&byte| byte == b'\n') {
            line.drain(..=newline);
            return Ok(Some((start + newline as u64 + 1, line)));
        }
    }
    Ok(None)
}

/// The last byte of content before `len`, commas and white space left out.
fn end_before(file: &mut File, mut len: u64) -> io::Result<Option<End>> {
    while len > 0 {
        let mut byte = [0];
        file.seek(SeekFrom::Start(len - 1))?;
        file.read_exact(&mut byte)?;
        match byte[0] {
            b',' | b' ' | b'\n' | b'\r' | b'\t' => len -= 1,
            last => return Ok(Some(End { len, empty: last == b'[' && len == 1 })),
        }
    }
    Ok(None)
}

/// Walks through an array that stands on one line, as PyTaskFarmer writes it, to its last whole event.
fn scan_events(file: &mut File) -> io::Result<Option<End>> {
    file.rewind()?;
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    let mut end = End { len: 1, empty: true };
    for (offset, byte) in (1_u64..).zip(BufReader::with_capacity(1 << 20, file).bytes()) {
        match (byte?, in_string) {
            (_, true) if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => in_string = !in_string,
            (b'{' | b'[', false) => depth += 1,
            (b'}' | b']', false) => {
                depth = depth.saturating_sub(1);
                match depth {
                    1 => end = End { len: offset, empty: false },
                    0 => break,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::farmer::Why;
    use crate::protocol::{Attempt, Rank, TaskId, TaskResult};
    use proptest::prelude::*;
    use serde_json::Value;

    fn record(outcome: Outcome) -> Record {
        let result = TaskResult {
            id: TaskId(7),
            attempt: Attempt(2),
            slot: 3,
            start_us: 1_795_358_813_250_435,
            duration_us: 2_763,
            outcome,
            timed_out: false,
            user_us: 0,
            system_us: 0,
            max_rss_kib: 0,
        };
        Record { rank: Rank(5), result, why: Why::Failed, is_last: true }
    }

    /// A run on a file with these bytes: prepare, two events, the end.
    fn run_on(before: Option<&[u8]>) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.json");
        if let Some(bytes) = before {
            std::fs::write(&path, bytes).unwrap();
        }
        let mut text = prepare(&path).unwrap();
        push_task(&mut text, &record(Outcome::Exited(0)), b"echo \"[{\" \xff\n");
        push_task(&mut text, &record(Outcome::Signaled(9)), b"b");
        text.extend_from_slice(END);
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(&text).unwrap();
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
        assert_eq!(event["args"], serde_json::json!({"id": 7, "attempt": 2, "exit": 0}));
        assert_eq!(events[2]["args"]["signal"], 9);
    }

    /// A resume goes on in the same array, whoever began it and however it ended.
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

    /// A file that is something else is kept, and no run is lost for it.
    #[test]
    fn another_file_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.json");
        std::fs::write(&path, "{}").unwrap();
        assert!(prepare(&path).unwrap().starts_with(b"["));
        assert_eq!(std::fs::read(folder.path().join("timeline.json.damaged")).unwrap(), b"{}");
    }

    proptest! {
        /// Promise 5: wherever a crash cuts a timeline, the next run makes it whole again.
        #[test]
        fn any_cut_is_mended(cut in 0_usize..400) {
            let mut text = b"[\n".to_vec();
            text.extend_from_slice(RUN.as_bytes());
            for _ in 0..3 {
                push_task(&mut text, &record(Outcome::Exited(1)), b"x ]}\\\" y");
            }
            text.extend_from_slice(END);
            text.truncate(cut);
            run_on(Some(&text));
        }
    }
}
