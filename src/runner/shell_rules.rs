//! Which task lines need no shell.
//!
//! A task is promised the result of `bash -c LINE`. If a line has no shell syntax, bash only splits it into words at
//! blanks and execs them; the runner can do that itself, as GNU make does, and save the start of a shell. This module
//! owns that decision. It reads only bytes: it starts no process, opens no file and looks up no variable.
//!
//! It is an allow-list. A line that is sent to the shell unnecessarily costs a millisecond; in the opposite case, a
//! task would do something other than its line says. So anything that is not known to be left unchanged by every bash
//! from 4.2 to 5.3, and by dash, goes to the shell.
//!
//! For the same result, the code that execs the words must also ensure that
//! * the words are the arguments exactly as written, including the first one, not the path that was found for it;
//! * `SHLVL`, `PWD` and `_` are set as bash sets them, and no variable of [`TAKEN_OUT_BY_BASH`] is present;
//! * the program is the first one along `PATH` that is executable and not a directory, and if its exec fails the shell
//!   gets the line: a script without `#!` is run by bash, not by the `sh` of `execvp`;
//! * SIGCHLD is not blocked (bash unblocks it) and stdin is not a socket (bash might read `~/.bashrc`).
//!
//! The order of the variables in the environment is not preserved, hence `env` and `printenv` go to the shell. Messages
//! that bash prints because of what is on the disk are not reproduced, such as those about a libtinfo in
//! `LD_LIBRARY_PATH`, or a working directory that no longer exists.

use super::simple::{PLAIN, Simple};

/// Variables that bash removes from the environment of what it starts: the prompts, because it is not interactive, and
/// `OLDPWD`, which bash 4.2 always drops, and 4.4 and later if it is not a directory.
///
/// While one of these is in the environment of the tasks, no line is plain. Removing them beforehand costs a task at
/// most an `OLDPWD`, and makes all versions of bash alike.
pub const TAKEN_OUT_BY_BASH: [&str; 3] = ["OLDPWD", "PS1", "PS2"];

/// Longest line that Linux passes as one argument, with its NUL: 32 pages of 4 KiB. `bash -c` with a longer one cannot
/// start, so its words must not run either.
const LONGEST_LINE: usize = 32 * 4096 - 1;

/// Builtins and keywords of bash 4.2 to 5.3 and of dash (`chdir`), sorted. `[`, `[[`, `]]`, `{`, `}` and `!` are
/// missing because their bytes are not plain.
#[rustfmt::skip]
const SHELL_NAMES: &[&[u8]] = &[
    b".", b":", b"alias", b"bg", b"bind", b"break", b"builtin", b"caller", b"case", b"cd", b"chdir", b"command",
    b"compgen", b"complete", b"compopt", b"continue", b"coproc", b"declare", b"dirs", b"disown", b"do", b"done",
    b"echo", b"elif", b"else", b"enable", b"esac", b"eval", b"exec", b"exit", b"export", b"false", b"fc", b"fg",
    b"fi", b"for", b"function", b"getopts", b"hash", b"help", b"history", b"if", b"in", b"jobs", b"kill", b"let",
    b"local", b"logout", b"mapfile", b"popd", b"printf", b"pushd", b"pwd", b"read", b"readarray", b"readonly",
    b"return", b"select", b"set", b"shift", b"shopt", b"source", b"suspend", b"test", b"then", b"time", b"times",
    b"trap", b"true", b"type", b"typeset", b"ulimit", b"umask", b"unalias", b"unset", b"until", b"wait", b"while",
];

/// Variables that, if present at all, make `bash -c` do something other than exec the words, sorted. Those that depend
/// on their value are in [`ShellRules::from_environment`].
const FOR_THE_SHELL: &[&[u8]] = &[
    // Those without a remark: bash drops them, or changes their value.
    b"BASH",
    b"BASHOPTS", // Options, such as extglob.
    b"BASHPID",
    b"BASH_ARGV0",
    b"BASH_COMMAND",
    b"BASH_COMPAT", // Rules of a different version, or a message that there is no such version.
    b"BASH_EXECUTION_STRING",
    b"BASH_MONOSECONDS",
    b"BASH_SUBSHELL",
    b"BASH_VERSINFO",
    b"BASH_VERSION",
    b"BASH_XTRACEFD", // A message if it is not an open file.
    b"COMP_WORDBREAKS",
    b"EPOCHREALTIME",
    b"EPOCHSECONDS",
    b"EXECIGNORE", // Programs that are not found.
    b"HISTCMD",
    b"IFS",
    b"LD_DEBUG", // Those of the loader affect bash too.
    b"LD_PROFILE",
    b"LD_SHOW_AUXV",
    b"LD_TRACE_LOADED_OBJECTS",
    b"LD_VERBOSE",
    b"LD_WARN",
    b"LINENO",
    b"OLDPWD",
    b"OPTERR",
    b"OPTIND",
    b"POSIXLY_CORRECT", // POSIX mode: aliases, different rules for functions and builtins.
    b"POSIX_PEDANTIC",  // The same.
    b"PPID",
    b"PS1",
    b"PS2",
    b"PS4", // For root only, but that is not known here.
    b"RANDOM",
    b"SECONDS",
    b"SHELLOPTS", // Options, such as xtrace and noexec.
    b"SRANDOM",
];

