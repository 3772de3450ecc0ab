//! Text → characters and fields.

use super::{FIELDS, Field};
use crate::ini::nearest;

/// The next item.
pub(super) enum Item {
    Char(char),
    /// A brace that was written twice.
    Brace(char),
    Field {
        field: Field,
        quoted: bool,
    },
}

pub(super) struct Scanner<'a> {
    rest: &'a str,
    before: Option<char>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, before: None }
    }

    /// The remaining text.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn next(&mut self) -> Result<Option<Item>, String> {
        let Some(c) = self.rest.chars().next() else { return Ok(None) };
        let before = self.before.replace(c);
        for (double, brace) in [("{{", '{'), ("}}", '}')] {
            if let Some(rest) = self.rest.strip_prefix(double) {
                self.rest = rest;
                return Ok(Some(Item::Brace(brace)));
            }
        }
        match c {
            '{' => self.field(before).map(Some),
            '}' => Err("a lone '}': write '}}' for a brace".to_owned()),
            _ => {
                self.rest = &self.rest[c.len_utf8()..];
                Ok(Some(Item::Char(c)))
            }
        }
    }

    fn field(&mut self, before: Option<char>) -> Result<Item, String> {
        let cure = "write '{{' for a brace";
        let Some((inner, rest)) = self.rest[1..].split_once('}') else {
            return Err(format!("a lone '{{': {cure}"));
        };
        if before == Some('$') {
            return Err(format!("'${{{inner}}}': write '${{{{{inner}}}}}' for a variable of the shell"));
        }
        let (name, quoted) = match inner.strip_suffix(":q") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            let names = FIELDS.map(|(name, _)| name);
            let meant = nearest(name, names).map_or_else(
                || format!("there are {}", names.map(|name| format!("{{{name}}}")).join(" ")),
                |near| format!("did you mean '{{{near}}}'?"),
            );
            return Err(format!("there is no field '{{{inner}}}'; {cure}; {meant}"));
        };
        if *field == Field::Run && quoted {
            return Err("{run} is several words; {task:q} is the command, quoted".to_owned());
        }
        self.rest = rest;
        self.before = Some('}');
        Ok(Item::Field { field: *field, quoted })
    }
}
