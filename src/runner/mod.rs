//! Task → program, arguments, environment.
//!
//! Owns how the text of a task becomes a process. Never starts one: see [`crate::pool`].

pub(crate) mod config;
pub(crate) mod direct;
pub(crate) mod environment;
pub(crate) mod fields;
mod kinds;
mod python;
pub(crate) mod shell_rules;
pub(crate) mod simple;

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::shell::quoted;
use crate::sys::process::c_string;
pub use config::RunnerConfig;
use config::{Defined, Shell, Start, fixed_variables};
use direct::{Direct, Inherited};
use environment::Environment;
use fields::{Field, Template, Values, as_operand};
pub(crate) use kinds::{Found, RunnerError, find, listing};
use shell_rules::ShellRules;

/// The runner that a farm gets when `--runner` is not given.
pub(crate) const DEFAULT_RUNNER: &str = "default";

/// Longest single argument that Linux passes to a program, in bytes, including its NUL (MAX_ARG_STRLEN).
const ARGUMENT_LEN_MAX: usize = 32 * 4096;

/// How to start one task.
#[derive(Debug)]
pub struct Launch {
    /// Path of the program; empty if it was searched for and not found, which exec treats as a file that does not
    /// exist.
    pub program: CString,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// What a shell would do and is done without one. `None`: a shell does it itself.
    pub direct: Option<Direct>,
    /// Bytes for standard input in place of /dev/null.
    pub stdin: Option<Vec<u8>>,
}

/// A runner that is ready to use on one node.
#[derive(Debug)]
pub struct Runner {
    defined: Option<Box<Defined>>,
    /// Whether lines without shell syntax need no shell here.
    may_be_direct: bool,
    rules: ShellRules,
    inherited: Inherited,
    path: SearchPath,
    shell: PathBuf,
}

/// How a task is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// As its line says, without a shell.
    Direct,
    /// By a shell.
    Shell,
    /// As the runner says.
    Runner,
}

impl Way {
    /// Its name in a column, with the space after it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct ",
            Self::Shell => "shell  ",
            Self::Runner => "runner ",
        }
    }
}

/// The shell for lines of tasks.
fn shell_path(shell: Shell) -> PathBuf {
    let bash = Path::new("/bin/bash");
    match shell {
        Shell::Bash => bash.to_owned(),
        Shell::Auto if bash.exists() => bash.to_owned(),
        Shell::Auto | Shell::Sh => PathBuf::from("/bin/sh"),
    }
}

impl RunnerConfig {
    /// Path of the shell that reads the commands of tasks; `None` if none does, or if only the user's program knows.
    pub fn reads_commands(&self) -> Option<PathBuf> {
        let has_command = |line: &[Template]| {
            line.iter().flat_map(Template::fields).any(|field| matches!(field, Field::Run | Field::Command))
        };
        match self.defined().map(|defined| &defined.start) {
            None => Some(shell_path(Shell::Auto)),
            Some(Start::Shell(shell)) => Some(shell_path(*shell)),
            Some(Start::Line(shell, line)) if has_command(std::slice::from_ref(line)) => Some(shell_path(*shell)),
            // In a container, it is a different shell of the same name; the node's is asked in its place.
            Some(Start::Words { words, .. }) if has_command(words) => {
                let is_sh = words.iter().any(|word| word.filled(&Values::default()) == b"/bin/sh");
                Some(shell_path(if is_sh { Shell::Sh } else { Shell::Auto }))
            }
            Some(Start::Line(..) | Start::Words { .. } | Start::Split) => None,
        }
    }
}

impl Runner {
    /// Prepares a runner for tasks with this environment.
    pub fn new(config: &RunnerConfig, environment: &Environment) -> Self {
        let defined = config.defined();
        let (shell, is_basic) = match defined.map(|defined| &defined.start) {
            None => (Shell::Auto, true),
            Some(Start::Shell(shell)) => (*shell, true),
            Some(Start::Line(shell, _)) => (*shell, false),
            Some(Start::Split | Start::Words { .. }) => (Shell::Auto, false),
        };
        // The rules know the variables and the location of tasks only for a whole pool.
        let is_alike = defined.is_none_or(|defined| {
            defined.setup.is_empty() && defined.cwd.is_none() && defined.variables.iter().all(|(_, v)| v.is_fixed())
        });
        Self {
            defined: defined.cloned().map(Box::new),
            may_be_direct: is_basic && is_alike,
            rules: ShellRules::from_environment(environment.variables()),
            inherited: Inherited::of(environment),
            path: SearchPath::new(environment.get(b"PATH")),
            shell: shell_path(shell),
        }
    }

    /// A runner for tasks of this process, to find out what it would do.
    pub fn here(config: &RunnerConfig, cwd: &Path) -> Self {
        let fixed = fixed_variables(config.variables(), &Values::default());
        Self::new(config, &Environment::inherited(cwd, &fixed, &[]))
    }

