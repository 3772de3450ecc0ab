//! `status --watch` on a terminal: figures that change in place, until a key is pressed or the farm has ended.
//!
//! Owns what fits on the screen: the progress first, each line cut at the right edge, lines that do not fit counted.
//! Never decides what the figures are.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Status, print};
use crate::cli::StatusArgs;
use crate::exit_code::ExitCode;
use crate::figures::report::Figures;
use crate::figures::words;
use crate::progress::bar_line;
use crate::shown;
use crate::stderr::say_error;
use crate::sys::terminal::{self, Input, Screen, end_by};

/// How often times on the screen tick.
const TICK: Duration = Duration::from_secs(1);

/// What ends the watch.
const KEYS: [u8; 2] = [b'q', b'Q'];

const HINT: &str = "q: quit";
const HINT_WITHOUT_KEYS: &str = "Ctrl-C: quit";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Shows the status, read anew after each `pause`. Returns the last figures.
///
/// # Errors
/// The exit code with which to end now.
pub(super) fn on_screen(workdir: &Path, args: &StatusArgs, pause: Duration) -> Result<Figures, ExitCode> {
    let gone = |error| {
        say_error(&format!("cannot use the terminal: {error}"));
        ExitCode::FarmFailed
    };
    let screen = Screen::enter().map_err(gone)?;
    let color = terminal::wants_color(&io::stdout());
    let mut status = Status::read(workdir, args, None);
    let mut read = Instant::now();
    while status.figures.state.is_at_work() {
        let (columns, rows) = screen.size();
        let lines = content(&status, args, workdir, read.elapsed(), (columns, color));
        let hint = if screen.has_keys() { HINT } else { HINT_WITHOUT_KEYS };
        let input = screen.show(&fitted(lines, hint, columns, rows, color)).and_then(|()| {
            // Ticks continue during a long pause.
            screen.wait(TICK.min(pause.saturating_sub(read.elapsed())))
        });
        match input {
            Ok(Input::Key(key)) if KEYS.contains(&key) => break,
            Ok(Input::End(signal)) => {
                drop(screen);
                end_by(signal);
                // Only an ignored signal gets here.
                return Err(ExitCode::Stopped);
            }
            Ok(Input::Key(_) | Input::Redraw | Input::Nothing) => {}
            Err(error) => {
                drop(screen);
                return Err(gone(error));
            }
        }
        if read.elapsed() >= pause {
            if !workdir.is_dir() {
                drop(screen);
                say_error(&format!("{} is gone", shown::path(workdir)));
                return Err(ExitCode::BadInput);
            }
            status = Status::read(workdir, args, Some(status.figures));
            read = Instant::now();
        }
    }
    Ok(status.figures)
}

/// What there is to show, `since` after it was read.
fn content(
    status: &Status,
    args: &StatusArgs,
    workdir: &Path,
    since: Duration,
    (columns, color): (usize, bool),
) -> Vec<String> {
    if args.lists() {
        let mut text = Vec::new();
        // A Vec takes all.
        let _ = print::status(status, args, workdir, &mut text);
        if text.is_empty() {
            return vec!["nothing to list".to_owned()];
        }
        return String::from_utf8_lossy(&text).lines().map(|line| line.replace('\t', "  ")).collect();
    }
    let now = later(status, since);
    // The last column stays free: some terminals wrap when it is written.
    let mut lines = vec![bar_line(&now.figures.for_eyes(), columns.saturating_sub(1), color)];
    lines.extend(print::lines(&now).iter().flat_map(|line| line.lines()).map(str::to_owned));
    lines.insert(2, shown::line(&now.figures.workdir));
    lines
}

/// The same status with current times.
fn later(status: &Status, since: Duration) -> Status {
    let seconds = since.as_secs_f64();
    let mut figures = status.figures.clone();
    figures.elapsed_s += seconds;
    figures.left_s = figures.left_s.map(|left| (left - seconds).max(0.0));
    Status { figures, age_s: status.age_s.map(|age| age + seconds), history: None }
}

/// As many lines as fit, with a last one that says what to type.
fn fitted(lines: Vec<String>, hint: &str, columns: usize, rows: usize, color: bool) -> Vec<String> {
    let room = rows.saturating_sub(1).max(1);
    let more = lines.len().saturating_sub(room);
    let mut fitted: Vec<String> = lines.into_iter().take(room).map(|line| cut(&line, columns)).collect();
    if rows > 1 {
        let hint = match more {
            0 => hint.to_owned(),
            _ => format!("{hint}; {} not shown", words::counted(more as u64, "more line")),
        };
        let hint = cut(&hint, columns);
        fitted.push(if color { format!("{DIM}{hint}{PLAIN}") } else { hint });
    }
    fitted
}

/// The part of a line that fits. The bar, the only one with colors, fits already.
fn cut(line: &str, columns: usize) -> String {
    if line.contains('\x1b') || line.width() < columns {
        return line.to_owned();
    }
    let (mut text, mut width) = (String::new(), 1);
    for c in line.chars() {
        width += c.width().unwrap_or(0);
        if width >= columns {
            break;
        }
        text.push(c);
    }
    text + "…"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines that are too wide are cut, lines that do not fit are counted, and the last line says how to end.
    #[test]
    fn the_screen_is_filled_to_its_edges() {
        let lines = || ["a".repeat(50), "short".to_owned(), "x".to_owned(), "y".to_owned()].to_vec();
        assert_eq!(fitted(lines(), HINT, 10, 9, false), ["aaaaaaaa…", "short", "x", "y", "q: quit"]);
        assert_eq!(fitted(lines(), HINT, 40, 3, false)[1..], ["short", "q: quit; 2 more lines not shown"]);
        assert_eq!(fitted(lines(), HINT, 40, 1, false).len(), 1);
        assert_eq!(fitted(lines(), HINT, 40, 9, true)[4], "\x1b[2mq: quit\x1b[0m");
        assert_eq!(cut("日本語日本語", 8), "日本語…");
    }

    /// Promise: times keep running between two looks.
    #[test]
    fn times_tick() {
        let figures = Figures { elapsed_s: 5.0, left_s: Some(3.0), ..Figures::default() };
        let status = Status { figures, age_s: Some(1.0), history: None };
        let after = later(&status, Duration::from_secs(4));
        assert_eq!((after.figures.elapsed_s, after.figures.left_s, after.age_s), (9.0, Some(0.0), Some(5.0)));
    }

    proptest! {
        /// No line is wider than the screen, and there are no more lines than rows.
        #[test]
        fn it_always_fits(lines: Vec<String>, columns in 2_usize..200, rows in 1_usize..60) {
            let lines: Vec<String> = lines.iter().map(shown::line).collect();
            let fitted = fitted(lines, HINT, columns, rows, false);
            prop_assert!(fitted.len() <= rows);
            for line in fitted {
                prop_assert!(line.width() <= columns, "{line:?}");
            }
        }
    }
}
