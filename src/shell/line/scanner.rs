//! A line of shell, byte by byte.
//!
//! Owns what is open at each position. In case of doubt, it counts as open.

use super::{Look, ORDINARY, SIGNS};

/// A construct that has begun and not ended yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// `(`; `is_word`: of `$(`, `<(`, `a=(`, which is part of a word.
    Bracket {
        is_word: bool,
    },
    /// A bracket of `((` or `$((`.
    Arithmetic {
        is_word: bool,
    },
    /// `${`
    Parameter,
    /// `"`
    Double,
    /// `{`
    Group,
    /// `for`, `select`, `while`, `until`
    Loop,
    If,
    Case(Part),
}

/// The part of a `case` command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Before `in`.
    Head,
    /// Up to a `)`.
    Pattern,
    /// Up to `;;`.
    Body,
}

/// What came last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Last {
    Other,
    Background,
    /// An operator that must be followed by a command.
    Wants,
}

pub(super) struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
    frames: &'a mut Vec<Frame>,
    /// The next word is the name of a command, or a keyword.
    at_command: bool,
    /// The next word is the name of a function.
    at_function: bool,
    /// Where the word began, and whether nothing in it is quoted or expanded.
    word: Option<(usize, bool)>,
    last: Last,
    pub(super) look: Look,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a [u8], frames: &'a mut Vec<Frame>) -> Self {
        Self {
            line,
            at: 0,
            frames,
            at_command: true,
            at_function: false,
            word: None,
            last: Last::Other,
            look: Look { is_simple: true, ..Look::default() },
        }
    }

    pub(super) fn run(&mut self) {
        while let Some(&byte) = self.line.get(self.at) {
            let whole = match self.frames.last() {
                Some(Frame::Double) => self.within_double(byte),
                Some(Frame::Parameter) => self.within_parameter(byte),
                Some(&Frame::Arithmetic { is_word }) => self.within_arithmetic(byte, is_word),
                _ => self.in_command(byte),
            };
            // Nothing more to see: a comment, or something that only the shell can judge.
            if whole.is_none() {
                break;
            }
        }
        self.end_word();
        self.look.is_open |= !self.frames.is_empty() || self.last == Last::Wants;
        self.look.background = self.last == Last::Background;
    }

    fn next(&self) -> Option<u8> {
        self.line.get(self.at + 1).copied()
    }

    /// Moves to the last byte that is as unremarkable as the present one.
    fn skip(&mut self, is_dull: impl Fn(u8) -> bool) {
        let rest = &self.line[self.at + 1..];
        self.at += rest.iter().position(|byte| !is_dull(*byte)).unwrap_or(rest.len());
    }

    fn within_double(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'"' => {
                self.frames.pop();
            }
            b'\\' => return self.escape(),
            b'`' => return self.backticks(),
            b'$' => return self.dollar(),
            _ => self.skip(|byte| !matches!(byte, b'"' | b'\\' | b'`' | b'$')),
        }
        self.at += 1;
        Some(())
    }

    fn within_parameter(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'}' => {
                self.frames.pop();
            }
            b'\\' => return self.escape(),
            b'`' => return self.backticks(),
            b'$' => return self.dollar(),
            b'"' => self.frames.push(Frame::Double),
            // Between double quotes, it is a quote to bash and not to other shells.
            b'\'' => return self.single(),
            _ => {}
        }
        self.at += 1;
        Some(())
    }

    fn within_arithmetic(&mut self, byte: u8, is_word: bool) -> Option<()> {
        match byte {
            b'(' => self.frames.push(Frame::Arithmetic { is_word }),
            b')' => {
                self.frames.pop();
                self.after_bracket(is_word);
            }
            b'\\' => return self.escape(),
            b'`' => return self.backticks(),
            b'$' => return self.dollar(),
            b'"' => self.frames.push(Frame::Double),
            b'\'' => return self.single(),
            _ => {}
        }
        self.at += 1;
        Some(())
    }

    fn in_command(&mut self, byte: u8) -> Option<()> {
        match byte {
            b' ' | b'\t' | b'\n' => self.end_word(),
            b'\\' => {
                self.in_word(false);
                return self.escape();
            }
            b'\'' => {
                self.in_word(false);
                return self.single();
            }
            b'"' => {
                self.in_word(false);
                self.frames.push(Frame::Double);
            }
            b'`' => {
                self.in_word(false);
                return self.backticks();
            }
            b'$' => {
                self.in_word(false);
                return self.dollar();
            }
            b';' | b'&' | b'|' => self.operator(byte),
            b'<' | b'>' => self.redirection(byte),
            b'(' => self.open_bracket(),
            b')' => return self.close_bracket(),
            b'#' if self.word.is_none() => return None,
            b'\r' => {
                self.look.carriage_return = true;
                self.in_word(true);
            }
            0x80.. => self.other_character(),
            _ => {
                self.in_word(true);
                self.skip(|byte| SIGNS[usize::from(byte)] & ORDINARY != 0);
            }
        }
        self.at += 1;
        Some(())
    }

    /// Something is part of a word; `plain`: it stands for itself.
    fn in_word(&mut self, plain: bool) {
        let at = self.at;
        let (_, is_plain) = self.word.get_or_insert((at, true));
        *is_plain &= plain;
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 2;
        self.look.is_continued = self.at > self.line.len();
        Some(())
    }

    /// Skips the text between single quotes.
    fn single(&mut self) -> Option<()> {
        let rest = &self.line[self.at + 1..];
        self.pass(memchr::memchr(b'\'', rest).map(|len| len + 2))
    }

    fn backticks(&mut self) -> Option<()> {
        self.pass(end_of(&self.line[self.at + 1..], b'`').map(|len| len + 2))
    }

    /// Skips this many bytes; `None`: what has begun does not end.
    fn pass(&mut self, len: Option<usize>) -> Option<()> {
        self.look.is_open |= len.is_none();
        self.at += len?;
        Some(())
    }

    fn dollar(&mut self) -> Option<()> {
        match self.next() {
            Some(b'(') if self.line.get(self.at + 2) == Some(&b'(') => {
                self.frames.extend([Frame::Arithmetic { is_word: true }; 2]);
                self.at += 3;
            }
            Some(b'(') => {
                self.at += 2;
                self.enter(true);
            }
            Some(b'{') => {
                self.frames.push(Frame::Parameter);
                self.at += 2;
            }
            Some(b'\'') if !matches!(self.frames.last(), Some(Frame::Double | Frame::Parameter)) => {
                return self.pass(end_of(&self.line[self.at + 2..], b'\'').map(|len| len + 3));
            }
            _ => self.at += 1,
        }
        Some(())
    }

    /// After an opening bracket.
    fn enter(&mut self, is_word: bool) {
        self.frames.push(Frame::Bracket { is_word });
        self.word = None;
        self.at_command = true;
    }

    fn operator(&mut self, byte: u8) {
        // `&>` and `&>>`
        if byte == b'&' && self.next() == Some(b'>') {
            self.end_word();
            return;
        }
        self.end_word();
        self.look.is_simple &= !self.frames.is_empty();
        let double = self.next() == Some(byte);
        self.at += usize::from(double || (byte == b'|' && self.next() == Some(b'&')));
        self.last = match byte {
            b';' => {
                let ends_case = double || self.next() == Some(b'&');
                if let Some(Frame::Case(part)) = self.frames.last_mut().filter(|_| ends_case) {
                    *part = Part::Pattern;
                    self.at += usize::from(self.line.get(self.at + 1) == Some(&b'&'));
                }
                Last::Other
            }
            b'&' if !double => Last::Background,
            _ => Last::Wants,
        };
        self.at_command = true;
    }

    fn redirection(&mut self, byte: u8) {
        if self.next() == Some(b'(') {
            // `<(` and `>(` are words.
            self.in_word(false);
            self.at += 1;
            self.enter(true);
            return;
        }
        // A number or a name right before it belongs to it.
        self.end_word();
        let rest = &self.line[self.at..];
        if rest.starts_with(b"<<") && !rest.starts_with(b"<<<") {
            self.look.here_document = true;
        }
        let len = if rest.starts_with(b"<<<") { 3 } else { 1 };
        let after = rest.get(len).copied();
        // `>>`, `>&`, `>|`, `<&`, `<>`, `<<`
        let two = len == 1 && (after == Some(byte) || matches!(after, Some(b'&' | b'|' | b'>')));
        self.at += len - 1 + usize::from(two);
        // A file, followed by what would have come anyway.
        self.last = Last::Other;
    }

    fn open_bracket(&mut self) {
        if self.frames.last() == Some(&Frame::Case(Part::Pattern)) {
            return;
        }
        self.look.is_simple &= !self.frames.is_empty();
        match self.word {
            None if self.next() == Some(b'(') => {
                self.frames.extend([Frame::Arithmetic { is_word: false }; 2]);
                self.at += 1;
            }
            None => self.enter(false),
            // The words of an array, of a pattern, or none at all as in `f()`.
            Some((begin, _)) => {
                let is_function = self.next() == Some(b')') && self.at > begin && self.line[self.at - 1] != b'=';
                self.enter(!is_function);
                self.at_command = false;
            }
        }
    }

    fn close_bracket(&mut self) -> Option<()> {
        self.end_word();
        match self.frames.last_mut() {
            Some(Frame::Case(part @ Part::Pattern)) => {
                *part = Part::Body;
                self.at_command = true;
                self.last = Last::Other;
            }
            Some(&mut Frame::Bracket { is_word }) => {
                self.frames.pop();
                self.after_bracket(is_word);
                // A function, whose body must follow.
                if !is_word && self.line[..self.at].trim_ascii_end().ends_with(b"(") {
                    self.last = Last::Wants;
                }
            }
            _ => return self.doubt(),
        }
        self.at += 1;
        Some(())
    }

    /// After a closing bracket: the word continues, or a keyword may follow.
    fn after_bracket(&mut self, is_word: bool) {
        self.word = is_word.then_some((self.at, false));
        self.at_command = !is_word;
        if is_word {
            self.last = Last::Other;
        }
    }

    /// Something closes what has not begun: only the shell can judge that.
    fn doubt(&mut self) -> Option<()> {
        self.look.is_open = true;
        None
    }

    fn other_character(&mut self) {
        let rest = &self.line[self.at..self.line.len().min(self.at + 4)];
        let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let Some(character) = valid.chars().next() else { return self.in_word(true) };
        if self.look.deceptive.is_none() && is_deceptive(character, self.word.is_none()) {
            self.look.deceptive = Some(character);
        }
        self.in_word(true);
        self.at += character.len_utf8() - 1;
    }

    fn end_word(&mut self) {
        let Some((begin, is_plain)) = self.word.take() else { return };
        let word = &self.line[begin..self.at.min(self.line.len())];
        let before = std::mem::replace(&mut self.last, Last::Other);
        let at_command = std::mem::replace(&mut self.at_command, false);
        if std::mem::take(&mut self.at_function) {
            self.at_command = true;
            return;
        }
        match self.frames.last_mut() {
            Some(Frame::Case(part @ Part::Head)) if word == b"in" => *part = Part::Pattern,
            Some(Frame::Case(Part::Pattern)) if word != b"esac" => {}
            Some(Frame::Case(Part::Pattern)) => self.keyword(word, before),
            // The longest keyword is `function`.
            _ if is_plain && at_command && word.len() <= 8 => self.keyword(word, before),
            _ => {}
        }
    }

    fn keyword(&mut self, word: &[u8], before: Last) {
        let frame = match word {
            b"!" | b"time" | b"coproc" | b"do" | b"then" | b"else" | b"elif" => {
                self.at_command = true;
                return;
            }
            b"function" => {
                self.at_function = true;
                return;
            }
            b"if" => Frame::If,
            b"for" | b"select" | b"while" | b"until" => Frame::Loop,
            b"case" => Frame::Case(Part::Head),
            b"{" => Frame::Group,
            b"fi" => return self.close(before, |frame| frame == Frame::If),
            b"done" => return self.close(before, |frame| frame == Frame::Loop),
            b"esac" => return self.close(before, |frame| matches!(frame, Frame::Case(_))),
            b"}" => return self.close(before, |frame| frame == Frame::Group),
            _ => return,
        };
        self.look.is_simple = false;
        self.at_command = matches!(frame, Frame::If | Frame::Group) || matches!(word, b"while" | b"until");
        self.frames.push(frame);
    }

    /// What came last within it comes last of it.
    fn close(&mut self, before: Last, fits: impl Fn(Frame) -> bool) {
        if self.frames.last().is_some_and(|frame| fits(*frame)) {
            self.frames.pop();
            self.last = before;
            // After `done`, a further `done` or a `)` may follow.
            self.at_command = true;
        } else {
            self.look.is_open = true;
        }
    }
}

/// The position of this unescaped byte.
fn end_of(text: &[u8], end: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\\', end, text.get(at..)?)?;
        if text[at] == end {
            return Some(at);
        }
        at += 2;
    }
}

/// Whether a character looks like a blank or is invisible, or, at the start of a word, looks like a quote or a dash,
/// and is a letter to the shell.
fn is_deceptive(character: char, at_start: bool) -> bool {
    match character {
        '\u{a0}' | '\u{ad}' | '\u{1680}' | '\u{180e}' | '\u{3000}' | '\u{feff}' => true,
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => true,
        '\u{2010}'..='\u{2015}' | '\u{2018}'..='\u{201f}' | '\u{2212}' => at_start,
        _ => false,
    }
}