    /// How the task with this command would be started on this node.
    pub fn way(&self, command: &[u8]) -> Way {
        match self.direct(command) {
            Some(_) => Way::Direct,
            None if self.has_shell() => Way::Shell,
            None => Way::Runner,
        }
    }

    /// Its definition in an INI file.
    pub fn defined(&self) -> Option<&Defined> {
        self.defined.as_deref()
    }

    /// Path of the shell that `{run}` starts.
    pub fn shell_path(&self) -> &Path {
        &self.shell
    }

    /// Whether a shell starts all tasks that are not started directly.
    pub fn has_shell(&self) -> bool {
        let setup = self.defined().is_some_and(|defined| !defined.setup.is_empty());
        setup || self.defined().is_none_or(|defined| matches!(defined.start, Start::Shell(_) | Start::Line(..)))
    }

    /// A direct start of the program, if that has the same result as the shell's and saves its cost. If it fails,
    /// whatever the reason, the shell must be used: it gives the right message and exit code.
    pub fn direct(&self, command: &[u8]) -> Option<Launch> {
        if !self.may_be_direct {
            return None;
        }
        if let Some(words) = self.rules.plain_words(command) {
            let program = self.path.find(words.first()?, false)?;
            let argv = words.into_iter().map(c_string).collect::<Option<Vec<_>>>()?;
            let underscore = c_string(&[b"_=", program.as_bytes()].concat())?;
            let direct = Direct { variables: vec![underscore], ..Direct::default() };
            return Some(Launch { program, argv, direct: Some(direct), stdin: None });
        }
        if self.shell.file_name() != Some("bash".as_ref()) {
            return None;
        }
        let simple = self.rules.simple(command)?;
        let program = self.path.find(&simple.words.first()?.text, simple.folder.is_some())?;
        if simple.is_exec && !program.as_bytes().starts_with(b"/") {
            return None; // `exec` gives the program, such as a script, its absolute path.
        }
        let direct = self.inherited.direct(&simple, &program)?;
        let argv = simple.words.iter().map(|word| c_string(&word.text)).collect::<Option<Vec<_>>>()?;
        Some(Launch { program, argv, direct: Some(direct), stdin: None })
    }

    /// The start that the runner defines. `by_stdin`: a script for a shell was too long for an argument.
    ///
    /// `None` if there is no such start: no program, a NUL, or no script.
    pub fn launch(&self, values: &Values<'_>, by_stdin: bool) -> Option<Launch> {
        let setup = self.defined().map_or(&b""[..], |defined| &defined.setup);
        let words = match self.defined().map(|defined| &defined.start) {
            None | Some(Start::Shell(_)) => {
                return self.shell(&with_setup(setup, values.task), by_stdin);
            }
            Some(Start::Line(_, line)) => return self.shell(&with_setup(setup, &line.filled(values)), by_stdin),
            _ if by_stdin => return None,
            Some(Start::Split) => split(values.task),
            Some(Start::Words { words, .. }) => {
                let mut filled = Vec::new();
                words.iter().for_each(|word| word.fill_word(values, &mut filled));
                filled
            }
        };
        let words = if setup.is_empty() { words } else { self.after_setup(setup, words) };
        let argv = words.iter().map(|word| c_string(word)).collect::<Option<Vec<_>>>()?;
        let name = argv.first()?;
        let reads = matches!(self.defined()?.start, Start::Words { by_stdin: true, .. });
        Some(Launch {
            // Not the name itself: that would be a file in the folder in which the task starts.
            program: self.path.find(name.as_bytes(), false).unwrap_or_default(),
            argv,
            direct: None,
            stdin: reads.then(|| values.task.to_vec()),
        })
    }

    fn after_setup(&self, setup: &[u8], words: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let shell = self.shell.as_os_str().as_bytes().to_vec();
        let script = guarded(setup, b"exec \"$@\"");
        [shell.clone(), b"-c".to_vec(), script, shell].into_iter().chain(words).collect()
    }

    /// A start by the shell. The shell reads a command that is too long for one argument, or any command if `by_stdin`,
    /// from its standard input; the command then has /dev/null as its standard input again.
    fn shell(&self, command: &[u8], by_stdin: bool) -> Option<Launch> {
        let by_stdin = by_stdin || command.len() >= ARGUMENT_LEN_MAX;
        let script: Vec<u8> = if by_stdin { b"eval \"$(cat)\" </dev/null".to_vec() } else { as_operand(command) };
        let name = self.shell.file_name().unwrap_or_default();
        Some(Launch {
            program: c_string(self.shell.as_os_str().as_bytes())?,
            argv: vec![c_string(name.as_bytes())?, c"-c".to_owned(), c_string(&script)?],
            direct: None,
            stdin: by_stdin.then(|| command.to_vec()),
        })
    }
}

/// A script that runs `setup`, and then `command` if that succeeded, each as if it were alone.
fn with_setup(setup: &[u8], command: &[u8]) -> Vec<u8> {
    if setup.is_empty() {
        return command.to_vec();
    }
    guarded(setup, &[b"eval ", &quoted(&as_operand(command))[..]].concat())
}

