//! Lines that are one simple command, read as bash reads them.
//!
//! Owns the grammar that docs/tasklist.md gives: quotes without expansion, redirections of the three standard
//! descriptors, assignments, `cd DIR &&` and `exec` in front, a comment at the end. Reads only bytes, and knows neither
//! the environment nor which names are the shell's: [`super::shell_rules`] judges what is found here.
//!
//! It is an allow-list, like the rules: whatever is not known to mean the same to every bash from 4.2 to 5.3 is `None`.

use std::borrow::Cow;

/// More redirections than this are the shell's: each needs a descriptor.
const REDIRECTIONS_MAX: usize = 16;

/// A word of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    /// As it is in the line.
    pub raw: &'a [u8],
    /// Without its quotes.
    pub text: Cow<'a, [u8]>,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// `<`
    Read,
    /// `>` and `>|`
    Write,
    /// `>>`
    Append,
}

/// What becomes of a descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Redirect<T> {
    /// A file.
    Open {
        /// The descriptor, 0 to 2.
        to: u8,
        /// How.
        mode: Mode,
        /// Its path, relative to the folder in which the program starts.
        path: T,
    },
    /// What another descriptor is at this point.
    Copy {
        /// The descriptor, 1 or 2.
        to: u8,
        /// The other one.
        from: u8,
    },
}

/// A redirection: one or, for `&>`, two changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirection<'a> {
    operator: &'static str,
    file: Option<Word<'a>>,
    changes: &'static [Change],
}

/// `None`: the file.
type Change = (u8, Option<u8>, Mode);

/// A simple command.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Simple<'a> {
    /// The folder of `cd FOLDER &&`.
    pub folder: Option<Word<'a>>,
    /// Assignments in front, each with the length of its name.
    pub assignments: Vec<(usize, Word<'a>)>,
    /// Whether `exec` precedes the words.
    pub is_exec: bool,
    /// The program and its arguments.
    pub words: Vec<Word<'a>>,
    /// In the order of the line.
    pub redirections: Vec<Redirection<'a>>,
}

/// Bytes that every shell leaves unchanged anywhere in a word after the first. Not among them, though harmless in some
/// places: `~` (home at the start and after `:` or `=`), `#` (comment), `!` (history, pipelines), `^` (pipe in old
/// shells), `{}` (lists), and anything that is not ASCII (blanks in some locales).
pub(super) const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = matches!(byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'_' | b'.' | b'/' | b',' | b':' | b'@' | b'%' | b'+' | b'-' | b'=');
        byte += 1;
    }
    plain
};

impl<'a> Simple<'a> {
    /// Reads a line. `None` if it is not a simple command, or is not certainly one.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        // In some encodings, a backslash may be the second byte of a character.
        if !line.is_ascii() && (line.contains(&b'\\') || str::from_utf8(line).is_err()) {
            return None;
        }
        let mut simple = Self::default();
        let mut reader = Reader { line, at: 0 };
        loop {
            reader.skip_blanks();
            match reader.rest() {
                [] | [b'#', ..] => break,
                [b'&', b'&', ..] => {
                    reader.at += 2;
                    simple.enter()?;
                }
                [b'&' | b'<' | b'>', ..] => simple.redirections.push(reader.redirection(None)?),
                _ => {
                    let word = reader.word()?;
                    let operator = matches!(reader.rest(), [b'<' | b'>', ..]);
                    if operator && word.raw.iter().all(u8::is_ascii_digit) {
                        simple.redirections.push(reader.redirection(Some(word.raw))?);
                    } else {
                        simple.add(word);
                    }
                }
            }
        }
        let is_complete = !simple.words.is_empty() && simple.redirections.len() <= REDIRECTIONS_MAX;
        is_complete.then_some(simple)
    }

    fn add(&mut self, word: Word<'a>) {
        if self.words.is_empty() && !self.is_exec {
            if let Some(len) = assigned(word.raw) {
                return self.assignments.push((len, word));
            }
            if word.raw == b"exec" && self.assignments.is_empty() && self.redirections.is_empty() {
                self.is_exec = true;
                return;
            }
        }
        self.words.push(word);
    }

    /// What was read so far must be `cd` and a folder.
    fn enter(&mut self) -> Option<()> {
        let before = std::mem::take(self);
        let is_alone = before.folder.is_none() && !before.is_exec;
        let is_alone = is_alone && before.assignments.is_empty() && before.redirections.is_empty();
        let [cd, folder] = <[Word<'a>; 2]>::try_from(before.words).ok()?;
        let is_path = !folder.text.is_empty() && !folder.text.starts_with(b"-");
        (is_alone && cd.raw == b"cd" && is_path).then(|| self.folder = Some(folder))
    }

    /// The command without `cd FOLDER &&` and comments, as bash prints it when its program has died.
    pub fn shown(&self) -> Vec<u8> {
        let words = self.assignments.iter().map(|(_, word)| word).chain(&self.words);
        let mut shown = words.map(|word| word.raw).collect::<Vec<_>>().join(&b' ');
        for redirection in &self.redirections {
            shown.push(b' ');
            shown.extend_from_slice(redirection.operator.as_bytes());
            if let Some(file) = &redirection.file {
                shown.push(b' ');
                shown.extend_from_slice(file.raw);
            }
        }
        shown
    }

    /// The assignments, as names and values.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.assignments.iter().map(|(len, word)| (&word.text[..*len], &word.text[len + 1..]))
    }

    /// What becomes of the descriptors, in order.
    pub fn redirects(&self) -> impl Iterator<Item = Redirect<&[u8]>> {
        self.redirections.iter().flat_map(|redirection| {
            let path = redirection.file.as_ref().map_or(&b""[..], |file| &file.text);
            redirection.changes.iter().map(move |&(to, from, mode)| match from {
                Some(from) => Redirect::Copy { to, from },
                None => Redirect::Open { to, mode, path },
            })
        })
    }
}

