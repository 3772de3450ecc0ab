//! The process that starts pools: the parent of every pool of its rank, one after the other.
//!
//! A process that has started MPI must not fork, so a pool that died can be restarted only by a process that never did.
//! Owns the messages between the MPI process and its nursery, over a socket. The nursery does nothing but start and
//! kill the pool on request, and clean up after one that has ended: everything that a dead pool leaves behind becomes
//! the nursery's child. It ends with its MPI process, and nothing outlives it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, recvmsg, sendmsg,
    shutdown, socketpair,
};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid};

use super::family::end_descendants;
use super::forked::{become_pool, fork};
use super::process::{Reap, reap};
use super::signals::SignalSource;
use super::wait::{Interest, wait_ready};
use crate::task::Outcome;

/// How long a pool may take to clean up and exit once its socket is closed.
pub(crate) const EXIT_LIMIT: Duration = Duration::from_secs(8);

/// How long processes of a dead pool may take to disappear after SIGKILL.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(5);

/// First byte of a message to the nursery.
const START: u8 = b'S';
const KILL: u8 = b'K';

/// First byte of a message from it; [`message`] defines the other bytes.
const STARTED: u8 = b's';
const NOT_STARTED: u8 = b'n';
const EXITED: u8 = b'e';
const SIGNALED: u8 = b'k';

/// A message from the nursery: its kind, whether something is left of the pool, and a number.
const MESSAGE_LEN: usize = 6;

fn message(what: u8, is_left: bool, number: i32) -> [u8; MESSAGE_LEN] {
    let [a, b, c, d] = number.to_le_bytes();
    [what, u8::from(is_left), a, b, c, d]
}

/// The reports of the nursery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// A pool has started; its pid.
    Started(Pid),
    /// The node could not start it.
    NotStarted(Errno),
    /// The pool has ended, with everything that it had started.
    Ended {
        /// How.
        end: PoolExit,
        /// Whether some of its processes could not be ended.
        is_left: bool,
    },
    /// The nursery itself is gone.
    Gone,
}

/// How a pool process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolExit {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// The nursery, as the MPI process sees it.
#[derive(Debug)]
pub struct Nursery {
    pid: Pid,
    control: OwnedFd,
    is_dismissed: bool,
}

/// The two ends of a control socket: it preserves message boundaries, and no program inherits it.
///
/// # Errors
/// If no descriptor is left.
pub(super) fn control_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

impl Nursery {
    pub(super) fn new(pid: Pid, control: OwnedFd) -> Self {
        Self { pid, control, is_dismissed: false }
    }

    /// The next report since the last call. Does not wait.
    pub fn news(&self) -> Option<News> {
        let mut bytes = [0; MESSAGE_LEN];
        let len = loop {
            let mut slices = [IoSliceMut::new(&mut bytes)];
            match recvmsg::<()>(self.control.as_raw_fd(), &mut slices, None, MsgFlags::MSG_DONTWAIT) {
                Ok(received) => break received.bytes,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Err(_) => return Some(News::Gone),
            }
        };
        let [what, is_left, number @ ..] = bytes;
        let (number, is_left) = (i32::from_le_bytes(number), is_left != 0);
        Some(match what {
            _ if len != MESSAGE_LEN => News::Gone,
            STARTED => News::Started(Pid::from_raw(number)),
            NOT_STARTED => News::NotStarted(Errno::from_raw(number)),
            EXITED => News::Ended { end: PoolExit::Exited(number), is_left },
            SIGNALED => News::Ended { end: PoolExit::Signaled(number), is_left },
            _ => News::Gone,
        })
    }

    /// Makes it start a pool with this end of a socket.
    ///
    /// # Errors
    /// If the nursery is gone.
    pub fn start(&self, socket: &UnixStream) -> io::Result<()> {
        let fds = [socket.as_raw_fd()];
        let message = [IoSlice::new(&[START])];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.control.as_raw_fd(), &message, &[ControlMessage::ScmRights(&fds)], flags, None)?;
        Ok(())
    }

    /// Makes it kill the pool. It then kills what the pool was running.
    pub fn kill_pool(&self) {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        if let Err(errno) = sendmsg::<()>(self.control.as_raw_fd(), &[IoSlice::new(&[KILL])], &[], flags, None) {
            log::debug!("cannot ask for the end of the pool: {errno}");
        }
    }

    /// Readable when there is news.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Ends it, together with everything that it has started; waits until all is gone.
    pub fn dismiss(&mut self) {
        if std::mem::replace(&mut self.is_dismissed, true) {
            return;
        }
        let _ = shutdown(self.control.as_raw_fd(), Shutdown::Write);
        let deadline = Instant::now() + EXIT_LIMIT + KILL_LIMIT + Duration::from_secs(1);
        while self.news() != Some(News::Gone) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // It is stopped, or hangs. Its pools and their tasks become children of this process.
                let _ = kill(self.pid, Signal::SIGKILL);
                break;
            }
            wait_ready(&[Interest { fd: self.control.as_fd(), write: false }], Some(left));
        }
        // It is a child of this process, so its pid has not been reused.
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

