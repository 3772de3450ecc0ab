//! Reads `timeline.json` as strictly as its format is promised: keys, types, names of ranks and slots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::Outcome;

/// Clocks of one node and their rounding.
const CLOCK_ERROR_US: f64 = 1000.0;

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum End {
    Exit(u8),
    Signal(u8),
    /// Its pool died, whatever the cause.
    Crashed,
}

/// One run of one task.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) attempt: u64,
    pub(crate) name: String,
    pub(crate) rank: u64,
    pub(crate) slot: u64,
    pub(crate) start_us: f64,
    pub(crate) duration_us: f64,
    pub(crate) end: End,
    pub(crate) interrupted: bool,
}

impl Event {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration_us / 1e6)
    }
}

pub(crate) struct Timeline {
    /// Everything in the array.
    pub(crate) all: Vec<Value>,
}

impl Timeline {
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let all: Vec<Value> = serde_json::from_slice(bytes)
            .unwrap_or_else(|error| panic!("timeline.json: {error}\n{}", super::shown(bytes)));
        Self { all }
    }

    /// As read by a viewer that tolerates a missing end: `]`, and a comma before it.
    #[track_caller]
    pub(crate) fn read_open(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_end();
        if text.ends_with(b"]") {
            return Self::read(text);
        }
        Self::read(&[text.strip_suffix(b",").unwrap_or(text), b"]"].concat())
    }

    /// The events of attempts that came to an end of their own, each checked for its keys and types.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Event> {
        self.every_event().into_iter().filter(|event| !event.interrupted).collect()
    }

    /// The events of attempts that a stop or a loss cut short.
    #[track_caller]
    pub(crate) fn interrupted(&self) -> Vec<Event> {
        self.every_event().into_iter().filter(|event| event.interrupted).collect()
    }

    fn every_event(&self) -> Vec<Event> {
        let of_tasks = self.all.iter().filter(|value| value["ph"] == "X");
        of_tasks.map(|value| event(value).unwrap_or_else(|| panic!("not a task's event: {value}"))).collect()
    }

    /// The events by task, each task once.
    #[track_caller]
    pub(crate) fn by_task(&self) -> BTreeMap<u64, Event> {
        let mut tasks = BTreeMap::new();
        for event in self.events() {
            if let Some(first) = tasks.insert(event.id, event.clone()) {
                panic!("two events of one task:\n{first:?}\n{event:?}");
            }
        }
        tasks
    }

    /// Makes sure that every rank and slot with a task has a name.
    #[track_caller]
    pub(crate) fn names_ranks_and_slots(&self) {
        let mut processes = BTreeSet::new();
        let mut threads = BTreeSet::new();
        for value in &self.all {
            let text = value["args"]["name"].as_str().unwrap_or_default();
            match value["name"].as_str() {
                Some("process_name") if value["ph"] == "M" && !text.is_empty() => {
                    processes.insert(value["pid"].as_u64());
                }
                Some("thread_name") if value["ph"] == "M" && !text.is_empty() => {
                    threads.insert((
                        value["pid"].as_u64(),
                        value["tid"].as_u64().and_then(|tid| tid.checked_sub(THREADS)),
                    ));
                }
                _ => assert!(value["ph"] == "X" || value["ph"] == "M", "neither a task's event nor metadata: {value}"),
            }
        }
        for event in self.events() {
            assert!(processes.contains(&Some(event.rank)), "rank {} has no process_name", event.rank);
            let thread = (Some(event.rank), Some(event.rank * THREADS + event.slot));
            assert!(threads.contains(&thread), "slot {} of rank {} has no thread_name", event.slot, event.rank);
        }
    }

    /// Makes sure that the events match the machine: ranks, slots, no slot with two tasks at the same time.
    #[track_caller]
    pub(crate) fn fits(&self, ranks: u64, slots: u64) {
        let mut lanes: BTreeMap<(u64, u64), Vec<Event>> = BTreeMap::new();
        for event in self.events() {
            assert!(event.rank < ranks && event.slot < slots, "of {ranks} ranks with {slots} slots: {event:?}");
            lanes.entry((event.rank, event.slot)).or_default().push(event);
        }
        for events in lanes.values_mut() {
            events.sort_by(|left, right| left.start_us.total_cmp(&right.start_us));
            for pair in events.windows(2) {
                let end_us = pair[0].start_us + pair[0].duration_us;
                let overlap_us = end_us - pair[1].start_us;
                assert!(overlap_us <= CLOCK_ERROR_US, "{overlap_us} µs at once in one slot: {pair:#?}");
            }
        }
    }

    /// Makes sure that all events are within a run.
    #[track_caller]
    pub(crate) fn lies_within(&self, outcome: &Outcome) {
        let (start_us, end_us) = (since_1970_us(outcome.started), since_1970_us(outcome.ended));
        for event in self.events() {
            let from_us = event.start_us;
            let to_us = event.start_us + event.duration_us;
            assert!(
                from_us >= start_us - CLOCK_ERROR_US && to_us <= end_us + CLOCK_ERROR_US,
                "outside of the run, which lasted from {start_us} to {end_us}: {event:?}"
            );
        }
    }
}

fn since_1970_us(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e6
}

/// `None` if a key is missing, has a different type, or is unexpected.
fn event(value: &Value) -> Option<Event> {
    let mut keys: BTreeSet<&str> = value.as_object()?.keys().map(String::as_str).collect();
    let arguments = value["args"].as_object()?;
    let numbers = value["ts"].is_f64() && value["dur"].is_f64();
    // What did not finish has a color of its own.
    let (is_colored, color) = match value["cat"].as_str()? {
        "task" => (false, None),
        "task,failed" => (true, Some("terrible")),
        "task,interrupted" => (true, Some("grey")),
        _ => return None,
    };
    if keys.remove("cname") != is_colored || value["cname"].as_str() != color {
        return None;
    }
    if keys != BTreeSet::from(KEYS) || !numbers {
        return None;
    }
    let code = |name: &str| Some(u8::try_from(arguments.get(name)?.as_u64()?).unwrap());
    let end = match (code("exit"), code("signal")) {
        (Some(0), None) if color == Some("terrible") && !arguments.contains_key("why") => return None,
        (Some(code), None) => End::Exit(code),
        (None, Some(_)) if arguments.get("why").is_some_and(|why| why == "crashed") => End::Crashed,
        (None, Some(signal)) => End::Signal(signal),
        _ => return None,
    };
    let duration_us = value["dur"].as_f64()?;
    let (rank, slot) = (value["pid"].as_u64()?, arguments.get("slot")?.as_u64()?);
    Some(Event {
        id: arguments.get("id")?.as_u64()?,
        attempt: arguments.get("attempt")?.as_u64()?,
        name: value["name"].as_str()?.to_owned(),
        rank,
        slot: (value["tid"].as_u64()? == (rank + 1) * THREADS + slot).then_some(slot)?,
        start_us: value["ts"].as_f64()?,
        duration_us: (duration_us >= 0.0).then_some(duration_us)?,
        end,
        interrupted: color == Some("grey"),
    })
}

/// The first thread of a rank has this number times rank + 1.
const THREADS: u64 = 100_000;

/// The keys of a task's event, PyTaskFarmer's.
pub(crate) const KEYS: [&str; 8] = ["cat", "name", "pid", "tid", "ts", "dur", "ph", "args"];
