//! The live line: the progress of a run, in the columns that are available.
//!
//! Owns the words of the line. Pure: when and where it is drawn is not decided here.

use crate::figures::report::{Figures, State};
use crate::figures::words;

/// Columns of the bar itself.
const BAR_MIN: usize = 10;
const BAR_MAX: usize = 40;

/// Bold as well: plain red is hard to read on black.
const RED: &str = "\u{1b}[1;31m";
const PLAIN: &str = "\u{1b}[0m";

/// The line for this many columns. What matters least is left out first.
pub(crate) fn line(figures: &Figures, columns: usize, colour: bool) -> String {
    let done = figures.done();
    let failed = (figures.failed > 0).then(|| format!("{} failed", words::count(figures.failed)));
    let left = match (figures.state, figures.left_s) {
        (State::Stopping, _) => Some("stopping".to_owned()),
        (_, Some(left)) if done < figures.total => Some(format!("{} left", words::about(left))),
        _ => None,
    };
    // In the order in which they appear; what is kept longest has 0.
    let parts = [
        (3, Some(format!("{}%", words::percent(done, figures.total)))),
        (0, Some(format!("{}/{}", words::count(done), words::count(figures.total)))),
        (1, failed.clone()),
        (
            4,
            (figures.slots > 0).then(|| {
                format!("{} running on {}", words::count(figures.running), words::counted(figures.slots, "slot"))
            }),
        ),
        (5, (figures.tasks_per_s > 0.0).then(|| words::rate(figures.tasks_per_s))),
        (2, left),
    ];
    let mut kept = 6;
    let mut text = String::new();
    while kept > 0 {
        let chosen = parts.iter().filter(|(rank, _)| *rank < kept).filter_map(|(_, part)| part.as_deref());
        text = chosen.collect::<Vec<_>>().join("  ");
        let bar = if kept == 6 { BAR_MIN + 3 } else { 0 };
        if text.len() + bar <= columns {
            break;
        }
        kept -= 1;
    }
    let room = columns.saturating_sub(text.len() + 3);
    text.truncate(columns);
    if let Some(failed) = failed.filter(|_| colour) {
        text = text.replacen(&failed, &format!("{RED}{failed}{PLAIN}"), 1);
    }
    if room >= BAR_MIN { format!("{} {text}", bar(done, figures.total, room.min(BAR_MAX))) } else { text }
}

/// `[====>     ]`, with this many columns between the brackets.
fn bar(done: u64, total: u64, columns: usize) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let full = ((share * columns as f64) as usize).min(columns);
    let head = if full < columns { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(full), " ".repeat(columns - full - head.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figures() -> Figures {
        Figures {
            total: 100_000,
            finished: 45_000,
            failed: 210,
            running: 512,
            slots: 512,
            tasks_per_s: 12.34,
            left_s: Some(4_440.0),
            ..Figures::default()
        }
    }

    /// Wide, usual, narrow: what matters most stays longest.
    #[test]
    fn the_line_fits_the_terminal() {
        let at = |columns| line(&figures(), columns, false);
        assert_eq!(
            at(120),
            "[===============>                   ] 45%  45,210/100,000  210 failed  512 running on 512 slots  12.3/s  1 h 15 min left"
        );
        assert_eq!(at(79), "45%  45,210/100,000  210 failed  512 running on 512 slots  1 h 15 min left");
        assert_eq!(at(63), "[=====>      ] 45%  45,210/100,000  210 failed  1 h 15 min left");
        assert_eq!(at(43), "45,210/100,000  210 failed  1 h 15 min left");
        assert_eq!(
            (at(30), at(20), at(5)),
            ("45,210/100,000  210 failed".into(), "45,210/100,000".into(), "45,21".into())
        );
    }

    /// Few tasks, none failed, nothing known yet.
    #[test]
    fn small_farms_have_a_line_too() {
        let figures = Figures { total: 1, running: 1, slots: 8, ..Figures::default() };
        assert_eq!(line(&figures, 60, false), "[>                           ] 0%  0/1  1 running on 8 slots");
        let figures = Figures { total: 3, finished: 3, slots: 8, ..figures };
        assert!(line(&figures, 80, false).starts_with("[======"));
    }

    /// Failures are red if colors are wanted, and nothing else contains an escape sequence.
    #[test]
    fn failures_are_red() {
        assert!(line(&figures(), 80, true).contains("\u{1b}[1;31m210 failed\u{1b}[0m"));
        assert!(!line(&figures(), 80, false).contains('\u{1b}'));
    }

    proptest! {
        /// Never wider than the terminal, whatever the numbers are.
        #[test]
        fn it_is_never_too_wide(
            finished: u32, failed: u32, more: u32, running: u32, rate in 0.0..1e6_f64, left in 0.0..1e8_f64,
            columns in 0_usize..300,
        ) {
            let figures = Figures {
                total: u64::from(finished) + u64::from(failed) + u64::from(more),
                finished: finished.into(), failed: failed.into(), running: running.into(), slots: running.into(),
                tasks_per_s: rate, left_s: Some(left), ..Figures::default()
            };
            prop_assert!(line(&figures, columns, false).len() <= columns);
        }
    }
}
