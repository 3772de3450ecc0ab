//! Processes of tasks: start, signal, reap.
//!
//! Owns posix_spawn, wait4 and kill. A task is started by posix_spawn, which shares memory with its caller until
//! the exec instead of copying page tables; it leads a process group of its own.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::task::Outcome;

/// A program to start.
#[derive(Debug)]
pub struct Command<'a> {
    /// Path of the program; PATH is not searched.
    pub program: &'a CStr,
    /// Its arguments, starting with the name by which it is called.
    pub argv: &'a [&'a CStr],
    /// Its environment, `NAME=value`.
    pub environment: &'a [&'a CStr],
    /// Its standard input, output and error.
    pub ends: [BorrowedFd<'a>; 3],
    /// The folder in which it starts, if that is not the caller's.
    pub folder: Option<BorrowedFd<'a>>,
}

/// A function of newer C libraries, which are not needed to start this program.
type AddFchdir = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, libc::c_int) -> libc::c_int;

/// Attributes that all tasks share: own process group, no signal blocked, none ignored.
#[derive(Debug)]
pub struct Spawner {
    attributes: libc::posix_spawnattr_t,
    add_fchdir: Option<AddFchdir>,
}

fn check(code: libc::c_int) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) }
}

impl Spawner {
    /// Prepares the attributes.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new() -> Result<Self, Errno> {
        let mut attributes = MaybeUninit::uninit();
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let flags = libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: each pointer is to memory of the right type, made valid by the init calls before it is read. The
        // attributes own no memory in glibc and musl, so moving them is fine and nothing leaks.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), none.as_ptr()))?;
            check(libc::posix_spawnattr_setsigdefault(attributes.as_mut_ptr(), all.as_ptr()))?;
            check(libc::posix_spawnattr_setpgroup(attributes.as_mut_ptr(), 0))?;
            check(libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags as libc::c_short))?;
            Ok(Self { attributes: attributes.assume_init(), add_fchdir: add_fchdir() })
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    /// The error of fork or exec: ENOENT, EACCES, E2BIG, ENOEXEC … for the program, EAGAIN or ENOMEM for the node, ENOSYS
    /// if the C library cannot start it in a different folder.
    pub fn spawn(&self, command: &Command<'_>) -> Result<Pid, Errno> {
        let pointers = |strings: &[&CStr]| -> Vec<*mut libc::c_char> {
            strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
        };
        let (argv, environment) = (pointers(command.argv), pointers(command.environment));
        let enter = match command.folder {
            Some(folder) => Some((folder, self.add_fchdir.ok_or(Errno::ENOSYS)?)),
            None => None,
        };
        let mut actions = MaybeUninit::uninit();
        let mut pid = 0;
        // SAFETY: the actions are initialized before use and destroyed once; argv and environment are arrays of C
        // strings that end with a null pointer and live until the call returns, as do the descriptors; the function that
        // was looked up has this type in every C library that has it.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            let mut actions = actions.assume_init();
            let entered = enter.map_or(Ok(()), |(folder, add)| check(add(&raw mut actions, folder.as_raw_fd())));
            let moved = entered.and_then(|()| {
                command.ends.into_iter().zip(0..).try_for_each(|(fd, to)| {
                    check(libc::posix_spawn_file_actions_adddup2(&raw mut actions, fd.as_raw_fd(), to))
                })
            });
            let result = moved.and_then(|()| {
                check(libc::posix_spawn(
                    &raw mut pid,
                    command.program.as_ptr(),
                    &raw const actions,
                    &raw const self.attributes,
                    argv.as_ptr(),
                    environment.as_ptr(),
                ))
            });
            libc::posix_spawn_file_actions_destroy(&raw mut actions);
            result?;
        }
        Ok(Pid::from_raw(pid))
    }
}

/// glibc has it since 2.29. A program that needs it by name would not start with an older one.
#[cfg(not(target_env = "musl"))]
fn add_fchdir() -> Option<AddFchdir> {
    // SAFETY: a C string; what is found under this name has this type, and a null pointer is None.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"posix_spawn_file_actions_addfchdir_np".as_ptr());
        std::mem::transmute::<*mut libc::c_void, Option<AddFchdir>>(found)
    }
}

