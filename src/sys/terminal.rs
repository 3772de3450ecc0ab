//! Terminals: what a stream can do, and, while a [`Screen`] exists, a screen of its own on which keys are read.
//!
//! Owns what has to be undone however that ends: the alternate screen, the hidden cursor, the mode of the keyboard. Never
//! knows what is shown.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use terminal_size::{Height, Width, terminal_size_of};

use super::signals::SignalSource;

const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
const ESCAPE: u8 = 0x1b;
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// Columns and rows, if they are not known.
const SIZE: (usize, usize) = (80, 24);

/// What happened during a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// A key that is a character.
    Key(u8),
    /// What is shown has to be redrawn: the terminal has a different size, or was used by other programs.
    Redraw,
    /// A signal that ends this program. To be passed to [`end_by`] when the screen is gone.
    End(Signal),
    /// The time has passed.
    Nothing,
}

/// The screen of standard output. Gone when dropped, with the terminal as it was.
#[derive(Debug)]
pub(crate) struct Screen {
    /// The keyboard's previous mode, if standard input is a terminal.
    before: Option<Termios>,
    signals: SignalSource,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If there is no descriptor left, or the terminal is gone.
    pub(crate) fn enter() -> io::Result<Self> {
        let signals = SignalSource::of_terminal()?;
        let before = io::stdin().is_terminal().then(|| tcgetattr(io::stdin()).ok()).flatten();
        let screen = Self { before, signals };
        screen.take()?;
        Ok(screen)
    }

    /// Whether keys are read: standard input is a terminal.
    pub(crate) fn has_keys(&self) -> bool {
        self.before.is_some()
    }

    fn take(&self) -> io::Result<()> {
        if let Some(before) = &self.before {
            let mut keys = before.clone();
            // Ctrl-C and Ctrl-Z stay signals.
            keys.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            keys.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
            keys.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
            tcsetattr(io::stdin(), SetArg::TCSANOW, &keys)?;
        }
        write(ENTER)
    }

    fn give_back(&self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        match terminal_size_of(io::stdout()) {
            Some((Width(columns), Height(rows))) if columns > 0 && rows > 0 => (columns.into(), rows.into()),
            _ => SIZE,
        }
    }

    /// Shows these lines, which must fit, from the top.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(crate) fn show(&self, lines: &[String]) -> io::Result<()> {
        // Line by line over what was there, so that nothing flickers.
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\x1b[K")).collect();
        write(format!("\x1b[H{}\x1b[J", text.join("\n")).as_bytes())
    }

    /// Waits for a key, a signal, or the end of this time.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<Input> {
        let stdin = io::stdin();
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.before.is_some() {
            sources.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut sources, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Input::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(caught) = self.signals.next_signal() {
            return Ok(match Signal::try_from(i32::from(caught.signal)) {
                Ok(Signal::SIGTSTP) => {
                    self.give_back();
                    raise(Signal::SIGSTOP)?;
                    // The program resumes here, in the foreground again.
                    self.take()?;
                    Input::Redraw
                }
                Ok(Signal::SIGWINCH) | Err(_) => Input::Redraw,
                Ok(other) => Input::End(other),
            });
        }
        let mut keys = [0; 256];
        match nix::unistd::read(&stdin, &mut keys)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            // An arrow key, a turn of the mouse wheel, a paste: these are sequences with letters in them.
            len if keys[..len].contains(&ESCAPE) => Ok(Input::Nothing),
            _ => Ok(Input::Key(keys[0])),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Whether a stream is a terminal that can do more than append lines.
pub(crate) fn is_screen(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether a stream is a terminal on which colors are wanted: <https://no-color.org>.
pub(crate) fn wants_color(stream: &impl IsTerminal) -> bool {
    is_screen(stream) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Ends this process by a signal that it had deferred, as if it never had.
pub(crate) fn end_by(number: Signal) {
    // SAFETY: the default action is not a handler of ours.
    let _ = unsafe { signal(number, SigHandler::SigDfl) };
    let _ = raise(number);
    let _ = SigSet::from(number).thread_unblock();
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
