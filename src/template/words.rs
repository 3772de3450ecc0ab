//! A command without a shell → words.

use super::scan::{Item, Scanner};
use super::{Fields, OPEN_QUOTE, Piece, Sort, Template};

struct Words<F> {
    words: Vec<Template<F>>,
    word: Option<Template<F>>,
    /// The quote that is open.
    quote: Option<char>,
    escaped: bool,
}

/// Splits at blanks that are not quoted.
pub(super) fn split<N: Fields>(scanner: Scanner<'_, N>) -> Result<Vec<Template<N::Field>>, String> {
    let mut all = Words { words: Vec::new(), word: None, quote: None, escaped: false };
    let fields = scanner.fields;
    let mut several = "";
    for item in scanner {
        let (source, item) = item?;
        match item {
            Item::Text(text) => text.chars().try_for_each(|c| all.push(c))?,
            Item::Field { field, form, .. } => {
                several = if fields.sort(field) == Sort::Words { source } else { several };
                let backslash = std::mem::take(&mut all.escaped);
                all.open(backslash).0.push(Piece::Field { field, form });
            }
        }
    }
    if all.quote.is_some() || all.escaped {
        return Err(if all.escaped { "a backslash at its end" } else { OPEN_QUOTE }.to_owned());
    }
    all.words.extend(all.word);
    let is_part = |word: &Template<_>| {
        word.only_field().is_none() && word.fields().any(|field| fields.sort(field) == Sort::Words)
    };
    match all.words.iter().any(is_part) {
        true => Err(format!("{several} is several words\n  put blanks around it")),
        false => Ok(all.words),
    }
}

impl<F: Copy> Words<F> {
    fn push(&mut self, c: char) -> Result<(), String> {
        let backslash = std::mem::take(&mut self.escaped);
        match (self.quote, c) {
            _ if backslash => self.add(!matches!(c, '"' | '\\'), c),
            (None | Some('"'), '\\') => self.escaped = true,
            (None, '\'' | '"') => {
                self.quote = Some(c);
                self.open(false);
            }
            (Some(quote), c) if c == quote => self.quote = None,
            (None, c) if c.is_ascii_whitespace() => self.words.extend(self.word.take()),
            (None, c) if is_for_a_shell(c) || (c == '~' && self.word.is_none()) => {
                return Err(format!(
                    "'{c}' is for a shell, and there is none\n  quote it, or add the line 'shell = bash'"
                ));
            }
            _ => self.add(false, c),
        }
        Ok(())
    }

    fn add(&mut self, backslash: bool, c: char) {
        self.open(backslash).push(c.encode_utf8(&mut [0; 4]));
    }

    /// The current word, to append to. Between double quotes, a backslash before most characters is literal.
    fn open(&mut self, backslash: bool) -> &mut Template<F> {
        let word = self.word.get_or_insert_with(|| Template(Vec::new()));
        if backslash && self.quote == Some('"') {
            word.push("\\");
        }
        word
    }
}

/// Unquoted, a shell would interpret it, and without a shell it would be literal.
fn is_for_a_shell(c: char) -> bool {
    matches!(c, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?')
}
