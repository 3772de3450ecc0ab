//! A line for a shell, in which fields must not be misread.

use super::scan::{Item, Scanner};
use super::{Field, Piece, Template};
use crate::shell::Follower;

/// Reads a line; the text around the fields is interpreted by the shell.
pub(super) fn read(text: &str) -> Result<Template, String> {
    let mut template = Template::default();
    let mut scanner = Scanner::new(text);
    let mut shell = Follower::default();
    loop {
        let rest = scanner.rest().as_bytes();
        match scanner.next()? {
            None => break,
            Some(Item::Field { field, quoted }) => {
                check_field(field, quoted, &shell)?;
                template.0.push(Piece::Field { field, quoted });
                shell.value();
            }
            // A brace is written twice: the first one stands for both.
            Some(Item::Char(c) | Item::Brace(c)) => {
                template.push(c);
                shell.step(rest);
            }
        }
    }
    if shell.is_quoted() { Err("a quote is not closed".to_owned()) } else { Ok(template) }
}

fn check_field(field: Field, quoted: bool, shell: &Follower) -> Result<(), String> {
    let name = field.name();
    if shell.is_escaped() {
        return Err(format!("a '\\' before {{{name}}} would change its value"));
    }
    if field.is_number() && !quoted {
        return Ok(());
    }
    let place = if shell.is_in_comment() { Some("in a comment") } else { shell.objection() };
    if let Some(place) = place {
        return Err(format!("{{{name}}} is {place}: the shell would interpret its value; put it in a plain place"));
    }
    match field {
        Field::Run => Ok(()),
        _ if quoted => Ok(()),
        Field::Task => Err("{task} in a line for a shell: write {run} to run it, {task:q} to pass its text".to_owned()),
        _ => Err(format!("{{{name}}} in a line for a shell: write {{{name}:q}}, it may contain blanks")),
    }
}
