//! Comments of a list that are directives to this program: `#TF cpus=8 mem=4G`.
//!
//! Owns their language. They change what tasks ask for, and never which tasks there are: every other program, and a
//! shell, takes them for comments.

use std::fmt::Display;
use std::str::FromStr;

use thiserror::Error;

use crate::demand::amounts::{CpuCount, GpuCount, Memory, Priority, shared_count};
use crate::demand::list::{Asks, CLASSES_MAX, ListAsks, TooMany};
use crate::ini::nearest;
use crate::shown;

/// Keys that each list may use.
pub(super) const KEYS: [&str; 4] = ["cpus", "gpus", "mem", "priority"];

/// All keys: those of each list, and the names of what the farm shares out.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Keys<'a> {
    pub(super) shared: &'a [&'a str],
}

impl<'a> Keys<'a> {
    pub(super) fn all(self) -> impl Iterator<Item = &'a str> + Clone {
        KEYS.into_iter().chain(self.shared.iter().copied())
    }

    fn list(self) -> String {
        self.all().collect::<Vec<_>>().join(", ")
    }
}

/// What is wrong with a directive, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum BadDirective {
    #[error("#TF without anything behind it\n  write what the tasks below ask for, such as #TF cpus=8 mem=4G")]
    Empty,
    #[error("'{setting}' is not a setting of #TF: write key=value, without blanks around the =\n  keys: {keys}")]
    NoValue { setting: String, keys: String },
    #[error(
        "#TF has no key '{key}'{near}\n  keys: {keys}; for licenses and the like, first give their number: --resource {key}=5"
    )]
    NoKey { key: String, near: String, keys: String },
    #[error("#TF has the key '{0}' twice\n  remove one of them")]
    Twice(String),
    #[error("{key}={value}: {what}")]
    Value { key: String, value: String, what: String },
    #[error(
        "#TF reset stands alone: it returns to what the command line asks for\n  put the other settings on the next line"
    )]
    NotAlone,
    #[error("#TF next: no task follows\n  remove the line, or put it before the task that it is for")]
    NoTask,
    #[error(
        "more than {CLASSES_MAX} different combinations of what tasks ask for, priorities included\n  round them, for example memory up to whole GiB"
    )]
    TooMany,
}

/// The text of a directive, if the line is one.
pub(super) fn text_of(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"#TF").filter(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// The directives of a list so far, and what they mean for its tasks.
#[derive(Debug, Default)]
pub(super) struct Directives<'a> {
    keys: Keys<'a>,
    asks: ListAsks,
    /// For the tasks below, and the line that says so.
    now: Asks,
    now_line: u64,
    /// For the next task only.
    next: Option<(u64, Asks)>,
    failed: Option<(u64, BadDirective)>,
}

impl<'a> Directives<'a> {
    /// None yet.
    pub(super) fn new(keys: Keys<'a>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Reads a directive that has so many tasks above it.
    ///
    /// # Errors
    /// With the number of the line that is to blame.
    pub(super) fn read(&mut self, text: &[u8], line: u64, tasks: usize) -> Result<(), (u64, BadDirective)> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.asks.extend(tasks, self.now).map_err(|TooMany| (self.now_line, BadDirective::TooMany))?;
        self.set(text, line).map_err(|bad| (line, bad))
    }

    fn set(&mut self, text: &[u8], line: u64) -> Result<(), BadDirective> {
        let text = String::from_utf8_lossy(text);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match &words[..] {
            [] => return Err(BadDirective::Empty),
            ["reset"] => (self.now, self.now_line) = (Asks::default(), line),
            ["reset", ..] | ["next", "reset", ..] => return Err(BadDirective::NotAlone),
            ["next"] => return Err(BadDirective::Empty),
            ["next", settings @ ..] => {
                let before = self.next.map_or(Asks::default(), |(_, asks)| asks);
                self.next = Some((line, parse(settings, self.keys)?.or(before)));
            }
            settings => (self.now, self.now_line) = (parse(settings, self.keys)?.or(self.now), line),
        }
        Ok(())
    }

    /// There is one more task: so many by now.
    pub(super) fn task(&mut self, tasks: usize) {
        let Some((line, next)) = self.next.take() else { return };
        let above = self.asks.extend(tasks - 1, self.now);
        if above.and_then(|()| self.asks.extend(tasks, next.or(self.now))).is_err() {
            self.failed = self.failed.take().or(Some((line, BadDirective::TooMany)));
        }
    }

    /// The list has ended, with so many tasks. The error has the number of a line.
    pub(super) fn finish(mut self, tasks: usize) -> Result<ListAsks, (u64, BadDirective)> {
        let unused = self.next.map(|(line, _)| (line, BadDirective::NoTask));
        if let Some(failed) = self.failed.or(unused) {
            return Err(failed);
        }
        self.asks.extend(tasks, self.now).map_err(|TooMany| (self.now_line, BadDirective::TooMany))?;
        Ok(self.asks)
    }
}

