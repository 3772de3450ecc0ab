//! The forks that create a nursery with its pools and, on rank 0, a process that reads the tasklist.
//!
//! Owns all forks of the program. They happen before MPI_Init and before any thread, while the process is small, or in
//! the nursery, which remains small: a process forked later would hold MPI's memory and descriptors.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, setpgid, setsid};

use super::executing::ExecutingTable;
use super::nursery::{self, Nursery};
use super::{family, signals, title};

/// Which process this is now.
#[derive(Debug)]
pub enum Forked {
    /// The caller, with the nursery and the socket to the first pool.
    Parent(Nursery, UnixStream, ExecutingTable),
    /// A pool, with the socket to its MPI process.
    Pool(UnixStream, ExecutingTable),
}

/// Forks the nursery, which forks the first pool. Both are in sessions of their own, because launchers kill a rank's
/// whole process group; have no descriptor of their parent, because launchers wait for those; and are reapers of
/// everything that tasks leave behind.
///
/// # Errors
/// If the system has no process, descriptor or memory left.
pub fn fork_pool() -> io::Result<Forked> {
    family::remember_strangers();
    let executing = ExecutingTable::new()?;
    let (ours, theirs) = UnixStream::pair()?;
    let (control, of_nursery) = nursery::control_pair()?;
    // SAFETY: the process has one thread, so no lock can be held by a different one in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop((theirs, of_nursery));
            // If the nursery is killed, its pool becomes a child of this process, which ends it.
            prctl::set_child_subreaper(true)?;
            Ok(Forked::Parent(Nursery::new(child, control), ours, executing))
        }
        ForkResult::Child => {
            drop((ours, control));
            let nursery = become_nursery(&[theirs.as_raw_fd(), of_nursery.as_raw_fd()]);
            match nursery.ok().and_then(|()| nursery::serve(of_nursery, theirs)) {
                Some(socket) => Ok(Forked::Pool(socket, executing)),
                // Its time is over, or it could not be set up: the parent notices that the socket is closed. Returning
                // to the caller would make two parents.
                None => std::process::exit(1),
            }
        }
    }
}

/// Forks the nursery again.
///
/// # Errors
/// If the system has no process left.
pub(super) fn fork_again() -> nix::Result<ForkResult> {
    // SAFETY: a nursery has one thread, so no lock can be held by a different one in the child.
    unsafe { fork() }
}

fn become_nursery(sockets: &[RawFd]) -> io::Result<()> {
    setsid()?;
    prctl::set_child_subreaper(true)?;
    title::set(c"tfarmer-nursery")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for fd in 0..3 {
        // SAFETY: both are plain numbers; this process no longer uses what was at 0 to 2.
        if unsafe { libc::dup2(null.as_raw_fd(), fd) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    drop(null);
    close_others(sockets)
}

/// Turns a fork of the nursery into a pool.
pub(super) fn become_pool() -> io::Result<()> {
    setsid()?;
    prctl::set_child_subreaper(true)?;
    Ok(title::set(c"tfarmer-pool")?)
}

/// Closes everything except the first three and these.
fn close_others(kept: &[RawFd]) -> io::Result<()> {
    for fd in open_descriptors()? {
        if fd > 2 && !kept.contains(&fd) {
            // SAFETY: inherited from the launcher or the shell; nothing in this process knows them. The
            // descriptor of the folder listing itself is closed by now, and closing it again is an error only.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Which process this is now.
#[derive(Debug)]
pub enum Reader {
    /// The caller, with the pid of the reader and the socket to it.
    Parent(Pid, UnixStream),
    /// The reader, with the socket to its parent.
    Child(UnixStream),
}

/// Forks a process that reads the tasklist: it leads a process group of its own, so that it can be ended together with
/// what it starts; it keeps the terminal, but no descriptor of the launcher; it dies with its parent.
///
/// # Errors
/// If the system has no process or descriptor left.
pub fn fork_reader() -> io::Result<Reader> {
    let (ours, theirs) = UnixStream::pair()?;
    let parent = getpid();
    // SAFETY: the process has one thread, so no lock can be held by a different one in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(theirs);
            // Both processes do it: the second finds it done, or finds that the other one is gone.
            let _ = setpgid(child, child);
            Ok(Reader::Parent(child, ours))
        }
        ForkResult::Child => {
            drop(ours);
            match become_reader(&theirs, parent) {
                Ok(()) => Ok(Reader::Child(theirs)),
                // As with the pool.
                Err(_) => std::process::exit(1),
            }
        }
    }
}

fn become_reader(socket: &UnixStream, parent: Pid) -> io::Result<()> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("the parent is gone already"));
    }
    title::set(c"tfarmer-reader")?;
    signals::unblock_all()?;
    close_others(&[socket.as_raw_fd()])
}

fn open_descriptors() -> io::Result<Vec<RawFd>> {
    // close_range would do it in one call, but Linux has it only from 5.9 on; clusters run older ones.
    let names = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}
