//! Text with fields: `./sim --mass {mass} < {1}`, `time {run}`.
//!
//! Owns the one language of handlers and runners: which braces are fields, how a value is inserted, and where a field is
//! refused. docs/handlers.md explains it to users. Knows no field and no value: see [`Fields`]. Whatever a value is, it
//! never changes the text around it, unless the text asks for that by `{name:raw}`; a field in a place where this would
//! not hold is refused when the text is read, not at the first unusual value.

mod old;
mod scan;
mod words;

use bincode::{Decode, Encode};

use crate::shell::{is_plain, quote, quote_if_needed};

pub(crate) use old::read;
pub(crate) use scan::Reader;
use scan::{Item, Scanner};

/// The fields that a text may use.
pub(crate) trait Fields {
    type Field: Copy + PartialEq;

    /// The field with this name.
    fn find(&self, name: &str) -> Option<Self::Field>;

    /// All names, for a message.
    fn names(&self) -> Vec<&str>;

    /// What its value is.
    fn sort(&self, _: Self::Field) -> Sort {
        Sort::Line
    }
}

/// The names are the fields, by number.
impl<const N: usize> Fields for [&str; N] {
    type Field = usize;

    fn find(&self, name: &str) -> Option<usize> {
        self.iter().position(|known| *known == name)
    }

    fn names(&self) -> Vec<&str> {
        self.to_vec()
    }
}

/// What a value is, as far as that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    /// Text without newlines.
    Line,
    /// Text that may have several lines, of which a comment has only the first.
    Lines,
    /// Digits, which [old texts](mod@old) have without quotes.
    Number,
    /// Several words of a command, already quoted for a shell.
    Words,
}

/// How a value is inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Form {
    /// As it is.
    Raw,
    /// As one word for a shell, with quotes.
    Quoted,
    /// The same, with quotes only if the value needs them: the word around it is plain.
    IfNeeded,
}

/// A piece of a [`Template`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) enum Piece<F> {
    Text(Vec<u8>),
    Field { field: F, form: Form },
}

/// Text with fields.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Template<F>(Vec<Piece<F>>);

impl<F: Copy> Template<F> {
    /// Text without fields.
    pub fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.as_bytes().to_vec())])
    }

    /// A command for a shell, with quotes only where values need them: people read it, too.
    ///
    /// # Errors
    /// With the problem, and the remedy on a separate line: an unknown name, or a field in a place where quotes do not
    /// protect.
    pub(crate) fn command(text: &str, fields: &(impl Fields<Field = F> + ?Sized)) -> Result<Self, String> {
        let mut template = Self::parse(Scanner::new(text, fields, Reader::Shell))?;
        template.spare_quotes();
        Ok(template)
    }

    /// One value, such as a number, that no shell reads.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub(crate) fn value(text: &str, fields: &(impl Fields<Field = F> + ?Sized)) -> Result<Self, String> {
        Self::parse(Scanner::new(text, fields, Reader::Nothing))
    }

    fn parse(scanner: Scanner<'_, impl Fields<Field = F> + ?Sized>) -> Result<Self, String> {
        let mut template = Self(Vec::new());
        for item in scanner {
            match item?.1 {
                Item::Text(text) => template.push(text),
                Item::Field { field, form, .. } => template.0.push(Piece::Field { field, form }),
            }
        }
        Ok(template)
    }

    fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.extend_from_slice(text.as_bytes()),
            _ => self.0.push(Piece::Text(text.as_bytes().to_vec())),
        }
    }

    /// Appends a field.
    pub fn with(mut self, field: F, form: Form) -> Self {
        self.0.push(Piece::Field { field, form });
        self
    }

    /// Appends what another one has.
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Fields in words that are plain all around need quotes only if the value does. In `2{n}>x`, `~{n}` or `${x}{n}`, a
    /// value without quotes would change the meaning of the rest.
    fn spare_quotes(&mut self) {
        let mut word: Vec<usize> = Vec::new();
        let mut spared: Vec<usize> = Vec::new();
        let mut plain = true;
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Field { form, .. } => {
                    plain &= *form != Form::Raw;
                    word.push(index);
                }
                Piece::Text(text) => {
                    for (number, part) in text.split(u8::is_ascii_whitespace).enumerate() {
                        if number > 0 {
                            spared.extend(word.drain(..).filter(|_| plain));
                            plain = true;
                        }
                        // An = after a field would turn what is not a name yet into an assignment.
                        plain &= part.iter().all(|&byte| is_plain(byte) || byte == b'=' && word.is_empty());
                    }
                }
            }
        }
        spared.extend(word.drain(..).filter(|_| plain));
        for index in spared {
            if let Piece::Field { form, .. } = &mut self.0[index] {
                *form = Form::IfNeeded;
            }
        }
    }

    /// The fields that it uses, in order of use, some several times.
    pub fn fields(&self) -> impl Iterator<Item = F> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Field { field, .. } => Some(*field),
            Piece::Text(_) => None,
        })
    }

    /// The field, if there is nothing else.
    pub(crate) fn only_field(&self) -> Option<F> {
        if let [Piece::Field { field, .. }] = self.0[..] { Some(field) } else { None }
    }

    /// Minimum length of the filled text, in bytes.
    pub(crate) fn len_min(&self) -> u64 {
        let texts = self.0.iter().map(|piece| if let Piece::Text(text) = piece { text.len() as u64 } else { 0 });
        texts.sum()
    }

    /// Appends the text with these values. `None` from `value`: that field does not exist; it is returned.
    pub(crate) fn fill<V: AsRef<[u8]>>(&self, value: impl Fn(F) -> Option<V>, out: &mut Vec<u8>) -> Result<(), F> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field { field, form } => {
                    let value = value(*field).ok_or(*field)?;
                    match form {
                        Form::IfNeeded => quote_if_needed(value.as_ref(), out),
                        Form::Quoted => quote(value.as_ref(), out),
                        Form::Raw => out.extend_from_slice(value.as_ref()),
                    }
                }
            }
        }
        Ok(())
    }
}

const OPEN_QUOTE: &str = "a quote is open at its end";

#[cfg(test)]
mod tests;
