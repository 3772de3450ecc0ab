//! `fork`, and what a child makes of itself: its session, its title, and which descriptors it keeps.
//!
//! Owns the system call. [`super::fork`] and [`super::nursery`] decide when there is a child.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, getppid, setpgid, setsid};

use super::{signals, title};

/// Forks this process, which must have one thread: a nursery, or any process of ours before it starts MPI or a thread.
///
/// # Errors
/// If the system has no process left.
pub(super) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the process has one thread, so no lock can be held by a different one in the child.
    unsafe { nix::unistd::fork() }
}

/// Turns a fork of the MPI process, before it uses MPI, into a nursery.
pub(super) fn become_nursery(sockets: &[RawFd]) -> io::Result<()> {
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

/// Turns a fork into a reader.
pub(super) fn become_reader(socket: &UnixStream, parent: Pid) -> io::Result<()> {
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
