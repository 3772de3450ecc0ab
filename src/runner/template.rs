//! Text with fields: `{task}`, `{id:q}` and the like.
//!
//! Owns the syntax of fields, and the two ways in which a command line with fields is read: as words, without a shell,
//! or as a line for a shell. In neither can the text of a task change the line around it: a field stays within its
//! word, and is quoted for a shell. Anything that could be misread is refused when the file is read.

mod line;
mod scan;
mod words;

use bincode::{Decode, Encode};

use crate::shell::quoted;

use scan::{Item, Scanner};

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
}

const FIELDS: [(&str, Field); 10] = [
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
];

impl Field {
    fn name(self) -> &'static str {
        FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Id | Self::Attempt | Self::Rank | Self::Slot)
    }

    /// Whether its value differs from task to task.
    #[must_use]
    pub fn is_per_task(self) -> bool {
        !matches!(self, Self::Rank | Self::Host | Self::Workdir | Self::Cwd)
    }
}

/// A piece of a [`Template`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) enum Piece {
    /// Literal text.
    Text(Vec<u8>),
    /// Filled in for each task; `quoted`: as one word for a shell.
    Field {
        /// Which field.
        field: Field,
        /// Whether it is quoted.
        quoted: bool,
    },
}

/// Text with fields.
#[derive(Clone, Default, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Template(Vec<Piece>);

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
    /// Path of the shell that [`Field::Run`] starts.
    pub shell: &'a [u8],
}

impl Values<'_> {
    fn value(&self, field: Field) -> Vec<u8> {
        match field {
            Field::Task | Field::Run => self.task.to_vec(),
            Field::Command => as_operand(self.task),
            Field::Id => self.id.to_string().into_bytes(),
            Field::Attempt => self.attempt.to_string().into_bytes(),
            Field::Rank => self.rank.to_string().into_bytes(),
            Field::Slot => self.slot.to_string().into_bytes(),
            Field::Host => self.host.to_vec(),
            Field::Workdir => self.workdir.to_vec(),
            Field::Cwd => self.cwd.to_vec(),
            Field::Tempdir => self.tempdir.to_vec(),
        }
    }

    /// Words that run the task: the shell must not mistake it for an option.
    fn run_words(&self) -> [Vec<u8>; 3] {
        [self.shell.to_vec(), b"-c".to_vec(), as_operand(self.task)]
    }
}

/// A command that the shell's `-c` does not mistake for an option of its own.
#[must_use]
pub(crate) fn as_operand(command: &[u8]) -> Vec<u8> {
    match command.first() {
        Some(b'-' | b'+') => [b" ", command].concat(),
        _ => command.to_vec(),
    }
}

impl Template {
    /// Text without fields.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.as_bytes().to_vec())])
    }

    /// Text around one field.
    #[must_use]
    pub fn around(before: &str, field: Field) -> Self {
        Self(vec![Piece::Text(before.as_bytes().to_vec()), Piece::Field { field, quoted: false }])
    }

    /// Text around one quoted field.
    #[must_use]
    pub fn quoted(before: &str, field: Field, after: &str) -> Self {
        let text = |text: &str| Piece::Text(text.as_bytes().to_vec());
        Self(vec![text(before), Piece::Field { field, quoted: true }, text(after)])
    }

    /// Text in which fields are inserted unchanged: for paths and variables.
    ///
    /// # Errors
    /// What is wrong with a brace or a field, and what to write in its place.
    pub fn text(text: &str) -> Result<Self, String> {
        let mut template = Self::default();
        let mut scanner = Scanner::new(text);
        while let Some(item) = scanner.next()? {
            match item {
                Item::Char(c) | Item::Brace(c) => template.push(c),
                Item::Field { field: Field::Run, .. } => return Err("{run} is for command lines only".to_owned()),
                Item::Field { field, quoted } => template.0.push(Piece::Field { field, quoted }),
            }
        }
        Ok(template)
    }

    /// A command line without a shell: its words, split by quotes and blanks.
    ///
    /// # Errors
    /// As [`Self::text`], or for what only a shell could do.
    pub fn words(text: &str) -> Result<Vec<Self>, String> {
        words::split(text)
    }

    /// A command line for a shell.
    ///
    /// # Errors
    /// As [`Self::text`], or for a field in a place where the shell would interpret its value.
    pub fn line(text: &str) -> Result<Self, String> {
        line::read(text)
    }

    fn push(&mut self, c: char) {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.extend_from_slice(bytes),
            _ => self.0.push(Piece::Text(bytes.to_vec())),
        }
    }

    /// The fields that it contains.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Field { field, .. } => Some(*field),
            Piece::Text(_) => None,
        })
    }

    /// Whether it is the same for all tasks of a rank.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        !self.fields().any(Field::is_per_task)
    }

    /// Fills in the fields. [`Field::Run`] becomes words of a shell.
    #[must_use]
    pub fn fill(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field { field: Field::Run, .. } => {
                    out.extend_from_slice(&values.run_words().map(|word| quoted(&word)).join(&b' '));
                }
                Piece::Field { field, quoted: true } => out.extend_from_slice(&quoted(&values.value(*field))),
                Piece::Field { field, quoted: false } => out.extend_from_slice(&values.value(*field)),
            }
        }
        out
    }

    /// Appends the argument, or the three of them for [`Field::Run`].
    pub fn fill_word(&self, values: &Values<'_>, words: &mut Vec<Vec<u8>>) {
        match self.0[..] {
            [Piece::Field { field: Field::Run, .. }] => words.extend(values.run_words()),
            _ => words.push(self.fill(values)),
        }
    }
}

#[cfg(test)]
mod tests;