/// Variables that bash treats in a special way when they are assigned, sorted: it computes, limits or uses their values
/// itself, or refuses to change them. [`is_assignable`] knows more by how their names begin.
#[rustfmt::skip]
const ASSIGNED_BY_SHELL: &[&[u8]] = &[
    b"CDPATH", b"CHILD_MAX", b"COLUMNS", b"COPROC", b"DIRSTACK", b"EMACS", b"ENV", b"EPOCHREALTIME", b"EPOCHSECONDS",
    b"EUID", b"EXECIGNORE", b"FCEDIT", b"FIGNORE", b"FUNCNAME", b"FUNCNEST", b"GLOBIGNORE", b"GLOBSORT", b"GROUPS",
    b"HOSTFILE", b"HOSTNAME", b"HOSTTYPE", b"IFS", b"IGNOREEOF", b"INPUTRC", b"INSIDE_EMACS", b"LINENO", b"LINES",
    b"MACHTYPE", b"MAPFILE", b"OLDPWD", b"OSTYPE", b"PATH", b"PIPESTATUS", b"POSIXLY_CORRECT", b"POSIX_PEDANTIC",
    b"PPID", b"PROMPT_COMMAND", b"PROMPT_DIRTRIM", b"PWD", b"RANDOM", b"SECONDS", b"SHELL", b"SHELLOPTS", b"SHLVL",
    b"SRANDOM", b"TERM", b"TERMCAP", b"TEXTDOMAIN", b"TEXTDOMAINDIR", b"TIMEFORMAT", b"TMOUT", b"UID", b"_",
    b"auto_resume", b"histchars", b"ignoreeof",
];

/// How the environment of the tasks affects their lines. Built once per pool.
#[derive(Debug, Clone)]
pub struct ShellRules {
    /// The environment makes bash do more than exec: every line goes to the shell.
    always_shell: bool,
    /// A name without `/` is looked up along `PATH` in the usual way.
    path_is_plain: bool,
    /// Names of exported functions, sorted.
    functions: Vec<Box<[u8]>>,
}

