//! INI sections → runners.
//!
//! Owns the kinds of runners and their keys. docs/runners.md explains them to users.

mod containers;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use thiserror::Error;

use super::config::{Defined, RunnerConfig, Shell, Start};
use super::fields::{Field, Names, Template, Values};
use super::python::{self, PythonError};
use super::{DEFAULT_RUNNER, environment};
use crate::ini::{self, Catalog, IniError, Key, Kind, Remarks, Section};
use crate::template::{self, Reader};

/// Built-in kinds of runners: their names in `Runner =`, PyTaskFarmer's class for each.
pub(crate) const KINDS: &[(&str, Option<&str>)] = &[
    ("basic", Some("taskfarmer.runners.BasicRunner")),
    ("shifter", Some("taskfarmer.runners.ShifterRunner")),
    ("apptainer", None),
    ("singularity", None),
    ("podman-hpc", None),
    ("podman", None),
    ("template", None),
];

/// Why a runner cannot be used.
#[derive(Debug, Error)]
pub(crate) enum RunnerError {
    /// No section has this name.
    #[error("{0}")]
    NotFound(String),
    /// Its section is invalid.
    #[error(transparent)]
    Ini(#[from] IniError),
    /// Its class cannot be used.
    #[error("{at}: Runner = {class}: {source}\n  built-in kinds: {}", kind_names().join(", "))]
    Python {
        /// File, line, and section.
        at: String,
        /// The class.
        class: String,
        /// What is wrong with it.
        source: PythonError,
    },
}

fn kind_names() -> Vec<&'static str> {
    KINDS.iter().map(|(name, _)| *name).collect()
}

/// What `--list-runners` prints, and the INI files that it comes from.
pub(crate) fn listing() -> (String, Catalog) {
    ini::listing(Kind::Runners, &[(DEFAULT_RUNNER, KINDS[0].0)], |class| ini::kind_name(KINDS, class))
}

/// A runner that was found by its name, and not examined any further.
#[derive(Debug)]
pub(crate) struct Found {
    /// `None`: the default, which is not defined by a file.
    section: Option<Section>,
    /// Remarks about it for the user.
    pub remarks: Remarks,
}

/// Finds the runner with this name. Reads INI files, and starts nothing.
///
/// # Errors
/// If there is none.
pub(crate) fn find(name: &str) -> Result<Found, RunnerError> {
    find_in(&ini::load(Kind::Runners), name)
}

fn find_in(catalog: &Catalog, name: &str) -> Result<Found, RunnerError> {
    match catalog.find(name)? {
        None if name != DEFAULT_RUNNER => Err(RunnerError::NotFound(catalog.not_found(name, &[DEFAULT_RUNNER]))),
        section => {
            let remarks = catalog.remarks(name, section.as_ref(), name == DEFAULT_RUNNER);
            Ok(Found { section, remarks })
        }
    }
}

impl Found {
    /// Whether [`Self::prepare`] starts a program.
    pub(crate) fn starts_python(&self) -> bool {
        let class = self.section.as_ref().map(|section| &section.class.value[..]);
        class.is_some_and(|class| built_in(class).is_none() && python::is_class(class))
    }

    /// Checks and prepares it. Starts `python3` to test a class that is not built in.
    ///
    /// # Errors
    /// If its section is invalid, or its class cannot be used.
    pub(crate) fn prepare(&self) -> Result<RunnerConfig, RunnerError> {
        let Some(section) = &self.section else { return Ok(RunnerConfig::Basic) };
        let (class, file) = (&section.class.value, section.file.display());
        log::info!("runner '{}' is {class} of {file}:{}", section.name, section.line);
        Ok(RunnerConfig::Defined(Box::new(from_section(section)?)))
    }
}

/// The name of this built-in kind.
fn built_in(class: &str) -> Option<&'static str> {
    KINDS.iter().find(|(short, long)| *short == class || *long == Some(class)).map(|(short, _)| *short)
}

fn from_section(section: &Section) -> Result<Defined, RunnerError> {
    let class = &section.class.value[..];
    Ok(match built_in(class) {
        Some("basic") => basic(section)?,
        Some("shifter") => containers::shifter(section)?,
        Some(program @ ("apptainer" | "singularity")) => containers::apptainer(section, program)?,
        Some(program @ ("podman-hpc" | "podman")) => containers::podman(section, program)?,
        Some(_) => template(section)?,
        None if python::is_class(class) => {
            let mut defined = new(section, Start::Split)?;
            defined.start = python::prepare(section, &defined.variables).map_err(|source| RunnerError::Python {
                at: section.error(None, "").to_string().trim_end_matches([':', ' ']).to_owned(),
                class: class.to_owned(),
                source,
            })?;
            defined
        }
        None => return Err(unknown_kind(section).into()),
    })
}

