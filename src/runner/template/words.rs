//! A command line without a shell → words.

use super::scan::{Item, Scanner};
use super::{Field, Piece, Template};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

struct Words {
    words: Vec<Template>,
    word: Option<Template>,
    quotes: Quotes,
}

impl Default for Words {
    fn default() -> Self {
        Self { words: Vec::new(), word: None, quotes: Quotes::None }
    }
}

/// Splits at blanks that are not quoted.
pub(super) fn split(text: &str) -> Result<Vec<Template>, String> {
    Words::default().split(text)
}

impl Words {
    fn split(mut self, text: &str) -> Result<Vec<Template>, String> {
        let mut scanner = Scanner::new(text);
        let mut escaped = false;
        while let Some(item) = scanner.next()? {
            let c = match item {
                Item::Char(c) => c,
                Item::Brace(c) => {
                    self.open(std::mem::take(&mut escaped)).push(c);
                    continue;
                }
                Item::Field { field, quoted } => {
                    self.open(std::mem::take(&mut escaped)).0.push(Piece::Field { field, quoted });
                    continue;
                }
            };
            if std::mem::take(&mut escaped) {
                self.open(!matches!(c, '"' | '\\')).push(c);
                continue;
            }
            match (self.quotes, c) {
                (Quotes::None | Quotes::Double, '\\') => escaped = true,
                (Quotes::None, '\'') => self.quote(Quotes::Single),
                (Quotes::None, '"') => self.quote(Quotes::Double),
                (Quotes::Single, '\'') | (Quotes::Double, '"') => self.quotes = Quotes::None,
                (Quotes::None, c) if c.is_ascii_whitespace() => self.words.extend(self.word.take()),
                (Quotes::None, c) if is_for_a_shell(c) || (c == '~' && self.word.is_none()) => {
                    return Err(format!(
                        "'{c}' is for a shell, and there is none: quote it, or add the line 'shell = bash'"
                    ));
                }
                _ => self.open(false).push(c),
            }
        }
        if self.quotes != Quotes::None || escaped {
            return Err("a quote is not closed, or a '\\' ends the line".to_owned());
        }
        self.words.extend(self.word.take());
        match self.words.iter().find(|word| word.0.len() > 1 && word.fields().any(|field| field == Field::Run)) {
            Some(_) => Err("{run} is several words: put blanks around it".to_owned()),
            None => Ok(self.words),
        }
    }

    /// The current word, to append to. Between double quotes, a backslash before most characters is literal.
    fn open(&mut self, backslash: bool) -> &mut Template {
        let word = self.word.get_or_insert_default();
        if backslash && self.quotes == Quotes::Double {
            word.push('\\');
        }
        word
    }

    fn quote(&mut self, quotes: Quotes) {
        self.quotes = quotes;
        self.open(false);
    }
}

/// Unquoted, a shell would interpret it, and without a shell it would be literal.
fn is_for_a_shell(c: char) -> bool {
    matches!(c, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?')
}
