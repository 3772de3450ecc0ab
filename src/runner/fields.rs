//! The fields of runners, `{task}`, `{id}` and the like, and texts that contain them.
//!
//! Owns which fields there are, and their values for a task. [`crate::template`] owns the language.

use bincode::{Decode, Encode};

use crate::shell::quoted;
use crate::template::{self, Fields, Form, Sort};

/// What a field stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Field {
    /// The task's command, as one piece of text.
    Task,
    /// The same, for the `-c` of a shell: never mistaken for an option.
    Command,
    /// Words that run the command in a shell. Never part of a word.
    Run,
    /// The task's ID.
    Id,
    /// The number of the attempt, from 1.
    Attempt,
    /// The rank that runs it.
    Rank,
    /// The slot that runs it.
    Slot,
    /// The node's name.
    Host,
    /// The workdir's absolute path.
    Workdir,
    /// Absolute path of the folder where the farm was started.
    Cwd,
    /// Absolute path of a new folder for this task, removed after it.
    Tempdir,
    /// How many CPUs it has for itself; 0 if it shares those of its rank.
    Cpus,
    /// Names of its GPUs, with commas between them; empty if it has none for itself.
    Gpus,
}

const FIELDS: [(&str, Field); 12] = [
    ("task", Field::Task),
    ("run", Field::Run),
    ("id", Field::Id),
    ("attempt", Field::Attempt),
    ("rank", Field::Rank),
    ("slot", Field::Slot),
    ("host", Field::Host),
    ("workdir", Field::Workdir),
    ("cwd", Field::Cwd),
    ("tempdir", Field::Tempdir),
    ("cpus", Field::Cpus),
    ("gpu", Field::Gpus),
];

/// The names of fields in texts.
pub(super) struct Names;

impl Fields for Names {
    type Field = Field;

    fn find(&self, name: &str) -> Option<Field> {
        FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn names(&self) -> Vec<&str> {
        FIELDS.map(|(name, _)| name).to_vec()
    }

    fn sort(&self, field: Field) -> Sort {
        match field {
            Field::Run => Sort::Words,
            Field::Id | Field::Attempt | Field::Rank | Field::Slot | Field::Cpus => Sort::Number,
            Field::Workdir | Field::Cwd | Field::Tempdir => Sort::Lines,
            Field::Task | Field::Command | Field::Host | Field::Gpus => Sort::Line,
        }
    }
}

/// Text with fields of a task.
pub(crate) type Template = template::Template<Field>;

/// The values for the fields of one task.
#[derive(Clone, Copy, Default, Debug)]
pub struct Values<'a> {
    pub task: &'a [u8],
    pub id: u32,
    pub attempt: u16,
    pub rank: u32,
    pub slot: u32,
    pub host: &'a [u8],
    pub workdir: &'a [u8],
    pub cwd: &'a [u8],
    pub tempdir: &'a [u8],
    pub cpus: usize,
    pub gpus: &'a str,
    /// Path of the shell that [`Field::Run`] starts.
    pub shell: &'a [u8],
}

impl Values<'_> {
    fn value(&self, field: Field) -> Vec<u8> {
        match field {
            Field::Task => self.task.to_vec(),
            Field::Run => self.run_words().map(|word| quoted(&word)).join(&b' '),
            Field::Command => as_operand(self.task),
            Field::Id => self.id.to_string().into_bytes(),
            Field::Attempt => self.attempt.to_string().into_bytes(),
            Field::Rank => self.rank.to_string().into_bytes(),
            Field::Slot => self.slot.to_string().into_bytes(),
            Field::Host => self.host.to_vec(),
            Field::Workdir => self.workdir.to_vec(),
            Field::Cwd => self.cwd.to_vec(),
            Field::Tempdir => self.tempdir.to_vec(),
            Field::Cpus => self.cpus.to_string().into_bytes(),
            Field::Gpus => self.gpus.as_bytes().to_vec(),
        }
    }

    /// Words that run the task: the shell must not mistake it for an option.
    fn run_words(&self) -> [Vec<u8>; 3] {
        [self.shell.to_vec(), b"-c".to_vec(), as_operand(self.task)]
    }
}

/// A command that the shell's `-c` does not mistake for an option of its own.
pub(crate) fn as_operand(command: &[u8]) -> Vec<u8> {
    match command.first() {
        Some(b'-' | b'+') => [b" ", command].concat(),
        _ => command.to_vec(),
    }
}

impl Template {
    /// Text around one field.
    pub fn around(before: &str, field: Field) -> Self {
        Self::literal(before).with(field, Form::Raw)
    }

    /// Whether it is the same for all tasks of a rank.
    pub fn is_fixed(&self) -> bool {
        self.fields().all(|field| matches!(field, Field::Rank | Field::Host | Field::Workdir | Field::Cwd))
    }

    /// The text with these values.
    pub fn filled(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.fill(|field| Some(values.value(field)), &mut out).expect("every field has a value");
        out
    }

    /// Appends the argument, or the three of them for [`Field::Run`].
    pub fn fill_word(&self, values: &Values<'_>, words: &mut Vec<Vec<u8>>) {
        match self.only_field() {
            Some(Field::Run) => words.extend(values.run_words()),
            _ => words.push(self.filled(values)),
        }
    }
}

#[cfg(test)]
mod tests;
