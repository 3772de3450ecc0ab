//! Handler `template`: each line has fields, which are inserted into a command.
//!
//! Fields are split by white space, by a given separator, or as CSV with a header.

use std::collections::HashSet;
use std::path::Path;

use super::directives::{self, BadDirective, Keys};
use super::{ListError, TaskList, lines, one_line, read_file, refuse_directives};
use crate::demand::list::{Asks, ListAsks, TooMany};
use crate::figures::words;
use crate::ini::{IniError, Section};
use crate::template::{Fields, Template};

/// Highest number in a hole.
const FIELDS_MAX: usize = 10_000;

/// The whole line.
const LINE: usize = usize::MAX;

/// The ID that the task gets.
const ID: usize = usize::MAX - 1;

/// How a line is split into fields.
#[derive(Clone, Copy)]
enum Split<'a> {
    Blanks,
    Separator(&'a str),
    Csv(u8),
}

const KEYS: &[&str] = &["command", "separator", "csv", "cpus", "gpus", "mem", "priority"];

/// Names by number, and those of the columns of CSV.
type Names = Option<Vec<String>>;

impl Fields for Names {
    type Field = usize;
    fn find(&self, name: &str) -> Option<usize> {
        if let Some(column) = self.iter().flatten().position(|column| column == name) {
            return Some(column);
        }
        match (name, self) {
            ("id", _) => return Some(ID),
            ("line", None) => return Some(LINE),
            _ => {}
        }
        let number: usize = name.parse().ok().filter(|_| !name.starts_with(['0', '+']))?;
        let most = self.as_ref().map_or(FIELDS_MAX, Vec::len);
        (number >= 1 && number <= most).then(|| number - 1)
    }

    fn names(&self) -> Vec<&str> {
        let columns = self.iter().flatten().map(String::as_str);
        let others: &[&str] = if self.is_some() { &["1", "id"] } else { &["1", "2", "line", "id"] };
        columns.chain(others.iter().copied()).collect()
    }
}

/// `tab`, `comma` and so on are words, because an INI file's values lose blanks at their ends.
fn separator(section: &Section) -> Result<Option<&str>, IniError> {
    let Some(key) = section.get("separator") else { return Ok(None) };
    Ok(Some(match &key.value[..] {
        "tab" | "\\t" => "\t",
        "comma" => ",",
        "semicolon" => ";",
        "space" => " ",
        "" => {
            return Err(section.error(Some(key), "it is empty\n  name one: tab, space, comma, semicolon, or any text"));
        }
        text if text.contains('\n') => return Err(section.error(Some(key), "a line end cannot separate fields")),
        text => text,
    }))
}

fn split(section: &Section) -> Result<Split<'_>, IniError> {
    let separator = separator(section)?;
    let is_csv = match section.get("csv").map(|key| (key, key.value.to_ascii_lowercase())) {
        None => false,
        Some((_, value)) if matches!(&value[..], "yes" | "true" | "on" | "1") => true,
        Some((_, value)) if matches!(&value[..], "no" | "false" | "off" | "0") => false,
        Some((key, _)) => return Err(section.error(Some(key), "neither yes nor no")),
    };
    Ok(match (is_csv, separator) {
        (false, None) => Split::Blanks,
        (false, Some(separator)) => Split::Separator(separator),
        (true, None) => Split::Csv(b','),
        (true, Some(separator)) => match separator.as_bytes() {
            [byte] => Split::Csv(*byte),
            _ => return Err(section.error(section.get("separator"), "CSV is separated by one character")),
        },
    })
}

/// What the section makes of a line.
struct Made<'a> {
    command: Template<usize>,
    /// What its task asks for, by key.
    asks: Vec<(&'a str, Template<usize>)>,
    keys: Keys<'a>,
}

impl<'a> Made<'a> {
    fn new(section: &Section, names: &Names, keys: Keys<'a>) -> Result<Self, IniError> {
        let key = one_line(section, section.required("command")?)?;
        let command = Template::command(&key.value, names).map_err(|what| section.error(Some(key), &what))?;
        let mut asks = Vec::new();
        for name in keys.all() {
            let Some(key) = section.get(name) else { continue };
            let value = Template::value(&key.value, names).map_err(|what| section.error(Some(key), &what))?;
            asks.push((name, value));
        }
        Ok(Self { command, asks, keys })
    }
}

/// The list so far.
#[derive(Default)]
struct Listed {
    list: TaskList,
    asks: ListAsks,
}

