//! The text of an INI file → sections with raw values.
//!
//! The rules are those of Python's configparser as PyTaskFarmer configures it: case-sensitive keys, `=` or `:`,
//! full-line comments, continuation by indentation, no section or key twice. Never opens a file.

use std::collections::{HashMap, HashSet};

/// Applies to every section of its file.
const DEFAULT_SECTION: &str = "DEFAULT";

/// A key with its value as written: `%` is not interpreted yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RawKey {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: u64,
}

/// A section without the keys that `[DEFAULT]` adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RawSection {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) keys: Vec<RawKey>,
}

/// A whole file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct RawFile {
    pub(super) defaults: Vec<RawKey>,
    pub(super) sections: Vec<RawSection>,
}

/// Why bytes are not an INI file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ParseError {
    pub(super) line: u64,
    pub(super) section: Option<String>,
    pub(super) what: String,
}

/// Python's `str.isspace`.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// Lines as in Python's text files: ended by LF, CR LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        rest = tail.strip_prefix("\r\n").or_else(|| tail.strip_prefix(['\n', '\r'])).unwrap_or(tail);
        Some(line)
    })
}

/// The name in `[name]`. It ends at the last bracket; what follows is ignored.
fn header(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[')?;
    let name = &inner[..inner.rfind(']')?];
    (!name.is_empty()).then_some(name)
}

/// Where the keys of the current section go.
struct Target {
    /// `None`: the defaults.
    section: Option<usize>,
    name: String,
    /// Whether a line may continue a value, and with what indentation that value's key began.
    open: bool,
}

#[derive(Default)]
struct Parser {
    file: RawFile,
    known: HashMap<String, usize>,
    /// The keys of each section.
    names: HashSet<(Option<usize>, String)>,
    target: Option<Target>,
    indentation: usize,
}

/// Reads a file.
///
/// A byte order mark is skipped, which Python does not do.
pub(super) fn parse(bytes: &[u8]) -> Result<RawFile, ParseError> {
    // Windows editors put it there, and it is invisible.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        ParseError { line, section: None, what: "the text is not UTF-8".to_owned() }
    })?;
    let mut parser = Parser::default();
    for (number, line) in (1..).zip(lines(text)) {
        parser.line(number, line)?;
    }
    Ok(parser.finish())
}

impl Parser {
    fn line(&mut self, number: u64, line: &str) -> Result<(), ParseError> {
        let text = line.trim_matches(is_space);
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.is_empty() {
            // Blank lines belong to a value if it continues after them.
            if let Some(key) = self.open_key() {
                key.value.push('\n');
            }
            return Ok(());
        }
        let indentation = line.chars().take_while(|c| is_space(*c)).count();
        if indentation > self.indentation
            && let Some(key) = self.open_key()
        {
            key.value.push('\n');
            key.value.push_str(text);
            return Ok(());
        }
        self.indentation = indentation;
        if let Some(name) = header(text) {
            return self.section(number, name);
        }
        self.key(number, text)
    }

    fn open_key(&mut self) -> Option<&mut RawKey> {
        let target = self.target.as_ref().filter(|target| target.open)?;
        match target.section {
            Some(section) => self.file.sections[section].keys.last_mut(),
            None => self.file.defaults.last_mut(),
        }
    }

    fn section(&mut self, line: u64, name: &str) -> Result<(), ParseError> {
        // It may occur several times; its keys may not.
        let section = if name == DEFAULT_SECTION {
            None
        } else {
            if let Some(&first) = self.known.get(name) {
                let what =
                    format!("there is a section of this name already, in line {}", self.file.sections[first].line);
                return Err(ParseError { line, section: Some(name.to_owned()), what });
            }
            let index = self.file.sections.len();
            self.known.insert(name.to_owned(), index);
            self.file.sections.push(RawSection { name: name.to_owned(), line, keys: Vec::new() });
            Some(index)
        };
        self.target = Some(Target { section, name: name.to_owned(), open: false });
        Ok(())
    }