/// An order to the nursery.
enum Order {
    Start(UnixStream),
    Kill,
}

/// The next order, if there is one.
///
/// # Errors
/// If the MPI process is gone.
fn next_order(control: &OwnedFd) -> Result<Option<Order>, Errno> {
    let mut what = [0];
    let mut slices = [IoSliceMut::new(&mut what)];
    let mut space = cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = match recvmsg::<()>(control.as_raw_fd(), &mut slices, Some(&mut space), flags) {
        Ok(received) if received.bytes > 0 => received,
        Ok(_) => return Err(Errno::EPIPE),
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let socket = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for this process; nothing else in it knows the number.
    let socket = socket.map(|fd| unsafe { UnixStream::from_raw_fd(fd) });
    Ok(match (what[0], socket) {
        (START, Some(socket)) => Some(Order::Start(socket)),
        (KILL, _) => Some(Order::Kill),
        _ => None,
    })
}

/// Runs the nursery until its MPI process is gone. The first pool is started immediately. Returns in each pool, with
/// the pool's socket; `None` is the end of the nursery itself, or of a pool that could not be set up.
pub(super) fn serve(control: OwnedFd, first: UnixStream) -> Option<UnixStream> {
    let children = SignalSource::children().ok()?;
    let (mut pool, mut next) = (None, Some(first));
    loop {
        if let Some(socket) = next.take() {
            match fork() {
                Ok(ForkResult::Child) => {
                    // All that a nursery has besides the socket.
                    drop((control, children));
                    return become_pool().ok().map(|()| socket);
                }
                Ok(ForkResult::Parent { child }) => {
                    pool = Some(child);
                    report(&control, STARTED, false, child.as_raw());
                }
                Err(errno) => report(&control, NOT_STARTED, false, errno as i32),
            }
        }
        let interest = |fd| Interest { fd, write: false };
        wait_ready(&[interest(control.as_fd()), interest(children.as_fd())], None);
        if let Some(end) = take_end(&children, &mut pool) {
            let is_left = !end_descendants(Duration::ZERO, KILL_LIMIT);
            match end {
                Outcome::Signaled(signal) => report(&control, SIGNALED, is_left, signal.into()),
                Outcome::Exited(code) => report(&control, EXITED, is_left, code.into()),
                Outcome::NotStarted(_) | Outcome::Unkept { .. } => {}
            }
        }
        match next_order(&control) {
            Ok(None) => {}
            Ok(Some(Order::Start(socket))) => next = pool.is_none().then_some(socket),
            Ok(Some(Order::Kill)) => kill_pool(pool),
            Err(_) => break,
        }
    }
    // The pool sees its socket close too, except under SIGSTOP.
    let deadline = Instant::now() + EXIT_LIMIT;
    while pool.is_some() && take_end(&children, &mut pool).is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            kill_pool(pool);
            break;
        }
        wait_ready(&[Interest { fd: children.as_fd(), write: false }], Some(left));
    }
    end_descendants(Duration::ZERO, KILL_LIMIT);
    None
}

fn kill_pool(pool: Option<Pid>) {
    if let Some(pid) = pool {
        // It was not reaped yet, so the pid has not been reused.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

fn report(control: &OwnedFd, what: u8, is_left: bool, number: i32) {
    let bytes = message(what, is_left, number);
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    // If the MPI process is gone, the next read notices it.
    let _ = sendmsg::<()>(control.as_raw_fd(), &[IoSlice::new(&bytes)], &[], flags, None);
}

/// Reaps ended children; returns the end of the pool, if it is among them.
fn take_end(children: &SignalSource, pool: &mut Option<Pid>) -> Option<Outcome> {
    while children.next_signal().is_some() {}
    while let Reap::Ended(reaped) = reap(None) {
        if *pool == Some(reaped.pid) {
            *pool = None;
            return Some(reaped.outcome);
        }
    }
    None
}