/// Reads settings: `cpus=8`, `mem=4G`.
fn parse(settings: &[&str], keys: Keys<'_>) -> Result<Asks, BadDirective> {
    let mut asks = Asks::default();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| BadDirective::NoValue { setting: brief(setting), keys: keys.list() })?;
        if !keys.all().any(|known| known == key) {
            let near = nearest(key, keys.all()).map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            let key = brief(key);
            return Err(BadDirective::NoKey { key, near, keys: keys.list() });
        }
        set(&mut asks, keys, key, value)?;
    }
    Ok(asks)
}

/// Sets one of the keys.
pub(super) fn set(asks: &mut Asks, keys: Keys<'_>, key: &str, value: &str) -> Result<(), BadDirective> {
    let is_twice = match key {
        "cpus" => asks.cpus.replace(amount(key, value, |CpuCount(cpus)| cpus)?).is_some(),
        // Unlike the options, a list may say that some tasks need none.
        "gpus" if value == "0" => asks.gpus.replace(0).is_some(),
        "mem" if value == "0" => asks.memory_mib.replace(0).is_some(),
        "gpus" => asks.gpus.replace(amount(key, value, |GpuCount(gpus)| gpus)?).is_some(),
        "priority" => asks.priority.replace(amount(key, value, |Priority(priority)| priority)?).is_some(),
        "mem" => asks.memory_mib.replace(amount(key, value, |Memory(memory)| memory)?).is_some(),
        _ => {
            let count = shared_count(value).map_err(|error| refused(key, value, &error))?;
            let at = keys.shared.iter().position(|known| *known == key);
            at.and_then(|at| asks.shared.get_mut(at)).is_some_and(|shared| shared.replace(count).is_some())
        }
    };
    if is_twice { Err(BadDirective::Twice(key.to_owned())) } else { Ok(()) }
}

fn amount<T: FromStr<Err: Display>, N>(key: &str, value: &str, number: impl Fn(T) -> N) -> Result<N, BadDirective> {
    value.parse().map(number).map_err(|error: T::Err| refused(key, value, &error))
}

fn refused(key: &str, value: &str, what: &impl Display) -> BadDirective {
    BadDirective::Value { key: key.to_owned(), value: brief(value), what: what.to_string() }
}

/// A word of the user for a message: one line, and not too long.
fn brief(word: &str) -> String {
    const LEN_MAX: usize = 60;
    let line = word.lines().next().unwrap_or_default();
    let start: String = line.chars().take(LEN_MAX).collect();
    let dots = if start.len() < word.len() { "…" } else { "" };
    format!("{}{dots}", shown::message(&shown::text(start.as_bytes())))
}

