//! Values → words of a shell command.

/// Words that mean something to a shell where a command may begin.
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

/// Bytes that no shell ever treats in a special way within a word.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b',' | b'-')
}

/// Whether a value, standing by itself, means itself to any shell.
fn is_plain_word(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_plain(byte)) && !KEYWORDS.contains(&value) && value != b"in"
}

/// Appends the value between single quotes: one word, and nothing but itself, to any POSIX shell.
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

/// Appends the value as one word, with quotes if it needs them.
pub(crate) fn quote_if_needed(value: &[u8], out: &mut Vec<u8>) {
    if is_plain_word(value) { out.extend_from_slice(value) } else { quote(value, out) }
}
