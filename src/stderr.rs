//! Messages, on standard error: whole lines with the program's name in front, and a live line below them.
//!
//! Owns access to standard error: everything that this process prints goes through `above`, so that the live line is
//! never torn. indicatif draws it; its content is not known here.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use terminal_size::{Width, terminal_size_of};

use crate::shown;

/// Columns, if it is not known how many there are.
const COLUMNS: u16 = 80;

/// Columns that stay free for what the terminal echoes, `^C`: if that reached the next line, this one would remain.
const ECHO: usize = 2;

/// The most redraws per second.
const REDRAWS: u8 = 20;

/// The name in front of every line.
pub(crate) const PROGRAM: &str = "taskfarmer-mpi";

/// Prints a message, whatever is in it; a closed terminal is not a reason to fail.
pub(crate) fn say(text: &str) {
    let text = shown::message(text);
    above(|| _ = io::stderr().lock().write_all(format!("{PROGRAM}: {text}\n").as_bytes()));
}

/// Says why nothing, or nothing more, is done.
pub(crate) fn say_error(text: &str) {
    say(&format!("error: {text}"));
}

static LIVE: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn live() -> MutexGuard<'static, Option<ProgressBar>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets something write whole lines to standard error, above the live line if there is one.
pub(crate) fn above<R>(write: impl FnOnce() -> R) -> R {
    match &*live() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
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
        let target = ProgressDrawTarget::term_like_with_hz(Box::<Terminal>::default(), REDRAWS);
        let style = ProgressStyle::with_template("{msg}").expect("a template of ours");
        *live() = Some(ProgressBar::with_draw_target(None, target).with_style(style));
        Self { columns: Cell::new(0) }
    }

    /// Shows what `text` says for the current number of columns.
    pub(crate) fn show(&self, text: impl FnOnce(usize) -> String) {
        if let Some(bar) = &*live() {
            let columns = usize::from(columns().max(2));
            let before = self.columns.replace(columns);
            if columns < before {
                // A terminal that was made narrower has wrapped the line: move up to its start, and clear all of it.
                let up = (before - 2) / columns;
                let up = if up > 0 { format!("\u{1b}[{up}A") } else { String::new() };
                let _ = io::stderr().lock().write_all(format!("\r{up}\u{1b}[J").as_bytes());
            }
            // The last column stays free: some terminals wrap when it is written.
            bar.set_message(text(columns.saturating_sub(1 + ECHO).max(1)));
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if let Some(bar) = live().take() {
            bar.finish_and_clear();
        }
    }
}

/// Standard error as indicatif sees it, terminal or not: a redraw is one write.
#[derive(Debug, Default)]
struct Terminal {
    drawn: Mutex<String>,
}

impl Terminal {
    fn put(&self, text: &str) -> io::Result<()> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn move_cursor(&self, n: usize, way: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.put(&format!("\u{1b}[{n}{way}")) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        columns()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(text).and_then(|()| self.put("\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.drawn.lock().unwrap_or_else(PoisonError::into_inner));
        // indicatif pads the line to the right edge. What the terminal echoes there, such as ^C, would continue on the
        // next line, and this one would remain.
        io::stderr().lock().write_all(text.trim_end_matches(' ').as_bytes())
    }
}
