//! The text literals of a Rust file.
//!
//! Owns the reading of literals, comments and items that exist only in tests. It knows nothing of what is in a literal.

/// Each literal with the line where it begins; none of comments, and none of items under `#[cfg(test)]`. Escapes are
/// read as far as words need it: a continued line is one space, and any other escape ends a phrase.
pub(super) fn of(source: &str) -> Vec<(String, usize)> {
    let mut reader = Reader { rest: source, line: 1 };
    let mut literals = Vec::new();
    // Whether an item for tests has been announced, and how many of its braces are open.
    let (mut announced, mut depth) = (false, 0_usize);
    let mut before = ' ';
    while let Some(first) = reader.rest.chars().next() {
        let rest = reader.rest;
        let line = reader.line;
        if rest.starts_with("//") {
            reader.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            reader.skip(rest.find("*/").map_or(rest.len(), |at| at + 2));
        } else if first == '\'' {
            reader.skip(quoted_character(rest));
        } else if let Some((text, length)) = literal(rest, before) {
            reader.skip(length);
            if !announced {
                literals.push((text, line));
            }
        } else {
            if rest.starts_with("#[cfg(test)]") {
                announced = true;
            } else if announced && first == '{' {
                depth += 1;
            } else if announced && first == '}' {
                depth = depth.saturating_sub(1);
                announced = depth > 0;
            } else if announced && first == ';' {
                announced = depth > 0;
            }
            reader.skip(first.len_utf8());
        }
        before = first;
    }
    literals
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn skip(&mut self, length: usize) {
        let (passed, rest) = self.rest.split_at(length);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }
}

/// The length of `'x'`, or of the quote alone if it begins a lifetime.
fn quoted_character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            rest[after..].find('\'').map_or(1, |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The literal that begins here, if one does, and its length. `before` is the character in front of it.
fn literal(rest: &str, before: char) -> Option<(String, usize)> {
    let is_in_name = before.is_alphanumeric() || before == '_';
    let prefix = ["br", "b", "cr", "c", "r"].into_iter().find(|prefix| {
        !is_in_name && rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    });
    let prefix = prefix.unwrap_or("");
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = &after[hashes + 1..];
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close)?;
        return Some((body[..end].to_owned(), prefix.len() + hashes + 1 + end + close.len()));
    }
    let body = after.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, prefix.len() + 1 + at + 1)),
            '\\' => match chars.next()?.1 {
                '\n' => {
                    let indent = body[at + 2..].len() - body[at + 2..].trim_start().len();
                    chars = body.char_indices();
                    chars.by_ref().take(body[..at + 2 + indent].chars().count()).for_each(drop);
                    // A line break, for the numbers of lines; the space before it is already there, or none is meant.
                    text.push('\n');
                }
                quote @ ('"' | '\'') => text.push(quote),
                _ => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    None
}

/// Promise: literals are read as the compiler reads them, and those of tests and comments are left out.
#[test]
fn literals_are_those_that_the_program_has() {
    let source = r####"
// "a comment" 'x
fn f<'a>(c: char) -> &'a str {
    let quote = ('"', '\'', '\u{22}', b"bytes here");
    println!("one \
              two {}\n", r#"raw "text" here"#);
    "three"
}
#[cfg(test)]
use crate::x;
const NAME: &str = "after use";
#[cfg(test)]
mod tests { fn g() { "not this"; { } } }
/* "nor this" */ const LAST: &str = "last";
"####;
    let found = of(source);
    let found: Vec<(&str, usize)> = found.iter().map(|(text, line)| (text.as_str(), *line)).collect();
    let expected = [
        ("bytes here", 4),
        ("one \ntwo {}\\", 5),
        ("raw \"text\" here", 6),
        ("three", 7),
        ("after use", 11),
        ("last", 14),
    ];
    assert_eq!(found, expected);
}
