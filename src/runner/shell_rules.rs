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

/// Variables that bash removes from the environment of what it starts: the prompts, because it is not interactive, and
/// `OLDPWD`, which bash 4.2 always drops, and 4.4 and later if it is not a directory.
///
/// While one of these is in the environment of the tasks, no line is plain. Removing them beforehand costs a task at
/// most an `OLDPWD`, and makes all versions of bash alike.
pub const TAKEN_OUT_BY_BASH: [&str; 3] = ["OLDPWD", "PS1", "PS2"];

/// Longest line that Linux passes as one argument, with its NUL: 32 pages of 4 KiB. `bash -c` with a longer one cannot
/// start, so its words must not run either.
const LONGEST_LINE: usize = 32 * 4096 - 1;

/// Bytes that every shell leaves unchanged anywhere in a word after the first. Not among them, though harmless in some
/// places: `~` (home at the start and after `:` or `=`), `#` (comment), `!` (history, pipelines), `^` (pipe in old
/// shells), `{}` (lists), and anything that is not ASCII (blanks in some locales).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = matches!(byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'_' | b'.' | b'/' | b',' | b':' | b'@' | b'%' | b'+' | b'-' | b'=');
        byte += 1;
    }
    plain
};

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
        (has_slash || (self.path_is_plain && SHELL_NAMES.binary_search(&word).is_err()))
            && self.functions.binary_search_by(|function| (**function).cmp(word)).is_err()
    }
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
mod tests {
    use super::*;

    fn rules(environment: &[(&str, &str)]) -> ShellRules {
        let path = [("PATH", "/usr/bin:/bin")];
        let all = path.iter().chain(environment);
        ShellRules::from_environment(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn is_plain(rules: &ShellRules, line: &str) -> bool {
        rules.plain_words(line.as_bytes()).is_some()
    }

    /// Words are returned unchanged, split only at blanks and tabs.
    #[test]
    fn plain_lines_become_their_words() {
        let words = rules(&[]).plain_words(b"./run\t-n=3  a:b,c \t x@y%z+1 _. 2");
        assert_eq!(words.unwrap(), [&b"./run"[..], b"-n=3", b"a:b,c", b"x@y%z+1", b"_.", b"2"]);
        assert_eq!(rules(&[]).plain_words(b" \t"), None);
        assert_eq!(rules(&[]).plain_words(b""), None);
    }

    /// One byte that is not on the list, wherever it is, sends the line to the shell.
    #[test]
    fn any_other_byte_is_for_the_shell() {
        let rules = rules(&[]);
        for byte in (0..=u8::MAX).filter(|byte| !PLAIN[usize::from(*byte)] && !b" \t".contains(byte)) {
            for place in 0..=4 {
                let mut line = b"x ab".to_vec();
                line.insert(place, byte);
                assert_eq!(rules.plain_words(&line), None, "{byte:#x} at {place}");
            }
        }
        assert_eq!(PLAIN.iter().filter(|plain| **plain).count(), 72);
    }

    /// Names that the shell reserves are not looked up as programs, but are ordinary words later on the line.
    #[test]
    fn names_of_the_shell_are_for_the_shell() {
        let rules = rules(&[]);
        for name in SHELL_NAMES.iter().map(|name| str::from_utf8(name).unwrap()) {
            assert!(!is_plain(&rules, name), "{name}");
            assert!(!is_plain(&rules, &format!("{name} -x 1")), "{name}");
            assert!(is_plain(&rules, &format!("/bin/{name} {name}")), "{name}");
        }
        for first in ["a=b", "=", "a+=b", "x=1 run", "%1", "%", "-x", "--", "+x", "env", "/usr/bin/env", "printenv x"] {
            assert!(!is_plain(&rules, first), "{first}");
        }
    }

    /// Binary search needs sorted tables.
    #[test]
    fn tables_are_sorted() {
        assert!(SHELL_NAMES.is_sorted() && FOR_THE_SHELL.is_sorted());
        assert!(TAKEN_OUT_BY_BASH.iter().all(|name| FOR_THE_SHELL.contains(&name.as_bytes())));
    }

    /// A variable that makes bash do more than exec sends every line there.
    #[test]
    fn the_environment_can_forbid_all() {
        for name in FOR_THE_SHELL.iter().map(|name| str::from_utf8(name).unwrap()) {
            assert!(!is_plain(&rules(&[(name, "")]), "/bin/x"), "{name}");
        }
        let bad =
            [("BASH_ENV", "f"), ("LD_PRELOAD", "x"), ("LC_ALL", "x"), ("SHLVL", ""), ("SHLVL", "999"), ("=a", "b")];
        assert_eq!(bad.iter().find(|variable| is_plain(&rules(&[**variable]), "/bin/x")), None);
        let good =
            [("BASH_ENV", ""), ("LD_PRELOAD", ""), ("LC_ALL", "C"), ("SHLVL", "998"), ("LANG", "x"), ("a.b", ";")];
        assert_eq!(good.iter().find(|variable| !is_plain(&rules(&[**variable]), "/bin/x")), None);
    }

    /// If it is started by sshd and no other shell, bash reads `~/.bashrc`.
    #[test]
    fn first_shell_of_ssh_is_a_shell() {
        assert!(!is_plain(&rules(&[("SSH_CLIENT", "::1 1 22")]), "x"));
        assert!(!is_plain(&rules(&[("SSH2_CLIENT", ""), ("SHLVL", "0")]), "x"));
        assert!(is_plain(&rules(&[("SHLVL", "1"), ("SSH_CLIENT", "::1 1 22")]), "x"));
    }

    /// Bash has a default `PATH` if there is none, and expands a `~` in it.
    #[test]
    fn odd_paths_are_for_the_shell() {
        let no_path = ShellRules::from_environment([].into_iter());
        for rules in [no_path, rules(&[("PATH", "")]), rules(&[("PATH", "/bin:~/bin")])] {
            assert!(!is_plain(&rules, "x") && is_plain(&rules, "./x"));
        }
    }

    /// An exported function hides the program of its name; one that bash cannot read causes a message for each task.
    #[test]
    fn exported_functions_are_for_the_shell() {
        let body = "() {  echo hi\n}";
        for name in ["BASH_FUNC_run%%", "BASH_FUNC_run()", "run"] {
            let rules = rules(&[(name, body)]);
            assert!(!is_plain(&rules, "run 1") && is_plain(&rules, "./run") && is_plain(&rules, "runs run"), "{name}");
        }
        for bad in ["() {  echo hi", "() {  echo hi\n} 2>&1", "() {  echo @(a|b)\n}", "() { :;}"] {
            assert!(!is_plain(&rules(&[("BASH_FUNC_run%%", bad)]), "x"), "{bad}");
        }
        assert!(!is_plain(&rules(&[("BASH_FUNC_command_not_found_handle%%", body)]), "x"));
    }

    /// A line that is too long for an argument cannot run under bash, so it does not run without it either.
    #[test]
    fn a_line_too_long_for_bash_is_for_the_shell() {
        let mut line = b"x ".repeat(LONGEST_LINE / 2);
        line.push(b'x');
        assert_eq!((line.len(), rules(&[]).plain_words(&line).unwrap().len()), (LONGEST_LINE, LONGEST_LINE / 2 + 1));
        line.push(b'x');
        assert_eq!(rules(&[]).plain_words(&line), None);
    }
}
