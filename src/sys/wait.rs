//! Waiting for descriptors.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// A descriptor and what to wait for on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Also wait until it accepts bytes.
    pub write: bool,
}

/// Waits until one of the descriptors is ready (or hung up) or the time is over; `None` waits forever. A signal that
/// interrupts the wait is not an error: the caller checks everything anyway.
pub(crate) fn wait_ready(interests: &[Interest<'_>], timeout: Option<Duration>) {
    let mut fds: Vec<PollFd<'_>> = interests
        .iter()
        .map(|interest| {
            let write = if interest.write { PollFlags::POLLOUT } else { PollFlags::empty() };
            PollFd::new(interest.fd, PollFlags::POLLIN | write)
        })
        .collect();
    if let Err(error) = ppoll(&mut fds, timeout.map(TimeSpec::from_duration), None)
        && error != nix::errno::Errno::EINTR
    {
        // Memory is short, or a descriptor is bad; continuing immediately would use up a core.
        log::debug!("ppoll: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
