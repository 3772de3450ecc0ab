//! A terminal of this many columns, as far as a live line needs one: what it showed at any time, and what is left.

use std::ffi::OsStr;

use super::{Farm, Outcome, program};

/// What a terminal has shown.
#[derive(Default)]
pub(crate) struct Terminal {
    /// The lines, from the first; the last one is where the cursor was.
    pub(crate) lines: Vec<String>,
    /// Every text in the last line just before it was changed.
    pub(crate) last_lines: Vec<String>,
    /// Whether there was a color.
    pub(crate) coloured: bool,
}

impl Terminal {
    /// Replays what was written to a terminal.
    #[track_caller]
    pub(crate) fn play(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut terminal = Self { lines: vec![String::new()], ..Self::default() };
        let (mut row, mut column) = (0, 0);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\n' => {
                    (row, column) = (row + 1, 0);
                    if row == terminal.lines.len() {
                        terminal.lines.push(String::new());
                    }
                }
                '\r' => column = 0,
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "an escape that is no sequence: {text:?}");
                    let mut number = String::new();
                    let end = loop {
                        match chars.next().expect("a whole sequence") {
                            c if c.is_ascii_digit() || c == ';' => number.push(c),
                            c => break c,
                        }
                    };
                    match end {
                        'm' => terminal.coloured = true,
                        'K' => {
                            terminal.last_lines.push(std::mem::take(&mut terminal.lines[row]));
                            column = 0;
                        }
                        'A' => row -= number.parse::<usize>().unwrap().min(row),
                        'J' => terminal.lines.truncate(row + 1),
                        other => panic!("a sequence that this terminal does not know: {number}{other}"),
                    }
                }
                c => {
                    let line = &mut terminal.lines[row];
                    let mut all: Vec<char> = line.chars().collect();
                    all.resize(all.len().max(column + 1), ' ');
                    all[column] = c;
                    *line = all.into_iter().collect();
                    column += 1;
                }
            }
        }
        terminal
    }

    /// The states of the live line, in order.
    pub(crate) fn live(&self) -> Vec<&str> {
        self.last_lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect()
    }
}

/// Runs `taskfarmer-mpi OPTIONS tasks.txt` on a terminal of this many columns. Its output is in `stdout`.
#[track_caller]
pub(crate) fn run_on_terminal(farm: &Farm, columns: u32, options: &[&str]) -> (Outcome, Terminal) {
    let words: Vec<String> = options.iter().map(|word| format!("'{word}'")).collect();
    let command = format!("stty cols {columns} rows 24; exec '{}' {} tasks.txt", program(), words.join(" "));
    let line = ["script", "-qec", &command, "/dev/null"].map(OsStr::new);
    let outcome = farm.start_other(&line).wait();
    let terminal = Terminal::play(&outcome.stdout);
    (outcome, terminal)
}
