//! JSON that a person may look at, too.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::is_hidden;

/// Writes a value as JSON in one line, with every hidden character escaped: a JSON parser reads the original strings.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn to_json(value: &impl Serialize, out: impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping)).map_err(io::Error::from)
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, hidden)) = rest.char_indices().find(|&(_, c)| is_hidden(c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in hidden.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hidden.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Promise 5: nothing in JSON acts on a terminal, and every string is read back as it was.
        #[test]
        fn any_string_is_read_back(text in "\\PC*|[\u{0}-\u{ff}\u{2000}-\u{206f}\u{e0000}-\u{e00ff}\"\\\\]{0,20}") {
            let mut json = Vec::new();
            to_json(&text, &mut json).unwrap();
            prop_assert!(!std::str::from_utf8(&json).unwrap().contains(is_hidden));
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }
}
