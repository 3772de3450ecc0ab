//! The output of tasks on a terminal.

use std::io::{self, Write};

use super::{push, push_byte};

/// The longest color sequence, in bytes.
const COLOR_LEN_MAX: usize = 64;

/// Passes text on to a terminal, line by line and with its colors, as `less -R` shows it; anything else that would act
/// on the terminal is escaped. The text ends with [`Self::finish`].
#[derive(Debug)]
pub(crate) struct TerminalWriter<W> {
    out: W,
    /// Bytes that may be the beginning of a longer sequence.
    waiting: Vec<u8>,
    /// Whether a color was passed on.
    is_colored: bool,
}

impl<W: Write> TerminalWriter<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out, waiting: Vec::new(), is_colored: false }
    }

    /// Shows the rest, and resets colors.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.out.write_all(super::line(&waiting).as_bytes())?;
        self.end_colors()
    }

    /// Resets colors.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub(crate) fn end_colors(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.is_colored) {
            true => self.out.write_all(b"\x1b[0m"),
            false => Ok(()),
        }
    }

    /// Shows the first character or sequence of these bytes; returns its length, or `None` if more bytes are needed.
    fn show(&mut self, bytes: &[u8], shown: &mut String) -> Option<usize> {
        match bytes {
            [b'\n' | b'\t', ..] => shown.push(char::from(bytes[0])),
            // A line ending of other systems.
            [b'\r', b'\n', ..] => {
                shown.push('\n');
                return Some(2);
            }
            [b'\r' | 0x1b] => return None,
            [0x1b, b'[', rest @ ..] => {
                let len = rest.iter().take(COLOR_LEN_MAX).take_while(|byte| matches!(byte, b'0'..=b';')).count();
                match rest.get(len) {
                    Some(b'm') if hides(&rest[..len]) => push(shown, '\u{1b}'),
                    Some(b'm') => {
                        self.is_colored = true;
                        // Digits, `:`, `;` and the end of the sequence.
                        shown.extend(bytes[..len + 3].iter().map(|&byte| char::from(byte)));
                        return Some(len + 3);
                    }
                    None => return None,
                    _ => push(shown, '\u{1b}'),
                }
            }
            [byte, ..] if byte.is_ascii() => push(shown, char::from(*byte)),
            _ => match std::str::from_utf8(&bytes[..bytes.len().min(4)]) {
                Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => return None,
                Err(error) if error.valid_up_to() == 0 => push_byte(shown, bytes[0]),
                Err(error) => return self.show(&bytes[..error.valid_up_to()], shown),
                Ok(text) => {
                    let c = text.chars().next()?;
                    push(shown, c);
                    return Some(c.len_utf8());
                }
            },
        }
        Some(1)
    }
}

impl TerminalWriter<Vec<u8>> {
    /// What can be shown so far.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// Whether a color sequence makes text invisible (8, conceal). The numbers of a color, as in `38;5;8`, do not.
fn hides(parameters: &[u8]) -> bool {
    let mut numbers = parameters.split(|byte| *byte == b';').map(|text| std::str::from_utf8(text).unwrap_or_default());
    while let Some(text) = numbers.next() {
        match text.trim_start_matches('0') {
            "8" => return true,
            "38" | "48" | "58" => {
                let more = if numbers.next() == Some("5") { 1 } else { 3 };
                numbers.by_ref().take(more).for_each(drop);
            }
            _ => {}
        }
    }
    false
}

impl<W: Write> Write for TerminalWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.waiting);
        all.extend_from_slice(bytes);
        let (mut at, mut shown) = (0, String::with_capacity(all.len()));
        while at < all.len()
            && let Some(len) = self.show(&all[at..], &mut shown)
        {
            at += len;
        }
        self.waiting = all.split_off(at);
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut writer = TerminalWriter::new(Vec::new());
        pieces.iter().for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap();
        String::from_utf8(writer.out).unwrap()
    }

    /// Promise: a terminal shows the text, lines and colors of a log, and obeys nothing else in it.
    #[test]
    fn colors_pass_and_nothing_else() {
        for (text, expected) in [
            (&b"one\n\ttwo\r\nthree"[..], "one\n\ttwo\nthree"),
            (b"\x1b[1;31mred\x1b[m x", "\x1b[1;31mred\x1b[m x\x1b[0m"),
            (b"a\x1b[1;08mb\x1b[m", "a\\x1b[1;08mb\x1b[m\x1b[0m"),
            (b"\x1b[38;5;8;48;2;1;8;8mb", "\x1b[38;5;8;48;2;1;8;8mb\x1b[0m"),
            (b"\x1b[2J\x1b]0;t\x07\x1b[31", "\\x1b[2J\\x1b]0;t\\x07\\x1b[31"),
            (b"10 %\r20 %\x08", "10 %\\r20 %\\x08"),
            ("é\u{202e}\u{9b}".as_bytes(), "é\\u{202e}\\u{9b}"),
            (b"\xff\xe2\x82", "\\xff\\xe2\\x82"),
        ] {
            assert_eq!(shown(&[text]), expected);
        }
    }

    proptest! {
        /// Promise 5: whatever a task has written, and in whatever pieces it arrives, it is shown the same way, and no
        /// controls except colors, tabs and line ends come through.
        #[test]
        fn any_output_is_shown(pieces in prop::collection::vec(prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\x1b\x1b[[31;m\r\n\xc3\xa9\xe2\x80\xae".to_vec())], 0..12), 0..8))
        {
            let all = pieces.concat();
            let whole = shown(&[&all]);
            prop_assert_eq!(&whole, &shown(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>()));
            let mut rest = &whole[..];
            while let Some(at) = rest.find('\u{1b}') {
                let sequence = rest[at..].strip_prefix("\u{1b}[").expect("a color");
                let end = sequence.find('m').expect("a color");
                prop_assert!(sequence[..end].bytes().all(|byte| matches!(byte, b'0'..=b';')), "{:?}", whole);
                rest = &sequence[end..];
            }
            let is_odd = |c| crate::shown::is_hidden(c) && !matches!(c, '\n' | '\t' | '\x1b');
            prop_assert!(!whole.contains(is_odd), "{:?}", whole);
        }
    }
}