/// The length of the name, if the word assigns.
fn assigned(raw: &[u8]) -> Option<usize> {
    let len = raw.iter().position(|&byte| byte == b'=')?;
    let [first, rest @ ..] = &raw[..len] else { return None };
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    (in_name(first) && !first.is_ascii_digit() && rest.iter().all(in_name)).then_some(len)
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', ..] = self.rest() {
            self.at += 1;
        }
    }

    /// A word; it may be empty if nothing that belongs to a word is here.
    fn word(&mut self) -> Option<Word<'a>> {
        let start = self.at;
        let mut text = Cow::Borrowed(&self.line[start..start]);
        loop {
            match self.rest() {
                [] | [b' ' | b'\t' | b'<' | b'>' | b'&', ..] => break,
                [byte, ..] if PLAIN[usize::from(*byte)] => {
                    self.at += 1;
                    match &mut text {
                        Cow::Borrowed(text) => *text = &self.line[start..self.at],
                        Cow::Owned(text) => text.push(*byte),
                    }
                }
                [b'\'', rest @ ..] => {
                    let len = rest.iter().position(|&byte| byte == b'\'')?;
                    let quoted = &rest[..len];
                    quoted.iter().all(|&byte| is_text(byte)).then(|| text.to_mut().extend_from_slice(quoted))?;
                    self.at += len + 2;
                }
                [b'"', ..] => {
                    self.at += 1;
                    self.double_quoted(text.to_mut())?;
                }
                [b'\\', byte, ..] if is_text(*byte) => {
                    text.to_mut().push(*byte);
                    self.at += 2;
                }
                _ => return None,
            }
        }
        Some(Word { raw: &self.line[start..self.at], text })
    }

    /// Up to the closing quote.
    fn double_quoted(&mut self, text: &mut Vec<u8>) -> Option<()> {
        loop {
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Some(());
                }
                [b'\\', byte @ (b'"' | b'\\' | b'$' | b'`'), ..] => {
                    text.push(*byte);
                    self.at += 2;
                }
                // History is expanded in them only by an interactive shell.
                [byte, ..] if is_text(*byte) && !matches!(byte, b'$' | b'`') => {
                    text.push(*byte);
                    self.at += 1;
                }
                _ => return None,
            }
        }
    }

    /// A redirection of this descriptor, which was just read.
    fn redirection(&mut self, fd: Option<&[u8]>) -> Option<Redirection<'a>> {
        let fd = match fd {
            None => None,
            Some([digit @ b'0'..=b'2']) => Some(digit - b'0'),
            Some(_) => return None,
        };
        let (output, rest) = (fd.unwrap_or(1), self.rest());
        let (len, (operator, changes)): (_, (_, &'static [Change])) = match rest {
            [b'&', b'>', b'>', ..] => (3, ("&>>", &[(1, None, Mode::Append), (2, Some(1), Mode::Append)])),
            [b'&', b'>', ..] => (2, ("&>", &[(1, None, Mode::Write), (2, Some(1), Mode::Write)])),
            [b'>', b'&', from, after @ ..] => {
                matches!(after, [] | [b' ' | b'\t', ..]).then_some(())?;
                self.at += 3;
                let (operator, changes) = copy(output, *from)?;
                return Some(Redirection { operator, file: None, changes });
            }
            [b'>', b'>', ..] => (2, *APPEND.get(usize::from(output))?),
            [b'>', b'|', ..] => (2, *CLOBBER.get(usize::from(output))?),
            [b'>', ..] => (1, *WRITE.get(usize::from(output))?),
            [b'<', ..] if fd.unwrap_or(0) == 0 => (1, ("<", &[(0, None, Mode::Read)])),
            _ => return None,
        };
        self.at += len;
        self.skip_blanks();
        let file = self.word()?;
        // `> 2> f` is an error, and `>&`, the other way to write `&>`, gives these a meaning of their own.
        let is_odd = file.text.starts_with(b"-") || file.text.iter().all(u8::is_ascii_digit);
        let is_known = !changes.is_empty() && !file.text.is_empty() && is_file(&file.text);
        (is_known && !is_odd).then_some(())?;
        Some(Redirection { operator, file: Some(file), changes })
    }
}

