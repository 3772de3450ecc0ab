//! Old texts of runners, from before runners and handlers had one language.
//!
//! Owns what such texts mean, and what they are in the language. There are two old forms: `{{` and `}}` for any brace,
//! and numbers without quotes wherever they are in a line for a shell. A text is old if every brace in it is one of a pair
//! or belongs to a field. It keeps its meaning; the caller is told the new form where that means something else.

use super::scan::{Item, Reader, Scanner};
use super::{Fields, Form, Sort, Template, words};

/// Words or a single template, and how the text has to be written in the language, if that is different.
pub(crate) type Read<F> = (Vec<Template<F>>, Option<String>);

/// Reads a text that may be old.
///
/// # Errors
/// As [`Template::command`]; without a shell, also for what only a shell could do.
pub(crate) fn read<N: Fields>(text: &str, fields: &N, reader: Reader) -> Result<Read<N::Field>, String> {
    let form = new_form(text, fields, reader);
    let scanner = if form.is_some() { Scanner::old } else { Scanner::new }(text, fields, reader);
    let templates = match reader {
        Reader::Words => words::split(scanner)?,
        Reader::Shell | Reader::Nothing => vec![Template::parse(scanner)?],
    };
    // Braces around a field, as in `{{{id}}}`, and pairs of braces have no new form.
    let means_the_same = |form: &str| {
        let [old, new] = [Scanner::old(text, fields, Reader::Words), Scanner::new(form, fields, Reader::Words)];
        Template::parse(old).ok() == Template::parse(new).ok()
            && new_form(form, fields, reader).is_none_or(|again| again == form)
    };
    Ok((templates, form.filter(|form| form != text && means_the_same(form))))
}

/// What the text is in the language; `None` if it is not an old one.
fn new_form<N: Fields>(text: &str, fields: &N, reader: Reader) -> Option<String> {
    let mut form = String::new();
    let mut rest = text;
    for item in Scanner::old(text, fields, reader) {
        let (source, item) = item.ok()?;
        let before = &text[..text.len() - rest.len()];
        rest = &rest[source.len()..];
        match item {
            Item::Text(_) if source == "{" || source == "}" => return None,
            Item::Text(text) if source == "{{" || source == "}}" => form.push_str(text),
            Item::Field { .. } if source.ends_with(":raw}") => return None,
            Item::Field { field, form: Form::Raw, exposed }
                if reader == Reader::Shell
                    && fields.sort(field) == Sort::Number
                    && (exposed || quotes_matter(before, rest, &fields.names())) =>
            {
                form.push_str(&source.replace('}', ":raw}"));
            }
            _ => form.push_str(source),
        }
    }
    Some(form)
}

/// Whether a shell would read a number between these texts differently if it had quotes, as in `$x{id}`, `~{id}`,
/// `x{id}=1`, `x[{id}]=1`, `{id}>file` and `{{1..{id}}}`. `numbers` are the names of fields that are numbers.
pub(super) fn quotes_matter(before: &str, after: &str, numbers: &[&str]) -> bool {
    let digits =
        |text: &str| numbers.iter().fold(text.to_owned(), |text, name| text.replace(&format!("{{{name}}}"), "0"));
    let before = digits(before.rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default());
    let after = digits(after.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (left, right) = (before.trim_end_matches(is_name), after.trim_start_matches(is_name));
    let (name, rest) = (&before[left.len()..], &after[..after.len() - right.len()]);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let begins_name = name.starts_with(|c: char| !c.is_ascii_digit());
    let begins_word = left.is_empty() || left.ends_with([';', '&', '|', '(']);
    let starts = |ends: &[&str]| ends.iter().any(|end| right.starts_with(end));
    let tilde = left.trim_end_matches(['+', '-']).strip_suffix('~');
    tilde.is_some_and(|left| left.is_empty() || left.ends_with(['=', ':', ';', '&', '|', '(', '<', '>']))
        || begins_name && left.ends_with('$') && !left.ends_with("\\$")
        || begins_name && begins_word && starts(&["=", "+=", "[", "("])
        || begins_word && is_digits(name) && is_digits(rest) && starts(&["<", ">"])
        || left.strip_suffix('[').is_some_and(|left| left.ends_with(is_name)) && starts(&["]=", "]+="])
        || before.contains("{{") && (left.ends_with("..") || starts(&[".."]))
}

#[cfg(test)]
mod tests;
