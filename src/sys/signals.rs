//! Signals as data.
//!
//! Owns which signals the processes of a farm take and how: they are blocked and read from a descriptor, so no
//! handler ever runs. Tasks are started with none blocked and none ignored: see [`super::process`].

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that ask a farm to stop.
pub const STOP_SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGHUP];

/// Reads signals that were blocked before.
#[derive(Debug)]
pub struct SignalSource {
    fd: SignalFd,
}

/// Blocks everything that a farm's process might be sent and should survive; a write beyond a size limit (SIGXFSZ)
/// is an error then, and no death. Before MPI starts its threads, which inherit it.
///
/// # Errors
/// If the system refuses, which it has no reason to.
pub fn block_all() -> nix::Result<()> {
    let mut set = SigSet::empty();
    for signal in STOP_SIGNALS.into_iter().chain([
        Signal::SIGUSR2,
        Signal::SIGCHLD,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGXFSZ,
    ]) {
        set.add(signal);
    }
    set.thread_block()
}

impl SignalSource {
    /// Signals that ask to stop; for the MPI process.
    ///
    /// A hangup that the user chose to ignore (`nohup`) stays ignored: the kernel drops it before we see it.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn stops() -> nix::Result<Self> {
        Self::of(STOP_SIGNALS)
    }

    /// Ends of children; for the pool.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn children() -> nix::Result<Self> {
        Self::of([Signal::SIGCHLD])
    }

    fn of(signals: impl IntoIterator<Item = Signal>) -> nix::Result<Self> {
        let set: SigSet = signals.into_iter().collect();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The next signal that is waiting, if any.
    pub fn next_signal(&self) -> Option<u8> {
        let info = self.fd.read_signal().ok().flatten()?;
        u8::try_from(info.ssi_signo).ok()
    }
}

impl std::os::fd::AsFd for SignalSource {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