impl ShellRules {
    /// Reads the rules from `environment`, the names and values with which bash would be started.
    ///
    /// No line is plain with
    /// * a `BASH_ENV` that is not empty: bash runs that file first;
    /// * any of `SHELLOPTS`, `BASHOPTS`, `BASH_COMPAT`, `POSIXLY_CORRECT`, `POSIX_PEDANTIC`: options and modes;
    /// * `EXECIGNORE`, or an exported `command_not_found_handle`: bash finds programs other than those in `PATH`;
    /// * variables of bash's own (`IFS`, `RANDOM`, `PS1`, `OLDPWD`, ...): a task would get different values;
    /// * `LD_PRELOAD` and the like: they affect bash itself;
    /// * an `LC_ALL` that might not exist, a `SHLVL` that is not a level, an exported function that bash might fail to
    ///   read: each task would get a message from bash;
    /// * `SSH_CLIENT` without a `SHLVL` of at least 1: bash assumes that sshd started it and reads `~/.bashrc`.
    ///
    /// Without a `PATH`, or with a `~` in it, only programs with a `/` are plain: bash has a default of its own, and
    /// expands that `~`.
    pub fn from_environment<'a>(environment: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut rules = Self { always_shell: false, path_is_plain: false, functions: Vec::new() };
        let (mut by_ssh, mut level) = (false, Some(0));
        for (name, value) in environment {
            match name {
                b"BASH_ENV" | b"LD_AUDIT" | b"LD_PRELOAD" => rules.always_shell |= !value.is_empty(),
                b"LC_ALL" => rules.always_shell |= !matches!(value, b"" | b"C" | b"POSIX"),
                b"PATH" => rules.path_is_plain = !value.is_empty() && value.split(|&b| b == b':').all(no_tilde),
                b"SHLVL" => level = shell_level(value),
                b"SSH_CLIENT" | b"SSH2_CLIENT" => by_ssh = true,
                // A name that is empty, or starts with `=`, is not passed on by bash.
                b"" | [b'=', ..] => rules.always_shell = true,
                _ => rules.always_shell |= FOR_THE_SHELL.binary_search(&name).is_ok(),
            }
            if let Some(function) = exported_function(name, value) {
                rules.always_shell |= function == b"command_not_found_handle" || !surely_parses(value);
                rules.functions.push(function.into());
            }
        }
        rules.always_shell |= level.is_none_or(|level| by_ssh && level < 1);
        rules.functions.sort_unstable();
        rules
    }

    /// The words of `line` if exec of them has the same result as `bash -c line`; `None`: it goes to the shell.
    pub fn plain_words<'a>(&self, line: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        if self.always_shell || line.len() > LONGEST_LINE {
            return None;
        }
        let mut words = Vec::new();
        let mut start = 0;
        for (position, &byte) in line.iter().enumerate() {
            if matches!(byte, b' ' | b'\t') {
                if start < position {
                    self.add(&line[start..position], &mut words)?;
                }
                start = position + 1;
            } else if !PLAIN[usize::from(byte)] {
                return None;
            }
        }
        if start < line.len() {
            self.add(&line[start..], &mut words)?;
        }
        (!words.is_empty()).then_some(words)
    }

    /// The simple command that `line` is if the runner can do all of it itself, with the same result as `bash -c line`;
    /// `None`: it goes to the shell.
    ///
    /// Lines that [`Self::plain_words`] accepts are among them. The others mean this only to bash: other shells read
    /// `&>` in a different way, and print different messages.
    pub fn simple<'a>(&self, line: &'a [u8]) -> Option<Simple<'a>> {
        if self.always_shell || line.len() > LONGEST_LINE {
            return None;
        }
        let simple = Simple::parse(line)?;
        let program = &simple.words.first()?.text;
        // A name in quotes may have any bytes, such as that of the builtin `[`.
        let is_name = program.contains(&b'/') || program.iter().all(|&byte| PLAIN[usize::from(byte)]);
        if program.is_empty() || !is_name || !self.is_program(program) {
            return None;
        }
        if simple.folder.is_some() && self.is_function(b"cd") || simple.is_exec && self.is_function(b"exec") {
            return None;
        }
        let mut assigned = Vec::new();
        for (name, value) in simple.variables() {
            if !is_assignable(name, value) || assigned.contains(&name) {
                return None;
            }
            assigned.push(name);
        }
        Some(simple)
    }

    /// Adds a word of plain bytes. `None` if it is the first and does not name a program.
    fn add<'a>(&self, word: &'a [u8], words: &mut Vec<&'a [u8]>) -> Option<()> {
        if words.is_empty() && !self.is_program(word) {
            return None;
        }
        words.push(word);
        Some(())
    }

    /// Whether `word`, of plain bytes and first on its line, can only be the name of a program.
    fn is_program(&self, word: &[u8]) -> bool {
        // `%1` is a job, `-x` and `+x` are options to bash itself, and `=` may assign.
        if matches!(word, [b'%' | b'-' | b'+', ..]) || word.contains(&b'=') {
            return false;
        }
        let base = word.rsplit(|&byte| byte == b'/').next().unwrap_or(word);
        if matches!(base, b"env" | b"printenv") {
            return false; // They print the environment in its order, which is not preserved.
        }
        let has_slash = base.len() < word.len();
        (has_slash || (self.path_is_plain && SHELL_NAMES.binary_search(&word).is_err())) && !self.is_function(word)
    }

    fn is_function(&self, name: &[u8]) -> bool {
        self.functions.binary_search_by(|function| (**function).cmp(name)).is_ok()
    }
}

/// Whether an assignment in front of a program does nothing but give the variable to the program.
fn is_assignable(name: &[u8], value: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 9] = [b"BASH", b"COMP", b"HIST", b"LANG", b"LC_", b"MAIL", b"OPT", b"PS", b"READLINE"];
    let is_special = BEGINNINGS.iter().any(|&beginning| name.starts_with(beginning));
    !is_special && ASSIGNED_BY_SHELL.binary_search(&name).is_err() && !value.starts_with(b"() {")
}

/// Whether an element of `PATH` is just the name of a directory.
fn no_tilde(directory: &[u8]) -> bool {
    directory.first() != Some(&b'~')
}

/// The level of the shell, if bash accepts it silently: from 999 on it complains.
fn shell_level(value: &[u8]) -> Option<u16> {
    let digits = (1..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let level = str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
    (level < 999).then_some(level)
}

/// The name of the function that a variable exports, if it does for any bash: today's `BASH_FUNC_name%%`, the
/// `BASH_FUNC_name()` of some distributions, or any name at all, as before Shellshock.
fn exported_function<'a>(name: &'a [u8], value: &[u8]) -> Option<&'a [u8]> {
    let marked = name.strip_prefix(b"BASH_FUNC_");
    let marked = marked.and_then(|rest| rest.strip_suffix(b"%%").or_else(|| rest.strip_suffix(b"()")));
    marked.or_else(|| value.starts_with(b"() {").then_some(name))
}

/// Whether bash certainly reads this exported function without a message. Schedulers are known to cut them at the first
/// newline; and extglob patterns, valid where they were written, are an error in a shell that is just starting.
fn surely_parses(value: &[u8]) -> bool {
    let is_function = value.starts_with(b"() {");
    let extglob = |pair: &[u8]| matches!(pair, [b'?' | b'*' | b'+' | b'@' | b'!', b'(']);
    // Ending as bash writes it, without a redirection of the whole function.
    !is_function || (value.starts_with(b"() {  ") && value.ends_with(b"\n}") && !value.windows(2).any(extglob))
}

#[cfg(test)]
mod tests;
