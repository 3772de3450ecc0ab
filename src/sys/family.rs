//! The processes that descend from this one, and signals that reach only them.
//!
//! Owns the family tree by `/proc`, and pidfds. A process ID alone does not identify a process: when its process has
//! been reaped, the kernel reuses it. So a signal goes through a descriptor that stays with one process, and only after
//! what `/proc` says of that process was read with the descriptor open. Never decides which process gets a signal.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process::{Reap, reap};

/// A process as described by Linux.
#[derive(Debug)]
pub(crate) struct Stat {
    /// Its name, 15 bytes at most.
    pub name: String,
    /// Its state: `Z` is a process that has ended and was not reaped.
    pub state: char,
    /// The process ID of its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// When it was started, in clock ticks since the node booted.
    pub started: u64,
}

impl Stat {
    /// Reads it. `pid`: a process ID, or `self`. `None` if there is no such process.
    pub(crate) fn read(pid: &str) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // pid (name) state ppid pgrp …; the name may contain anything.
        let (name, rest) = text.split_once(" (")?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        let group = fields.next()?.parse().ok()?;
        // The 22nd field of all; this is the sixth.
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { name: name.to_owned(), state, parent, group, started })
    }
}

/// A living process that cannot be mistaken for a different one, even if it ends and its process ID is reused.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// Its process ID.
    pub pid: Pid,
    /// Its description when it was pinned.
    pub stat: Stat,
    /// `None` on Linux before 5.3, or if descriptors are short: then the time of its start identifies it.
    fd: Option<OwnedFd>,
}

impl Pinned {
    /// Pins the process that has this ID now. `None` if there is none that is alive.
    pub(crate) fn new(pid: Pid) -> Option<Self> {
        // SAFETY: plain numbers go in; the result is checked, and is a descriptor that nothing else owns.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0);
            i32::try_from(fd).ok().filter(|&fd| fd >= 0).map(|fd| OwnedFd::from_raw_fd(fd))
        };
        let stat = Stat::read(&pid.to_string())?;
        let pinned = Self { pid, stat, fd };
        // It is alive: so it is the one that was read.
        pinned.is_alive().then_some(pinned)
    }

    fn is_alive(&self) -> bool {
        match &self.fd {
            Some(fd) => {
                let mut look = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: the pointer is to one valid pollfd.
                unsafe { libc::poll(&raw mut look, 1, 0) == 0 }
            }
            None => Stat::read(&self.pid.to_string())
                .is_some_and(|stat| stat.started == self.stat.started && stat.state != 'Z'),
        }
    }

    /// Sends it signals, in this order. SIGCONT wakes a stopped process, which cannot die of SIGTERM.
    ///
    /// # Errors
    /// EPERM for a process of another user. It is not an error if it has ended.
    pub(crate) fn signal(&self, signals: &[Signal]) -> nix::Result<()> {
        signals.iter().try_for_each(|&signal| match self.send(signal) {
            Err(Errno::ESRCH) => Ok(()),
            other => other,
        })
    }

    fn send(&self, signal: Signal) -> nix::Result<()> {
        match &self.fd {
            Some(fd) => {
                // SAFETY: plain numbers, and a null pointer: the receiver gets the same information as from kill.
                let code = unsafe {
                    let info = std::ptr::null::<libc::siginfo_t>();
                    libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal as libc::c_int, info, 0)
                };
                Errno::result(code).map(drop)
            }
            None if self.is_alive() => kill(self.pid, signal),
            None => Ok(()),
        }
    }
}

/// Asks a process to end, and wakes it if it is stopped.
pub(crate) const TERMINATE: [Signal; 2] = [Signal::SIGTERM, Signal::SIGCONT];

/// Ends a process.
pub(crate) const KILL: [Signal; 1] = [Signal::SIGKILL];

/// At most this many descriptors are held for a chain of processes and their siblings. Further ones are identified by
/// their start.
const PINNED_MAX: usize = 128;

/// How children are found.
enum Kinship {
    /// The kernel keeps lists of children.
    Lists,
    /// It does not: all processes were read once.
    Scanned(HashMap<i32, Vec<Pid>>),
}

impl Kinship {
    fn look() -> Self {
        if !is_proc_ours() {
            Self::Scanned(HashMap::new())
        } else if has_lists() {
            Self::Lists
        } else {
            Self::Scanned(scan())
        }
    }

    fn children(&self, pid: Pid) -> Vec<Pid> {
        match self {
            Self::Scanned(children) => children.get(&pid.as_raw()).cloned().unwrap_or_default(),
            // A process has a list for each of its threads.
            Self::Lists => {
                let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
                let lists = threads.filter_map(|thread| std::fs::read(thread.path().join("children")).ok());
                lists.flat_map(|list| pids(&list)).collect()
            }
        }
    }
}

