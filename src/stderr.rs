//! Messages, on standard error: whole lines with the program's name in front, and a live line below them.
//!
//! Owns access to standard error: everything that this process prints goes through `above`, so that the live line is
//! never torn. Its content is not known here.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use terminal_size::{Width, terminal_size_of};

use crate::shown;

/// Columns, if it is not known how many there are.
const COLUMNS: u16 = 80;

/// Columns that stay free for what the terminal echoes, `^C`: if that reached the next line, this one would remain.
const ECHO: usize = 2;

/// The name in front of every line.
pub(crate) const PROGRAM: &str = "taskfarmer-mpi";

/// Prints a message, whatever is in it; a closed terminal is not a reason to fail.
pub(crate) fn say(text: &str) {
    let text = shown::message(text);
    above(|| _ = put(&format!("{PROGRAM}: {text}\n")));
}

/// Says why nothing, or nothing more, is done.
pub(crate) fn say_error(text: &str) {
    say(&format!("error: {text}"));
}

/// The live line as it was drawn last; empty at first.
static LIVE: Mutex<Option<String>> = Mutex::new(None);

/// Moves to the start of the line, and clears it.
const CLEAR: &str = "\r\u{1b}[2K";

fn live() -> MutexGuard<'static, Option<String>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Lets something write whole lines to standard error, above the live line if there is one.
pub(crate) fn above<R>(write: impl FnOnce() -> R) -> R {
    let live = live();
    let Some(line) = live.as_ref().filter(|line| !line.is_empty()) else { return write() };
    let _ = put(CLEAR);
    let result = write();
    let _ = put(line);
    result
}

/// Standard error, for loggers.
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Columns of the terminal. Under a launcher there is no terminal, but the user may set `COLUMNS`.
fn columns() -> u16 {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal_size_of(io::stderr())
        .map(|(Width(columns), _)| columns)
        .filter(|&c| c > 0)
        .or_else(said)
        .unwrap_or(COLUMNS)
}

/// The live line. Gone when dropped, with nothing left on the terminal.
#[derive(Debug)]
pub(crate) struct LiveLine {
    /// Columns of the terminal when it was drawn last.
    columns: Cell<usize>,
}

impl LiveLine {
    pub(crate) fn start() -> Self {
        *live() = Some(String::new());
        Self { columns: Cell::new(0) }
    }

    /// Shows what `text` says for the current number of columns.
    pub(crate) fn show(&self, text: impl FnOnce(usize) -> String) {
        let columns = usize::from(columns().max(2));
        let before = self.columns.replace(columns);
        // The last column stays free: some terminals wrap when it is written.
        let line = text(columns.saturating_sub(1 + ECHO).max(1));
        // A terminal that was made narrower has wrapped the line: move up to its start, and clear all of it.
        let wrapped = match before.saturating_sub(2) / columns {
            _ if columns >= before => String::new(),
            0 => "\r\u{1b}[J".to_owned(),
            rows => format!("\r\u{1b}[{rows}A\u{1b}[J"),
        };
        let mut live = live();
        let _ = put(&format!("{wrapped}{CLEAR}{line}"));
        *live = Some(line);
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if live().take().is_some_and(|line| !line.is_empty()) {
            let _ = put(CLEAR);
        }
    }
}