/// Makes the list.
pub(super) fn read(section: &Section, path: &Path, keys: Keys<'_>) -> Result<(TaskList, ListAsks), ListError> {
    section.check_keys(&KEYS.iter().copied().chain(keys.shared.iter().copied()).collect::<Vec<_>>())?;
    let made = |names: &Names| Made::new(section, names, keys).map_err(ListError::from);
    let split = split(section)?;
    let read = || {
        let bytes = read_file(path)?;
        let remedy = "put what tasks ask for into the section of the handler: cpus, gpus, mem, priority";
        refuse_directives(path, &bytes, remedy).map(|()| bytes)
    };
    let mut list = Listed::default();
    match split {
        Split::Csv(separator) => read_csv(&read()?, separator, path, made, &mut list)?,
        split => {
            // An invalid section is reported before anything about the file.
            let made = made(&None)?;
            read_kept(&read()?, split, path, &made, &mut list)?;
        }
    }
    Ok((list.list, list.asks))
}

fn read_kept(bytes: &[u8], split: Split<'_>, path: &Path, made: &Made<'_>, list: &mut Listed) -> Result<(), ListError> {
    for (number, line) in lines::kept(bytes) {
        let fields: Vec<&[u8]> = match split {
            Split::Separator(separator) => split_by(line.whole, separator.as_bytes()),
            _ => line.stripped.split(|&byte| lines::is_blank(byte)).filter(|field| !field.is_empty()).collect(),
        };
        add(list, made, &fields, line.stripped, path, number)?;
    }
    Ok(())
}

fn split_by<'a>(line: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut fields = Vec::new();
    let mut begin = 0;
    for at in memchr::memmem::find_iter(line, separator) {
        fields.push(&line[begin..at]);
        begin = at + separator.len();
    }
    fields.push(&line[begin..]);
    fields
}

fn add(
    Listed { list, asks }: &mut Listed,
    made: &Made<'_>,
    fields: &[&[u8]],
    line: &[u8],
    path: &Path,
    number: u64,
) -> Result<(), ListError> {
    let id = list.len().to_string();
    let value = |field| match field {
        LINE => Some(line),
        ID => Some(id.as_bytes()),
        field => fields.get(field).copied(),
    };
    let mut command = Vec::new();
    let missing = |of: &str, field: usize| {
        let fields = words::counted(fields.len() as u64, "field");
        ListError::content(path, number, &format!("it has {fields}, and {of} wants field {}", field + 1))
    };
    made.command.fill(value, &mut command).map_err(|field| missing("the command", field))?;
    list.push(&command).map_err(|bad| ListError::content(path, number, &format!("its command has {bad}")))?;
    let refused = |bad: BadDirective| ListError::content(path, number, &bad.to_string());
    let mut of_task = Asks::default();
    for (key, template) in &made.asks {
        let mut text = Vec::new();
        template.fill(value, &mut text).map_err(|field| missing(&format!("'{key}'"), field))?;
        let text = String::from_utf8_lossy(&text);
        // An empty column: the command line decides.
        if !text.trim().is_empty() {
            directives::set(&mut of_task, made.keys, key, text.trim()).map_err(refused)?;
        }
    }
    asks.extend(list.len() as usize, of_task).map_err(|TooMany| refused(BadDirective::TooMany))
}

fn read_csv<'a>(
    bytes: &[u8],
    separator: u8,
    path: &Path,
    made: impl Fn(&Names) -> Result<Made<'a>, ListError>,
    list: &mut Listed,
) -> Result<(), ListError> {
    if let Some(line) = open_quote(bytes, separator) {
        let what = "a quote begins here and is never closed\n  a quote within a value is written twice, and the value between quotes";
        return Err(ListError::content(path, line, what));
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).comment(Some(b'#')).from_reader(bytes);
    let bad = |error: &csv::Error| {
        let line = error.position().map_or(1, |position| line_of(bytes, position));
        let what = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("it has {}, and the header has {expected_len}", words::counted(*len, "field"))
            }
            csv::ErrorKind::Utf8 { .. } => "the header is not UTF-8".to_owned(),
            _ => error.to_string(),
        };
        ListError::content(path, line, &what)
    };
    let columns: Vec<String> = reader.headers().map_err(|error| bad(&error))?.iter().map(str::to_owned).collect();
    let mut known = HashSet::new();
    if let Some(twice) = columns.iter().find(|name| !known.insert(*name)) {
        return Err(ListError::content(path, 1, &format!("the header has two columns '{twice}'")));
    }
    let made = made(&Some(columns))?;
    for record in reader.byte_records() {
        let record = record.map_err(|error| bad(&error))?;
        let fields: Vec<&[u8]> = record.iter().collect();
        let line = record.position().map_or(0, |position| line_of(bytes, position));
        add(list, &made, &fields, b"", path, line)?;
    }
    Ok(())
}