/// Whether `/proc` uses the same process IDs as this process. In a PID namespace without a `/proc` of its own, the same
/// numbers refer to different processes there: then only the children that can be waited for are known.
fn is_proc_ours() -> bool {
    std::fs::read_link("/proc/self").is_ok_and(|pid| pid.as_os_str().to_str() == Some(&Pid::this().to_string()))
}

/// Whether this kernel keeps lists of children; that depends on its configuration.
pub(crate) fn has_lists() -> bool {
    std::fs::exists("/proc/thread-self/children").unwrap_or(false)
}

fn scan() -> HashMap<i32, Vec<Pid>> {
    let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Some(stat) = Stat::read(&pid.to_string()) {
            children.entry(stat.parent).or_default().push(Pid::from_raw(pid));
        }
    }
    children
}

fn pids(list: &[u8]) -> Vec<Pid> {
    let numbers = list.split(|&byte| byte == b' ').filter_map(|number| str::from_utf8(number).ok()?.parse().ok());
    numbers.map(Pid::from_raw).collect()
}

/// Calls `act` for each of these children of this process that is alive, and for everything that descends from it,
/// parents first. A process that starts in the meantime may be missed: a signal for all must be repeated until none is
/// left.
pub(crate) fn each_of(children: &[Pid], act: &mut impl FnMut(&Pinned)) {
    let kinship = Kinship::look();
    // This process is alive, so its ID has not been reused.
    children.iter().filter_map(|&pid| child_of(Pid::this(), pid)).for_each(|child| visit(&kinship, &child, 0, act));
}

/// Children that this process had before the farm started any: those of a shell that has become this program.
static STRANGERS: OnceLock<Vec<(Pid, u64)>> = OnceLock::new();

/// Remembers the children that this process has now: they are not the farm's, and are never touched. To be called
/// before the first fork.
pub(crate) fn remember_strangers() {
    // Most processes have none, and checking that costs one call.
    if !may_have_orphans() {
        return;
    }
    let children = Kinship::look().children(Pid::this()).into_iter();
    let strangers = children.filter_map(|pid| Some((pid, Stat::read(&pid.to_string())?.started)));
    let _ = STRANGERS.set(strangers.collect());
}

fn is_stranger(pid: Pid) -> bool {
    STRANGERS.get().into_iter().flatten().any(|(stranger, started)| {
        *stranger == pid && Stat::read(&pid.to_string()).is_some_and(|stat| stat.started == *started)
    })
}

fn child_of(parent: Pid, pid: Pid) -> Option<Pinned> {
    Pinned::new(pid).filter(|child| child.stat.parent == parent.as_raw())
}

/// `held`: descriptors that are open for its ancestors.
fn visit(kinship: &Kinship, process: &Pinned, held: usize, act: &mut impl FnMut(&Pinned)) {
    // Before the signal: afterwards its children may have a different parent.
    let (mut children, mut held) = (Vec::new(), held);
    for mut child in kinship.children(process.pid).into_iter().filter_map(|pid| child_of(process.pid, pid)) {
        if held < PINNED_MAX {
            held += 1;
        } else {
            child.fd = None;
        }
        children.push(child);
    }
    // If it is alive, its ID had not been reused when its children named it.
    if !process.is_alive() {
        children.clear();
    }
    act(process);
    children.iter().for_each(|child| visit(kinship, child, held, act));
}

/// The children of this process, at low cost: for the check at the end of each task. If the process has threads that
/// start tasks, only those that the kernel has given to it as orphans, because these go to the first thread.
#[derive(Debug)]
pub(crate) struct Children {
    /// The kernel's list for the first thread, if it keeps lists.
    list: Option<File>,
}

impl Default for Children {
    fn default() -> Self {
        let pid = Pid::this();
        let list = File::open(format!("/proc/{pid}/task/{pid}/children")).ok();
        Self { list: list.filter(|_| is_proc_ours()) }
    }
}

impl Children {
    /// Lists them, including those that have ended and were not reaped.
    pub(crate) fn list(&self) -> Vec<Pid> {
        let Some(file) = &self.list else {
            return if may_have_orphans() { Kinship::look().children(Pid::this()) } else { Vec::new() };
        };
        let mut buffer = [0; 4096];
        let mut read = Vec::new();
        // An error counts as no list, and then as a search without it.
        while let Ok(len @ 1..) = file.read_at(&mut buffer, read.len() as u64) {
            read.extend_from_slice(&buffer[..len]);
            // The kernel returns only whole numbers, so a read that is shorter by more than one was the last one.
            if len + NUMBER_LEN_MAX < buffer.len() {
                break;
            }
        }
        pids(&read)
    }
}