fn unknown_kind(section: &Section) -> IniError {
    let class = &section.class;
    let kinds = kind_names().join(", ");
    let what = match ini::nearest(&class.value, kind_names()) {
        Some(near) => format!("there is no kind '{}': did you mean '{near}'?", class.value),
        None => format!("there is no kind '{}'", class.value),
    };
    section.error(Some(class), &format!("{what}\n  built-in kinds: {kinds}; or a Python class, as module.Class"))
}

/// Reads a text with fields in this key: its words, or a single template.
fn read(section: &Section, key: &Key, text: &str, reader: Reader) -> Result<Vec<Template>, IniError> {
    let (templates, new_form) = template::read(text, &Names, reader).map_err(|what| section.error(Some(key), &what))?;
    if let Some(form) = new_form {
        // As it would be written in an INI file.
        let what = format!("an old form, which still works\n  write: {}", form.replace('%', "%%"));
        log::warn!("{}", section.error(Some(key), &what));
    }
    Ok(templates)
}

fn read_one(section: &Section, key: &Key, text: &str, reader: Reader) -> Result<Template, IniError> {
    Ok(read(section, key, text, reader)?.remove(0))
}

/// What all kinds have in common: variables, and no working directory of their own.
fn new(section: &Section, start: Start) -> Result<Defined, IniError> {
    let mut variables = Vec::new();
    for key in &section.keys {
        let Some(name) = key.name.strip_prefix("env.") else { continue };
        if name.is_empty() || name.contains('=') {
            return Err(section.error(Some(key), "this is not a variable name\n  write env.NAME = value"));
        }
        if environment::is_ours(name.as_bytes()) {
            return Err(section.error(Some(key), "the farm sets this variable itself"));
        }
        let value = read_one(section, key, &key.value, Reader::Nothing)?;
        variables.push((name.as_bytes().to_vec(), value));
    }
    Ok(Defined { start, setup: Vec::new(), cwd: None, variables, proc_number: true })
}

/// If the folder did not exist, every task would fail; if it contains fields, only the nodes know it.
fn with_cwd(section: &Section, defined: Defined) -> Result<Defined, IniError> {
    let Some(key) = section.get("cwd") else { return Ok(defined) };
    if key.value.is_empty() {
        return Err(section.error(Some(key), "the name of a folder is missing"));
    }
    let folder = read_one(section, key, &key.value, Reader::Nothing)?;
    let path = folder.filled(&Values::default());
    let path = Path::new(OsStr::from_bytes(&path));
    if folder.fields().next().is_none() && !path.is_dir() {
        return Err(section.error(Some(key), &format!("there is no folder {}", path.display())));
    }
    Ok(Defined { cwd: Some(folder), ..defined })
}

fn setup(section: &Section) -> &str {
    section.value("setup").unwrap_or_default()
}

fn with_setup(section: &Section, defined: Defined) -> Defined {
    Defined { setup: setup(section).as_bytes().to_vec(), ..defined }
}

/// One of these words, and what each means; the first if the key is missing.
fn choice<T: Copy>(section: &Section, name: &str, choices: &[(&str, T)]) -> Result<T, IniError> {
    let Some(key) = section.get(name) else { return Ok(choices[0].1) };
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    choices.iter().find(|(word, _)| *word == key.value).map(|(_, value)| *value).ok_or_else(|| {
        let meant = ini::nearest(&key.value, words.iter().copied());
        let meant = meant.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        section.error(Some(key), &format!("'{}' is none of {}{meant}", key.value, words.join(", ")))
    })
}

fn basic(section: &Section) -> Result<Defined, IniError> {
    section.check_keys(&["shell", "cwd", "setup", "env.*"])?;
    let start = choice(
        section,
        "shell",
        &[("auto", Some(Shell::Auto)), ("bash", Some(Shell::Bash)), ("sh", Some(Shell::Sh)), ("split", None)],
    )?;
    let start = start.map_or(Start::Split, Start::Shell);
    Ok(with_setup(section, with_cwd(section, new(section, start)?)?))
}

fn template(section: &Section) -> Result<Defined, IniError> {
    section.check_keys(&["command", "shell", "cwd", "setup", "env.*"])?;
    let key = section.required("command")?;
    let shell = choice(
        section,
        "shell",
        &[("none", None), ("auto", Some(Shell::Auto)), ("bash", Some(Shell::Bash)), ("sh", Some(Shell::Sh))],
    )?;
    let start = match shell {
        None => Start::Words { words: read(section, key, &key.value, Reader::Words)?, by_stdin: false },
        Some(shell) => Start::Line(shell, read_one(section, key, &key.value, Reader::Shell)?),
    };
    let defined = with_setup(section, with_cwd(section, new(section, start)?)?);
    let tells_tasks_apart = |field: &Field| matches!(field, Field::Task | Field::Run | Field::Id);
    if !defined.templates().flat_map(Template::fields).any(|field| tells_tasks_apart(&field)) {
        let what = "every task would be the same\n  put the task in by {run}, {task} or {id}";
        return Err(section.error(Some(key), what));
    }
    Ok(defined)
}

#[cfg(test)]
mod tests;
