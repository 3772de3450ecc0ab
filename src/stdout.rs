//! Output that the user has asked for, on standard output: lists, logs, figures, help.
//!
//! Owns what happens if it cannot be written, for all commands: a full disk and a closed descriptor are errors, as for
//! the usual tools. A reader that has closed its pipe has seen enough: the command ends quietly, with exit code 0
//! rather than by SIGPIPE, so that `status | head -1` does not fail in a script that sets `pipefail`. Messages go to
//! standard error, see [`crate::stderr`].

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::{AsFd, IntoRawFd};

use clap::builder::StyledStr;
use nix::errno::Errno;

use crate::exit_code::ExitCode;
use crate::stderr::say_error;
use crate::sys::{stdio, terminal};

/// Lets `write` print. Every error that it returns must come from its writer.
///
/// # Errors
/// The exit code with which to end now: nothing more can be printed, and this has been reported if necessary.
pub(crate) fn print<R>(write: impl FnOnce(&mut dyn Write) -> io::Result<R>) -> Result<R, ExitCode> {
    let mut buffered = BufWriter::with_capacity(64 << 10, Stdout(None));
    let result = write(&mut buffered).and_then(|result| buffered.flush().map(|()| result));
    // After an error, the rest is not written.
    let (mut out, _) = buffered.into_parts();
    result.and_then(|result| out.close().map(|()| result)).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => ExitCode::Success,
        _ => {
            say_error(&format!("cannot write to standard output: {error}\n  the output is incomplete"));
            ExitCode::FarmFailed
        }
    })
}

/// Prints a text. Returns the exit code.
pub(crate) fn text(text: &str) -> ExitCode {
    print(|out| out.write_all(text.as_bytes())).err().unwrap_or(ExitCode::Success)
}

/// Prints a text as clap styles it, if colors are wanted. Returns the exit code.
pub(crate) fn styled(styled: &StyledStr) -> ExitCode {
    text(&if terminal::wants_color(&io::stdout()) { styled.ansi().to_string() } else { styled.to_string() })
}

/// The descriptor itself, once something is printed: Rust's own writer reports success for a closed one.
struct Stdout(Option<File>);

impl Stdout {
    /// Some file systems report a full disk only at this point.
    fn close(&mut self) -> io::Result<()> {
        let Some(file) = self.0.take() else { return Ok(()) };
        match nix::unistd::close(file.into_raw_fd()) {
            Err(Errno::EINTR) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if stdio::stdout_was_closed() {
            return Err(io::Error::other("it is closed"));
        }
        if self.0.is_none() {
            self.0 = Some(io::stdout().as_fd().try_clone_to_owned()?.into());
        }
        self.0.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
