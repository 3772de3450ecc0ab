//! A command with holes: `./sim --mass {mass} < {1}`.
//!
//! Owns which braces are holes, and how a value is inserted: as one word of the command, with shell quotes if it needs
//! them, so that nothing in a value is ever run; or raw, by `{mass:raw}`. A hole in a place where quotes would not
//! protect is refused when the template is read, not at the first unusual value.

use crate::ini::nearest;
use crate::shell::{Follower, is_plain, quote, quote_if_needed};

/// How a value is inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Quoted if the value needs it: the word around it is plain.
    IfNeeded,
    Quoted,
    Raw,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Vec<u8>),
    Hole { field: usize, form: Form },
}

/// A command with holes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

/// Which names a template may use.
pub(super) trait Fields {
    /// The field with this name.
    fn find(&self, name: &str) -> Option<usize>;

    /// All names, for a message.
    fn names(&self) -> Vec<&str>;
}

/// `{name}`, `{name:q}` or `{name:raw}` at the start of `text`: the name, whether raw, and the length of it all.
fn hole(text: &str) -> Option<(&str, bool, usize)> {
    let inner = text.strip_prefix('{')?;
    let inner = &inner[..inner.find(['{', '}'])?];
    if !text[1 + inner.len()..].starts_with('}') {
        return None;
    }
    let (name, raw) = match inner.strip_suffix(":raw") {
        Some(name) => (name, true),
        // As in the templates of runners; here a value is quoted anyway.
        None => (inner.strip_suffix(":q").unwrap_or(inner), false),
    };
    Some((name, raw, inner.len() + 2))
}

/// Whether braces around this can only be meant as a hole.
fn looks_like_a_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// With the problem, and the remedy on a separate line: an unknown name, or a hole in a place where quotes do not
    /// protect.
    pub(super) fn parse(text: &str, fields: &(impl Fields + ?Sized)) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut shell = Follower::default();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            // `{{name}}` is `{name}`, and `${name}` is the shell's.
            if let Some((name, _, len)) = rest.strip_prefix('{').and_then(hole)
                && rest[1 + len..].starts_with('}')
                && (looks_like_a_name(name) || fields.find(name).is_some())
            {
                for place in at + 1..at + 1 + len {
                    shell.step(&text.as_bytes()[place..]);
                    literal.push(text.as_bytes()[place]);
                }
                at += len + 2;
                continue;
            }
            let is_parameter = shell.is_at_parameter();
            let Some((name, raw, len)) = hole(rest).filter(|_| !is_parameter) else {
                shell.step(rest.as_bytes());
                literal.push(rest.as_bytes()[0]);
                at += 1;
                // Not in the middle of a character.
                while !text.is_char_boundary(at) {
                    literal.push(text.as_bytes()[at]);
                    at += 1;
                }
                continue;
            };
            let Some(field) = fields.find(name) else {
                if looks_like_a_name(name) {
                    return Err(unknown(name, fields));
                }
                shell.step(rest.as_bytes());
                literal.push(b'{');
                at += 1;
                continue;
            };
            if let Some(place) = shell.objection().filter(|_| !raw) {
                return Err(exposed(name, place));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Hole { field, form: if raw { Form::Raw } else { Form::Quoted } });
            shell.value();
            at += len;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if shell.is_quoted() {
            return Err("a quote is open at its end".to_owned());
        }
        let mut template = Self { pieces };
        template.find_plain_words();
        Ok(template)
    }

    /// Holes in words that are plain all around need quotes only if the value does. In `2{n}>x`, `~{n}` or `${x}{n}`, a
    /// value without quotes would change the meaning of the rest.
    fn find_plain_words(&mut self) {
        let mut word: Vec<usize> = Vec::new();
        let mut plain_holes: Vec<usize> = Vec::new();
        let mut plain = true;
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Hole { form, .. } => {
                    plain &= *form != Form::Raw;
                    word.push(index);
                }
                Piece::Text(text) => {
                    for (number, part) in text.split(u8::is_ascii_whitespace).enumerate() {
                        if number > 0 {
                            plain_holes.extend(word.drain(..).filter(|_| plain));
                            plain = true;
                        }
                        // An = after a hole would turn what is not a name yet into an assignment.
                        plain &= part.iter().all(|&byte| is_plain(byte) || byte == b'=' && word.is_empty());
                    }
                }
            }
        }
        plain_holes.extend(word.drain(..).filter(|_| plain));
        for index in plain_holes {
            if let Piece::Hole { form, .. } = &mut self.pieces[index] {
                *form = Form::IfNeeded;
            }
        }
    }

    /// The fields that it uses, in order of use, some several times.
    pub(super) fn fields(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole { field, .. } => Some(*field),
            Piece::Text(_) => None,
        })
    }

    /// Minimum length of a command, in bytes.
    pub(super) fn len_min(&self) -> u64 {
        let texts = self.pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.len() as u64 } else { 0 });
        texts.sum()
    }

    /// Appends the command with these values. `None` from `value`: that field does not exist; its number is returned.
    pub(super) fn fill<'v>(&self, value: impl Fn(usize) -> Option<&'v [u8]>, out: &mut Vec<u8>) -> Result<(), usize> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Hole { field, form } => {
                    let value = value(*field).ok_or(*field)?;
                    match form {
                        Form::IfNeeded => quote_if_needed(value, out),
                        Form::Quoted => quote(value, out),
                        Form::Raw => out.extend_from_slice(value),
                    }
                }
            }
        }
        Ok(())
    }
}

/// A hole where quotes do not protect its value.
fn exposed(name: &str, place: &str) -> String {
    format!(
        "{{{name}}} is {place}\n  a value is quoted if it needs it: put {{{name}}} in a plain place, or write {{{name}:raw}} \
         to insert it unchanged"
    )
}

fn unknown(name: &str, fields: &(impl Fields + ?Sized)) -> String {
    let names = fields.names();
    let cure = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {{{near}}}?"),
        None => {
            let names: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
            format!("there is: {}", names.join(", "))
        }
    };
    format!("{{{name}}} is unknown\n  {cure} Braces that are meant as they are: {{{{{name}}}}}")
}

#[cfg(test)]
mod tests;