/// The line of the first directive, 1-based, in a list whose lines are not commands: it is refused there.
pub(super) fn find(bytes: &[u8]) -> Option<u64> {
    let mut lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    lines.find(|(line, _)| text_of(line).is_some()).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::demand::classes::Demands;

    /// CPUs, thousandths of GPUs, MiB.
    type Amounts = (u32, u32, u64);

    /// What each task asks for.
    fn read(lines: &[&str]) -> Result<Vec<Amounts>, (u64, BadDirective)> {
        let (mut directives, mut tasks) = (Directives::new(Keys { shared: &["license"] }), 0);
        for (number, line) in (1..).zip(lines) {
            match text_of(line.as_bytes()) {
                Some(text) => directives.read(text, number, tasks)?,
                None if line.starts_with('#') => {}
                None => {
                    tasks += 1;
                    directives.task(tasks);
                }
            }
        }
        let count = u32::try_from(tasks).unwrap();
        let demands = Demands::new(Asks::default(), directives.finish(tasks)?, count);
        Ok((0..count)
            .map(|task| demands.of(task))
            .map(|of| of.demand)
            .map(|of| (of.cpus, of.gpus, of.memory_mib))
            .collect())
    }

    /// Settings hold for all tasks below, and add to those above; `next` is for one task; `reset` ends them all.
    #[test]
    fn directives_hold_for_the_tasks_below() {
        let list = [
            "a",
            "#TF cpus=2",
            "b",
            "c",
            "#TF\tmem=1G",
            "d",
            "#TF next cpus=4 gpus=1\r",
            "# x",
            "e",
            "f",
            "#TF reset",
            "g",
        ];
        let none = (1, 0, 0);
        let d = (2, 0, 1_024);
        assert_eq!(read(&list), Ok(vec![none, (2, 0, 0), (2, 0, 0), d, (4, 1_000, 1_024), d, none]));
        assert_eq!(read(&["#TF cpus=3", "a", "b"]), Ok(vec![(3, 0, 0); 2]));
        assert_eq!(read(&["a", "b", "#TF cpus=3"]), Ok(vec![(0, 0, 0); 2]), "no task is below it");
        assert_eq!(read(&["#TF next gpus=0.5", "#TF next cpus=2", "a", "b"]), Ok(vec![(2, 500, 0), none]));
    }

    /// A list may say that some tasks need no GPU, whatever the command line says.
    #[test]
    fn nothing_can_be_asked_for() {
        let list = ["#TF gpus=1 mem=1G", "a", "#TF next gpus=0 mem=0", "b"];
        assert_eq!(read(&list), Ok(vec![(0, 1_000, 1_024), (0, 0, 0)]));
    }

    /// Whatever a word is, it takes one line of a message.
    #[test]
    fn messages_are_brief() {
        let long = format!("#TF cpus={}", "9".repeat(5_000));
        let (_, bad) = read(&[&long, "a"]).unwrap_err();
        assert!(bad.to_string().len() < 200 && bad.to_string().contains("999…"), "{bad}");
        assert_eq!(brief("3\n4"), "3…");
    }

    /// Comments for people, and for other programs, are none of ours.
    #[test]
    fn other_comments_are_not_directives() {
        for line in ["#", "#TFX cpus=2", "# TF cpus=2", "#tf cpus=2", "##TF cpus=2", " #TF cpus=2", "TF cpus=2"] {
            assert_eq!(text_of(line.as_bytes()), None, "{line}");
        }
        assert_eq!(text_of(b"#TF"), Some(&b""[..]));
    }

    /// Each mistake is named, with its line and what to write instead.
    #[test]
    fn mistakes_are_named() {
        for (line, words) in [
            ("#TF", "without anything behind it"),
            ("#TF next", "without anything behind it"),
            ("#TF cpu=8", "no key 'cpu'; did you mean 'cpus'?"),
            ("#TF \x1b=8", "no key '\\x1b'"),
            ("#TF cpus", "'cpus' is not a setting"),
            ("#TF cpus = 8", "'cpus' is not a setting"),
            ("#TF cpus=2 cpus=4", "the key 'cpus' twice"),
            ("#TF cpus=0", "cpus=0: not a valid number of CPUs"),
            ("#TF gpus=1.5", "gpus=1.5: not a valid number of GPUs"),
            ("#TF mem=4", "mem=4: not a valid amount of memory"),
            ("#TF license=2 license=2", "the key 'license' twice"),
            ("#TF license=-1", "license=-1: not a valid number"),
            ("#TF licence=1", "no key 'licence'; did you mean 'license'?"),
            (
                "#TF tokens=1",
                "keys: cpus, gpus, mem, priority, license; for licenses and the like, first give their number: --resource tokens=5",
            ),
            ("#TF priority=high", "priority=high: not a valid priority"),
            ("#TF reset cpus=2", "reset stands alone"),
            ("#TF next reset", "reset stands alone"),
            ("#TF next cpus=2", "no task follows"),
        ] {
            let (number, bad) = read(&["a", line]).unwrap_err();
            assert!(number == 2 && bad.to_string().contains(words), "{line}: {number}, {bad}");
        }
    }

    /// A list with too many different demands is refused; how often each occurs does not matter.
    #[test]
    fn too_many_demands_are_refused() {
        let list = |most: usize, next: &str| -> Vec<String> {
            (1..=most).flat_map(|cpus| [format!("#TF {next}cpus={cpus}"), "a".to_owned()]).collect()
        };
        let read_all = |list: &[String]| read(&list.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(read_all(&list(CLASSES_MAX - 1, "")).is_ok());
        let twice = [list(CLASSES_MAX - 1, "next "), list(CLASSES_MAX - 1, "")].concat();
        assert!(read_all(&twice).is_ok());
        for next in ["", "next "] {
            let (line, bad) = read_all(&[list(CLASSES_MAX, next), list(CLASSES_MAX + 5, next)].concat()).unwrap_err();
            // The first that is new comes after those that were there already.
            assert_eq!((bad, line), (BadDirective::TooMany, 4 * CLASSES_MAX as u64 + 1));
        }
    }

    proptest! {
        /// Promise 5: any directive is read or refused.
        #[test]
        fn any_directive_is_read_or_refused(text: Vec<u8>, words in "((next|reset|cpus|gpus|mem|priority|license|=|-|[0-9.GM]|[ \t])){0,9}") {
            for text in [&text[..], words.as_bytes()] {
                let mut directives = Directives::new(Keys { shared: &["license"] });
                let _ = directives.read(text, 1, 3);
                directives.task(4);
                let _ = directives.finish(4).map(|asks| Demands::new(Asks::default(), asks, 4));
            }
        }
    }
}
