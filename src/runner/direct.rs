//! Starts without a shell, for lines that need none.
//!
//! Owns what such a start does besides the program itself, so that neither the program nor the user can tell that no
//! bash was there: which variables it sets, which folder it enters, which files it opens, and what the log says if the
//! program dies. Does none of it: see [`crate::pool`].

use std::ffi::CString;

use super::environment::Environment;
use super::simple::{Redirect, Simple};
use crate::sys::process::c_string;

/// The longest path that a task may enter; the system's limit is 4096.
const PATH_MAX: usize = 4000;

/// What a start without a shell does besides the program.
#[derive(Default, Debug)]
pub struct Direct {
    /// Variables, `NAME=value`, that take precedence over all others of the task.
    pub variables: Vec<CString>,
    /// The folder in which the program starts, ending in `/.`, so that whoever opens it must be allowed to enter it.
    pub folder: Option<CString>,
    /// In this order.
    pub redirects: Vec<Redirect<CString>>,
    /// Bash would wait for the program rather than become the program: if that is killed by a signal, the task ends
    /// with an exit code and a message.
    pub is_waited_for: bool,
}

/// What bash would take from the environment of the tasks.
#[derive(Debug)]
pub(super) struct Inherited {
    /// Its name of the working directory. `None`: it might look for folders elsewhere, or give them different names.
    pwd: Option<Vec<u8>>,
    /// SHLVL of a program for which it waits.
    level: Option<CString>,
    /// `_`, which `exec` does not change.
    underscore: Option<CString>,
}

impl Inherited {
    pub(super) fn of(environment: &Environment) -> Self {
        let has_path = environment.get(b"CDPATH").is_some();
        let pwd = environment.pwd();
        let level = str::from_utf8(environment.level()).ok().and_then(|level| level.parse::<u16>().ok());
        let variable = |name: &[u8], value: &[u8]| c_string(&[name, b"=", value].concat());
        Self {
            pwd: (!has_path && (pwd == b"/" || is_canonical(pwd))).then(|| pwd.to_vec()),
            level: level.and_then(|level| variable(b"SHLVL", (level + 1).to_string().as_bytes())),
            underscore: environment.get(b"_").and_then(|value| variable(b"_", value)),
        }
    }

    /// What to do besides starting the program that was found.
    pub(super) fn direct(&self, simple: &Simple<'_>, program: &CString) -> Option<Direct> {
        let mut direct = Direct::default();
        let variables = &mut direct.variables;
        let mut set = |name: &[u8], value: &[u8]| c_string(&[name, b"=", value].concat()).map(|v| variables.push(v));
        for (name, value) in simple.variables() {
            set(name, value)?;
        }
        if let Some(folder) = &simple.folder {
            let old = self.pwd.as_deref()?;
            let (path, new) = entered(old, &folder.text)?;
            set(b"OLDPWD", old)?;
            set(b"PWD", &new)?;
            direct.folder = Some(path);
        }
        match simple.is_exec {
            false => set(b"_", program.as_bytes())?,
            true if simple.folder.is_none() => direct.variables.extend(self.underscore.clone()),
            true => {}
        }
        direct.is_waited_for = !simple.is_exec && !simple.redirections.is_empty();
        if direct.is_waited_for {
            direct.variables.push(self.level.clone()?);
        }
        for redirect in simple.redirects() {
            direct.redirects.push(match redirect {
                Redirect::Open { to, mode, path } => Redirect::Open { to, mode, path: c_string(path)? },
                Redirect::Copy { to, from } => Redirect::Copy { to, from },
            });
        }
        Some(direct)
    }
}

