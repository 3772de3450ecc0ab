//! The messages about a list.

use super::{Findings, KINDS, Kind, PLACES_TOLD, Seen};
use crate::task::TaskId;

/// The message about a kind.
struct Text {
    kind: Kind,
    /// Goes after "lines 1 and 2" or "9 lines (1, 2, 5, …)"; after "line 7", with an "s".
    verb: &'static str,
    /// What follows the verb.
    what: &'static str,
    /// Why that is not what was intended.
    why: &'static str,
    /// What to do about it.
    cure: &'static str,
}

const TEXTS: [Text; KINDS] = [
    Text {
        kind: Kind::Continued,
        verb: "end",
        what: "with a backslash",
        why: "each line is a separate task, so the next line would run on its own",
        cure: "write the command on one line, or put it in a script and put the script's name in the list",
    },
    Text {
        kind: Kind::HereDocument,
        verb: "contain",
        what: "a here-document (<<)",
        why: "each line is a separate task, so the lines of the here-document would run as commands",
        cure: "put the command in a script and put the script's name in the list, or pass a short text with <<< 'text'",
    },
    Text {
        kind: Kind::Open,
        verb: "end",
        what: "before a quote, bracket, loop, or pipe is complete",
        why: "each line is a separate task and must be a complete command",
        cure: "write the whole command on one line, as in \"for i in 1 2; do echo $i; done\", or put it in a script and put the \
                 script's name in the list; to use a quote as an ordinary character, put a backslash before it",
    },
    Text {
        kind: Kind::CarriageReturn,
        verb: "contain",
        what: "a carriage return outside of quotes",
        why: "it does not end a line here, but becomes part of a word",
        cure: "use Unix or Windows line endings; tr '\\r' '\\n' converts carriage returns to newlines",
    },
    Text {
        kind: Kind::Greasy,
        verb: "start",
        what: "with a Greasy directive, [# … #] or [@ … @]",
        why: "tasks do not wait for each other here, and all start in the same folder",
        cure: "put tasks that wait for others in a separate list, and run it afterward; write [@ DIR @] as cd DIR &&",
    },
    Text {
        kind: Kind::PyLauncher,
        verb: "start",
        what: "with a number and a comma, as in PyLauncher",
        why: "the shell would take them as part of the command's name",
        cure: "remove the number of cores, and set --proc so that the tasks fit on a node; the handler 'template' reads \
                 tables (taskfarmer-mpi help handlers)",
    },
    Text {
        kind: Kind::BlankAfterBackslash,
        verb: "end",
        what: "with a backslash and a space or tab",
        why: "this adds an argument that is only whitespace, and does not continue the line",
        cure: "write the command on one line",
    },
    Text {
        kind: Kind::Background,
        verb: "leave",
        what: "a command in the background (&)",
        why: "the task ends with its shell, which does not wait for that command; five seconds later, processes that \
                 are still running get SIGTERM and, after the grace period, SIGKILL",
        cure: "the farm already runs tasks in parallel: remove the &, or end the line with the command 'wait'",
    },
    Text {
        kind: Kind::Deceptive,
        verb: "contain",
        what: "characters that are invisible or look like a space, a quote, or a dash",
        why: "outside of quotes, the shell treats them as letters",
        cure: "retype them if they are not intentional",
    },
    Text {
        kind: Kind::ForeignVariable,
        verb: "use",
        what: "variables that another farmer or an array job sets",
        why: "they are empty here",
        cure: "a task finds its number, from 0, in $TASKFARMER_TASK_ID, and the number of its slot in $TASKFARMER_SLOT",
    },
    Text {
        kind: Kind::ChangesShell,
        verb: "affect",
        what: "no other tasks",
        why: "each task has its own shell, which ends with the task",
        cure: "put the command in each line that needs it (cd DIR && ./run) or in the setup of a runner (taskfarmer-mpi help \
                 runners), or run it before you start the farm",
    },
];

/// A character that looks like others.
fn character(character: char) -> String {
    let name = match character {
        '\u{a0}' | '\u{202f}' => ", no-break space",
        '\u{200b}' => ", zero-width space",
        '\u{feff}' => ", byte order mark",
        '\u{ad}' => ", soft hyphen",
        '\u{3000}' => ", ideographic space",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ", a dash other than -",
        '\u{2018}'..='\u{201f}' => ", a quote other than ' or \"",
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
    fn message(&self, text: &Text, noun: &str, number: &impl Fn(TaskId) -> Option<u64>) -> String {
        let Text { kind, verb, what, why, cure } = text;
        let s = if self.count == 1 { "s" } else { "" };
        let told = self.first.iter().take(PLACES_TOLD);
        let numbers: Vec<String> = told.filter_map(|id| Some(number(*id)?.to_string())).collect();
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
        match kind {
            Kind::ChangesShell => format!("{subject}{names} {verb}{s} {what}: {why}\n  {cure}"),
            _ => format!("{subject} {verb}{s} {what}{names}: {why}\n  {cure}"),
        }
    }
}

impl Findings {
    /// The tasks that messages mention, in order.
    pub fn mentioned(&self) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> =
            self.seen.iter().flat_map(|seen| seen.first.iter().take(PLACES_TOLD).copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The message about each kind. `number`: that of a task, as the user counts.
    fn texts(&self, refused: bool, noun: &str, number: &impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        let all = TEXTS.iter().map(|text| (text, &self.seen[text.kind as usize]));
        let kinds = all.filter(|(text, seen)| text.kind.is_refused() == refused && seen.count > 0);
        // If all lines are alike, none depends on another.
        let kinds = kinds.filter(|(text, seen)| text.kind != Kind::ChangesShell || seen.count < self.tasks.into());
        kinds.map(|(text, seen)| seen.message(text, noun, number)).collect()
    }

    /// Why the list is refused; empty if it is not. `noun`: what the user calls a command, a line or a task.
    pub fn refusals(&self, noun: &str, number: impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        self.texts(true, noun, &number)
    }

    /// The warnings.
    pub fn warnings(&self, noun: &str, number: impl Fn(TaskId) -> Option<u64>) -> Vec<String> {
        self.texts(false, noun, &number)
    }
}