    fn key(&mut self, line: u64, text: &str) -> Result<(), ParseError> {
        let Some(target) = &mut self.target else {
            let what = "there is no [section] above this line".to_owned();
            return Err(ParseError { line, section: None, what });
        };
        let error = |what: String| ParseError { line, section: Some(target.name.clone()), what };
        let Some(delimiter) = text.find(['=', ':']) else {
            return Err(error("this line is neither 'key = value' nor the indented rest of a value".to_owned()));
        };
        let name = text[..delimiter].trim_end_matches(is_space);
        if name.is_empty() {
            return Err(error("there is no key before the value".to_owned()));
        }
        if !self.names.insert((target.section, name.to_owned())) {
            return Err(error(format!("the key '{name}' occurs twice")));
        }
        let value = text[delimiter + 1..].trim_matches(is_space).to_owned();
        target.open = true;
        let key = RawKey { name: name.to_owned(), value, line };
        match target.section {
            Some(section) => self.file.sections[section].keys.push(key),
            None => self.file.defaults.push(key),
        }
        Ok(())
    }

    fn finish(mut self) -> RawFile {
        let sections = self.file.sections.iter_mut().flat_map(|section| &mut section.keys);
        for key in sections.chain(&mut self.file.defaults) {
            key.value.truncate(key.value.trim_end_matches(is_space).len());
        }
        self.file
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String, String)> {
        let file = parse(text.as_bytes()).unwrap();
        let of = |name: &str, keys: Vec<RawKey>| {
            let name = name.to_owned();
            keys.into_iter().map(move |key| (name.clone(), key.name, key.value))
        };
        let defaults = of("DEFAULT", file.defaults);
        defaults.chain(file.sections.into_iter().flat_map(|section| of(&section.name, section.keys))).collect()
    }

    fn value(text: &str) -> String {
        values(&format!("[s]\n{text}")).remove(0).2
    }

    fn refusal(text: &str) -> (u64, String) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.line, error.what)
    }

    /// The rules that PyTaskFarmer's users know, one by one.
    #[test]
    fn values_are_read_as_configparser_reads_them() {
        assert_eq!(value("a = b # c ; d"), "b # c ; d");
        assert_eq!(value("a: b = c"), "b = c");
        assert_eq!(value("a =\n  one\n\n  # no\n\ttwo\n\n"), "\none\n\ntwo");
        assert_eq!(value("a ="), "");
        assert_eq!(value("  a = 1\n    more\r\n"), "1\nmore");
        let two = values("[DEFAULT]\nx=0\n[b]c]d\nKey = 1\nkey = 2\n[DEFAULT]\ny=1\n");
        let names: Vec<_> = two.iter().map(|(section, key, _)| format!("{section}.{key}")).collect();
        assert_eq!(names, ["DEFAULT.x", "DEFAULT.y", "b]c.Key", "b]c.key"]);
    }

    /// What configparser refuses is refused, with its line.
    #[test]
    fn errors_name_the_line() {
        assert_eq!(refusal("# x\nkey = 1\n").0, 2);
        assert_eq!(refusal("\u{feff}[a]\nx\n").0, 2, "a byte order mark is no mistake");
        assert_eq!(refusal("[a]\n[b]\n[a]\n"), (3, "there is a section of this name already, in line 1".to_owned()));
        assert_eq!(refusal("[a]\nk=1\nk=2\n"), (3, "the key 'k' occurs twice".to_owned()));
        assert_eq!(refusal("[DEFAULT]\nk=1\n[a]\nk=1\n[DEFAULT]\nk=2\n").0, 6);
        assert_eq!(refusal("[a]\nword\n").0, 2);
        assert_eq!(refusal("[a]\n= x\n").0, 2);
        assert_eq!(parse(b"[a]\nk=\xff\n").unwrap_err().line, 2);
    }

    proptest! {
        /// Promise 5: any bytes are an INI file or are refused.
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes).is_ok();
        }

        /// The same for text that resembles one more closely.
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]a=:;#% \t\r\n\u{85}\u{1c}é]{0,60}") {
            let _ = parse(text.as_bytes()).is_ok();
        }
    }
}
