//! Runners that are the user's Python classes, written for PyTaskFarmer.
//!
//! Owns the start of `python3`: once on rank 0, to check that the class can be constructed, and once per task.

use std::ffi::{CStr, OsStr};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::SearchPath;
use super::config::{Start, fixed_variables};
use super::environment::Environment;
use super::fields::{Field, Template, Values};
use crate::ini::Section;
use crate::sys::host;
use crate::sys::query::{self, QueryError};

const DRIVER: &str = include_str!("driver.py");

/// Longer than any import should take, even from a busy shared file system.
const CHECK_LIMIT: Duration = Duration::from_secs(120);

/// Why a class cannot be used.
#[derive(Debug, Error)]
pub(crate) enum PythonError {
    /// There is no Python.
    #[error("it is not built in, and there is no python3 to run it with")]
    NoPython,
    /// It could not be started.
    #[error("cannot run python3 to see whether the class can be used: {0}")]
    Start(String),
    /// The class refuses, or cannot be found.
    #[error("{0}\n  it is not built in, and python3 cannot make it: is its module in PYTHONPATH?")]
    Class(String),
}

/// Whether this can be the name of a class in a module.
pub(super) fn is_class(name: &str) -> bool {
    let is_identifier = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    name.contains('.') && name.split('.').all(is_identifier)
}

/// How tasks of this class are started, once rank 0 has checked that the class can be constructed.
///
/// All keys except `env.*` are arguments of the class, as in PyTaskFarmer.
pub(super) fn prepare(section: &Section, variables: &[(Vec<u8>, Template)]) -> Result<Start, PythonError> {
    let (module, class) = section.class.value.rsplit_once('.').unwrap_or_default();
    let arguments = section.keys.iter().filter(|key| !key.name.starts_with("env."));
    let arguments: Vec<_> = arguments.map(|key| [&key.name, &key.value]).collect();
    let spec = serde_json::json!({ "module": module, "class": class, "arguments": arguments }).to_string();
    check(&spec, variables)?;
    let words = ["python3", "-c", DRIVER, &spec].map(Template::literal);
    let words = words.into_iter().chain([Template::around("", Field::Id)]).collect();
    Ok(Start::Words { words, by_stdin: true })
}

fn check(spec: &str, variables: &[(Vec<u8>, Template)]) -> Result<(), PythonError> {
    let cwd = std::env::current_dir().map_err(|error| PythonError::Start(error.to_string()))?;
    let host = host::name();
    let place = Values { host: host.as_bytes(), cwd: cwd.as_os_str().as_encoded_bytes(), ..Values::default() };
    let environment = Environment::inherited(&cwd, &fixed_variables(variables, &place), &[]);
    let python = SearchPath::new(environment.get(b"PATH")).find(b"python3", false).ok_or(PythonError::NoPython)?;
    let mut command = Command::new(OsStr::from_bytes(python.as_bytes()));
    command.arg0("python3").args(["-c", DRIVER, spec, "check"]).env_clear();
    for variable in environment.block(false).map(CStr::to_bytes) {
        let at = variable.iter().position(|&byte| byte == b'=').unwrap_or(variable.len());
        command.env(OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(variable.get(at + 1..).unwrap_or_default()));
    }
    let answer = query::run(command, CHECK_LIMIT).map_err(|error| match error {
        QueryError::System(error) if error.kind() == ErrorKind::NotFound => PythonError::NoPython,
        QueryError::TimedOut => {
            PythonError::Class(format!("python3 was still importing it after {} s", CHECK_LIMIT.as_secs()))
        }
        QueryError::System(error) => PythonError::Start(error.to_string()),
    })?;
    match answer.status.code() {
        Some(0) => Ok(()),
        Some(_) => Err(PythonError::Class(last_lines(&answer.output))),
        None => Err(PythonError::Class(format!("python3 ended by {}", answer.status))),
    }
}

/// The error is in Python's last lines.
fn last_lines(output: &[u8]) -> String {
    const LINES: usize = 4;
    let text = crate::shown::text(output);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n  ")
}
