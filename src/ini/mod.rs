//! INI files: runners and tasklist handlers that users define.
//!
//! Owns where the files are, how they are read (Python's configparser rules, which PyTaskFarmer's users know), and
//! which definition of a name counts. Knows no runner and no handler. Only rank 0 reads files.
//!
//! Any `*.ini` in the current folder is examined, and most of them are unrelated to this program: a file that cannot be
//! read matters only if it might have defined the requested name. A file that other users may have written is not used,
//! see `ini::places`.

mod catalog;
mod interpolate;
mod listing;
mod parse;
mod places;
mod suggest;

use std::fmt;
use std::path::PathBuf;

use crate::shown;

pub use catalog::load_files;
pub(crate) use catalog::{Catalog, Remarks, load};
pub(crate) use listing::{kind_name, listing};
pub(crate) use places::distrust_of_current_folder;
pub(crate) use suggest::nearest;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Sections with a key `Runner`.
    Runners,
    /// Sections with a key `TaskList`.
    Handlers,
}

impl Kind {
    /// The key that makes a section a definition of this kind.
    pub fn key(self) -> &'static str {
        match self {
            Self::Runners => "Runner",
            Self::Handlers => "TaskList",
        }
    }

    /// What a user calls it, and the option that lists all.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Runners => ("runner", "--list-runners"),
            Self::Handlers => ("tasklist handler", "--list-handlers"),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Runners => ".pytaskfarmer/runners.d",
            Self::Handlers => ".pytaskfarmer/tasklists.d",
        }
    }
}

/// One `key = value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// As written, case-sensitive.
    pub name: String,
    /// With `%%` and `%(name)s` filled in. Contains no NUL.
    pub value: String,
    /// Where it begins, 1-based.
    pub line: u64,
    /// Whether it comes from `[DEFAULT]`, which applies to every section: then it is not an error if it is unknown
    /// here.
    pub inherited: bool,
}

/// A section that defines a runner or a handler, ready for use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// As in `[name]`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The line of `[name]`, 1-based.
    pub line: u64,
    /// The value of `Runner` or `TaskList`.
    pub class: Key,
    /// All other keys, in the order of the file, those of `[DEFAULT]` last.
    pub keys: Vec<Key>,
}

/// What is wrong with an INI file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IniError {
    /// The file.
    pub file: PathBuf,
    /// The line, if there is one, 1-based.
    pub line: Option<u64>,
    /// The section.
    pub section: Option<String>,
    /// What is wrong, including the key; after a newline, what to do.
    pub what: String,
}

impl fmt::Display for IniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown::path(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(section) = &self.section {
            write!(f, ": [{}]", shown::line(section))?;
        }
        // It contains keys and values, but none of their newlines.
        let what: Vec<_> = self.what.split('\n').map(shown::line).collect();
        write!(f, ": {}", what.join("\n"))
    }
}

impl std::error::Error for IniError {}

impl Section {
    /// The key with this name.
    pub fn get(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The value of the key with this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|key| &key.value[..])
    }

    /// Whether a different section, wherever it is, has the same content.
    fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Key, &Key)| one.name == other.name && one.value == other.value;
        self.class.value == other.class.value
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(same)
    }

    /// The value of a key that must be present.
    ///
    /// # Errors
    /// If it is missing or empty.
    pub fn required(&self, name: &str) -> Result<&Key, IniError> {
        self.get(name).filter(|key| !key.value.is_empty()).ok_or_else(|| {
            self.error(
                None,
                &format!(
                    "the key '{name}' is missing\n  {} needs it: add a line '{name} = …' to the section",
                    self.class.value
                ),
            )
        })
    }

    /// An error in this key, or in the section as a whole.
    pub fn error(&self, key: Option<&Key>, what: &str) -> IniError {
        IniError {
            file: self.file.clone(),
            line: Some(key.map_or(self.line, |key| key.line)),
            section: Some(self.name.clone()),
            what: match key {
                Some(key) => format!("{}: {what}", key.name),
                None => what.to_owned(),
            },
        }
    }

    /// Checks that every key of the section itself is in `known`, where `name.*` stands for any key with that prefix.
    ///
    /// # Errors
    /// For the first one that is not: see [`unknown_key`].
    pub fn check_keys(&self, known: &[&str]) -> Result<(), IniError> {
        let is_known = |name: &str| {
            known.iter().any(|known| match known.strip_suffix('*') {
                Some(begin) => name.starts_with(begin) && name.len() > begin.len(),
                None => *known == name,
            })
        };
        match self.keys.iter().find(|key| !key.inherited && !is_known(&key.name)) {
            Some(key) => Err(unknown_key(self, key, known)),
            None => Ok(()),
        }
    }
}

/// The error for a key that this kind of runner or handler does not have, with the nearest one that it has.
pub(crate) fn unknown_key(section: &Section, key: &Key, known: &[&str]) -> IniError {
    let cure = match nearest(&key.name, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if known.is_empty() => "it has no keys at all".to_owned(),
        None => format!("it has: {}", known.join(", ")),
    };
    section.error(Some(key), &format!("{} has no such key\n  {cure}", section.class.value))
}

#[cfg(test)]
mod tests;
