//! Which line of an output names the cause of a failure, and which lines name the same cause.
//!
//! Owns both rules. Pure: output is read elsewhere.

use memchr::memmem;

/// Names of days and months, which stand next to numbers in a date.
const DATE_WORDS: [&str; 19] = [
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
    "Oct", "Nov", "Dec",
];

/// Units of a length of time that directly follow a number.
const TIME_UNITS: [&str; 8] = ["ns", "us", "ms", "s", "m", "min", "h", "d"];

/// A shorter word of hexadecimal digits can be a word.
const HEX_LEN_MIN: usize = 7;

/// Stands for what differs between lines with the same cause.
const ANY: &str = "#";

/// Of the last nonblank lines of an output, the one that says most about a failure: the last one with a letter or a
/// digit. After a syntax error, bash repeats the command; the error itself is the line before.
pub(super) fn telling_line<'a>(lines: &[&'a [u8]]) -> &'a [u8] {
    let says_something = |line: &&[u8]| line.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let place = lines.iter().rposition(says_something);
    let Some(place) = place.or_else(|| lines.len().checked_sub(1)) else { return b"" };
    match place.checked_sub(1).map(|before| lines[before]) {
        Some(before) if is_repeated_command(lines[place]) && memmem::find(before, b"syntax error").is_some() => before,
        _ => lines[place],
    }
}

/// bash: ``bash: -c: line 1: `for do'``.
fn is_repeated_command(line: &[u8]) -> bool {
    memmem::find(line, b": `").is_some() && line.ends_with(b"'")
}

/// What lines with the same cause have in common: all of it except numbers, addresses, times, and paths.
pub(super) fn alike(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut date = String::new();
    for piece in line.split_inclusive(is_separator) {
        let word = piece.trim_end_matches(is_separator);
        let plain = without_details(word);
        // Whether it is part of a date is known only once the next word is.
        let is_date_word = DATE_WORDS.contains(&word);
        if !is_date_word {
            match plain == ANY {
                true => (0..date.split_whitespace().count()).for_each(|_| text.push_str("# ")),
                false => text.push_str(&date),
            }
            date.clear();
            text.push_str(&plain);
            text.push_str(&piece[word.len()..]);
        } else if text.trim_end().ends_with(ANY) {
            text.push_str(ANY);
            text.push_str(&piece[word.len()..]);
        } else {
            date.push_str(piece);
        }
    }
    text.push_str(&date);
    text
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\'' | '"' | '`' | '‘' | '’' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '=' | '|')
}

/// A word without what only this attempt has in it.
fn without_details(word: &str) -> String {
    let core = word.trim_end_matches(['.', ':', '!', '?']);
    let end = &word[core.len()..];
    if is_path(core) || is_hex(core) {
        return format!("{ANY}{end}");
    }
    let numbered = without_numbers(core);
    match numbered.strip_prefix(ANY) {
        Some(unit) if TIME_UNITS.contains(&unit) => format!("{ANY}{end}"),
        _ => numbered + end,
    }
}

/// `I/O` is not one.
fn is_path(word: &str) -> bool {
    let slashes = word.matches('/').count();
    slashes > 0 && (slashes > 1 || word.starts_with(['/', '.', '~']) || word.contains('.'))
}

/// `0x7f3a`, a hash, a UUID.
fn is_hex(word: &str) -> bool {
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match word.strip_prefix("0x") {
        Some(digits) => !digits.is_empty() && is_hex(digits),
        None => word.len() >= HEX_LEN_MIN && is_hex(word) && word.contains(|c: char| c.is_ascii_digit()),
    }
}

/// Each number, with its sign, point and exponent, becomes one `#`; so does a date or a time.
fn without_numbers(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let is_digit = |place: usize| chars.get(place).is_some_and(char::is_ascii_digit);
    let mut text = String::new();
    let mut place = 0;
    while place < chars.len() {
        let signed = place == 0 && matches!(chars[0], '+' | '-') && is_digit(1);
        if !is_digit(place) && !signed {
            text.push(chars[place]);
            place += 1;
            continue;
        }
        place += usize::from(signed);
        while is_digit(place) {
            place += 1;
            let joined = match chars.get(place) {
                Some('.' | ':' | '-' | '_' | 'T') if is_digit(place + 1) => 1,
                Some('e' | 'E') if is_digit(place + 1) => 1,
                Some('e' | 'E') if matches!(chars.get(place + 1), Some('+' | '-')) && is_digit(place + 2) => 2,
                Some('Z') if place + 1 == chars.len() => 1,
                _ => 0,
            };
            place += joined;
        }
        text.push_str(ANY);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Promise: what differs only in numbers, addresses, times and paths is one cause.
    #[test]
    fn details_do_not_make_a_cause() {
        for (one, other) in [
            ("KeyError: 17", "KeyError: -3"),
            ("at 0x7f3a9b: line 12", "at 0x55d0c1e: line 3"),
            ("loss is 1.5e-3", "loss is 200"),
            ("cannot access '/no/such/folder': No such file", "cannot access '/scratch/b/c.txt': No such file"),
            ("./run.py:12: error", "../lib/a.py:7: error"),
            ("[2026-11-27T12:00:01Z] timeout", "[2025-01-02T03:04:05Z] timeout"),
            ("Fri Nov 27 12:00:01 2026: gave up", "Mon Jan 2 03:04:05 2023: gave up"),
            ("27 Nov 12:00 gave up", "2 Jan 03:04 gave up"),
            ("took 1.5s", "took 200ms"),
            ("job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is gone", "job 9b2d0c71-0e2b-41d4-a716-446655440000 is gone"),
            ("commit 89dee42 is missing", "commit 0ef9ed9 is missing"),
            ("bash: line 1: 4711 Segmentation fault", "bash: line 1: 815 Segmentation fault"),
        ] {
            assert_eq!(alike(one), alike(other));
        }
        for (one, other) in [
            ("No module named 'numpy'", "No module named 'scipy'"),
            ("ValueError: bad", "KeyError: bad"),
            ("I/O error", "CPU error"),
            ("a 1", "b 1"),
            ("May the force", "Mar the force"),
            ("deadbeef", "cafebabe"),
        ] {
            assert_ne!(alike(one), alike(other));
        }
    }

    /// Promise: a syntax error is shown as that, not by the command that bash repeats; rules below an error do not hide it.
    #[test]
    fn the_telling_line_is_chosen() {
        let chosen = |lines: &[&str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            String::from_utf8(telling_line(&lines).to_vec()).unwrap()
        };
        let error = "bash: -c: line 1: syntax error near unexpected token `)'";
        assert_eq!(chosen(&["x", error, "bash: -c: line 1: `echo )'"]), error);
        assert_eq!(chosen(&[error]), error);
        assert_eq!(chosen(&["fine", "bash: -c: line 1: `echo )'"]), "bash: -c: line 1: `echo )'");
        assert_eq!(chosen(&["ERROR: out of slots", "--------", "=="]), "ERROR: out of slots");
        assert_eq!((chosen(&["--", "=="]), chosen(&[]), chosen(&["é"])), ("==".into(), String::new(), "é".into()));
    }

    proptest! {
        /// Whatever is in a line, its kind is one line, not much longer, and is its own kind.
        #[test]
        fn any_line_has_a_kind(line in "\\PC{0,80}", words in prop::collection::vec("[A-Za-z0-9/.:+-]{1,8}", 0..9)) {
            for line in [line, words.join(" ")] {
                let kind = alike(&line);
                prop_assert!(kind.len() <= 2 * line.len());
                prop_assert_eq!(alike(&kind), kind);
            }
        }
    }
}
