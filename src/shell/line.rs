//! What kind of shell line this is: whether it is complete, and how it ends.
//!
//! Owns a check that is quick enough for millions of lines. It knows the grammar of bash as far as lists use it, and
//! starts no shell: a line that it considers open may be complete after all, so a shell must be asked before one is
//! refused. A line that it considers complete although it is not is one about which the shell complains in any case.

mod scanner;

use scanner::{Frame, Scanner};

use super::quote::KEYWORDS;

/// The result of examining a line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Look {
    /// It ends in the middle: of quotes, of brackets, of a compound command, or after an operator that needs more.
    pub(crate) is_open: bool,
    /// It ends in a backslash that would join the next line to it.
    pub(crate) is_continued: bool,
    /// It announces a here-document, whose text would be the following lines.
    pub(crate) here_document: bool,
    /// Its last command is left running in the background.
    pub(crate) background: bool,
    /// It is one command without any operator.
    pub(crate) is_simple: bool,
    /// It contains a dollar sign.
    pub(crate) dollar: bool,
    /// It contains a carriage return that is not at the end and not in quotes.
    pub(crate) carriage_return: bool,
    /// The first character outside quotes that looks like a blank, a quote or a dash, or is invisible, but is a letter
    /// to the shell.
    pub(crate) deceptive: Option<char>,
}

/// What a byte can be a sign of, by its value.
const SIGNS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'\'' | b'"' | b'`' | b'\\' | b'(' | b')' | b'{' | b'<' | b'|' | b'&' | b';' | b'\r' | b'\n' | 0x80.. => {
                NO_WORD
            }
            b'$' => DOLLAR,
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'/'
            | b'='
            | b','
            | b':'
            | b'+'
            | b'%'
            | b'@' => ORDINARY,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// A line without such bytes is one command, unless it begins like a compound one.
const NO_WORD: u8 = 1;
const DOLLAR: u8 = 2;
/// Within a word, the next byte is examined.
const ORDINARY: u8 = 4;

/// Examines lines, one after the other.
#[derive(Debug, Default)]
pub(crate) struct LineChecker {
    /// Kept, because it is needed for every second line.
    frames: Vec<Frame>,
}

impl LineChecker {
    /// Examines a line.
    pub(crate) fn look(&mut self, line: &[u8]) -> Look {
        let signs = signs(line);
        let mut look = Look { is_simple: true, ..Look::default() };
        if signs & NO_WORD != 0 || begins_compound(line) {
            self.frames.clear();
            let mut scanner = Scanner::new(line, &mut self.frames);
            scanner.run();
            look = scanner.look;
        }
        look.dollar = signs & DOLLAR != 0;
        look
    }
}

/// The signs in a line. No early exit: a loop without a branch for each byte is faster.
fn signs(line: &[u8]) -> u8 {
    line.iter().fold(0, |signs, &byte| signs | SIGNS[usize::from(byte)])
}

fn begins_compound(line: &[u8]) -> bool {
    // Few programs begin like a keyword, and those that do are examined.
    if !matches!(line.first(), Some(b'!' | b'c'..=b'f' | b'i' | b's'..=b'u' | b'w')) {
        return false;
    }
    let end = line.iter().take(9).position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len().min(9));
    // They need an end, or a beginning, elsewhere; or a keyword may follow.
    KEYWORDS.contains(&&line[..end])
}

#[cfg(test)]
mod tests;