/// The line of a quote that is open at the end: the reader takes everything from there on for one value.
fn open_quote(bytes: &[u8], separator: u8) -> Option<u64> {
    enum At {
        Row,
        Value,
        Unquoted,
        Quoted(u64),
        /// Behind a quote, which is the end of the value unless another one follows.
        Closed(u64),
        Comment,
    }
    let mut line = 1;
    let mut at = At::Row;
    for &byte in bytes {
        at = match (at, byte) {
            (At::Comment, b'\n') => At::Row,
            (At::Comment, _) | (At::Row, b'#') => At::Comment,
            (At::Quoted(from), b'"') => At::Closed(from),
            (At::Quoted(from), _) | (At::Closed(from), b'"') => At::Quoted(from),
            (At::Row | At::Value, b'"') => At::Quoted(line),
            (_, byte) if byte == separator => At::Value,
            (_, b'\n' | b'\r') => At::Row,
            _ => At::Unquoted,
        };
        line += u64::from(byte == b'\n');
    }
    if let At::Quoted(from) = at { Some(from) } else { None }
}

/// The line in which a record begins. The reader's own position is before the blank lines and comments that it has
/// skipped.
fn line_of(bytes: &[u8], position: &csv::Position) -> u64 {
    let mut line = position.line();
    let mut rest = usize::try_from(position.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or(b"");
    while let Some(first) = rest.first().filter(|first| matches!(first, b'\n' | b'\r' | b'#')) {
        if *first == b'\r' {
            rest = &rest[1..];
            continue;
        }
        let Some(end) = memchr::memchr(b'\n', rest) else { break };
        rest = &rest[end + 1..];
        line += 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{nearly, within};
    use crate::ini::Key;
    use crate::task::TaskId;

    fn lines_of_fields() -> impl Strategy<Value = Vec<u8>> {
        let field = "[a-z0-9 .é]{0,6}|\"[a-z,\n ']{0,4}\"|it's|;|\t";
        let line = (prop::collection::vec(field, 0..5), prop::sample::select(vec!["\n", "\r\n", "\n\n", "\n# x\n"]))
            .prop_map(|(fields, end)| fields.join(",") + end);
        (prop_oneof![Just("a,b,c\n"), Just("")], prop::collection::vec(line, 0..5))
            .prop_map(|(header, lines)| (header.to_owned() + &lines.concat()).into_bytes())
    }

    fn settings() -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let command = "(run|\\{1\\}|\\{2:raw\\}|\\{a\\}|\\{id\\}|\\{line\\}|'|[ \"$]){1,6}";
        let separator = prop::option::of("tab|comma|space|,|;|::|[a-z]{0,2}|\n");
        let cpus = prop::option::of("[1-9]|\\{1\\}|\\{a\\}|x|");
        (command, separator, prop::option::of("yes|no|on|x"), cpus).prop_map(|(command, separator, csv, cpus)| {
            let mut keys = vec![("command", command)];
            keys.extend(separator.map(|separator| ("separator", separator)));
            keys.extend(csv.map(|csv| ("csv", csv)));
            keys.extend(cpus.map(|cpus| ("cpus", cpus)));
            keys
        })
    }

    /// Found by a hostile user: a quote that is never closed swallowed all rows that followed, without a message.
    #[test]
    fn a_quote_that_is_never_closed_is_found() {
        for (text, line) in [
            ("a,b\n1,\"3.5 inch\n2,y\n3,z\n", Some(2)),
            ("a,b\n1,\"\n2,\"\n3,x\n", None),
            ("\"a,b\n1,2\n", Some(1)),
            ("a\n\"abc", Some(2)),
            ("a\n\"x\"\"\n", Some(2)),
            ("a,b\n1,3.5\"\n2,4\"\n\"x\"\"y\",\"\"\n# it's \"open\n", None),
            ("a,b\r\n\"1\n2\",\"x\"y\"\r\n", None),
            ("a,b\n1;\"2\n", None),
        ] {
            assert_eq!(open_quote(text.as_bytes(), b','), line, "{text:?}");
        }
    }

    proptest! {
        /// Promise 5: any file is a list or is refused, whatever the section contains, and every task of it is one
        /// line.
        #[test]
        fn any_file_is_a_list_or_refused(text in nearly(lines_of_fields()), bytes: Vec<u8>, settings in settings()) {
            let key = |(name, value): (&str, String)| Key { name: name.to_owned(), value, line: 1, inherited: false };
            let class = key(("TaskList", "template".to_owned()));
            let keys = settings.into_iter().map(key).collect();
            let section = Section { name: "x".to_owned(), file: "a.ini".into(), line: 1, class, keys };
            for bytes in [text, bytes] {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &bytes).unwrap();
                let Ok((list, _)) = within(1 << 20, || read(&section, file.path(), Keys::default())) else { continue };
                for id in 0..list.len() {
                    let command = list.command(TaskId(id));
                    prop_assert!(!command.is_empty() && !command.contains(&b'\n') && !command.contains(&0));
                }
            }
        }
    }
}
