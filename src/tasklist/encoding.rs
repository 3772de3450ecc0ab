//! The encoding of text.
//!
//! Commands are bytes, and any bytes are accepted. Two things are not part of them: a byte order mark, which editors
//! put before UTF-8, and UTF-16, which has more bytes than the text means.

/// The mark before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How much of a text is examined, in bytes.
const LOOKED_AT: usize = 64;

/// The length of the byte order mark at the start of a text, in bytes; 0 if there is none.
pub(super) fn mark_len(text: &[u8]) -> usize {
    if text.starts_with(MARK) { MARK.len() } else { 0 }
}

/// Removes the byte order mark.
pub(super) fn without_mark(mut text: Vec<u8>) -> Vec<u8> {
    text.drain(..mark_len(&text));
    text
}

/// Whether this is UTF-16 or UTF-32: at least every second byte, the padding of ASCII characters, is NUL.
pub(super) fn is_utf16(text: &[u8]) -> bool {
    let head = &text[..text.len().min(LOOKED_AT)];
    let head = head.strip_prefix(b"\xff\xfe").or_else(|| head.strip_prefix(b"\xfe\xff")).unwrap_or(head);
    let nuls = |from: usize| head.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let pairs = head.len() / 2;
    // With a mark, a single one is enough: a line end or a blank.
    let needed = if head.len() < text.len().min(LOOKED_AT) { 1 } else { pairs };
    pairs > 0 && (nuls(0) >= needed || nuls(1) >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encodings that Windows programs write, with and without a mark, are distinguished from other bytes.
    #[test]
    fn encodings_are_known() {
        let wide = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        for text in ["echo a\n", "\u{feff}echo a\n", "\u{feff}\u{e9}\u{3b1}\u{3b2} x\n"] {
            assert!(is_utf16(&wide(text, true)) && is_utf16(&wide(text, false)), "{text:?}");
        }
        for text in [&b""[..], b"a", b"echo a\n", b"\xff\xfe x\xa0\n", b"a\0b\n", b"echo a\0\nb", b"\xef\xbb\xbfecho\n"]
        {
            assert!(!is_utf16(text), "{text:?}");
        }
        assert_eq!(without_mark(b"\xef\xbb\xbfa".to_vec()), b"a");
        assert_eq!(without_mark(b"a\xef\xbb\xbf".to_vec()), b"a\xef\xbb\xbf");
        assert_eq!(without_mark(Vec::new()), b"");
    }
}
