//! Text → characters and fields: the one place that knows which braces mean something.

use super::{Fields, Form, OPEN_QUOTE, Sort};
use crate::ini::nearest;
use crate::shell::Follower;

/// What reads a text once values are in it, which decides how they are inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// A shell: values are quoted, and refused where quotes do not protect.
    Shell,
    /// A program, as one of its words: nothing needs quotes. The text is split before values are inserted.
    Words,
    /// Nothing: it is one value, such as a path.
    Nothing,
}

/// A piece of a text.
pub(super) enum Item<'t, F> {
    Text(&'t str),
    /// `exposed`: quotes would not protect it, and in an old text it has none.
    Field {
        field: F,
        form: Form,
        exposed: bool,
    },
}

pub(super) struct Scanner<'t, N: ?Sized> {
    text: &'t str,
    at: usize,
    pub(super) fields: &'t N,
    reader: Reader,
    /// Whether the text is an old one: then `{{` is a brace, and numbers are never quoted.
    is_old: bool,
    shell: Follower,
}

/// `{name}`, `{name:q}` or `{name:raw}` at the start of `text`: the name, the form, and all of it.
fn hole(text: &str) -> Option<(&str, Option<Form>, &str)> {
    let inner = text.strip_prefix('{')?;
    let inner = &inner[..inner.find(['{', '}'])?];
    let source = Some(&text[..inner.len() + 2]).filter(|source| source.ends_with('}'))?;
    Some(match (inner.strip_suffix(":raw"), inner.strip_suffix(":q")) {
        (Some(name), _) => (name, Some(Form::Raw), source),
        (_, Some(name)) => (name, Some(Form::Quoted), source),
        _ => (inner, None, source),
    })
}

/// Whether braces around this can only be meant as a field.
fn looks_like_a_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

impl<'t, N: Fields + ?Sized> Scanner<'t, N> {
    pub(super) fn new(text: &'t str, fields: &'t N, reader: Reader) -> Self {
        Self { text, at: 0, fields, reader, is_old: false, shell: Follower::default() }
    }

    pub(super) fn old(text: &'t str, fields: &'t N, reader: Reader) -> Self {
        Self { is_old: true, ..Self::new(text, fields, reader) }
    }

    /// Takes this many bytes; the text is what is left of them without a brace, or two, at the ends.
    fn text(&mut self, len: usize, before: usize, after: usize) -> (&'t str, Item<'t, N::Field>) {
        let (begin, end) = (self.at + before, self.at + len - after);
        for place in (begin..end).filter(|place| self.text.is_char_boundary(*place)) {
            self.shell.step(&self.text.as_bytes()[place..]);
        }
        let source = &self.text[self.at..self.at + len];
        self.at += len;
        (source, Item::Text(&self.text[begin..end]))
    }

    fn field(&mut self, field: N::Field, name: &str, form: Option<Form>) -> Result<Item<'t, N::Field>, String> {
        let sort = self.fields.sort(field);
        if sort == Sort::Words && (form.is_some() || self.reader == Reader::Nothing) {
            return Err(format!("{{{name}}} is several words\n  write {{{name}}}, and only where a command has words"));
        }
        let ends_comment = self.shell.is_in_comment() && sort == Sort::Lines;
        let objection = if ends_comment { Some("in a comment") } else { self.shell.objection() };
        let objection = objection.filter(|_| self.reader == Reader::Shell && form != Some(Form::Raw));
        let is_bare = self.is_old && form.is_none() && sort == Sort::Number && !self.shell.is_escaped();
        if let Some(place) = objection.filter(|_| !is_bare) {
            return Err(exposed(name, place));
        }
        let form = match self.reader {
            Reader::Shell if !is_bare && sort != Sort::Words => form.unwrap_or(Form::Quoted),
            _ => form.unwrap_or(Form::Raw),
        };
        self.shell.value();
        Ok(Item::Field { field, form, exposed: objection.is_some() })
    }
}

/// What is written, and what it is.
impl<'t, N: Fields + ?Sized> Iterator for Scanner<'t, N> {
    type Item = Result<(&'t str, Item<'t, N::Field>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            let is_open = self.reader == Reader::Shell && self.shell.is_quoted();
            return is_open.then(|| Err(OPEN_QUOTE.to_owned()));
        };
        // `{{name}}` is `{name}`, and `${name}` is the shell's.
        if let Some((name, _, source)) = rest.strip_prefix('{').and_then(hole)
            && rest[1 + source.len()..].starts_with('}')
            && (looks_like_a_name(name) || self.fields.find(name).is_some())
        {
            return Some(Ok(self.text(source.len() + 2, 1, 1)));
        }
        if self.is_old && (rest.starts_with("{{") || rest.starts_with("}}")) {
            return Some(Ok(self.text(2, 0, 1)));
        }
        if let Some((name, form, source)) = hole(rest).filter(|_| !self.shell.is_at_parameter()) {
            match self.fields.find(name) {
                Some(field) => {
                    self.at += source.len();
                    return Some(self.field(field, name, form).map(|item| (source, item)));
                }
                None if looks_like_a_name(name) => return Some(Err(unknown(name, &self.fields.names()))),
                None => {}
            }
        }
        Some(Ok(self.text(first.len_utf8(), 0, 0)))
    }
}

/// A field where quotes do not protect its value.
fn exposed(name: &str, place: &str) -> String {
    format!(
        "{{{name}}} is {place}\n  a value is quoted if it needs it: put {{{name}}} in a plain place, or write {{{name}:raw}} \
         to insert it unchanged"
    )
}

fn unknown(name: &str, names: &[&str]) -> String {
    let cure = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {{{near}}}?"),
        None => format!("there is: {{{}}}", names.join("}, {")),
    };
    format!("{{{name}}} is unknown\n  {cure} Braces that are meant as they are: {{{{{name}}}}}")
}
