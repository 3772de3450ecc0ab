//! What kind of line of shell this is: whether it is whole, and what stands at its end.
//!
//! Owns a look that is quick enough for millions of lines. It knows the grammar of bash as far as lists use it, and starts
//! no shell: a line that it takes for open may be whole after all, so whoever refuses one asks a shell first. A line that
//! it takes for whole may only be so where the shell would complain in any case.

mod looker;

use looker::{Frame, Looker};

use super::quote::KEYWORDS;

/// What a look at a line has found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Look {
    /// It ends in the middle: of quotes, of brackets, of a compound command, or behind an operator that wants more.
    pub(crate) is_open: bool,
    /// It ends in a backslash that would take the next line with it.
    pub(crate) is_continued: bool,
    /// It announces a here-document, whose text would be the lines that follow.
    pub(crate) here_document: bool,
    /// The last command of it is left to run in the background.
    pub(crate) background: bool,
    /// It is one command, without any operator around it.
    pub(crate) is_simple: bool,
    /// There is a dollar sign in it.
    pub(crate) dollar: bool,
    /// A carriage return stands in the middle, outside of quotes.
    pub(crate) carriage_return: bool,
    /// The first character outside of quotes that looks like a blank, a quote or a dash, or like nothing, but is a
    /// letter to the shell.
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

/// A line without such bytes is one command, if it does not begin like a compound one.
const NO_WORD: u8 = 1;
const DOLLAR: u8 = 2;
/// Within a word, the next one is looked at.
const ORDINARY: u8 = 4;

/// Looks at lines, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Eye {
    /// Kept, as it is needed for every second line.
    frames: Vec<Frame>,
}

impl Eye {
    /// Looks at a line.
    pub(crate) fn look(&mut self, line: &[u8]) -> Look {
        let signs = signs(line);
        let mut look = Look { is_simple: true, ..Look::default() };
        if signs & NO_WORD != 0 || begins_compound(line) {
            self.frames.clear();
            let mut looker = Looker::new(line, &mut self.frames);
            looker.run();
            look = looker.look;
        }
        look.dollar = signs & DOLLAR != 0;
        look
    }
}

/// What a line has signs of. No early end: a loop without a branch for each byte is faster.
fn signs(line: &[u8]) -> u8 {
    line.iter().fold(0, |signs, &byte| signs | SIGNS[usize::from(byte)])
}

fn begins_compound(line: &[u8]) -> bool {
    // Few programs begin like a keyword, and those that do are looked at.
    if !matches!(line.first(), Some(b'!' | b'c'..=b'f' | b'i' | b's'..=b'u' | b'w')) {
        return false;
    }
    let end = line.iter().take(9).position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len().min(9));
    // They need an end, or a beginning, elsewhere; or a keyword may follow.
    KEYWORDS.contains(&&line[..end])
}

#[cfg(test)]
mod tests;
