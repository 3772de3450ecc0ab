//! A line for a shell, in which fields must not be misread.

use super::scan::{Item, Scanner};
use super::{Field, Piece, Template};

/// Where in a line for a shell we are, as far as it matters for a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    Quoted(char),
    /// `$'…'`, where a backslash escapes.
    AnsiQuoted,
    Comment,
}

/// Reads a line; the text around the fields is the shell's.
pub(super) fn read(text: &str) -> Result<Template, String> {
    let mut template = Template::default();
    let mut scanner = Scanner::new(text);
    let (mut place, mut before, mut escaped) = (Place::Open, ' ', false);
    while let Some(item) = scanner.next()? {
        let c = match item {
            Item::Field { field, quoted } => {
                check_field(field, quoted, place, escaped)?;
                template.0.push(Piece::Field { field, quoted });
                (before, escaped) = ('}', false);
                continue;
            }
            Item::Char(c) | Item::Brace(c) => c,
        };
        template.push(c);
        if !std::mem::take(&mut escaped) {
            place = match (place, c) {
                (Place::Open | Place::Quoted('"') | Place::AnsiQuoted, '\\') => {
                    escaped = true;
                    place
                }
                (Place::Open, '\'') if before == '$' => Place::AnsiQuoted,
                (Place::Open, '\'' | '"' | '`') => Place::Quoted(c),
                (Place::Open, '#') if before.is_ascii_whitespace() || before == ';' => Place::Comment,
                (Place::Comment, '\n') | (Place::AnsiQuoted, '\'') => Place::Open,
                (Place::Quoted(quote), c) if quote == c => Place::Open,
                (place, _) => place,
            };
        }
        before = c;
    }
    match place {
        Place::Quoted(_) | Place::AnsiQuoted => Err("a quote is not closed".to_owned()),
        Place::Open | Place::Comment => Ok(template),
    }
}

fn check_field(field: Field, quoted: bool, place: Place, escaped: bool) -> Result<(), String> {
    let name = field.name();
    if escaped {
        return Err(format!("a '\\' in front of {{{name}}} would change its value"));
    }
    if field.is_number() && !quoted {
        return Ok(());
    }
    if !matches!(place, Place::Open) {
        return Err(format!(
            "{{{name}}} inside quotes or a comment: the shell would read more into it; close the quotes before it"
        ));
    }
    match field {
        Field::Run => Ok(()),
        _ if quoted => Ok(()),
        Field::Task => Err("{task} in a line for a shell: write {run} to run it, {task:q} to pass its text".to_owned()),
        _ => Err(format!("{{{name}}} in a line for a shell: write {{{name}:q}}, it may have blanks")),
    }
}