#[cfg(target_env = "musl")]
fn add_fchdir() -> Option<AddFchdir> {
    Some(libc::posix_spawn_file_actions_addfchdir_np)
}

/// Makes the program of this command die with the thread that starts it.
pub(crate) fn die_with_parent(command: &mut std::process::Command) -> &mut std::process::Command {
    // SAFETY: between fork and exec only prctl is called, which takes no lock and allocates nothing.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)) }
}

/// A process that has ended, and its resource use.
#[derive(Debug)]
pub(crate) struct Reaped {
    /// Its pid, which may be reused now.
    pub pid: Pid,
    /// How it ended.
    pub outcome: Outcome,
    /// Its memory was written to a file.
    pub core_dumped: bool,
    /// User CPU time of the process and the children for which it waited.
    pub user: Duration,
    /// System CPU time, likewise.
    pub system: Duration,
    /// Largest resident set, in KiB.
    pub max_rss_kib: u64,
}

/// What [`reap`] found.
#[derive(Debug)]
pub(crate) enum Reap {
    /// A child that has ended.
    Ended(Reaped),
    /// There are children, but none has ended.
    NoneEnded,
    /// There is no child.
    NoChild,
}

/// Whose children are meant. An orphan that comes to a process becomes a child of its first thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// Those of all threads.
    Process,
    /// Those of the calling thread.
    ThisThread,
}

/// The next ended child, including adopted ones. It is not reaped: until then, its pid is not reused.
pub(crate) fn ended_child(whose: Whose) -> Option<Pid> {
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: the pointer is to memory of the right type; a zeroed siginfo_t is a valid one, and after waitid has
        // filled it in for a child, it holds the child's pid. If no child has ended, the pid stays 0.
        let (code, pid) = unsafe {
            let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            let look = if whose == Whose::ThisThread { look | libc::__WNOTHREAD } else { look };
            let code = libc::waitid(libc::P_ALL, 0, found.as_mut_ptr(), look);
            (code, found.assume_init_ref().si_pid())
        };
        match code {
            0 => return (pid != 0).then(|| Pid::from_raw(pid)),
            _ if Errno::last() == Errno::EINTR => {}
            _ => return None,
        }
    }
}

/// Reaps the next ended child, including adopted ones, or the one with this pid. Does not wait.
pub(crate) fn reap(pid: Option<Pid>) -> Reap {
    let wanted = pid.map_or(-1, Pid::as_raw);
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to memory of the right type; wait4 fills them when it returns a pid, and a
        // zeroed rusage is a valid one.
        let (pid, usage) = unsafe {
            let pid = libc::wait4(wanted, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
            (pid, usage.assume_init_ref())
        };
        match pid {
            0 => return Reap::NoneEnded,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Reap::NoChild,
            pid => {
                let outcome = if libc::WIFSIGNALED(status) {
                    Outcome::Signaled(u8::try_from(libc::WTERMSIG(status)).unwrap_or(u8::MAX))
                } else {
                    Outcome::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
                };
                return Reap::Ended(Reaped {
                    pid: Pid::from_raw(pid),
                    outcome,
                    core_dumped: libc::WIFSIGNALED(status) && libc::WCOREDUMP(status),
                    user: duration(usage.ru_utime),
                    system: duration(usage.ru_stime),
                    max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
                });
            }
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_usec).unwrap_or(0) * 1_000)
}

/// Sends signals to a process group. Its leader must not have been reaped: until then no other group has its ID.
pub(crate) fn signal_group(leader: Pid, signals: &[Signal]) {
    for &signal in signals {
        match killpg(leader, signal) {
            Ok(()) | Err(Errno::ESRCH) => {} // It was already gone.
            Err(error) => log::debug!("cannot send {signal} to process group {leader}: {error}"),
        }
    }
}

/// A file without a name that holds these bytes, to be read from the start.
///
/// # Errors
/// If memory or descriptors are short.
pub(crate) fn memory_file(bytes: &[u8]) -> std::io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::io::{Seek, Write};
    let mut file = File::from(memfd_create(c"taskfarmer-script", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A path that execve takes.
pub(crate) fn c_string(bytes: &[u8]) -> Option<CString> {
    CString::new(bytes).ok()
}
