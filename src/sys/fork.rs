//! The forks that create a nursery with its pools and, on rank 0, a process that reads the tasklist.
//!
//! Owns these forks. They happen before MPI_Init and before any thread, while the process is small; only the nursery,
//! which remains small, forks later: a process forked by others would hold MPI's memory and descriptors.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::prctl;
use nix::unistd::{ForkResult, Pid, getpid, setpgid};

use super::executing::ExecutingTable;
use super::family;
use super::forked::{become_nursery, become_reader, fork};
use super::nursery::{self, Nursery};

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
    match fork()? {
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

/// Which process this is now.
#[derive(Debug)]
pub(crate) enum Reader {
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
pub(crate) fn fork_reader() -> io::Result<Reader> {
    let (ours, theirs) = UnixStream::pair()?;
    let parent = getpid();
    match fork()? {
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
