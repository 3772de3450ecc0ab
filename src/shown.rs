//! Text from elsewhere, made safe to show to a person.
//!
//! Owns the one notation for what must not reach a terminal unescaped, or would be invisible there: control characters
//! are `\t`, `\n`, `\r`, `\x1b`; other characters that are invisible or change the direction of text are `\u{202e}`;
//! bytes that are not UTF-8 are `\xff`. Everything else stays as it is, including backslashes: the notation is for
//! people, and a program that needs the bytes themselves reads the file or `--json`. Never decides what is shown, or
//! where.

mod json;
mod terminal;

use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use json::to_json;
pub(crate) use terminal::TerminalWriter;

/// Whether a character acts on a terminal, or is invisible: controls, line and paragraph separators, and what Unicode
/// calls `Default_Ignorable_Code_Point`, which includes all marks that change the direction of text.
pub(crate) fn is_hidden(c: char) -> bool {
    if c < '\u{a0}' {
        return c.is_control();
    }
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Appends a character: itself, or its notation.
fn push(out: &mut String, c: char) {
    // Writing into a String never fails.
    match c {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if !is_hidden(c) => out.push(c),
        c if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
        c => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

/// Text as one line.
pub(crate) fn line(text: &(impl AsRef<[u8]> + ?Sized)) -> String {
    let mut out = String::with_capacity(text.as_ref().len());
    for chunk in text.as_ref().utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut out, byte));
    }
    out
}

/// A path as one line.
pub(crate) fn path(path: &Path) -> String {
    line(path.as_os_str().as_bytes())
}

/// Text as one line of at most `max` characters; the last one is `…` if the text is longer.
pub(crate) fn short(text: &(impl AsRef<[u8]> + ?Sized), max: usize) -> String {
    // Bytes beyond this would not be shown.
    let text = text.as_ref();
    let mut shown = line(&text[..text.len().min(4 * max + 4)]);
    if let Some((cut, _)) = shown.char_indices().nth(max) {
        let cut = shown[..cut].char_indices().next_back().map_or(0, |(at, _)| at);
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// A message of this program. It may have several lines and tabs, and contain any text: every line after the first is
/// indented, so that none looks like another message.
pub(crate) fn message(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c == '\t' || !is_hidden(c);
    let text = without_error_numbers(text);
    if text.chars().all(is_plain) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
            if !line.is_empty() && !line.starts_with("  ") {
                out.push_str("  ");
            }
        }
        line.chars().for_each(|c| if c == '\t' { out.push(c) } else { push(&mut out, c) });
    }
    Cow::Owned(out)
}

/// Without the number that Rust puts after what the system calls an error: `No such file or directory (os error 2)`.
fn without_error_numbers(text: &str) -> Cow<'_, str> {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default();
    let mut plain = Cow::Borrowed(first);
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(')');
        match rest.filter(|_| part.starts_with(|c: char| c.is_ascii_digit())) {
            Some(rest) => plain.to_mut().push_str(rest),
            None => plain.to_mut().extend([" (os error ", part]),
        }
    }
    plain
}

/// Bytes as text; what is UTF-8 stays as it is. For text that is shown only later, or goes to other programs.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut out, byte));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Promise: what acts on a terminal or is invisible is escaped; what can be read stays as it is.
    #[test]
    fn hidden_characters_are_written_out() {
        for (text, shown) in [
            (&b"./run --name 'a b' > out\\x"[..], "./run --name 'a b' > out\\x"),
            ("Grüße, 日本語, e\u{301}, 🙂".as_bytes(), "Grüße, 日本語, e\u{301}, 🙂"),
            (b"\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
            (b"a\tb\r\nc\0\x7f", "a\\tb\\r\\nc\\x00\\x7f"),
            ("\u{9b}2J\u{85}".as_bytes(), "\\u{9b}2J\\u{85}"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}".as_bytes(),
                "a\\u{202e}b\\u{2066}c\\u{200b}d\\u{feff}e\\u{e0041}",
            ),
            (b"caf\xe9 \xf0\x9f\x98", "caf\\xe9 \\xf0\\x9f\\x98"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(short("abc", 3), "abc");
        assert_eq!(short("abcd", 3), "ab…");
        assert_eq!(short("ééé\u{1b}", 4), "ééé…");
        assert_eq!(text(b"a\x1b\xff\t"), "a\x1b\\xff\t");
    }

    /// A message has lines of its own, but no text in it can begin a line that looks like another message.
    #[test]
    fn a_message_keeps_its_lines() {
        assert_eq!(message("cannot read x\n  do that"), "cannot read x\n  do that");
        assert_eq!(message("x\ntaskfarmer-mpi: all is well\n\ty"), "x\n  taskfarmer-mpi: all is well\n  \ty");
        assert_eq!(message("a\u{1b}[2Jb\r"), "a\\x1b[2Jb\\r");
    }

    /// The numbers of errors are for programmers; everything else in a text stays.
    #[test]
    fn error_numbers_are_left_out() {
        let error = std::io::Error::from_raw_os_error(2).to_string();
        assert_eq!(
            message(&format!("cannot read a: {error}\n  b: {error}!")),
            "cannot read a: No such file or directory\n  b: No such file or directory!"
        );
        for text in ["a (os error ", "a (os error )", "a (os error x2)", "a (os error 2", "(os error 2)"] {
            assert_eq!(message(text), text);
        }
    }

    proptest! {
        /// Promise 5: whatever is shown becomes one line of text, and showing that line again does not change it.
        #[test]
        fn any_bytes_are_shown(bytes: Vec<u8>, text in "\\PC*|[\u{0}-\u{ff}\u{2000}-\u{206f}a-z]{0,40}", max in 1_usize..40) {
            for bytes in [&bytes[..], text.as_bytes()] {
                let shown = line(bytes);
                prop_assert!(!shown.contains(is_hidden), "{:?}", shown);
                prop_assert_eq!(&line(&shown), &shown);
                prop_assert!(short(bytes, max).chars().count() <= max);
            }
            prop_assert!(!message(&text).contains(|c| is_hidden(c) && c != '\n' && c != '\t'));
            if !text.contains(is_hidden) {
                prop_assert_eq!(line(&text), text);
            }
        }
    }
}
