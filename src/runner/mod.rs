//! Task → program, arguments, environment.
//!
//! Owns how the text of a task becomes a process. Never starts one: see [`crate::pool`].

pub mod environment;
pub mod shell_rules;

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};
use nix::unistd::{AccessFlags, access};
use thiserror::Error;

use crate::sys::process::c_string;
use environment::Environment;
use shell_rules::ShellRules;

/// The runner that a farm gets when `--runner` is not given.
pub const DEFAULT_RUNNER: &str = "default";

/// Longest single argument that Linux passes to a program, in bytes, its NUL included (MAX_ARG_STRLEN).
const ARGUMENT_LEN_MAX: usize = 32 * 4096;

/// Which runner, as rank 0 tells the workers.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum RunnerConfig {
    /// Each task is a shell command.
    Basic,
}

/// `--runner` names a runner that does not exist.
#[derive(Debug, Error)]
#[error("there is no runner '{0}'; built in is: {DEFAULT_RUNNER}")]
pub struct UnknownRunner(String);

impl RunnerConfig {
    /// The runner of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn by_name(name: &str) -> Result<Self, UnknownRunner> {
        if name == DEFAULT_RUNNER { Ok(Self::Basic) } else { Err(UnknownRunner(name.to_owned())) }
    }
}

/// How to start one task.
#[derive(Debug)]
pub struct Launch {
    /// Path of the program.
    pub program: CString,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// Value of `_`, and SHLVL and PWD as a shell would leave them. `None`: a shell sees to that itself.
    pub underscore: Option<CString>,
    /// Bytes for standard input instead of /dev/null.
    pub stdin: Option<Vec<u8>>,
}

/// A runner that is ready to work on one node.
#[derive(Debug)]
pub struct Runner {
    rules: ShellRules,
    path: SearchPath,
    shell: PathBuf,
}

impl Runner {
    /// Prepares a runner for tasks with this environment.
    #[must_use]
    pub fn new(config: &RunnerConfig, environment: &Environment) -> Self {
        let RunnerConfig::Basic = config;
        let bash = Path::new("/bin/bash");
        Self {
            rules: ShellRules::from_environment(environment.variables()),
            path: SearchPath::new(environment.get(b"PATH")),
            shell: if bash.exists() { bash.to_owned() } else { PathBuf::from("/bin/sh") },
        }
    }

    /// A direct start of the program, where that has the same result as the shell's and spares its cost.
    /// If it fails, whatever the reason, the shell is to be asked: it knows the right message and exit code.
    #[must_use]
    pub fn direct(&self, command: &[u8]) -> Option<Launch> {
        let words = self.rules.plain_words(command)?;
        let program = self.path.find(words.first()?)?;
        let argv = words.into_iter().map(c_string).collect::<Option<Vec<_>>>()?;
        let underscore = c_string(&[b"_=", program.as_bytes()].concat())?;
        Some(Launch { program, argv, underscore: Some(underscore), stdin: None })
    }

    /// A start by the shell. A command that is too long for one argument, and any if `by_stdin`, is read by the
    /// shell from its standard input, which the command then sees as /dev/null again.
    ///
    /// `None` if the command has a NUL, which no tasklist lets pass.
    #[must_use]
    pub fn shell(&self, command: &[u8], by_stdin: bool) -> Option<Launch> {
        let by_stdin = by_stdin || command.len() >= ARGUMENT_LEN_MAX;
        let script: Vec<u8> = match command.first() {
            _ if by_stdin => b"eval \"$(cat)\" </dev/null".to_vec(),
            // Else the shell would take the command for an option of its own.
            Some(b'-' | b'+') => [b" ", command].concat(),
            _ => command.to_vec(),
        };
        let name = self.shell.file_name().unwrap_or_default();
        Some(Launch {
            program: c_string(self.shell.as_os_str().as_bytes())?,
            argv: vec![c_string(name.as_bytes())?, c"-c".to_owned(), c_string(&script)?],
            underscore: None,
            stdin: by_stdin.then(|| command.to_vec()),
        })
    }
}

/// Where programs are looked for. [`ShellRules`] lets no line pass whose PATH bash would read in another way.
#[derive(Debug)]
struct SearchPath {
    folders: Vec<Vec<u8>>,
}

impl SearchPath {
    fn new(path: Option<&[u8]>) -> Self {
        let folders = path.map(|path| path.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect());
        Self { folders: folders.unwrap_or_default() }
    }

    /// The first executable that is no folder. execvp would also go on behind one that can't be executed after
    /// all; bash does not.
    fn find(&self, name: &[u8]) -> Option<CString> {
        if name.contains(&b'/') {
            return c_string(name);
        }
        self.folders.iter().find_map(|folder| {
            let folder = if folder.is_empty() { b"." } else { &folder[..] };
            let path = c_string(&[folder, b"/", name].concat())?;
            is_program(&path).then_some(path)
        })
    }
}

fn is_program(path: &CStr) -> bool {
    let os_path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    access(path, AccessFlags::X_OK).is_ok() && !os_path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(variables: &[(&str, &str)]) -> Runner {
        let variables = variables.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Runner::new(&RunnerConfig::Basic, &Environment::from_variables(variables, Path::new("/")))
    }

    /// A plain line is started without a shell, as bash would find it.
    #[test]
    fn a_plain_line_is_direct() {
        let launch = runner(&[("PATH", "/nonexistent:/bin")]).direct(b"cat -n x").unwrap();
        assert_eq!(launch.program.as_bytes(), b"/bin/cat");
        assert_eq!(launch.argv, [c"cat".to_owned(), c"-n".to_owned(), c"x".to_owned()]);
        assert_eq!(launch.underscore.unwrap().as_bytes(), b"_=/bin/cat");
    }

    /// What bash would look up differently is bash's.
    #[test]
    fn odd_paths_are_left_to_the_shell() {
        assert!(runner(&[]).direct(b"cat x").is_none());
        assert!(runner(&[("PATH", "~/bin:/bin")]).direct(b"cat x").is_none());
        assert!(runner(&[("PATH", "/bin")]).direct(b"no-such-program").is_none());
        assert!(runner(&[]).direct(b"/bin/cat x").is_some());
    }

    /// Lines beyond the length of an argument still run.
    #[test]
    fn a_long_line_goes_by_standard_input() {
        let command = [b"echo ", &[b'x'; ARGUMENT_LEN_MAX][..]].concat();
        let launch = runner(&[]).shell(&command, false).unwrap();
        assert_eq!(launch.stdin.as_deref(), Some(&command[..]));
        assert!(runner(&[]).shell(b"echo x", false).unwrap().stdin.is_none());
    }
}