/// The maximum number of bytes of a process ID and a blank.
const NUMBER_LEN_MAX: usize = 16;

/// Whether this thread has children, as opposed to other threads of its process.
fn may_have_orphans() -> bool {
    // SAFETY: a null pointer means that only the existence of a child is of interest.
    let code = unsafe {
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WNOTHREAD;
        libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), look)
    };
    code == 0
}

/// Ends everything that descends from this process and reaps it, including daemons: whatever a task leaves behind
/// becomes a child of its reaper, which is this process. `grace` is the time from SIGTERM to SIGKILL; zero kills
/// immediately. Returns whether all are gone: a process in uninterruptible sleep may outlast `limit`, and those of
/// another user are not waited for.
pub(crate) fn end_descendants(grace: Duration, limit: Duration) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    let mut asked = false;
    loop {
        loop {
            match reap(None) {
                Reap::Ended(_) => {}
                Reap::NoneEnded => break,
                Reap::NoChild => return true,
            }
        }
        let elapsed = start.elapsed();
        if elapsed >= grace + limit {
            return false;
        }
        let told = match elapsed >= grace {
            true => signal_descendants(&KILL),
            false if !asked => signal_descendants(&TERMINATE),
            false => Reached::Some,
        };
        asked = true;
        match told {
            Reached::NoneThere => return true,
            Reached::Nobody if elapsed >= grace => return false,
            Reached::Nobody | Reached::Some => {}
        }
        // A reaper gets the next child only when that one's parent is gone: no event covers the whole tree.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Which processes a signal reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    /// Some, or the existing ones have just ended.
    Some,
    /// None: no process takes a signal from this one.
    Nobody,
    /// All children are strangers.
    NoneThere,
}

/// Signals all descendants except strangers.
fn signal_descendants(signals: &[Signal]) -> Reached {
    let mut children = Kinship::look().children(Pid::this());
    let all = children.len();
    children.retain(|&pid| !is_stranger(pid));
    if children.is_empty() && all > 0 {
        return Reached::NoneThere;
    }
    let (mut told, mut refused) = (0, 0);
    each_of(&children, &mut |process| match process.signal(signals) {
        Ok(()) => told += 1,
        Err(error) => {
            refused += 1;
            log::debug!("cannot signal process {}: {error}", process.pid);
        }
    });
    if told == 0 && refused > 0 { Reached::Nobody } else { Reached::Some }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("/bin/sh").arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn first_line(child: &mut Child) -> String {
        use std::io::BufRead;
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Descendants are found in any session, parents first, with lists and without; other children are not touched.
    #[test]
    fn a_signal_reaches_all_descendants_and_no_others() {
        let mut neighbor = shell("echo; exec sleep 100");
        let mut child = shell("setsid sh -c 'sleep 100 & echo $!; wait' & wait");
        let grandchild: i32 = first_line(&mut child).parse().unwrap();
        first_line(&mut neighbor);
        let top = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let mut found = Vec::new();
        for kinship in [Kinship::Lists, Kinship::Scanned(scan())] {
            let before = found.len();
            visit(&kinship, &child_of(Pid::this(), top).unwrap(), 0, &mut |process| found.push(process.pid.as_raw()));
            assert_eq!((found.len() - before, found[before], found[found.len() - 1]), (3, top.as_raw(), grandchild));
        }
        let pinned = Pinned::new(Pid::from_raw(grandchild)).unwrap();
        each_of(&[top], &mut |process| process.signal(&KILL).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        while pinned.is_alive() {
            std::thread::yield_now();
        }
        assert_eq!(pinned.signal(&TERMINATE), Ok(()), "a process that is gone is no error");
        assert!(neighbor.try_wait().unwrap().is_none(), "a neighbor lives");
        neighbor.kill().unwrap();
        neighbor.wait().unwrap();
    }

    /// All children are listed, however many there are: the kernel returns a page of them at a time.
    #[test]
    fn long_lists_are_read_to_their_end() {
        let mut children: Vec<Child> =
            (0..900).map(|_| Command::new("/bin/sleep").arg("100").stdin(Stdio::null()).spawn().unwrap()).collect();
        // This thread is not the first of its process.
        let thread = nix::unistd::gettid();
        let list = Children { list: File::open(format!("/proc/self/task/{thread}/children")).ok() }.list();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let listed = children.iter().filter(|child| list.contains(&Pid::from_raw(child.id().cast_signed()))).count();
        assert_eq!(listed, children.len());
    }

    /// A process that is not a child is not mistaken for one.
    #[test]
    fn strangers_are_not_family() {
        assert!(child_of(Pid::this(), Pid::from_raw(1)).is_none());
        assert!(Pinned::new(Pid::from_raw(i32::MAX)).is_none());
    }
}
