//! The check of a list before the first task: what in it is certainly a mistake, and what probably is.
//!
//! Owns the rules for that, whichever handler made the list, and the wording of the messages: the first three places of
//! each kind, and how many there are. [`look`] is a quick pass over all commands, with as many threads as the work
//! justifies, and starts no process. What it considers broken is refused only if a shell agrees, see [`ask()`]: no list
//! is refused that the shell would run as it stands. Never changes a command.

mod ask;
mod messages;
mod words;

use std::collections::BTreeSet;

use super::TaskList;
use crate::shell::line::{LineChecker, Look};
use crate::task::TaskId;

pub(crate) use ask::{Question, ask};

/// How many places of a kind are reported.
const PLACES_TOLD: usize = 3;

/// For at most this many lines of a kind, the shell is asked. One takes a millisecond or two.
const QUESTIONS_MAX: usize = 50;

/// At most this many names and characters are reported.
const NAMES_MAX: usize = 5;

/// The number of tasks that justifies a further thread.
const SHARE_MIN: u32 = 100_000;

/// The maximum number of threads: more of them would wait for memory.
const THREADS_MAX: u32 = 8;

/// What can be wrong with a command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Continued,
    HereDocument,
    Open,
    CarriageReturn,
    Greasy,
    PyLauncher,
    // From here on, kinds are only warned about.
    BlankAfterBackslash,
    Background,
    Deceptive,
    ForeignVariable,
    ChangesShell,
}

const KINDS: usize = Kind::ChangesShell as usize + 1;

/// What the shell has to confirm.
const QUESTIONS: [(Kind, Question); 3] = [
    (Kind::Continued, Question::IsContinued),
    (Kind::HereDocument, Question::HereDocument),
    (Kind::Open, Question::IsOpen),
];

impl Kind {
    fn is_refused(self) -> bool {
        self < Self::BlankAfterBackslash
    }
}

/// Where something of a kind was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Seen {
    count: u64,
    /// The first ones, in order.
    first: Vec<TaskId>,
    /// What it was, if that differs: the first ones in alphabetical order.
    names: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, id: TaskId, name: Option<&str>) {
        self.count += 1;
        if self.first.len() < QUESTIONS_MAX {
            self.first.push(id);
        }
        if let Some(name) = name.filter(|name| !self.names.contains(*name)) {
            self.names.insert(name.to_owned());
            self.bound_names();
        }
    }

    fn bound_names(&mut self) {
        while self.names.len() > NAMES_MAX {
            self.names.pop_last();
        }
    }

    fn append(&mut self, later: Self) {
        self.count += later.count;
        self.first.extend(later.first);
        self.first.truncate(QUESTIONS_MAX);
        self.names.extend(later.names);
        self.bound_names();
    }
}

/// The result of checking a list.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Findings {
    tasks: u32,
    seen: [Seen; KINDS],
}

/// Examines the commands of a list that a shell reads. `is_set`: which variables the tasks will have.
pub fn look(list: &TaskList, is_set: impl Fn(&[u8]) -> bool + Sync) -> Findings {
    let cpus =
        std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(THREADS_MAX));
    let threads = (list.len() / SHARE_MIN).clamp(1, cpus.min(THREADS_MAX));
    let share = list.len().div_ceil(threads);
    let part = |number: u32| {
        let begin = (number * share).min(list.len());
        look_at(list, begin..(begin + share).min(list.len()), &is_set)
    };
    let mut findings = std::thread::scope(|scope| {
        let part = &part;
        let others: Vec<_> =
            (1..threads).map(|number| std::thread::Builder::new().spawn_scoped(scope, move || part(number))).collect();
        let mut findings = part(0);
        for (number, other) in (1..).zip(others) {
            // Without a thread it takes longer.
            let found = other.ok().and_then(|other| other.join().ok()).unwrap_or_else(|| part(number));
            findings.append(found);
        }
        findings
    });
    findings.tasks = list.len();
    findings
}

fn look_at(list: &TaskList, ids: std::ops::Range<u32>, is_set: &impl Fn(&[u8]) -> bool) -> Findings {
    let mut findings = Findings::default();
    let mut checker = LineChecker::default();
    for id in ids.map(TaskId) {
        let command = list.command(id);
        findings.judge(id, command, checker.look(command), is_set);
    }
    findings
}

impl Findings {
    fn of(&mut self, kind: Kind) -> &mut Seen {
        &mut self.seen[kind as usize]
    }

    fn judge(&mut self, id: TaskId, command: &[u8], look: Look, is_set: &impl Fn(&[u8]) -> bool) {
        if let Some(kind) = broken(command, look) {
            return self.of(kind).add(id, None);
        }
        if let [.., before, b'\\', b' ' | b'\t'] = command
            && matches!(before, b' ' | b'\t')
        {
            self.of(Kind::BlankAfterBackslash).add(id, None);
        }
        if look.background {
            self.of(Kind::Background).add(id, None);
        }
        if let Some(character) = look.deceptive {
            self.of(Kind::Deceptive).add(id, Some(character.encode_utf8(&mut [0; 4])));
        }
        if look.dollar
            && let Some(name) = words::foreign_variable(command, is_set)
        {
            self.of(Kind::ForeignVariable).add(id, Some(&String::from_utf8_lossy(name)));
        }
        if look.is_simple
            && let Some(name) = words::changes_shell(command)
        {
            self.of(Kind::ChangesShell).add(id, Some(name));
        }
    }

    fn append(&mut self, later: Self) {
        for (seen, later) in self.seen.iter_mut().zip(later.seen) {
            seen.append(later);
        }
    }

    /// Asks the shell about what looks broken, by `ask`, and drops what it does not confirm.
    pub fn confirm(&mut self, list: &TaskList, mut ask: impl FnMut(Question, &[u8]) -> Option<bool>) {
        for (kind, question) in QUESTIONS {
            let seen = self.of(kind);
            let mut confirmed = Vec::new();
            for id in std::mem::take(&mut seen.first) {
                if ask(question, list.command(id)) == Some(true) {
                    confirmed.push(id);
                } else {
                    seen.count -= 1;
                }
                if confirmed.len() == PLACES_TOLD {
                    break;
                }
            }
            if confirmed.is_empty() {
                *seen = Seen::default();
            }
            seen.first = confirmed;
        }
    }

    /// Whether there is anything to confirm.
    pub fn has_doubts(&self) -> bool {
        QUESTIONS.iter().any(|(kind, _)| self.seen[*kind as usize].count > 0)
    }
}

fn broken(command: &[u8], look: Look) -> Option<Kind> {
    Some(match look {
        _ if words::is_greasy(command) => Kind::Greasy,
        _ if words::is_pylauncher(command) => Kind::PyLauncher,
        Look { carriage_return: true, .. } => Kind::CarriageReturn,
        Look { is_continued: true, .. } => Kind::Continued,
        Look { here_document: true, .. } => Kind::HereDocument,
        Look { is_open: true, .. } => Kind::Open,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
