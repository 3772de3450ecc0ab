//! Signals as data.
//!
//! Owns which signals the processes of a farm take, and how: they are blocked and read from a descriptor, so no handler
//! ever runs. Tasks are started with none blocked and none ignored: see [`super::process`].

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getppid;

/// Signals that ask a farm to stop. A hangup that the user chose to ignore (`nohup`) does not.
fn stop_signals() -> impl Iterator<Item = Signal> {
    let hangup = (!is_ignored(Signal::SIGHUP)).then_some(Signal::SIGHUP);
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1].into_iter().chain(hangup)
}

/// Whether the parent made this process ignore a signal when it started it. Such a signal must not even be blocked: the
/// kernel keeps blocked signals, ignored or not, and a descriptor would report them.
fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one; a zeroed action is a valid one.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Undoes that the parent made this process ignore the ends of its children: the kernel would not report them.
pub(crate) fn expect_children() {
    if is_ignored(Signal::SIGCHLD) {
        // SAFETY: the default action involves no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    }
}

/// A signal that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caught {
    /// Its number.
    pub signal: u8,
    /// Whether this process's parent sent it.
    pub from_parent: bool,
}

/// Reads signals that were blocked before.
#[derive(Debug)]
pub struct SignalSource {
    fd: SignalFd,
}

/// Blocks all signals that a farm's process might receive and should survive; a write beyond a size limit (SIGXFSZ) is
/// then an error, not a death. Must be called before MPI starts its threads, which inherit this.
///
/// # Errors
/// If the system refuses, which it has no reason to.
pub fn block_all() -> nix::Result<()> {
    let others = [Signal::SIGUSR2, Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGALRM, Signal::SIGXFSZ];
    stop_signals().chain(others).collect::<SigSet>().thread_block()
}

/// Undoes [`block_all`], for a process whose children must react to signals like any other.
///
/// # Errors
/// If the system refuses, which it has no reason to.
pub(crate) fn unblock_all() -> nix::Result<()> {
    SigSet::empty().thread_set_mask()
}

impl SignalSource {
    /// Signals that ask to stop; for the MPI process.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn stops() -> nix::Result<Self> {
        Self::of(stop_signals())
    }

    /// Ends of children; for the pool.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn children() -> nix::Result<Self> {
        Self::of([Signal::SIGCHLD])
    }

    /// What a terminal sends to the program that uses it, and what ends that; blocked from here on.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn of_terminal() -> nix::Result<Self> {
        let hangup = (!is_ignored(Signal::SIGHUP)).then_some(Signal::SIGHUP);
        let signals = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGQUIT,
            Signal::SIGTSTP,
            Signal::SIGWINCH,
            // Whoever sends one of these ends the program, and the terminal must not stay as it is.
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGVTALRM,
            Signal::SIGPROF,
            Signal::SIGXCPU,
            Signal::SIGIO,
            Signal::SIGABRT,
        ];
        let set: SigSet = signals.into_iter().chain(hangup).collect();
        set.thread_block()?;
        Self::of(set.iter())
    }

    fn of(signals: impl IntoIterator<Item = Signal>) -> nix::Result<Self> {
        let set: SigSet = signals.into_iter().collect();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// Whether a signal is pending. It stays pending.
    pub fn is_pending(&self) -> bool {
        let mut look = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut look, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// The next pending signal, if any.
    pub fn next_signal(&self) -> Option<Caught> {
        let info = self.fd.read_signal().ok().flatten()?;
        // A signal from the kernel is not from the parent.
        let from_parent = info.ssi_code == libc::SI_USER && info.ssi_pid == getppid().as_raw().cast_unsigned();
        Some(Caught { signal: u8::try_from(info.ssi_signo).ok()?, from_parent })
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