/// The path that `cd FOLDER` enters, and the PWD that it sets. Where bash has to look at links or leave something out,
/// it is the shell's.
fn entered(pwd: &[u8], folder: &[u8]) -> Option<(CString, Vec<u8>)> {
    if folder.starts_with(b"//") {
        return None;
    }
    let folder = folder.strip_prefix(b"./").unwrap_or(folder);
    let folder = folder.strip_suffix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(folder);
    let new = match folder {
        b"/" => folder.to_vec(),
        [b'/', ..] => folder.to_vec(),
        _ if pwd == b"/" => [b"/", folder].concat(),
        _ => [pwd, b"/", folder].concat(),
    };
    // In these, names depend on the process that uses them.
    let is_in = |place: &[u8]| new.strip_prefix(place).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    let is_odd = is_in(b"/proc") || (is_in(b"/dev") && !is_in(b"/dev/shm"));
    let is_sound = (new == b"/" || is_canonical(&new)) && new.len() < PATH_MAX && !is_odd;
    is_sound.then_some((c_string(&[folder, b"/."].concat())?, new))
}

/// Whether a path is absolute, and nothing in it can be left out.
fn is_canonical(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    path.strip_prefix(b"/").is_some_and(|rest| rest.split(|&byte| byte == b'/').all(is_name))
}

/// What bash adds to the log when the program of this line, for which it waited, was killed by a signal.
pub(crate) fn last_words(shell: &str, line: &[u8], pid: i32, signal: u8, core_dumped: bool) -> Vec<u8> {
    let description = match signal {
        SIGINT | SIGPIPE => return Vec::new(),
        SIGTERM => return b"Terminated\n".to_vec(),
        signal => description(signal),
    };
    let core = if core_dumped { "(core dumped) " } else { "" };
    let mut text = format!("{shell}: line 1: {pid:>5} {description:<24}{core}").into_bytes();
    text.extend(Simple::parse(line).map(|simple| simple.shown()).unwrap_or_default());
    text.push(b'\n');
    text
}

const SIGINT: u8 = libc::SIGINT as u8;
const SIGPIPE: u8 = libc::SIGPIPE as u8;
const SIGTERM: u8 = libc::SIGTERM as u8;

/// As the C library describes them to bash.
fn description(signal: u8) -> String {
    let known = match libc::c_int::from(signal) {
        libc::SIGHUP => "Hangup",
        libc::SIGQUIT => "Quit",
        libc::SIGILL => "Illegal instruction",
        libc::SIGTRAP => "Trace/breakpoint trap",
        libc::SIGABRT => "Aborted",
        libc::SIGBUS => "Bus error",
        libc::SIGFPE => "Floating point exception",
        libc::SIGKILL => "Killed",
        libc::SIGUSR1 => "User defined signal 1",
        libc::SIGSEGV => "Segmentation fault",
        libc::SIGUSR2 => "User defined signal 2",
        libc::SIGALRM => "Alarm clock",
        libc::SIGSTKFLT => "Stack fault",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "File size limit exceeded",
        libc::SIGVTALRM => "Virtual timer expired",
        libc::SIGPROF => "Profiling timer expired",
        libc::SIGIO => "I/O possible",
        libc::SIGPWR => "Power failure",
        libc::SIGSYS => "Bad system call",
        number @ 34.. => return format!("Real-time signal {}", number - 34),
        number => return format!("Unknown signal {number}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that `cd` gives to folders, where they are certain.
    #[test]
    fn folders_that_are_entered() {
        let entered = |pwd: &str, folder: &str| {
            let (path, pwd) = entered(pwd.as_bytes(), folder.as_bytes())?;
            Some((path.into_string().unwrap(), String::from_utf8(pwd).unwrap()))
        };
        let some = |path: &str, pwd: &str| Some((path.to_owned(), pwd.to_owned()));
        assert_eq!(entered("/a", "b"), some("b/.", "/a/b"));
        assert_eq!(entered("/a", "./b/c/"), some("b/c/.", "/a/b/c"));
        assert_eq!(entered("/", "b"), some("b/.", "/b"));
        assert_eq!(entered("/a", "/b"), some("/b/.", "/b"));
        assert_eq!(entered("/a", "/"), some("//.", "/"));
        assert_eq!(entered("/dev/shm/a", "b"), some("b/.", "/dev/shm/a/b"));
        for odd in ["//", ".", "..", "../b", "b/..", "b//c", "//b", "b//", "/proc/self", "/dev", "b/./c", "././b"] {
            assert_eq!(entered("/a", odd), None, "{odd}");
        }
        assert_eq!(entered("/", "proc"), None);
    }
}
