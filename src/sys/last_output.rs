//! What this process has written to stdout and stderr and its launcher has not read yet, when the process is about to
//! end abruptly.
//!
//! Launchers read both from pipes. Owns the wait until they have done so; never writes itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How often a pipe is checked: there is no event for an empty pipe.
const LOOK: Duration = Duration::from_millis(1);

/// Waits until everything that was written has been read, but at most this long. Output that is not a pipe needs no
/// reader.
pub(crate) fn wait_read(limit: Duration) {
    wait_on(&[std::io::stdout().as_fd(), std::io::stderr().as_fd()], limit);
}

fn wait_on(streams: &[BorrowedFd<'_>], limit: Duration) {
    let ends = Instant::now() + limit;
    while streams.iter().any(|stream| is_unread(*stream)) && Instant::now() < ends {
        std::thread::sleep(LOOK);
    }
}

/// From here on, anything that a library of this process writes to stderr is discarded.
pub(crate) fn silence_stderr() {
    if let Ok(nowhere) = std::fs::File::options().write(true).open("/dev/null") {
        // On an error, it remains visible.
        let _ = nix::unistd::dup2_stderr(nowhere);
    }
}

/// Whether there are bytes in a pipe. Linux reports it at both ends.
fn is_unread(stream: BorrowedFd<'_>) -> bool {
    let is_pipe = nix::sys::stat::fstat(stream).is_ok_and(|found| found.st_mode & libc::S_IFMT == libc::S_IFIFO);
    let mut unread: libc::c_int = 0;
    // SAFETY: FIONREAD writes an int to where the pointer points, which is one.
    is_pipe && unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &raw mut unread) } == 0 && unread > 0
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write, pipe};

    use super::*;

    /// The writing end of a pipe shows whether its reader has caught up; a file never has a reader.
    #[test]
    fn a_pipe_is_unread_until_it_is_read() {
        let (mut reader, mut writer) = pipe().unwrap();
        assert!(!is_unread(writer.as_fd()));
        writer.write_all(b"ab").unwrap();
        assert!(is_unread(writer.as_fd()));
        reader.read_exact(&mut [0; 1]).unwrap();
        assert!(is_unread(writer.as_fd()), "one byte is left");
        reader.read_exact(&mut [0; 1]).unwrap();
        assert!(!is_unread(writer.as_fd()));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"ab").unwrap();
        assert!(!is_unread(file.as_fd()));
    }

    /// The wait ends when everything is read or, if nothing reads, when its time is over.
    #[test]
    fn the_wait_ends() {
        const LIMIT: Duration = Duration::from_millis(50);
        let ((mut reader, mut writer), (_idle, silent)) = (pipe().unwrap(), pipe().unwrap());
        writer.write_all(b"ab").unwrap();
        let streams = [silent.as_fd(), writer.as_fd()];
        let start = Instant::now();
        wait_on(&streams, LIMIT);
        assert!(start.elapsed() >= LIMIT && is_unread(writer.as_fd()));
        let reading = std::thread::spawn(move || reader.read_exact(&mut [0; 2]).map(|()| reader));
        wait_on(&streams, Duration::from_secs(1 << 30));
        assert!(!is_unread(writer.as_fd()));
        drop(reading.join().unwrap().unwrap());
    }
}
