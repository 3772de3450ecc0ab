//! Chrome trace events → what they say about ranks and tasks.
//!
//! Owns the reading of `timeline.json`, ours or PyTaskFarmer's, whole or torn by a crash. Memory is bounded by the longest
//! event that a farm writes.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::super::names;
use crate::figures::tally::End;
use crate::sys::regular;

/// The longest event, in bytes: a command has at most 1 MiB, and JSON takes up to six bytes for each of its bytes.
const EVENT_LEN_MAX: usize = 7 << 20;

/// How much of the text of an error is kept, in characters.
const ERROR_MAX: usize = 255;

/// What an event says.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A rank runs on this host.
    Rank { rank: u32, host: &'a str },
    /// A task ended by itself.
    Task {
        /// `None` in PyTaskFarmer's events, which do not say it.
        id: Option<u32>,
        rank: u32,
        length_us: u64,
        end: End,
        command: &'a str,
    },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
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

impl Args {
    fn end(&self) -> End {
        let error = self.error.as_ref().map(|text| text.chars().take(ERROR_MAX).collect::<String>().into());
        match (self, error) {
            // However it responded when it was asked to end.
            (Self { why: Some(why), .. }, _) if why == "timeout" => End::Timeout,
            (Self { why: Some(why), .. }, Some(error)) if why == "unkept" => End::Unkept(error),
            (_, Some(error)) => End::NotStarted(error),
            (Self { signal: Some(signal), .. }, _) => End::Signal(*signal),
            (Self { exit: Some(code), .. }, _) => End::Exit(*code),
            _ => End::Unknown,
        }
    }
}

impl Raw {
    /// What it says, if anything.
    fn event(&self) -> Option<Event<'_>> {
        let rank = self.pid.as_u64().and_then(|rank| u32::try_from(rank).ok()).unwrap_or(0);
        match &self.ph[..] {
            "M" if self.name == "process_name" => {
                self.args.name.split_once(" on ").map(|(_, host)| Event::Rank { rank, host })
            }
            "X" if !self.cat.contains("interrupted") => Some(Event::Task {
                id: self.args.id,
                rank,
                length_us: self.dur.max(0.0) as u64,
                end: self.args.end(),
                command: &self.name,
            }),
            _ => None,
        }
    }
}

/// Goes through the timeline of a workdir. Returns the damage, if any.
///
/// # Errors
/// If it does not exist or cannot be read.
pub(crate) fn each(workdir: &Path, mut take: impl FnMut(Event<'_>)) -> io::Result<Option<String>> {
    let mut damage = None;
    each_object(regular::reader_no_link(&workdir.join(names::TIMELINE))?, |at, bytes| {
        match serde_json::from_slice::<Raw>(bytes) {
            Ok(raw) => raw.event().into_iter().for_each(&mut take),
            Err(error) => _ = damage.get_or_insert_with(|| format!("not an event at byte {at}: {error}")),
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