/// `eval` keeps a comment, a backslash or an open quote at the end of the setup from affecting the rest; `case` lets
/// `set -e` work in it, unlike `&&`.
fn guarded(setup: &[u8], then: &[u8]) -> Vec<u8> {
    [b"eval ", &quoted(&as_operand(setup))[..], b"\ncase $? in 0) ", then, b" ;; *) exit ;; esac"].concat()
}

/// Splits at white space, as Python's `str.split` does; bytes that are not UTF-8 do not separate.
fn split(command: &[u8]) -> Vec<Vec<u8>> {
    let is_space = |c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f');
    let mut words = vec![Vec::new()];
    for chunk in command.utf8_chunks() {
        for c in chunk.valid().chars() {
            match words.last_mut() {
                Some(word) if !is_space(c) => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => words.push(Vec::new()),
            }
        }
        if let Some(word) = words.last_mut() {
            word.extend_from_slice(chunk.invalid());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Where programs are looked for. [`ShellRules`] accepts no line if bash would interpret PATH differently.
#[derive(Debug)]
struct SearchPath {
    folders: Vec<Vec<u8>>,
}

impl SearchPath {
    fn new(path: Option<&[u8]>) -> Self {
        let folders = path.map(|path| path.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect());
        Self { folders: folders.unwrap_or_default() }
    }

    /// The first executable that is not a folder. execvp would also continue after one that cannot be executed after
    /// all; bash does not. `moves`: the program starts in a different folder, so that only bash finds it if a folder of
    /// PATH is relative.
    fn find(&self, name: &[u8], moves: bool) -> Option<CString> {
        if name.contains(&b'/') {
            return c_string(name);
        }
        if moves && !self.folders.iter().all(|folder| folder.starts_with(b"/")) {
            return None;
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

    /// Commands are checked with the rules of the shell that reads them, and not at all if none does.
    #[test]
    fn the_shell_that_reads_commands_is_known() {
        let defined = |start| {
            let (setup, cwd, variables) = (Vec::new(), None, Vec::new());
            RunnerConfig::Defined(Box::new(Defined { start, setup, cwd, variables, proc_number: true }))
        };
        let words = |program: &str, field| {
            let words = vec![Template::literal(program), Template::around("", field)];
            defined(Start::Words { words, by_stdin: false }).reads_commands()
        };
        let (bash, sh) = (shell_path(Shell::Auto), shell_path(Shell::Sh));
        assert_eq!(RunnerConfig::Basic.reads_commands(), Some(bash.clone()));
        assert_eq!(defined(Start::Shell(Shell::Sh)).reads_commands(), Some(sh.clone()));
        assert_eq!(defined(Start::Split).reads_commands(), None);
        assert_eq!((words("x", Field::Run), words("/bin/sh", Field::Command)), (Some(bash), Some(sh)));
        assert_eq!((words("x", Field::Task), words("x", Field::Id)), (None, None));
    }

    /// A plain line is started without a shell, as bash would find it.
    #[test]
    fn a_plain_line_is_direct() {
        let launch = runner(&[("PATH", "/nonexistent:/bin")]).direct(b"cat -n x").unwrap();
        assert_eq!(launch.program.as_bytes(), b"/bin/cat");
        assert_eq!(launch.argv, [c"cat".to_owned(), c"-n".to_owned(), c"x".to_owned()]);
        assert_eq!(launch.direct.unwrap().variables, [c"_=/bin/cat".to_owned()]);
    }

    /// What bash would look up differently is left to bash.
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

    /// `shell = split` produces the same words as PyTaskFarmer.
    #[test]
    fn split_is_pythons() {
        assert_eq!(split(b" a  'b c'\t\x1cd\xc2\xa0e\xff f "), [&b"a"[..], b"'b", b"c'", b"d", b"e\xff", b"f"]);
        assert_eq!(split(b" "), [b""; 0]);
    }

    /// A setup can affect the task only by failing, and the task cannot affect the setup.
    #[test]
    fn setup_and_command_stand_alone() {
        let run = |setup: &[u8], command: &[u8]| {
            let script = with_setup(setup, command);
            let script = std::ffi::OsStr::from_bytes(&script);
            let output = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(run(b"x=1 # it's", b"echo $x; false || exit 3 # \\"), (3, "1\n".to_owned()));
        assert_eq!(run(b"echo a\nsh -c 'exit 4'", b"echo b"), (4, "a\n".to_owned()));
        assert_eq!(run(b"set -e\nfalse\ntrue", b"echo b"), (1, String::new()));
        assert_eq!(run(b"true", b"echo a && false || echo b"), (0, "a\nb\n".to_owned()));
        assert_eq!(run(b"cat <<E\nin\nE", b"-x 2>/dev/null").1, "in\n");
    }
}
