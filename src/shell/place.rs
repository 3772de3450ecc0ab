//! The place of a value in a shell command.

/// The quotes that a byte is between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Word,
    Single,
    Double,
    /// `$'…'`
    Ansi,
}

/// An arithmetic expression that has begun: its opening bracket, and how many of them are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Arithmetic {
    bracket: u8,
    depth: u32,
}

/// Follows a command byte by byte, just enough to know where a quoted value is one word.
#[derive(Debug)]
pub(crate) struct Follower {
    place: Place,
    escaped: bool,
    before: u8,
    in_backticks: bool,
    /// Depth of `${`.
    parameter: u32,
    arithmetic: Option<Arithmetic>,
    in_comment: bool,
    /// A here-document has been announced: from now on it is not known what is quoted.
    here_document: bool,
}

impl Default for Follower {
    /// At the start of a command.
    fn default() -> Self {
        Self {
            place: Place::Word,
            escaped: false,
            before: b' ',
            in_backticks: false,
            parameter: 0,
            arithmetic: None,
            in_comment: false,
            here_document: false,
        }
    }
}

impl Follower {
    /// Takes the first byte of `rest`, the command from there on. Of a character of several bytes, the first is enough.
    pub(crate) fn step(&mut self, rest: &[u8]) {
        let byte = rest[0];
        let before = std::mem::replace(&mut self.before, byte);
        if self.in_comment {
            self.in_comment = byte != b'\n';
            return;
        }
        if std::mem::take(&mut self.escaped) {
            self.before = b'x';
            return;
        }
        match (self.place, byte) {
            (Place::Single, b'\'') | (Place::Ansi, b'\'') | (Place::Double, b'"') => self.place = Place::Word,
            (Place::Single, _) => {}
            (_, b'\\') => self.escaped = true,
            (Place::Ansi, _) => {}
            (_, b'`') => self.in_backticks = !self.in_backticks,
            (_, b'{') if before == b'$' => self.parameter += 1,
            (_, b'}') => self.parameter = self.parameter.saturating_sub(1),
            (_, b'(' | b')' | b'[' | b']') => self.bracket(rest, before),
            (Place::Double, _) => {}
            (Place::Word, b'\'') => self.place = if before == b'$' { Place::Ansi } else { Place::Single },
            (Place::Word, b'"') => self.place = Place::Double,
            (Place::Word, b'<') if before == b'<' && self.arithmetic.is_none() => {
                self.here_document |= rest.get(1) != Some(&b'<');
                self.before = b'x';
            }
            (Place::Word, b'#')
                if before.is_ascii_whitespace() || matches!(before, b';' | b'&' | b'|' | b'(' | b')') =>
            {
                self.in_comment = true;
            }
            (Place::Word, _) => {}
        }
    }

    fn bracket(&mut self, rest: &[u8], before: u8) {
        let byte = rest[0];
        match &mut self.arithmetic {
            Some(open) if byte == open.bracket => open.depth += 1,
            Some(open) if byte == if open.bracket == b'(' { b')' } else { b']' } => {
                open.depth -= 1;
                if open.depth == 0 {
                    self.arithmetic = None;
                }
            }
            Some(_) => {}
            None => {
                let begins = match byte {
                    b'(' => rest.starts_with(b"((") && (before == b'$' || self.place == Place::Word),
                    b'[' => before == b'$',
                    _ => false,
                };
                self.arithmetic = begins.then_some(Arithmetic { bracket: byte, depth: 1 });
            }
        }
    }

    /// A value was inserted.
    pub(crate) fn value(&mut self) {
        (self.before, self.escaped) = (b'x', false);
    }

    /// Whether a `{` here would be the shell's `${`.
    pub(crate) fn is_at_parameter(&self) -> bool {
        self.before == b'$' && !self.escaped
    }

    /// Whether quotes are open.
    pub(crate) fn is_quoted(&self) -> bool {
        self.place != Place::Word || self.in_backticks
    }

    /// Whether the shell ignores this place.
    pub(crate) fn is_in_comment(&self) -> bool {
        self.in_comment
    }

    /// Whether the next character is taken literally.
    pub(crate) fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// Why a quoted value would not be one word here.
    pub(crate) fn objection(&self) -> Option<&'static str> {
        match self.place {
            _ if self.in_comment => None,
            _ if self.escaped => Some("right after a backslash"),
            Place::Single | Place::Ansi | Place::Double => Some("between quotes"),
            Place::Word if self.in_backticks => Some("between backticks"),
            Place::Word if self.parameter > 0 => Some("within ${…}"),
            Place::Word if self.here_document => Some("after <<"),
            Place::Word if self.arithmetic.is_some() => Some("within arithmetic"),
            Place::Word => None,
        }
    }
}
