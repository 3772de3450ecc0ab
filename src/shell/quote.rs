//! Values → words of a shell command.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::shown::is_hidden;

/// Words with a special meaning where a command may begin.
pub(super) const KEYWORDS: [&[u8]; 17] = [
    b"case",
    b"coproc",
    b"do",
    b"done",
    b"elif",
    b"else",
    b"esac",
    b"fi",
    b"for",
    b"function",
    b"if",
    b"select",
    b"then",
    b"time",
    b"until",
    b"while",
    b"!",
];

/// Bytes that are not special within a word in any shell.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b',' | b'-')
}

/// Whether a value, as a word by itself, is literal in any shell.
fn is_plain_word(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_plain(byte)) && !KEYWORDS.contains(&value) && value != b"in"
}

/// Appends the value between single quotes: one literal word in any POSIX shell.
pub(crate) fn quote(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in value {
        if byte == b'\'' { out.extend_from_slice(b"'\\''") } else { out.push(byte) }
    }
    out.push(b'\'');
}

/// The value between single quotes.
pub(crate) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 2);
    quote(value, &mut out);
    out
}

/// Appends the value as one word, with quotes if needed.
pub(crate) fn quote_if_needed(value: &[u8], out: &mut Vec<u8>) {
    if is_plain_word(value) { out.extend_from_slice(value) } else { quote(value, out) }
}

/// The value as one word of a command that a person may paste: as by [`quote_if_needed`], but with nothing hidden.
/// Hidden characters, and bytes that are not UTF-8, become octal numbers in `$'…'`, which bash, zsh and ksh read, and
/// which POSIX has had since 2024.
pub(crate) fn pasted(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len() + 2);
    if std::str::from_utf8(value).is_ok_and(|text| !text.contains(is_hidden)) {
        quote_if_needed(value, &mut out);
        return String::from_utf8_lossy(&out).into_owned();
    }
    let mut out = "$'".to_owned();
    let push = |out: &mut String, bytes: &[u8]| {
        // Writing into a String never fails.
        bytes.iter().for_each(|byte| _ = write!(out, "\\{byte:03o}"));
    };
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if is_hidden(c) => push(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        push(&mut out, chunk.invalid());
    }
    out.push('\'');
    out
}

/// A path as [`pasted`] text that may be pasted into a command, where it is not mistaken for an option.
pub(crate) fn pasted_path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"-") { pasted(&[b"./", bytes].concat()) } else { pasted(bytes) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Promise: text printed for pasting is one word, and all of it is visible.
    #[test]
    fn a_pasted_word_hides_nothing() {
        for (value, expected) in [
            (&b"a/b"[..], "a/b"),
            (b"", "''"),
            (b"my dir", "'my dir'"),
            (b"it's; rm -rf ~", r"'it'\''s; rm -rf ~'"),
            (b"a\x1b[2J", r"$'a\033[2J'"),
            (b"it's\n\\", r"$'it\'s\012\\'"),
            ("é\u{202e}".as_bytes(), r"$'é\342\200\256'"),
            (b"\xff1", r"$'\3771'"),
        ] {
            assert_eq!(pasted(value), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// bash reads any word back as the same value.
        #[test]
        fn any_word_is_what_it_was(value in prop::collection::vec(
            prop_oneof![1..=u8::MAX, prop::sample::select(b"\\'\"$`! \n\x1b123".to_vec())], 0..20))
        {
            let word = pasted(&value);
            prop_assert!(!word.contains(is_hidden));
            let output = Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().unwrap();
            prop_assert_eq!(output.stdout, value);
        }
    }
}
