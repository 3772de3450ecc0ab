//! What is said of a list.

use super::{Findings, KINDS, Kind, PLACES_TOLD, Seen};
use crate::protocol::TaskId;

/// How commands are found in what the user wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Places {
    /// By the number of a line.
    Lines,
    /// By the ID of a task, where a handler made the command.
    Tasks,
}

/// What is said of a kind.
struct Text {
    /// Behind "line 7", "lines 1 and 2" or "9 lines (1, 2, 5, …)".
    what: &'static str,
    /// Why it is not what was meant.
    why: &'static str,
    /// What to do about it.
    cure: &'static str,
}

impl Kind {
    fn text(self) -> Text {
        let (what, why, cure) = match self {
            Self::Continued => (
                "with a backslash at the end",
                "each line is a task of its own, and the next one would run by itself",
                "write the command in one line, or put it into a script and the script's name here",
            ),
            Self::HereDocument => (
                "with a here-document (<<)",
                "each line is a task of its own, and the lines of its text would run as commands",
                "put the command into a script and the script's name here, or give a short text by <<< 'text'",
            ),
            Self::Open => (
                "ending in the middle of quotes, brackets, a loop or a pipe",
                "each line is a task of its own, and the pieces would run by themselves",
                "write the command in one line, with ; between its parts, or put it into a script and the script's name \
                 here; a quote that is meant as it is has a backslash in front",
            ),
            Self::CarriageReturn => (
                "with a carriage return outside of quotes",
                "it ends no line here, but is part of a word",
                "end lines as Unix or Windows does: tr '\\r' '\\n' makes one of the other",
            ),
            Self::Greasy => (
                "with a directive of Greasy, [# … #] or [@ … @]",
                "tasks do not wait for each other here, and all start in the same folder",
                "put tasks that wait for others into a list of their own, and run it afterwards; write [@ DIR @] as cd DIR &&",
            ),
            Self::PyLauncher => (
                "beginning with a number and a comma, as PyLauncher's do",
                "no command does",
                "take the number of cores away, and give a --proc with which the tasks fit on a node; a table is read by the \
                 handler 'template' (docs/handlers.md)",
            ),
            Self::BlankAfterBackslash => (
                "ending in a backslash and a blank",
                "that is one more argument, a blank, and does not continue the line",
                "write the command in one line",
            ),
            Self::Background => (
                "leaving a command in the background (&)",
                "a task counts when its first process ends, and what is left of it gets five seconds, then SIGTERM, the \
                 grace period, SIGKILL",
                "the farm itself runs tasks side by side: take the & away, or end the line in wait",
            ),
            Self::Deceptive => (
                "with characters that look like a blank, a quote, a dash or nothing",
                "outside of quotes, they are letters to the shell",
                "type them anew if they were not meant",
            ),
            Self::ForeignVariable => (
                "with variables that another farmer or an array job sets",
                "they are empty here",
                "a task finds its number, from 0, in $TASKFARMER_TASK_ID, and that of its slot in $TASKFARMER_SLOT",
            ),
            Self::ChangesShell => (
                "changing nothing for the others",
                "each line has a shell of its own, which ends with it",
                "put it in front of each command that needs it, as in cd DIR && ./run, or into the setup of a runner \
                 (docs/runners.md), or do it before the farm starts",
            ),
        };
        Text { what, why, cure }
    }
}

/// A character that cannot be told from others by its looks.
fn character(character: char) -> String {
    let name = match character {
        '\u{a0}' | '\u{202f}' => ", no-break space",
        '\u{200b}' => ", zero-width space",
        '\u{feff}' => ", byte order mark",
        '\u{ad}' => ", soft hyphen",
        '\u{3000}' => ", ideographic space",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ", a dash that is no -",
        '\u{2018}'..='\u{201f}' => ", a quote that is no ' or \"",
        _ => "",
    };
    format!("U+{:04X}{name}", u32::from(character))
}

/// `3`, `3 and 5`, `3, 5 and 8`
fn enumeration(items: impl IntoIterator<Item = String>) -> String {
    let mut items: Vec<String> = items.into_iter().collect();
    match items.pop() {
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} and {last}", items.join(", ")),
        None => String::new(),
    }
}

impl Seen {
    fn told(&self, kind: Kind, places: Places, number: &impl Fn(TaskId) -> Option<u64>) -> String {
        let Text { what, why, cure } = kind.text();
        let noun = match places {
            Places::Lines => "line",
            Places::Tasks => "task",
        };
        let numbers: Vec<String> = self.first.iter().filter_map(|id| Some(number(*id)?.to_string())).collect();
        let subject = match (self.count, numbers.len() as u64) {
            (1, 0) => format!("1 {noun}"),
            (1, _) => format!("{noun} {}", enumeration(numbers)),
            (count, 0) => format!("{count} {noun}s"),
            (count, known) if count > known => format!("{count} {noun}s ({}, …)", numbers.join(", ")),
            _ => format!("{noun}s {}", enumeration(numbers)),
        };
        let names = enumeration(self.names.iter().map(|name| match kind {
            Kind::Deceptive => name.chars().map(character).collect(),
            _ => name.clone(),
        }));
        let names = if names.is_empty() { names } else { format!(" ({names})") };
        format!("{subject} {what}{names}: {why}\n  {cure}")
    }
}

impl Findings {
    /// The tasks that are told of, in order.
    #[must_use]
    pub fn told(&self) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> =
            self.seen.iter().flat_map(|seen| seen.first.iter().take(PLACES_TOLD).copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What is said of each kind. `number`: that of a task, as the user counts.
    fn texts(&self, refused: bool, places: Places, number: &impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        let all = KINDS.iter().zip(&self.seen);
        let kinds = all.filter(|(kind, seen)| kind.is_refused() == refused && seen.count > 0);
        // Where all lines are alike, none waits for another.
        let kinds = kinds.filter(|(kind, seen)| **kind != Kind::ChangesShell || seen.count < self.tasks.into());
        kinds
            .map(|(kind, seen)| {
                let few = Seen { first: seen.first.iter().take(PLACES_TOLD).copied().collect(), ..seen.clone() };
                few.told(*kind, places, number)
            })
            .collect()
    }

    /// Why the list is refused; empty if it is not.
    #[must_use]
    pub fn refusals(&self, places: Places, number: impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        self.texts(true, places, &number)
    }

    /// What else is to be said.
    #[must_use]
    pub fn warnings(&self, places: Places, number: impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        self.texts(false, places, &number)
    }
}