/// Redirections of output, by descriptor, as bash prints them. One of standard input is the shell's.
type Known = (&'static str, &'static [Change]);
const WRITE: [Known; 3] = [("", &[]), (">", &[(1, None, Mode::Write)]), ("2>", &[(2, None, Mode::Write)])];
const CLOBBER: [Known; 3] = [("", &[]), (">|", &[(1, None, Mode::Write)]), ("2>|", &[(2, None, Mode::Write)])];
const APPEND: [Known; 3] = [("", &[]), (">>", &[(1, None, Mode::Append)]), ("2>>", &[(2, None, Mode::Append)])];

fn copy(to: u8, from: u8) -> Option<Known> {
    match (to, from) {
        (1, b'2') => Some(("1>&2", &[(1, Some(2), Mode::Write)])),
        (2, b'1') => Some(("2>&1", &[(2, Some(1), Mode::Write)])),
        _ => None,
    }
}

/// Whether a byte may be between quotes. Bash uses control characters itself, for marks in words.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Whether it is the name of a file, for bash, and for whoever opens it: the names of open descriptors and of the
/// process itself are not.
fn is_file(path: &[u8]) -> bool {
    let is_device = path.starts_with(b"/dev/") && path != b"/dev/null" && !path.starts_with(b"/dev/shm/");
    !is_device && !path.windows(5).any(|part| part == b"proc/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Option<String> {
        Some(String::from_utf8(Simple::parse(line.as_bytes())?.shown()).unwrap())
    }

    /// What bash prints of a line when its program has died.
    #[test]
    fn lines_are_shown_as_by_bash() {
        let line = "cd d && A='x y'  sh\t-c 'a' x 2>f >&2 >>\"y\" 2>> y >|x 1>x 0</dev/null 1>&2 &>'a b' # c";
        let text = "A='x y' sh -c 'a' x 2> f 1>&2 >> \"y\" 2>> y >| x > x < /dev/null 1>&2 &> 'a b'";
        assert_eq!(shown(&line.replace("\\t", "\t")).as_deref(), Some(text));
    }

    /// The words, without quotes.
    #[test]
    fn quotes_are_taken_away() {
        let line = br#"a'b c'"d'\"e\x" \ f\'g '' "\\\$" '*' # h"#;
        let simple = Simple::parse(line).unwrap();
        let words: Vec<_> = simple.words.iter().map(|word| str::from_utf8(&word.text).unwrap()).collect();
        assert_eq!(words, [r#"ab cd'"e\x"#, " f'g", "", r"\$", "*"]);
    }

    /// What is not known to be a simple command is the shell's.
    #[test]
    fn all_else_is_the_shells() {
        for line in [
            "",
            "#",
            " # a",
            ">x",
            "A=1",
            "exec",
            "exec >x",
            "cd x &&",
            "cd x && # a",
            "a;",
            "a &",
            "a | b",
            "a || b",
            "a && b",
            "cd x && cd y && a",
            "cd && a",
            "cd - && a",
            "cd '' && a",
            "cd a b && c",
            "A=1 cd x && a",
            "exec cd x && a",
            "a >",
            "a > #",
            "a > 2",
            "a > 2>x",
            "a 3>x",
            "a 12>x",
            "a <&0",
            "a >&-",
            "a 2>&3",
            "a >&x",
            "a 2>&1>x",
            "a 2>& 1",
            "a <>x",
            "a <<x",
            "a <<<x",
            "a 0>x",
            "a 1<x",
            "a &>1",
            "a &>-",
            "a >/dev/fd/1",
            "a >/dev/tcp/a/1",
            "a </proc/self/comm",
            "a 'b",
            "a \"b",
            "a b\\",
            "a $b",
            "a \"$b\"",
            "a `b`",
            "a *",
            "a ~",
            "a !",
            "a {b}",
            "a (b)",
            "a [b]",
            "a b#c",
            "a ^",
            "a '\u{1}'",
            "a \u{e9}",
            "a '\u{e9}\\'",
        ] {
            assert_eq!(shown(line), None, "{line}");
        }
        assert!(Simple::parse(b"a '\xff'").is_none());
        assert!(shown(&format!("a{}", " >x".repeat(REDIRECTIONS_MAX))).is_some());
        assert!(shown(&format!("a{}", " >x".repeat(REDIRECTIONS_MAX + 1))).is_none());
    }
}
