//! The runner, as rank 0 sends it to the workers.

use bincode::{Decode, Encode};

use super::fields::{Field, Template, Values};

/// The runner, as rank 0 sends it to the workers.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum RunnerConfig {
    /// Each task is a shell command.
    Basic,
    /// A runner from an INI file.
    Defined(Box<Defined>),
}

/// Which shell reads a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Shell {
    /// bash if it exists, otherwise sh.
    Auto,
    /// `/bin/bash`.
    Bash,
    /// `/bin/sh`.
    Sh,
}

/// How a task is started.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Start {
    /// Its command is a line for a shell.
    Shell(Shell),
    /// Its command is split at white space; no shell.
    Split,
    /// A program with these arguments; no shell.
    Words {
        /// The program and its arguments.
        words: Vec<Template>,
        /// The command is passed by standard input.
        by_stdin: bool,
    },
    /// A line for a shell.
    Line(Shell, Template),
}

/// A runner from an INI file.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Defined {
    /// How tasks are started.
    pub start: Start,
    /// Commands that a shell runs before each task, on the node itself; empty: none.
    pub setup: Vec<u8>,
    /// Where tasks start, if not in the farm's own folder. Relative to that.
    pub cwd: Option<Template>,
    /// Variables of each task; they take precedence over those that it would have anyway.
    pub variables: Vec<(Vec<u8>, Template)>,
    /// Whether tasks get PyTaskFarmer's `PROC_NUMBER`.
    pub proc_number: bool,
}

/// The variables that are the same for all tasks. Those that differ are added to each task, and must not be there twice.
pub(crate) fn fixed_variables(variables: &[(Vec<u8>, Template)], values: &Values<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fixed = variables.iter().filter(|(_, value)| value.is_fixed());
    fixed.map(|(name, value)| (name.clone(), value.filled(values))).collect()
}

impl RunnerConfig {
    /// Its definition in an INI file.
    pub fn defined(&self) -> Option<&Defined> {
        match self {
            Self::Basic => None,
            Self::Defined(defined) => Some(defined),
        }
    }

    /// Variables of its own, in the order of the file.
    pub(crate) fn variables(&self) -> &[(Vec<u8>, Template)] {
        self.defined().map_or(&[], |defined| &defined.variables)
    }
}

impl Defined {
    /// All text with fields.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let words = match &self.start {
            Start::Words { words, .. } => &words[..],
            Start::Line(_, line) => std::slice::from_ref(line),
            Start::Shell(_) | Start::Split => &[],
        };
        words.iter().chain(self.variables.iter().map(|(_, value)| value)).chain(&self.cwd)
    }

    /// Whether each task gets a folder of its own.
    pub fn uses_tempdir(&self) -> bool {
        self.templates().flat_map(Template::fields).any(|field| field == Field::Tempdir)
    }
}
